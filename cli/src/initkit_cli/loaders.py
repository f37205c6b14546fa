"""Reading a need's file where its card names no loader of its own."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from initkit.errors import FileError, InitError, NeedError


def load(path: Path, loader: str | None, need: str) -> Any:
    """Read a file or folder.

    Args:
        path: of the file or folder; it exists.
        loader: ``"module:function"`` of the card, or None for the readers by ending below.
        need: for messages.

    Raises:
        NeedError: nothing reads such a file.
        FileError: the file is broken.
    """
    if loader is not None:
        module, _, function = loader.partition(":")
        return getattr(importlib.import_module(module), function)(path)
    reader = READERS.get(path.suffix.lower())
    if path.is_dir() or reader is None:
        what = "a folder" if path.is_dir() else f"of no known kind ({', '.join(READERS)})"
        raise NeedError(f"need {need!r}: {path} is {what}; read it in a function named {need!r} in model.py")
    try:
        return reader(path)
    except InitError:
        raise
    except Exception as error:
        raise FileError(f"need {need!r}: cannot read {path}: {type(error).__name__}: {error}") from error


def _npy(path: Path) -> Any:
    import numpy as np

    return _tensor(np.load(path, allow_pickle=False))


def _npz(path: Path) -> Any:
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return _one_or_all({name: _tensor(arrays[name]) for name in arrays.files})


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return _one_or_all(load_file(path))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _csv(path: Path) -> Any:
    """A tensor where every cell is a number (a heading apart), whole numbers as int64; else rows of text."""
    import torch

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    body = rows[1:] if len(rows) > 1 and not _is_numeric(rows[0]) else rows
    if not body or len({len(row) for row in body}) > 1 or not all(map(_is_numeric, body)):
        return rows
    try:
        return torch.tensor([[int(cell) for cell in row] for row in body])
    except ValueError:
        return torch.tensor([[float(cell) for cell in row] for row in body])


def _txt(path: Path) -> list[str]:
    """The lines, without their ends."""
    return path.read_text(encoding="utf-8").splitlines()


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".json": _json,
    ".csv": _csv,
    ".txt": _txt,
}


def _is_numeric(row: list[str]) -> bool:
    try:
        return bool([float(cell) for cell in row])
    except ValueError:
        return False


def _tensor(array: Any) -> Any:
    """A tensor of the array; the array itself where torch has no such type (text)."""
    import torch

    try:
        return torch.from_numpy(array)
    except TypeError:
        return array


def _one_or_all(arrays: dict[str, Any]) -> Any:
    """A single array stands for itself; several stay a dict."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
