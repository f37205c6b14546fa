"""safetensors files written tensor by tensor, and folders of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from initkit.errors import FileError
from initkit.shards.layout import INDEX, SHARD_SIZE, FileLayout, TensorSpec, arranged, index_of
from initkit.shards.reading import MOST_AT_ONCE, Stored
from initkit.shards.rows import passed_on

Buffers = Iterable["bytes | memoryview"]
PYTORCH = {"format": "pt"}
"""What transformers wants to read in a header."""
_SPARE = 16 << 20


class FileWriter:
    """A safetensors file of known tensors, written in any order. A context; leaving it puts the file on the disk.

    Args:
        path: of the file; an existing one is emptied.
        layout: its tensors.
        metadata: text by key for the header.
        room: bytes that are kept free in the header for :meth:`retitle`; a multiple of 8.
    """

    def __init__(self, path: Path, layout: FileLayout, metadata: Mapping[str, str], *, room: int = 0) -> None:
        header = layout.header(metadata)
        header = layout.header(metadata, len(header) + room) if room else header
        self._layout, self._begin = layout, len(header)
        self._left = {spec.name for spec in layout.specs}
        self._places: dict[str, tuple[int, int]] = {}
        end = len(header)
        for spec in layout.specs:
            self._places[spec.name] = end, spec.size
            end += spec.size
        self._file = path.open("wb+")
        self._file.write(header)
        self._file.truncate(end)

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._left:
                    raise FileError(f"{self._file.name}: {sorted(self._left)[0]} was never written")
                self.sync()
        finally:
            self._file.close()

    def write(self, name: str, buffers: Buffers) -> None:
        """Write a tensor; one that was written before is replaced.

        Args:
            name: of the tensor.
            buffers: its bytes in order.

        Raises:
            FileError: they are too few or too many.
        """
        start, size = self._places[name]
        self._file.seek(start)
        done = 0
        for piece in buffers:
            done += len(piece)
            if done > size:
                break
            self._file.write(piece)
        if done != size:
            raise FileError(f"{self._file.name}: {name} has {size} bytes, not {done}")
        self._left.discard(name)

    def copy(self, name: str, stored: Stored) -> None:
        """Write a stored tensor's bytes as they are, without bringing them into this process where the system can.

        Args:
            name: of the tensor here.
            stored: which bytes.

        Raises:
            FileError: its file has become shorter.
        """
        start, size = self._places[name]
        self._file.flush()
        with stored.file.open("rb", buffering=0) as source:
            done = _copied(source.fileno(), stored.start, self._file.fileno(), start, size)
            self._file.seek(start + done)
            for piece in passed_on(source, stored, done):
                self._file.write(piece)
        self._left.discard(name)

    def sync(self) -> None:
        """Put what was written on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def retitle(self, metadata: Mapping[str, str]) -> bool:
        """Give the header other metadata.

        Returns:
            Whether there is room for them; if not, nothing has changed.
        """
        header = self._layout.header(metadata, self._begin)
        if len(header) != self._begin:
            return False
        self._file.seek(0)
        self._file.write(header)
        return True

    def place(self, name: str) -> tuple[int, int]:
        """First byte and size of a tensor."""
        return self._places[name]

    def flush(self) -> None:
        """Hand what was written to the system, so that other readers of the file see it."""
        self._file.flush()


def _copied(source: int, first: int, target: int, start: int, size: int) -> int:
    """Copy bytes between open files inside the system; returns how many, which may be none."""
    done = 0
    if not hasattr(os, "copy_file_range"):
        return done
    with contextlib.suppress(OSError):  # not between all file systems
        while done < size:
            part = os.copy_file_range(source, target, min(size - done, MOST_AT_ONCE), first + done, start + done)
            if not part:
                break
            done += part
    return done


def write_shards(
    folder: Path,
    specs: Iterable[TensorSpec],
    pieces: Callable[[TensorSpec], Buffers],
    *,
    max_shard_size: int | str | None = SHARD_SIZE,
    metadata: Mapping[str, str] | None = None,
) -> list[FileLayout]:
    """Write tensors into a folder as transformers lays them out: one file, or shards with their index.

    The files of a folder that must appear whole are written inside :func:`initkit.shards.staged`.

    Args:
        folder: that exists and holds no tensors yet.
        specs: of the tensors.
        pieces: gives a tensor's bytes in order; called once a tensor, in the order of :func:`arranged`.
        max_shard_size: the most bytes of a file, such as ``"5GB"``; None is one file.
        metadata: text by key for the header of the first file.

    Returns:
        The files that were written.

    Raises:
        FileError: the disk has no room, or a tensor has another size than its spec.
        OptionError: the size cannot be read.
    """
    files = arranged(specs, max_shard_size)
    check_room(folder, sum(file.size for file in files))
    for place, file in enumerate(files):
        with FileWriter(folder / file.name, file, PYTORCH | dict(metadata or {}) if place == 0 else PYTORCH) as out:
            for spec in file.specs:
                out.write(spec.name, pieces(spec))
    if len(files) > 1:
        (folder / INDEX).write_text(index_of(files), encoding="utf-8")
    return files


def check_room(folder: Path, wanted: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: on the disk.
        wanted: bytes of tensors; some more are added for what goes with them.

    Raises:
        FileError: there is no room.
    """
    free, wanted = shutil.disk_usage(folder).free, wanted + _SPARE
    if free < wanted:
        raise FileError(f"the disk has {free / 1e9:.2f} GB free, the new folder needs {wanted / 1e9:.2f} GB")
