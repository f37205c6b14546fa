"""A set of signals as tasks: targets at coordinates, or tensors for a loss of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initkit import NeedError, Stream
from initkit_inr.adaptation import Batch, Task
from initkit_inr.conventions import Convention, default_coords

COORDS, TARGET = "coords", "target"


@dataclass(frozen=True)
class Tasks:
    """Signals of one kind.

    Attributes:
        shared: tensors of all tasks: the coordinates (points, d), where there is one grid.
        own: tensors with the tasks along dimension 0: the targets (tasks, points, channels).
        convention: of the coordinates, where they are known.
        remarks: what the user should know of how they were read.
    """

    shared: Task
    own: Task
    convention: Convention | None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, signals: Any, coords: Any, axes: int | None, *, own_loss: bool = False) -> Tasks:
        """Read signals.

        Args:
            signals: (n, *grid) or (n, *grid, channels), channels last: an array, a tensor or a sequence of equal
                shapes; or a mapping of tensors with the tasks along dimension 0: ``target`` (n, points, channels) and
                ``coords`` (n, points, d), or whatever a loss of one's own takes.
            coords: (points, d) or (*grid, d), or None: ``linspace(-1, 1)`` along each axis.
            axes: how many coordinates the model takes, where that is known.
            own_loss: whether a mapping's tensors are for a loss of one's own.

        Raises:
            NeedError: shapes do not fit, fewer than two signals, or values that are no finite numbers.
        """
        points = None if coords is None else read_coords(coords)
        if isinstance(signals, Mapping) or type(signals).__name__ == "NpzFile":
            return _mapping({str(name): signals[name] for name in signals}, points, own_loss)
        target, remarks = _stacked(signals)
        if points is None:
            grid = _grid(target, axes)
            points = default_coords(grid)
            remarks.append(f"no coords were given: linspace(-1, 1) along each axis of the {_by(grid)} grid")
        size = target[0].numel()
        if size % len(points):
            raise NeedError(
                f"signals: each of shape {tuple(target.shape[1:])} has {size} values, which is no multiple of the "
                f"{len(points)} points of coords; give (n, *grid) or (n, *grid, channels)"
            )
        _check_count(len(target))
        target = target.reshape(len(target), len(points), size // len(points))
        return cls({COORDS: points}, {TARGET: target}, Convention.of(points), tuple(remarks))

    @property
    def count(self) -> int:
        """How many."""
        return len(next(iter(self.own.values())))

    @property
    def points(self) -> int | None:
        """How many points each has, where it is sampled at points."""
        return self.own[TARGET].shape[1] if TARGET in self.own and self.own[TARGET].ndim == 3 else None

    @property
    def channels(self) -> int:
        """Of each point."""
        return self.own[TARGET].shape[-1]

    @property
    def peak(self) -> float:
        """Range of the values for a PSNR: 1 within [0, 1], 2 within [-1, 1], else the greatest difference."""
        low, high = float(self.own[TARGET].min()), float(self.own[TARGET].max())
        if low >= -1 and high <= 1:
            return 1.0 if low >= 0 else 2.0
        return high - low

    def split(self, held_out: int) -> tuple[Tasks, Tasks | None]:
        """The tasks without the last few, and those."""
        if not held_out:
            return self, None
        cut = self.count - held_out
        return self._part(slice(0, cut)), self._part(slice(cut, None))

    def first(self, count: int) -> Tasks:
        """The first few tasks."""
        return self._part(slice(0, count))

    def to(self, device: torch.device, dtype: torch.dtype) -> Tasks:
        """On a device, with floating values of one dtype."""
        return Tasks(
            {name: _moved(value, device, dtype) for name, value in self.shared.items()},
            {name: _moved(value, device, dtype) for name, value in self.own.items()},
            self.convention,
            self.remarks,
        )

    def batch(self, indices: Tensor) -> Batch:
        """Some tasks."""
        return Batch(self.shared, {name: value[indices] for name, value in self.own.items()})

    def digest(self) -> str:
        """A hash of all tensors."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.shared, self.own):
            for name in sorted(part):
                value = part[name].detach().cpu().contiguous()
                found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                found.update(value.reshape(-1).view(torch.uint8).numpy().data)
        return found.hexdigest()

    def _part(self, part: slice) -> Tasks:
        own = {name: value[part] for name, value in self.own.items()}
        return Tasks(self.shared, own, self.convention, self.remarks)


def at_points(batch: Batch, count: int | None, stream: Stream) -> Batch:
    """A batch at a random subset of its points, the same for all its tasks; all points for None."""
    target = batch.own.get(TARGET)
    if count is None or target is None or target.ndim < 3 or count >= target.shape[1]:
        return batch
    chosen = torch.from_numpy(stream.permutation(target.shape[1])[:count].copy()).to(target.device)
    own = {name: value[:, chosen] if name in (COORDS, TARGET) else value for name, value in batch.own.items()}
    shared = {name: value[chosen] if name == COORDS else value for name, value in batch.shared.items()}
    return Batch(shared, own)


