"""The files of a rewritten checkpoint: laid out before anything is written, so that each tensor goes to its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from initkit.errors import CommitError
from initkit.jobs import Progress
from initkit.shards import (
    INDEX,
    FileLayout,
    FileWriter,
    Stored,
    StoredTensors,
    TensorSpec,
    check_room,
    index_of,
)

ROOM = 1 << 16
"""Bytes of a header that are kept free for what jobs will say."""


class Output:
    """The new files. A context; leaving it puts them on the disk.

    Args:
        place: of the new folder, or of the new file where the checkpoint is a single one.
        stored: the checkpoint.
        specs: tensors with other shapes, by name in the files.
        added: tensors that the checkpoint lacks; they go to its last file.
        metadata: text by key for the header of the first file, as far as it is known.

    Raises:
        FileError: the disk has no room.
    """

    def __init__(
        self,
        place: Path,
        stored: StoredTensors,
        specs: Mapping[str, TensorSpec],
        added: Sequence[TensorSpec],
        metadata: Mapping[str, str],
    ) -> None:
        self._stored, self._metadata = stored, metadata
        self._beside = place.parent
        self.folder = place if stored.path.is_dir() else place.parent
        self.layouts = [
            FileLayout(shard.file.name, tuple(specs.get(one.name, one) for one in shard.tensors))
            for shard in stored.shards
        ]
        last = self.layouts[-1]
        self.layouts[-1] = FileLayout(last.name, (*last.specs, *added))
        self._paths = [place if self.folder != place else place / layout.name for layout in self.layouts]
        self._home = {spec.name: number for number, layout in enumerate(self.layouts) for spec in layout.specs}
        self._final = {spec.name: spec for layout in self.layouts for spec in layout.specs}
        self._done: set[str] = set()
        self._spares = 0
        self._stack = ExitStack()
        self._files: list[FileWriter] = []
        check_room(self.folder, sum(layout.size for layout in self.layouts))

    def __enter__(self) -> Output:
        for number, (path, layout) in enumerate(zip(self._paths, self.layouts, strict=True)):
            metadata = self._stored.shards[number].metadata
            metadata = {**metadata, **self._metadata} if number == 0 else _bare(metadata, self._metadata)
            writer = FileWriter(path, layout, metadata, room=ROOM if number == 0 else 0)
            self._files.append(self._stack.enter_context(writer))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, spec: TensorSpec, buffers: Iterator[memoryview]) -> Stored:
        """Write a tensor, and say where it lies: in its place, or in a spare file while it has not its final shape."""
        if spec.name not in self._final:
            raise CommitError(f"{spec.name} was to be written, which the checkpoint lacks and the plan does not name")
        if spec == _plain(self._final[spec.name]):
            number = self._home[spec.name]
            writer, path = self._files[number], self._paths[number]
            writer.write(spec.name, buffers)
            writer.flush()
            self._done.add(spec.name)
        else:
            self._spares += 1
            path = self._beside / f"spare-{self._spares}"
            writer = FileWriter(path, FileLayout(path.name, (spec,)), {})
            with writer:
                writer.write(spec.name, buffers)
        return Stored(spec.name, spec.code, spec.shape, spec.size, path, writer.place(spec.name)[0])

    def check(self, written: Iterable[Stored | None]) -> None:
        """Refuse tensors that have not come to the place that was laid out for them.

        Args:
            written: where tensors lie now.

        Raises:
            CommitError: one has another shape than the plan said.
        """
        for one in written:
            if one is not None and one.file not in self._paths:
                raise CommitError(f"a job gave {one.name} the shape {one.shape}, which the plan does not announce")

    def pass_on(self, progress: Progress | None) -> None:
        """Write everything that was not written, byte for byte as it was."""
        rest = [one for shard in self._stored.shards for one in shard.tensors if one.name not in self._done]
        for one in rest if progress is None else progress(rest, "passing on", len(rest)):
            self._files[self._home[one.name]].copy(one.name, one)

    def conclude(self, metadata: Mapping[str, str]) -> None:
        """Put the last word into the header of the first file, and write the index.

        Args:
            metadata: text by key.

        Raises:
            CommitError: it is longer than the room that was kept.
        """
        before = {**self._stored.shards[0].metadata, **metadata}
        if not self._files[0].retitle(before):
            raise CommitError(f"what the recipes' jobs save with the tensors is longer than {ROOM} bytes")
        if len(self.layouts) > 1:
            (self.folder / INDEX).write_text(index_of(self.layouts, self._index_facts()), encoding="utf-8")

    def _index_facts(self) -> dict[str, object]:
        found = self._stored.index_metadata()
        if "total_parameters" in found:
            before = sum(_count(one) for one in self._stored.values())
            found["total_parameters"] += sum(_count(one) for one in self._final.values()) - before
        return found


def _bare(metadata: Mapping[str, str], replaced: Mapping[str, str]) -> dict[str, str]:
    """What an earlier run said stands in the first file alone."""
    return {key: text for key, text in metadata.items() if key not in replaced}


def _plain(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, spec.code, spec.shape, spec.size)


def _count(spec: TensorSpec) -> int:
    found = 1
    for size in spec.shape:
        found *= size
    return found
