"""Square sparse matrices to multiply vectors with: SciPy on the CPU, torch's CSR on an accelerator.

Vectors are float64 tensors on the matrix's device, so norms that are rounded to 7 significant digits agree
between machines. Edges that are given several times are summed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

Multiply = Callable[[Tensor], Tensor]
_SHIFT = 32  # an edge's sort key is target * 2**32 + source
INDEX_LIMIT = 2**31


class Csr(Protocol):
    """A sparse ``size`` x ``size`` matrix of float64 entries."""

    size: int
    device: torch.device

    def dot(self, v: Tensor) -> Tensor:
        """Multiply: ``A v``."""

    def dot_t(self, v: Tensor) -> Tensor:
        """Multiply by the transpose: ``A^T v``."""

    def wide(self, dtype: torch.dtype, left: Tensor | None, right: Tensor | None) -> Multiply:
        """Return the product of diag(left) A diag(right) with blocks (N, k) of float32 or float64."""

    def squared(self) -> Csr:
        """Square every entry."""

    def diagonal(self) -> Tensor:
        """Return the diagonal."""

    def row_sums(self) -> Tensor:
        """Return the sum of every row."""

    def symmetric(self) -> bool:
        """Tell whether the matrix equals its transpose."""


class ScipyCsr:
    """A matrix in main memory.

    One thread multiplies, so results do not depend on the number of threads. The transposed product reads the
    same three arrays column-wise (SciPy's ``csc_matvec``): a second, transposed copy would save no time.
    """

    def __init__(self, matrix: sp.csr_array) -> None:
        self.size: int = matrix.shape[0]
        self.device = torch.device("cpu")
        self._matrix = matrix
        self._transpose = matrix.T
        self._ones = bool((matrix.data == 1).all())

    @property
    def matrix(self) -> sp.csr_array:
        """The matrix itself, not to be changed; repeated edges may be stored one by one."""
        return self._matrix

    def dot(self, v: Tensor) -> Tensor:
        """Multiply: ``A v``."""
        return torch.from_numpy(self._matrix @ v.numpy())

    def dot_t(self, v: Tensor) -> Tensor:
        """Multiply by the transpose: ``A^T v``."""
        return torch.from_numpy(self._transpose @ v.numpy())

    def wide(self, dtype: torch.dtype, left: Tensor | None, right: Tensor | None) -> Multiply:
        """Return the product with blocks of columns, by torch where it has MKL (twice as fast), else by SciPy."""
        m = self._matrix
        kind = np.float32 if dtype == torch.float32 else np.float64
        data = m.data.astype(kind, copy=left is not None or right is not None)
        if left is not None:
            data *= np.repeat(left.numpy().astype(kind), np.diff(m.indptr))
        if right is not None:
            data *= right.numpy().astype(kind)[m.indices]
        if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
            plain = sp.csr_array((data, m.indices, m.indptr), shape=m.shape)
            return lambda block: torch.from_numpy(plain @ block.numpy())
        rows, columns, values = (torch.from_numpy(part) for part in (m.indptr, m.indices, data))
        found = _torch_csr(rows, columns, values, self.size)
        return lambda block: found @ block

    def squared(self) -> ScipyCsr:
        """Square every entry; a matrix of ones is its own square."""
        matrix = self._matrix
        if not matrix.has_canonical_format:  # an edge given twice is stored twice until its square is asked for
            matrix = matrix.copy()
            matrix.sum_duplicates()
        elif self._ones:
            return self
        return ScipyCsr(sp.csr_array((np.square(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape))

    def diagonal(self) -> Tensor:
        """Return the diagonal."""
        return torch.from_numpy(self._matrix.diagonal())

    def row_sums(self) -> Tensor:
        """Return the sum of every row."""
        if self._ones:
            return torch.from_numpy(np.diff(self._matrix.indptr).astype(np.float64))
        return self.dot(torch.ones(self.size, dtype=torch.float64))

    def symmetric(self) -> bool:
        """Compare ``A q`` with ``A^T q`` for one random vector of integers (Freivalds' check).

        Exact in float64 for integer entries, but for a chance below 2^-19 that unequal matrices pass; other
        entries count as equal within 1e-9 of their row's sum, which is below what later rounding keeps.
        """
        probe = np.random.default_rng(0).integers(1, 2**20, self.size).astype(np.float64)
        rows, columns = self._matrix @ probe, self._transpose @ probe
        if self._ones or bool((self._matrix.data == np.rint(self._matrix.data)).all()):
            return bool(np.array_equal(rows, columns))
        return bool(np.allclose(rows, columns, rtol=1e-9, atol=0.0))


class TorchCsr:
    """A matrix on any torch device; the transposed copy is built when it is first asked for."""

    def __init__(self, source: Tensor, target: Tensor, value: Tensor | None, size: int) -> None:
        self.size = size
        self.device = source.device
        key, order = torch.sort(target.to(torch.int64) * 2**_SHIFT + source, stable=True)
        key, group, count = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
        if value is None:
            self._values = count.to(torch.float64)
        else:
            self._values = torch.zeros(len(key), dtype=torch.float64, device=self.device)
            self._values.index_add_(0, group, value.to(torch.float64)[order])
        starts = torch.arange(size + 1, dtype=torch.int64, device=self.device) << _SHIFT
        index = torch.int32 if max(size, len(key)) < INDEX_LIMIT else torch.int64
        self._rows = torch.searchsorted(key, starts).to(index)
        self._columns = (key & (2**_SHIFT - 1)).to(index)
        self._key = key
        self._matrix = _torch_csr(self._rows, self._columns, self._values, size)
        self._transposed: TorchCsr | None = None

    def dot(self, v: Tensor) -> Tensor:
        """Multiply: ``A v``."""
        return torch.mv(self._matrix, v)

    def dot_t(self, v: Tensor) -> Tensor:
        """Multiply by the transpose: ``A^T v``."""
        if self._transposed is None:
            swapped = TorchCsr(self._key >> _SHIFT, self._columns, self._values, self.size)
            self._transposed = self if self._equal(swapped) else swapped
        return self._transposed.dot(v)

    def wide(self, dtype: torch.dtype, left: Tensor | None, right: Tensor | None) -> Multiply:
        """Return the product with blocks of columns."""
        values = self._values
        if left is not None:
            values = values * left[self._key >> _SHIFT]
        if right is not None:
            values = values * right[self._columns.long()]
        found = _torch_csr(self._rows, self._columns, values.to(dtype), self.size)
        return lambda block: found @ block

    def _equal(self, other: TorchCsr) -> bool:
        return torch.equal(self._key, other._key) and torch.equal(self._values, other._values)

    def squared(self) -> TorchCsr:
        """Square every entry."""
        return TorchCsr(self._columns, self._key >> _SHIFT, self._values.square(), self.size)

    def diagonal(self) -> Tensor:
        """Return the diagonal."""
        on = (self._key >> _SHIFT) == (self._key & (2**_SHIFT - 1))
        found = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        found[self._columns[on].long()] = self._values[on]
        return found

    def row_sums(self) -> Tensor:
        """Return the sum of every row."""
        return self.dot(torch.ones(self.size, dtype=torch.float64, device=self.device))

    def symmetric(self) -> bool:
        """Tell whether the matrix equals its transpose, entry by entry."""
        self.dot_t(torch.zeros(self.size, dtype=torch.float64, device=self.device))
        return self._transposed is self


def _torch_csr(rows: Tensor, columns: Tensor, values: Tensor, size: int) -> Tensor:
    with warnings.catch_warnings():  # torch calls its CSR layout a beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, columns, values, (size, size))


def compress(source: Tensor, target: Tensor, weight: Tensor | None, size: int) -> Csr:
    """Build the matrix with ``A[target, source]`` from a list of edges in any order.

    Args:
        source: E node numbers of any integer dtype, below ``size`` < 2^31.
        target: E node numbers, on the same device.
        weight: E weights, or None for ones.
        size: number of nodes.

    Indices are int32 where there are fewer than 2^31 edges.
    """
    if source.device.type != "cpu":
        return TorchCsr(source, target, weight, size)
    if weight is not None:
        entries = (weight.to(torch.float64).numpy(), (_small(target), _small(source)))
        return ScipyCsr(sp.coo_array(entries, shape=(size, size)).tocsr())
    # Memory that is touched for the first time costs more here than the work on it: the keys' buffer becomes
    # the values', and numpy makes the buffers because it asks for huge pages.
    key = np.empty(len(target), np.int64)
    np.multiply(target.numpy(), 2**_SHIFT, out=key, dtype=np.int64)
    key += source.numpy()
    key.sort()  # numpy sorts 64-bit integers faster than SciPy scatters edges into rows
    index = np.int32 if max(size, len(key)) < INDEX_LIMIT else np.int64
    rows = np.searchsorted(key, np.arange(size + 1, dtype=np.int64) << _SHIFT).astype(index)
    # A cast to int32 keeps the low half of the key, which is the source.
    columns = key.astype(np.int32).astype(index, copy=False)
    data = key.view(np.float64)
    data[:] = 1.0
    return ScipyCsr(sp.csr_array((data, columns, rows), shape=(size, size)))


def _small(index: Tensor) -> np.ndarray:
    return index.to(torch.int32).numpy()


def total(v: Tensor) -> float:
    """Return the sum, added in an order that does not depend on the number of threads."""
    return float(v.numpy().sum()) if v.device.type == "cpu" else float(v.sum())
