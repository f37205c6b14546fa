"""Slots whose tensors lie in a checkpoint's files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from initkit._stats import Statistics
from initkit.draws.base import Draw
from initkit.errors import CommitError, FileError
from initkit.shards import FileRows, Stored, TensorSpec, pieces_of
from initkit.slots import Slot, TensorSlot, Undo

CONSTANT = 1 << 18
"""The most elements of a buffer or frozen parameter whose values the model is given."""


class Target(Protocol):
    """Where new tensors go."""

    def write(self, spec: TensorSpec, buffers: Iterator[memoryview]) -> Stored:
        """Write a tensor, and say where it lies."""
        ...


class StoredSlot(Slot):
    """A tensor of a checkpoint. It is read from its file, and written to the run's target.

    The model's own tensor, on the meta device, follows in shape and type, so that recipes plan on what is there.

    Args:
        hollow: the model's slot.
        places: where its values lie; several where tied tensors are stored twice, none where the checkpoint lacks them.
        dtype: of its values.

    Attributes:
        target: of the run; None while nothing is written.
        written: whether this run has written it.
        at: where its values lie now; None without values.
        measured: statistics of what was written part by part last.
    """

    def __init__(self, hollow: Slot, places: Sequence[Stored], dtype: torch.dtype) -> None:
        self.name, self.aliases, self.saved = hollow.name, hollow.aliases, hollow.saved
        self.parameter, self.frozen, self.lazy = hollow.parameter, hollow.frozen, hollow.lazy
        self.originals = hollow.originals
        self.dtype, self.device = dtype, torch.device("cpu")
        self.places = tuple(places)
        self.present = bool(places)
        self.shape = places[0].shape if places else tuple(hollow.shape)
        self.target: Target | None = None
        self.written = False
        self.measured: Statistics | None = None
        self.at = places[0] if places else None
        self._hollow = hollow
        self.refused = hollow.refused
        if not isinstance(hollow, TensorSlot) and self.refused is None:
            self.refused = (
                "the model computes it from other tensors, or a plugin holds it its own way, which a checkpoint does "
                "not: load the model and apply the recipe to it"
            )

    @property
    def constant(self) -> bool:
        """Whether it is small and not trained, or a single number: a grid, a curvature, which recipes look at."""
        trained = self.parameter and not self.frozen
        return self.present and math.prod(self.shape) <= (1 if trained else CONSTANT)

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in the files; the model's own where the checkpoint lacks it."""
        return tuple(one.name for one in self.places) or (self.name,)

    def read(self) -> Tensor:
        """The present values, in memory of their own."""
        if self.at is None:
            raise CommitError(f"{self.name}: the checkpoint has no values for it")
        return self.at.read()

    def rows(self, axis: int = 0) -> Any:
        """Its rows: a :class:`FileRows` that reads them when they are asked for, else a matrix.

        Args:
            axis: of the rows.
        """
        at = self.at
        if at is None:
            raise CommitError(f"{self.name}: the checkpoint has no values for it")
        if self.written or not at.shape or 0 in at.shape:  # its new rows may go where the old ones lie
            whole = self.read()
            return whole.movedim(axis, 0).reshape(whole.shape[axis], -1) if whole.ndim else whole.reshape(1, 1)
        return FileRows(at, axis)

    def current(self, draw: Draw) -> Any:
        """What a draw that needs the present values is given: rows that are read when asked for, if they can be."""
        if not draw.reads_current or not self.present:
            return None
        return self.read() if self.written or not self.shape or 0 in self.shape else FileRowsView(self)

    def fill(self, shape: Sequence[int], parts: Iterable[Tensor]) -> None:
        """Write new values that come in consecutive parts.

        Args:
            shape: of the tensor.
            parts: vectors of the slot's type, in the order of its elements.
        """
        if self.target is None:
            raise FileError(f"{self.name}: nothing can be written yet")
        spec = TensorSpec.of(self.names[0], self.dtype, shape)
        self.at = self.target.write(spec, (piece for part in parts for piece in pieces_of(part)))
        for other in self.places[1:]:
            first = self.at
            self.target.write(TensorSpec.of(other.name, self.dtype, shape), pieces_of(first.read()))
        self.written = True
        self.follow(shape)

    def write(self, value: Tensor, device: torch.device | None = None) -> None:
        """Write a value of the slot's type."""
        self.fill(tuple(value.shape), [value])

    def follow(self, shape: Sequence[int]) -> None:
        """Let the slot, and the model's tensor, have a shape and the slot's type, without values."""
        self.shape, self.present = tuple(shape), True
        if isinstance(self._hollow, TensorSlot):
            tensor = self._hollow.tensor
            if not tensor.is_meta or tuple(tensor.shape) != self.shape or tensor.dtype != self.dtype:
                _give(tensor, torch.empty(self.shape, dtype=self.dtype, device="meta"))

    def hold(self) -> None:
        """Let the model's tensor have the stored values, until new ones are written."""
        if isinstance(self._hollow, TensorSlot):
            _give(self._hollow.tensor, self.read())

    def measure(self, value: Tensor) -> Statistics | None:
        """Statistics of a value; where a meta tensor stands for one that was written part by part, those taken then."""
        return self.measured if value.is_meta else super().measure(value)

    def snapshot(self) -> Undo:
        """Only the model's tensor is brought back: what is written lies in files that are thrown away."""
        state = (self.shape, self.present)
        tensor = self._hollow.tensor if isinstance(self._hollow, TensorSlot) else torch.empty(0)
        before = tensor.data

        def undo() -> None:
            self.shape, self.present = state
            _give(tensor, before)

        return undo


def _give(tensor: Tensor, value: Tensor) -> None:
    """Let a tensor of a model be another value, on the meta device or not, and stay the same object."""
    if tensor.is_meta == value.is_meta:
        tensor.data = value
        return
    made = nn.Parameter(value, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value
    torch.utils.swap_tensors(tensor, made)  # type: ignore[no-untyped-call]


class FileRowsView:
    """A stored tensor's present values by index along its first axis, in its own shape."""

    def __init__(self, slot: StoredSlot) -> None:
        self._rows, self._inner = slot.rows(), slot.shape[1:]
        self.device, self.shape, self.dtype = torch.device("cpu"), torch.Size(slot.shape), slot.dtype

    def __getitem__(self, index: Any) -> Tensor:
        found: Tensor = self._rows[index]
        return found.reshape(-1, *self._inner)
