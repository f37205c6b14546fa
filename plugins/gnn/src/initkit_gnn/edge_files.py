"""Edges on disk, read a piece at a time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit import NeedError

Piece = tuple[npt.NDArray[Any], "npt.NDArray[Any] | None"]  # edges (2, e), weights (e,)
Given = Any


class EdgeFiles:
    """A list of edges that need not fit into memory.

    Args:
        edges: a path of a ``.npy`` file, an array or ``np.memmap`` of shape (2, E), row 0 = source, row 1 = target;
            a list of these, one after the other; or a function that returns an iterator over arrays (2, e) or pairs
            of such an array and weights (e,), called for each pass (for Parquet and other formats).
        weights: as ``edges``, of shape (E,); None is 1 for each edge.
        chunk: edges that are in memory at a time.

    Raises:
        NeedError: a file is missing or of another shape or type.
    """

    def __init__(self, edges: Given, weights: Given | None, chunk: int) -> None:
        self._chunk = chunk
        self._pieces: Callable[[], Iterable[Any]] | None = edges if callable(edges) else None
        if self._pieces is not None:
            if weights is not None:
                raise NeedError("graph: a function that gives edges gives their weights too, as pairs")
            return
        self._edges = [_Table(one, 2) for one in _several(edges)]
        self._weights = [_Table(one, 1) for one in _several(weights)] if weights is not None else None
        if self._weights is not None:
            sizes = [table.length for table in self._edges]
            found = [table.length for table in self._weights]
            if sizes != found:
                raise NeedError(f"graph: edge_weight has {found} numbers in its parts, edge_index {sizes}")

    def __iter__(self) -> Iterator[Piece]:
        if self._pieces is not None:
            for piece in self._pieces():
                edges, weights = piece if isinstance(piece, tuple) else (piece, None)
                table = _Table(np.asarray(edges), 2)
                for first in range(0, table.length, self._chunk):
                    last = min(first + self._chunk, table.length)
                    yield table.read(first, last), None if weights is None else np.asarray(weights)[first:last]
            return
        for i, table in enumerate(self._edges):
            for first in range(0, table.length, self._chunk):
                last = min(first + self._chunk, table.length)
                yield table.read(first, last), None if self._weights is None else self._weights[i].read(first, last)


class _Table:
    """An array (2, E) or (E,) in memory or in a file, read by ranges of its last dimension."""

    def __init__(self, given: Any, rows: int) -> None:
        self._rows = rows
        what = "edge_index" if rows == 2 else "edge_weight"
        if isinstance(given, (str, Path)):
            given = _opened(Path(given), what)
        if hasattr(given, "numpy"):
            given = given.numpy(force=True)
        self._array: Any = given
        shape = tuple(np.shape(given))
        if len(shape) != rows or (rows == 2 and shape[0] != 2):
            raise NeedError(f"graph: {what} has shape {shape}, expected {'(2, E)' if rows == 2 else '(E,)'}")
        kinds = "iu" if rows == 2 else "iuf"
        if given.dtype.kind not in kinds:
            raise NeedError(f"graph: {what} has dtype {given.dtype}, expected {'integers' if rows == 2 else 'numbers'}")
        self.length = shape[-1]

    def read(self, first: int, last: int) -> npt.NDArray[Any]:
        """The part [first, last) as an array of its own.

        Of a whole memory map it is read from the file, so that no page of the map stays in this process's memory.
        """
        array = self._array
        whole = isinstance(array, np.memmap) and isinstance(getattr(array, "base", None), mmap.mmap)
        if not whole or not (array.flags.c_contiguous or array.flags.f_contiguous):
            return np.array(array[..., first:last])
        count, size = last - first, array.dtype.itemsize
        with open(array.filename, "rb", buffering=0) as file:
            if self._rows == 1 or not array.flags.c_contiguous:
                file.seek(array.offset + first * size * self._rows)
                found = np.fromfile(file, array.dtype, count * self._rows)
                return found if self._rows == 1 else found.reshape(count, 2).T
            ends = np.empty((2, count), array.dtype)
            for row in range(2):
                file.seek(array.offset + (row * self.length + first) * size)
                file.readinto(memoryview(ends[row]).cast("B"))
            return ends


def _several(given: Any) -> Sequence[Any]:
    return given if isinstance(given, (list, tuple)) else [given]


def _opened(path: Path, what: str) -> np.memmap[Any, Any]:
    if not path.is_file():
        raise NeedError(f"graph: there is no file {path}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        cause = " ".join(str(error).split())
        raise NeedError(f"graph: cannot read {what} from {path.name}: {cause}") from None
    if not isinstance(found, np.memmap):
        raise NeedError(f"graph: {path.name} is no .npy file of one array")
    return found