def read_coords(coords: Any) -> Tensor:
    """Coordinates as (points, d), float64.

    Raises:
        NeedError: of another shape, or no finite numbers.
    """
    points = _as_tensor(coords, "coords")
    if points.ndim < 2 or not points.numel():
        raise NeedError(f"coords: shape {tuple(points.shape)}; give (points, d) or (*grid, d), the axes last")
    points = points.double()
    if not bool(torch.isfinite(points).all()):
        raise NeedError("coords: not all values are finite numbers")
    return points.reshape(-1, points.shape[-1])


def _mapping(given: Mapping[str, Any], points: Tensor | None, own_loss: bool) -> Tasks:
    if not given:
        raise NeedError("signals: an empty mapping; give tensors with the tasks along dimension 0")
    own = {name: _as_tensor(value, f"signals[{name!r}]") for name, value in given.items()}
    counts = {name: len(value) if value.ndim else 0 for name, value in own.items()}
    if len(set(counts.values())) > 1:
        raise NeedError(f"signals: the numbers of tasks differ: {counts}; dimension 0 is that of the tasks")
    _check_count(next(iter(counts.values())))
    if COORDS in own and points is not None:
        raise NeedError("signals hold coords of their own, and coords are given too; give one of them")
    remarks: list[str] = []
    if not own_loss:
        own[TARGET] = _targets(own, points, remarks)
    for name, value in own.items():
        _check_finite(value, f"signals[{name!r}]")
    known = own[COORDS].double().reshape(-1, own[COORDS].shape[-1]) if COORDS in own else points
    convention = None if known is None else Convention.of(known)
    return Tasks({} if points is None else {COORDS: points}, own, convention, tuple(remarks))


def _targets(own: Task, points: Tensor | None, remarks: list[str]) -> Tensor:
    """A mapping's targets, (n, points, channels), for the mean squared error at its coordinates."""
    coords = own.get(COORDS, points)
    if TARGET not in own or coords is None:
        raise NeedError(
            f"signals: a mapping with {', '.join(own)} holds no 'target' with coords, as the mean squared error "
            "wants it; inr/meta takes other losses (loss_fn)"
        )
    target = _floats(own[TARGET], remarks)
    target = target[..., None] if target.ndim == 2 else target
    if target.ndim != 3 or target.shape[1] != coords.shape[-2]:
        raise NeedError(
            f"signals['target']: shape {tuple(target.shape)}, but there are {coords.shape[-2]} points of coords; give "
            "(n, points, channels)"
        )
    return target


def _stacked(signals: Any) -> tuple[Tensor, list[str]]:
    if isinstance(signals, Sequence) and not isinstance(signals, (str, bytes)):
        parts = [_as_tensor(one, f"signals[{index}]") for index, one in enumerate(signals)]
        _check_count(len(parts))
        for index, part in enumerate(parts):
            if part.shape != parts[0].shape or part.dtype != parts[0].dtype:
                raise NeedError(
                    f"signals: number {index} has shape {tuple(part.shape)} ({part.dtype}), number 0 "
                    f"{tuple(parts[0].shape)} ({parts[0].dtype}); resample them to one shape"
                )
        target = torch.stack(parts)
    else:
        target = _as_tensor(signals, "signals")
    if target.ndim < 2 or not target.numel():
        raise NeedError(f"signals: shape {tuple(target.shape)}; give (n, *grid) or (n, *grid, channels)")
    remarks: list[str] = []
    target = _floats(target, remarks)
    _check_finite(target, "signals")
    return target, remarks


def _floats(target: Tensor, remarks: list[str]) -> Tensor:
    if target.dtype == torch.uint8:
        remarks.append("signals were uint8: divided by 255 into [0, 1]")
        return target.float() / 255
    if not target.is_floating_point():
        raise NeedError(f"signals: {target.dtype} values; give floats in the range that the model is to learn")
    return target


def _as_tensor(value: Any, what: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise NeedError(f"{what}: {type(value).__name__} is no array of numbers")
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_finite(value: Tensor, what: str) -> None:
    if not value.is_floating_point():
        return
    bad = ~torch.isfinite(value).reshape(len(value), -1).all(1)
    if bool(bad.any()):
        index = int(torch.nonzero(bad)[0])
        raise NeedError(f"{what}: number {index} holds NaN or infinite values ({int(bad.sum())} signals do)")


def _check_count(count: int) -> None:
    if count < 2:
        raise NeedError(
            f"signals: {count} of them; a start is learned from at least two (one signal is fitted, not learned from)"
        )


def _grid(target: Tensor, axes: int | None) -> tuple[int, ...]:
    """The grid's shape, from how many coordinates the model takes."""
    if axes is not None and target.ndim in (axes + 1, axes + 2):
        return tuple(target.shape[1 : axes + 1])
    takes = "" if axes is None else f", which a model of {axes} coordinates cannot tell apart"
    raise NeedError(
        f"signals: shape {tuple(target.shape)}{takes}; give coords=... with (points, d) or (*grid, d), or signals as "
        "(n, *grid) or (n, *grid, channels)"
    )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _moved(value: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return value.to(device, dtype if value.is_floating_point() else value.dtype)
