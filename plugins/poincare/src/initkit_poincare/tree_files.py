"""Trees and lists of nodes from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from initkit import NeedError


def load_tree(path: str) -> Any:
    """Read a tree from a file.

    Args:
        path: ``.csv``, ``.tsv`` or ``.txt`` with child, parent and optionally a length on each line (a first line
            of words child, parent is passed over); ``.json`` with a list of edges, a list of parents or an object
            child -> parent; ``.npy`` or ``.npz`` (array ``edges`` or ``parents``).

    Raises:
        NeedError: it cannot be read.
    """
    file = Path(path)
    try:
        if file.suffix == ".json":
            return json.loads(file.read_text(encoding="utf-8"))
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        if file.suffix == ".npz":
            held = np.load(file, allow_pickle=False)
            name = next((name for name in ("edges", "parents", *held.files) if name in held.files), None)
            if name is None:
                raise NeedError(f"tree: {file} holds no array")
            return held[name]
        return _lines(file)
    except (OSError, ValueError) as error:
        if isinstance(error, NeedError):
            raise
        raise NeedError(f"tree: {file} cannot be read: {str(error).splitlines()[0]}") from error


def load_nodes(path: str) -> list[str]:
    """The node of each row of the table: a JSON list, or one name a line."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise NeedError(f"nodes: {file} cannot be read: {str(error).splitlines()[0]}") from error
    return [name for name in found if name != ""]


def _lines(file: Path) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        separator = next((one for one in ("\t", ",", ";") if one in text), None)
        parts = [part.strip() for part in text.split(separator)]
        if not rows and [part.lower() for part in parts[:2]] in (["child", "parent"], ["id1", "id2"]):
            continue
        if len(parts) not in (2, 3):
            raise NeedError(
                f"tree: line {number} of {file} has {len(parts)} parts; child, parent and a length are expected"
            )
        try:
            length = (float(parts[2]),) if len(parts) == 3 else ()
        except ValueError:
            raise NeedError(f"tree: line {number} of {file}: the length {parts[2]!r} is no number") from None
        rows.append((_node(parts[0]), _node(parts[1]), *length))
    if not rows:
        raise NeedError(f"tree: {file} holds no edges")
    return rows


def _node(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() else text
