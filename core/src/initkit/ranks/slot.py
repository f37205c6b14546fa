"""Slots of parameters and buffers that are DTensors: each process holds a part."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from torch.distributed.tensor.placement_types import Placement, Shard, _StridedShard

from initkit._stats import Statistics
from initkit.draws.base import Draw
from initkit.draws.region import Indices, Region
from initkit.errors import PlanError
from initkit.ranks.parts import Parts
from initkit.shards.reading import Stored
from initkit.shards.rows import read_region
from initkit.slots import TensorSlot, Undo
from initkit.streams import Stream

MADE_WHOLE = "whole on one rank, then scattered"


class ShardedSlot(TensorSlot):
    """A DTensor: its shape is that of the whole tensor, what it holds is this process's part.

    Attributes:
        parts: the roads to the other ranks' parts; there while a run has them open.
        mesh: the processes that it is spread over.
    """

    fixed = "it is spread over several processes (resize it before it is)"
    parts: Parts

    def __init__(self, name: str, owner: nn.Module, attribute: str, tensor: DTensor, saved: bool = True) -> None:
        super().__init__(name, owner, attribute, tensor, saved)
        self.mesh, self._placements = tensor.device_mesh, tuple(tensor.placements)
        self.numel = math.prod(self.shape)
        self._tensor = tensor
        if any(placement.is_partial() for placement in self._placements):
            self.refused = f"it holds sums that are still to be added up ({self._placements}); redistribute it first"
        elif self.mesh.get_coordinate() is None:
            self.refused = f"this process holds no part of it: it is not on the mesh {self.mesh}"

    @functools.cached_property
    def region(self) -> Region:
        """Which elements of the whole tensor this process holds."""
        return Region.of(
            self.shape,
            [_indices(self.mesh, self._placements, d, size) for d, size in enumerate(self.shape)],
        )

    @property
    def tensor(self) -> torch.Tensor:
        """The DTensor, also while FSDP has a whole copy in its place."""
        return self._tensor

    def local(self) -> torch.Tensor:
        """This process's part of the live tensor."""
        return self.held().to_local()

    def held(self) -> DTensor:
        """The live DTensor, detached."""
        tensor: Any = self.tensor.detach()
        return cast(DTensor, tensor)

    def read(self) -> torch.Tensor:
        """The whole value. All processes must call it together."""
        return self.held().full_tensor()

    def sample(self, draw: Draw, shape: tuple[int, ...], stream: Stream, device: torch.device) -> torch.Tensor:
        """Sample this process's part alone where the draw can; else one process makes the whole for all."""
        current = self.local() if draw.reads_current and self.present else None
        part = draw.sample_region(self.region, self.dtype, stream, current=current, device=self.home)
        self.made = None
        if part is None:
            self.made = MADE_WHOLE
            part = self.parts.made_whole(
                self,
                lambda whole: draw.sample(shape, self.dtype, stream, current=whole, device=device),
                reads=current is not None,
            )
        return self._of(part)

    @property
    def home(self) -> torch.device:
        """The mesh's kind of device."""
        return torch.device(self.mesh.device_type)

    def measure(self, value: torch.Tensor) -> Statistics | None:
        """None: all processes measure together, at the end."""
        return None

    def spread(self, value: torch.Tensor) -> torch.Tensor:
        """Give each process its part of the first one's value; all processes must call it together."""
        return self._of(self.parts.scattered(self, value.detach().to("cpu", self.dtype), 0))

    def blocks(self) -> Iterator[torch.Tensor]:
        """The whole value block by block, on the first process; all must go through it together, to the end."""
        self.parts.ranks.meet(f"{self.name} is written down")
        yield from self.parts.blocks(self, 0)

    def read_from(self, stored: Stored) -> torch.Tensor:
        """This process's part of a tensor in a file, read without the rest."""
        return self._of(read_region(stored, self.region).to(self.dtype))

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Copy this process's part of a value that is spread in the same way; a meta tensor takes it over."""
        tensor = self.tensor
        assert isinstance(value, DTensor)
        assert tensor.shape == value.shape
        if tensor.is_meta:
            self._take_over(value)
        else:
            with torch.no_grad():
                self.local().copy_(value.to_local())
        self.present, self.device = True, tensor.device

    def _take_over(self, value: torch.Tensor) -> None:
        tensor = self.tensor
        made = nn.Parameter(value, requires_grad=tensor.requires_grad) if self.parameter else value
        # Swapping contents keeps the object, so that optimizers and tied modules hold the real tensor; FSDP takes
        # over the new storage when it first runs.
        torch.utils.swap_tensors(tensor, made)  # type: ignore[no-untyped-call]

    def show(self, value: torch.Tensor) -> None:
        """Write to the whole copy that FSDP has registered while the model runs."""
        live: torch.Tensor = getattr(self._owner, self._attribute)
        if live is not self._tensor and live.shape == value.shape:
            with torch.no_grad():
                live.copy_(value)

    def snapshot(self) -> Undo:
        """Save a copy of this process's part."""
        if self.tensor.is_meta:
            return super().snapshot()
        tensor = self.tensor
        saved, gradient = self.local().clone(), tensor.grad

        def undo() -> None:
            self.local().copy_(saved)
            tensor.grad = gradient

        return undo

    def _of(self, part: torch.Tensor) -> torch.Tensor:
        stride = torch.empty(self.shape, device="meta").stride()
        made: torch.Tensor = DTensor.from_local(
            part, self.mesh, self._placements, run_check=False, shape=torch.Size(self.shape), stride=stride
        )
        return made


@functools.lru_cache(maxsize=512)
def _indices(mesh: DeviceMesh, placements: tuple[Placement, ...], dimension: int, size: int) -> Indices:
    """The indices of one dimension that this process holds.

    An index vector is cut as the tensor's dimension is: so each kind of placement speaks for itself.
    """
    along = [_along(placement, dimension) for placement in placements]
    if all(placement.is_replicate() for placement in along):
        return np.arange(size, dtype=np.int64)
    numbers = torch.arange(size, device=mesh.device_type)
    held: Any = distribute_tensor(numbers, mesh, along, src_data_rank=None)
    indices: Indices = held.to_local().cpu().numpy()
    return indices


def _along(placement: Placement, dimension: int) -> Placement:
    if isinstance(placement, _StridedShard) and placement.dim == dimension:
        return _StridedShard(0, split_factor=placement.split_factor)
    if isinstance(placement, Shard) and placement.dim == dimension:
        return Shard(0)
    return Replicate()


def check_parts(slots: list[ShardedSlot]) -> None:
    """See that each part has the shape that its placement says.

    Raises:
        PlanError: one has another, so that its elements cannot be told.
    """
    for slot in slots:
        if tuple(slot.local().shape) != slot.region.sizes:
            raise PlanError(
                f"{slot.name} {slot.shape}: this process's part has shape {tuple(slot.local().shape)}, "
                f"its placement says {slot.region.sizes}"
            )
