"""safetensors files read by offset: headers, rows, and bytes that are passed on. Nothing is mapped or held whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from initkit import FileError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PIECE = 1 << 22
"""Bytes that are copied at a time."""
_GAP = 3
_MOST_HEADER = 100_000_000
_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Args:
        file: that holds it.
        name: in the file.
        code: of its type, as safetensors writes it.
        shape: of the tensor.
        start: its first byte in the file.
        size: how many bytes.
    """

    file: Path
    name: str
    code: str
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor.

        Raises:
            FileError: it is none whose rows can be computed.
        """
        if self.code not in _TYPES:
            raise FileError(
                f"{self.file}: {self.name} has the type {self.code}; the vocabulary of a quantised model cannot be "
                f"changed: take the model from before that"
            )
        return _TYPES[self.code]


@dataclass(frozen=True)
class Shard:
    """One safetensors file, its header alone.

    Args:
        file: where it is.
        metadata: what its header says beside the tensors.
        tensors: in the order of their bytes.
    """

    file: Path
    metadata: dict[str, str]
    tensors: tuple[Stored, ...]

    @classmethod
    def of(cls, file: Path) -> Shard:
        """Read the header.

        Raises:
            FileError: it is no safetensors file, or not all of one.
        """
        try:
            size = file.stat().st_size
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                if length > min(_MOST_HEADER, size):
                    raise ValueError(f"a header of {length} bytes")
                raw: dict[str, Any] = json.loads(stream.read(length))
            metadata = raw.pop("__metadata__", {})
            base = 8 + length
            tensors = [
                Stored(file, name, one["dtype"], tuple(one["shape"]), base + one["data_offsets"][0],
                       one["data_offsets"][1] - one["data_offsets"][0])
                for name, one in raw.items()
            ]  # fmt: skip
            tensors.sort(key=lambda one: one.start)
            end = base
            for one in tensors:
                if one.start != end or one.size < 0:
                    raise ValueError(f"{one.name} does not begin where the tensor before it ends")
                end += one.size
            if end != size:
                raise ValueError(f"it has {size} bytes, its header speaks of {end}")
        except OSError as error:
            raise FileError(f"cannot read {file}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
            raise FileError(f"{file} is no whole safetensors file: {' '.join(str(error).split())}") from None
        return cls(file, metadata, tuple(tensors))

    def header(self, shapes: dict[str, tuple[int, ...]]) -> tuple[bytes, int]:
        """The bytes before the data once some tensors have other shapes, and the size of all data then.

        Args:
            shapes: new shape by name.
        """
        found: dict[str, Any] = {"__metadata__": self.metadata} if self.metadata else {}
        end = 0
        for one in self.tensors:
            shape = shapes.get(one.name, one.shape)
            size = one.size if shape == one.shape else one.dtype.itemsize * _count(shape)
            found[one.name] = {"dtype": one.code, "shape": list(shape), "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text, end


def shards_of(folder: Path) -> list[Shard]:
    """The shards of a model folder.

    Raises:
        FileError: there is none, or one is missing or broken.
    """
    index = folder / INDEX
    if not index.is_file():
        if not (folder / SINGLE).is_file():
            raise FileError(f"{folder}: there is neither {INDEX} nor {SINGLE} in it; save the model as safetensors")
        return [Shard.of(folder / SINGLE)]
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(names.values()))
        if any(Path(file).name != file for file in files):
            raise ValueError("a shard lies outside of the folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"cannot read {index}: {' '.join(str(error).split())}") from None
    shards = [Shard.of(folder / file) for file in files]
    held = {one.name: shard.file.name for shard in shards for one in shard.tensors}
    if held != names:
        wrong = next(name for name in {**names, **held} if names.get(name) != held.get(name))
        raise FileError(f"{index} and its shards disagree on where {wrong} is")
    return shards


class FileRows:
    """A tensor's rows in a file, read when they are asked for.

    Indexed by a slice, a list or a tensor of row numbers; what it gives is a tensor. Its rows are read in runs, so the
    order of the numbers does not matter.

    Args:
        stored: whose rows; all axes but the vocabulary's make a row.
        axis: of the vocabulary; those before it have one entry.
        stream: of its file, open.
    """

    def __init__(self, stored: Stored, axis: int, stream: BinaryIO) -> None:
        if any(size != 1 for size in stored.shape[:axis]):
            raise FileError(
                f"{stored.file}: {stored.name} {stored.shape} has its tokens in axis {axis}, so a row is not in one "
                f"place; load the model and apply the recipe to it"
            )
        self.dtype, self.device = stored.dtype, torch.device("cpu")
        rows = stored.shape[axis]
        self.shape = torch.Size((rows, _count(stored.shape) // rows))
        self._start, self._stream, self._name = stored.start, stream, stored.name

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Tensor:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise IndexError("rows are read one after the other")
            return self._run(start, max(start, stop))
        rows = torch.as_tensor(index, dtype=torch.long)
        if rows.ndim != 1:
            raise IndexError("one row number a row")
        if not len(rows):
            return torch.empty(0, self.shape[1], dtype=self.dtype)
        wanted, place = torch.unique(rows, return_inverse=True)
        parts, done = [], 0
        for start, stop in _runs(wanted.tolist()):
            end = int(torch.searchsorted(wanted, stop))
            run = self._run(start, stop)
            parts.append(run if end - done == len(run) else run[wanted[done:end] - start])
            done = end
        out = torch.cat(parts) if len(parts) != 1 else parts[0]
        return out if torch.equal(wanted, rows) else out[place]

    def _run(self, start: int, stop: int) -> Tensor:
        out = torch.empty(stop - start, self.shape[1], dtype=self.dtype)
        if out.numel():
            into = memoryview(bytes_of(out))
            self._stream.seek(self._start + start * self.shape[1] * self.dtype.itemsize)
            if self._stream.readinto(into) != len(into):  # type: ignore[attr-defined]
                raise FileError(f"{self._name}: its file became shorter while it was read")
        return out


def bytes_of(tensor: Tensor) -> Any:
    """The bytes of a contiguous tensor as a numpy vector that shares its memory."""
    return tensor.reshape(-1).view(torch.uint8).numpy()


def passed_on(stream: BinaryIO, stored: Stored) -> Iterator[bytes]:
    """A tensor's bytes, piece by piece."""
    stream.seek(stored.start)
    left = stored.size
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise FileError(f"{stored.file} became shorter while it was read")
        left -= len(piece)
        yield piece


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending row numbers as runs; small gaps are read along, since a call costs more."""
    start = last = -1
    for row in rows:
        if start < 0:
            start = row
        elif row - last > _GAP:
            yield start, last + 1
            start = row
        last = row
    if start >= 0:
        yield start, last + 1


def _count(shape: Sequence[int]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found
