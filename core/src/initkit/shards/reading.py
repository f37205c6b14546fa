"""safetensors files read by offset: headers first, tensors when they are asked for. Nothing is mapped or held whole."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from initkit.errors import FileError, listed
from initkit.shards.buffers import bytes_of
from initkit.shards.layout import INDEX, SINGLE, TYPES, TensorSpec

_MOST_HEADER = 100_000_000
MOST_AT_ONCE = 1 << 26
"""Bytes of one reading call, so that Ctrl-C is heard soon."""


@dataclass(frozen=True)
class Stored(TensorSpec):
    """A tensor in a file.

    Args:
        file: that holds it.
        start: its first byte in the file.
    """

    file: Path
    start: int

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor.

        Raises:
            FileError: it is packed, or of a type that torch does not have.
        """
        if not self.known:
            raise FileError(
                f"{self.file}: {self.name} has the type {self.code}, whose numbers torch cannot read: take the model "
                f"from before it was quantised"
            )
        return TYPES[self.code]

    def read(self) -> Tensor:
        """The tensor, in memory of its own.

        Raises:
            FileError: its type is not known, or its file has changed meanwhile.
        """
        out = torch.empty(self.shape, dtype=self.dtype)
        try:
            with self.file.open("rb", buffering=0) as stream:
                read_into(stream, self, 0, out)
        except OSError as error:
            raise FileError(f"cannot read {self.file}: {error.strerror or error}") from None
        return out


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
            if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
                raise ValueError("its metadata are no texts by name")
            tensors = sorted(
                (_stored(file, name, one, 8 + length) for name, one in raw.items()),
                key=lambda one: (one.start, one.size),
            )
            end = 8 + length
            for one in tensors:
                if one.start != end:
                    raise ValueError(f"{one.name} does not begin where the tensor before it ends")
                end += one.size
            if end != size:
                raise ValueError(f"it has {size} bytes, its header speaks of {end}")
        except OSError as error:
            raise FileError(f"cannot read {file}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, struct.error) as error:
            raise FileError(f"{file} is no sound safetensors file: {' '.join(str(error).split())}") from None
        return cls(file, metadata, tuple(tensors))


def _stored(file: Path, name: str, one: Any, base: int) -> Stored:
    code, shape, (begin, end) = one["dtype"], tuple(one["shape"]), one["data_offsets"]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (*shape, begin, end)) or end < begin:
        raise ValueError(f"{name} has no sound shape or place")
    if not isinstance(code, str):
        raise ValueError(f"{name} has no type")
    if code in TYPES and math.prod(shape) * TYPES[code].itemsize != end - begin:
        raise ValueError(f"{name} has {end - begin} bytes, not those of {code} {shape}")
    return Stored(name, code, shape, end - begin, file, base + begin)


def read_into(stream: Any, stored: Stored, first: int, out: Tensor) -> None:
    """Fill a contiguous tensor with bytes of a stored one.

    Args:
        stream: of its file, open, without a buffer.
        stored: which tensor.
        first: byte of it to begin with.
        out: to be filled.

    Raises:
        FileError: the file has changed meanwhile.
    """
    into = memoryview(bytes_of(out))
    stream.seek(stored.start + first)
    done = 0
    while done < len(into):
        got = stream.readinto(into[done : done + MOST_AT_ONCE])
        if not got:
            raise FileError(f"{stored.file} became shorter while it was read")
        done += got


def shards_of(folder: Path) -> list[Shard]:
    """The shards of a model folder.

    Raises:
        FileError: there is none, or one is missing or broken, or the index says otherwise.
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"cannot read {index}: {' '.join(str(error).split())}") from None
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise FileError(f"{folder}: {listed(missing)}: {index.name} speaks of it, but there is no such file")
    shards = [Shard.of(folder / file) for file in files]
    held = [(one.name, shard.file.name) for shard in shards for one in shard.tensors]
    wrong = next((name for name, file in held if names.get(name) != file), None)
    wrong = wrong or next((name for name in names if name not in dict(held)), None)
    if wrong is not None:
        raise FileError(f"{index} and its shards disagree on where {wrong} is")
    return shards


class StoredTensors(Mapping[str, Stored]):
    """The tensors of a safetensors file, or of a folder of shards, by name; each is read when it is asked for.

    Attributes:
        path: of the file or folder.
        shards: one a file, in the order of their names.
    """

    def __init__(self, path: Path, shards: list[Shard]) -> None:
        self.path, self.shards = path, shards
        self._tensors = {one.name: one for shard in shards for one in shard.tensors}

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> StoredTensors:
        """Read the headers.

        Raises:
            FileError: it is missing or broken.
        """
        place = Path(path)
        if place.is_dir():
            return cls(place, shards_of(place))
        if not place.is_file():
            raise FileError(f"{place}: there is no such file")
        return cls(place, [Shard.of(place)])

    def __getitem__(self, name: str) -> Stored:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(one.size for one in self._tensors.values())

    def read(self, name: str) -> Tensor:
        """One tensor, in memory of its own.

        Raises:
            FileError: its type is not known, or its file has changed meanwhile.
        """
        return self._tensors[name].read()

    def index_metadata(self) -> dict[str, Any]:
        """What the index says beside the places of tensors; {} where there is none."""
        index = self.path / INDEX
        found = json.loads(index.read_text(encoding="utf-8")).get("metadata") if index.is_file() else None
        return dict(found) if isinstance(found, dict) else {}

    def metadata(self, key: str) -> str | None:
        """The text of a key in the first header that has it."""
        return next((shard.metadata[key] for shard in self.shards if key in shard.metadata), None)
