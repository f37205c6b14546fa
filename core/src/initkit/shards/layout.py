"""Which tensor lies in which file, and where: headers, names of shards and their index, as transformers has them."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from initkit.errors import FileError, OptionError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SHARD_SIZE = "5GB"
"""The most bytes of a shard, where nothing else is said."""

TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in TYPES.items()}
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
          "TIB": 1 << 40}  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as a header speaks of it.

    Args:
        name: in the file.
        code: of its type, as safetensors writes it.
        shape: of the tensor.
        size: how many bytes.
    """

    name: str
    code: str
    shape: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, name: str, dtype: torch.dtype, shape: Sequence[int]) -> TensorSpec:
        """The tensor of a type and shape.

        Raises:
            FileError: safetensors has no such type.
        """
        if dtype not in _CODES:
            raise FileError(f"{name} is {dtype}, a type that safetensors does not hold; convert it first")
        return cls(name, _CODES[dtype], tuple(shape), math.prod(shape) * dtype.itemsize)

    @property
    def known(self) -> bool:
        """Whether torch has its type."""
        return self.code in TYPES

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor.

        Raises:
            FileError: it is packed, or of a type that torch does not have.
        """
        if not self.known:
            raise FileError(f"{self.name} has the type {self.code}, whose numbers torch cannot read")
        return TYPES[self.code]


@dataclass(frozen=True)
class FileLayout:
    """One file: its name, and its tensors in the order of their bytes."""

    name: str
    specs: tuple[TensorSpec, ...]

    @property
    def size(self) -> int:
        """Bytes of all its tensors."""
        return sum(spec.size for spec in self.specs)

    def header(self, metadata: Mapping[str, str], least: int = 0) -> bytes:
        """The bytes before the data.

        Args:
            metadata: text by key, beside the tensors.
            least: how many bytes it has at least; it ends in blanks.
        """
        found: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        end = 0
        for spec in self.specs:
            found[spec.name] = {"dtype": spec.code, "shape": list(spec.shape), "data_offsets": [end, end + spec.size]}
            end += spec.size
        text = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * max(least - 8 - len(text), -len(text) % 8)
        return struct.pack("<Q", len(text)) + text


def arranged(specs: Iterable[TensorSpec], max_shard_size: int | str | None = SHARD_SIZE) -> list[FileLayout]:
    """Spread tensors over files as transformers does: in their order, a new file where the next one does not fit.

    Within a file wide types come first, so that every tensor begins at a multiple of its item's size. The same tensors
    give the same files, so processes that hold parts of them can go through them in step.

    Args:
        specs: of the tensors.
        max_shard_size: the most bytes of a file, a number or a text such as ``"5GB"``; a tensor that is larger gets a
            file of its own. None is one file.

    Raises:
        OptionError: the size cannot be read.
    """
    most = None if max_shard_size is None else bytes_in(max_shard_size)
    groups: list[list[TensorSpec]] = [[]]
    held = 0
    for spec in specs:
        if most is not None and groups[-1] and held + spec.size > most:
            groups.append([])
            held = 0
        groups[-1].append(spec)
        held += spec.size
    count = len(groups)
    return [
        FileLayout(_file_name(place, count), tuple(sorted(group, key=lambda spec: (-_item(spec), spec.name))))
        for place, group in enumerate(groups, start=1)
    ]


def index_of(files: Sequence[FileLayout], metadata: Mapping[str, Any] | None = None) -> str:
    """The text of ``model.safetensors.index.json``.

    Args:
        files: of the folder.
        metadata: more than ``total_size``.
    """
    weight_map = {spec.name: file.name for file in files for spec in file.specs}
    found = {
        "metadata": {**(metadata or {}), "total_size": sum(file.size for file in files)},
        "weight_map": dict(sorted(weight_map.items())),
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def bytes_in(size: int | str) -> int:
    """The number of bytes that ``5GB`` or ``200 MiB`` says.

    Raises:
        OptionError: it says none.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B)\s*", str(size), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise OptionError(f"max_shard_size={size!r}: give a number of bytes, or a text such as '5GB' or '200MiB'")
    return max(1, int(float(match[1]) * _UNITS[match[2].upper()]))


def _file_name(place: int, count: int) -> str:
    return SINGLE if count == 1 else f"model-{place:05d}-of-{count:05d}.safetensors"


def _item(spec: TensorSpec) -> int:
    return TYPES[spec.code].itemsize if spec.known else 1
