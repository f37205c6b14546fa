"""Save a started model: safetensors with its provenance, and the report."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from initkit._files import write_text, write_whole
from initkit._names import unwrapped
from initkit.errors import FileError, listed
from initkit.ranks.find import ranks_of, reshard
from initkit.ranks.group import Ranks
from initkit.ranks.run import join
from initkit.report import FORMAT, Report
from initkit.shards.buffers import pieces_of
from initkit.shards.layout import INDEX, SHARD_SIZE, FileLayout, TensorSpec, arranged
from initkit.shards.staging import staged
from initkit.shards.writing import PYTORCH, FileWriter, write_shards
from initkit.slots import Slot, slots_of

METADATA_KEY = "initkit"
OUTPUTS = "outputs/"


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    report: Report | None = None,
    max_shard_size: int | str | None = None,
) -> None:
    """Write the model's tensors, and the report's outputs, to one safetensors file or to a folder of shards.

    Tied tensors are stored once; their other names stand in the metadata key ``initkit``, canonical JSON that also
    holds recipes, options, seed and versions. The same tensors and report give the same bytes. Tensors are written one
    after the other; none is copied but those that lie elsewhere than in the CPU's memory, or not contiguous.

    A model that several processes hold in parts is saved by all of them together: the first one writes, and holds no
    more than a block of a tensor.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        path: of the file, or of a folder: a name that ends in a slash, or an existing folder. What it replaces is
            replaced in one step; in a folder that is the tensors alone, other files stay.
        report: of :func:`initkit.apply`.
        max_shard_size: the most bytes of a file, such as ``"5GB"`` (the default of a folder). With it ``path`` is a
            folder: ``model-00001-of-0000N.safetensors`` with ``model.safetensors.index.json``, as transformers
            has them, or ``model.safetensors`` where one file is enough.

    Raises:
        FileError: the file cannot be written, or a tensor has no values.
        OptionError: the size cannot be read.
    """
    ranks = ranks_of(model, copies=False)
    with ranks.together("saving"):
        held = _held(model, ranks)
    values = {slot.name: slot for slot in held if slot.present}
    outputs: Mapping[str, torch.Tensor] = {}
    provenance: dict[str, Any] = {"format": FORMAT}
    if report is not None:
        provenance |= report.provenance()
        outputs = {OUTPUTS + name: value for name, value in report.outputs.items()}
    provenance["aliases"] = {alias: slot.name for slot in held for alias in slot.aliases}
    metadata = {METADATA_KEY: canonical(provenance)}
    with ranks.together("saving"):
        specs = [TensorSpec.of(name, slot.dtype, slot.shape) for name, slot in values.items()]
        specs += [TensorSpec.of(name, value.dtype, value.shape) for name, value in outputs.items()]
        folder = max_shard_size is not None or os.fspath(path).endswith(("/", os.sep)) or os.path.isdir(path)
        most = (max_shard_size or SHARD_SIZE) if folder else None
        source = _Source(values, outputs)
        if ranks.index:
            source.hand_over(arranged(specs, most))
            return
        try:
            _write(Path(path), specs, source.pieces, most, metadata)
        except Exception:
            source.drain()
            raise


class _Source:
    """The bytes of tensors; other processes may have to bring them."""

    def __init__(self, slots: Mapping[str, Slot], outputs: Mapping[str, torch.Tensor]) -> None:
        self._slots, self._outputs = slots, outputs
        self._current: Iterator[torch.Tensor] = iter(())

    def pieces(self, spec: TensorSpec) -> Iterator[memoryview]:
        """A tensor's bytes, one after the other."""
        known = self._outputs.get(spec.name)
        self._current = iter((known,)) if known is not None else self._slots[spec.name].blocks()
        for block in self._current:
            yield from pieces_of(block)

    def drain(self) -> None:
        """After a failure, take what the other processes are sending; they hear of it when they have."""
        for _ in self._current:
            pass

    def hand_over(self, files: list[FileLayout]) -> None:
        """On the other processes: bring every tensor to the one that writes, in its order."""
        for file in files:
            for spec in file.specs:
                if spec.name in self._slots:
                    for _ in self._slots[spec.name].blocks():
                        pass


def _write(path: Path, specs: list[TensorSpec], pieces: Any, most: int | str | None, metadata: dict[str, str]) -> None:
    if most is not None:
        with staged(path, force=True) as new:
            new.mkdir()
            write_shards(new, specs, pieces, max_shard_size=most, metadata=metadata)
            _carry(path, new)
        return
    (file,) = arranged(specs, None)
    write_whole(path, lambda temporary: _write_file(temporary, file, metadata, pieces))


def _held(model: Any, ranks: Ranks) -> list[Slot]:
    reshard(model)
    slots = slots_of(unwrapped(model))
    join(ranks, slots)
    held = [slot for slot in slots.values() if slot.saved]
    hollow = [slot.name for slot in held if not slot.present and (slot.is_meta() or slot.lazy)]
    if hollow:
        raise FileError(f"cannot save {listed(hollow)}: without values (on the meta device, or of unknown shape)")
    return held


def canonical(provenance: Mapping[str, Any]) -> str:
    """Provenance as the text of its metadata key."""
    return json.dumps(provenance, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _write_file(path: Path, file: FileLayout, metadata: Mapping[str, str], pieces: Any) -> None:
    with FileWriter(path, file, PYTORCH | dict(metadata)) as out:
        for spec in file.specs:
            out.write(spec.name, pieces(spec))


def _carry(old: Path, new: Path) -> None:
    """Give a folder that replaces another what the other held beside tensors."""
    if not old.is_dir():
        return
    for one in sorted(old.iterdir()):
        if one.name == INDEX or (one.name.startswith("model") and one.name.endswith(".safetensors")):
            continue
        if one.is_dir() and not one.is_symlink():
            shutil.copytree(one, new / one.name, symlinks=True, copy_function=_second_name)
        else:
            _second_name(one, new / one.name)


def _second_name(one: str | Path, two: str | Path) -> None:
    """A link, where the file system has links, else a copy."""
    with contextlib.suppress(OSError, NotImplementedError):
        os.link(one, two, follow_symlinks=False)
        return
    shutil.copy2(one, two, follow_symlinks=False)


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the report as JSON, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    write_text(Path(path), report.to_json())
