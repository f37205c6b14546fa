"""Coordinate conventions: the range, the order and the omegas under which a learned start means something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_DIGITS = 7
_NEAR = 1e-4
_SCATTERED = 0.05


@dataclass(frozen=True)
class Convention:
    """How coordinates lie: those of a grid by their ends and steps, whatever its resolution.

    Attributes:
        low: least coordinate of each axis.
        high: greatest.
        step: distance between neighbours on each axis, or 0 where the points are on no even grid.
        order: ``ij`` where the last coordinate runs fastest through the points, ``xy`` where the first does, else "".
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    step: tuple[float, ...]
    order: str = ""

    @classmethod
    def of(cls, coords: Tensor) -> Convention:
        """Read it from coordinates (points, d)."""
        points = coords.detach().cpu().double()
        steps = tuple(_step(axis) for axis in points.unbind(1))
        return cls(
            tuple(_rounded(axis.min()) for axis in points.unbind(1)),
            tuple(_rounded(axis.max()) for axis in points.unbind(1)),
            steps,
            _order(points) if all(steps) else "",
        )

    @classmethod
    def from_rows(cls, rows: list[dict[str, float]], order: str) -> Convention:
        """Read back what :meth:`rows` gave."""
        low, high, step = (tuple(float(row[key]) for row in rows) for key in ("low", "high", "step"))
        return cls(low, high, step, order)

    def rows(self) -> list[dict[str, float]]:
        """The axes as JSON values."""
        axes = zip(self.low, self.high, self.step, strict=True)
        return [{"low": low, "high": high, "step": step} for low, high, step in axes]

    def ends(self) -> dict[str, list[tuple[float, float]]]:
        """The interval of each axis, read in three ways: its last point is its end, or one step before, or half a one.

        ``linspace(-1, 1, n)`` keeps its closed interval at any n, ``arange(n)/n`` its half-open one, the centres of
        pixels theirs.
        """
        axes = list(zip(self.low, self.high, self.step, strict=True))
        found = {"closed": [(low, high) for low, high, _ in axes]}
        if all(self.step):
            found["half-open"] = [(low, high + step) for low, high, step in axes]
            found["centred"] = [(low - step / 2, high + step / 2) for low, high, step in axes]
        return found

    def differs(self, other: Convention) -> str:
        """What other coordinates do otherwise, in words; "" where both agree."""
        if len(self.low) != len(other.low):
            return f"it is for {len(self.low)} coordinates, not {len(other.low)}"
        if self.order and other.order and self.order != other.order:
            return f"its points are ordered {self.order!r}, not {other.order!r}"
        mine, theirs = self.ends(), other.ends()
        if all(self.step) and all(other.step):
            same = any(_equal(mine[kind], theirs[kind], _NEAR) for kind in mine)
        else:
            same = _equal(mine["closed"], theirs["closed"], _SCATTERED)
        return "" if same else f"it is for coordinates on {self}, not on {other}"

    def __str__(self) -> str:
        kind, ends = self._roundest()
        close = {"closed": "]", "half-open": ")", "centred": "]"}[kind]
        words = [f"[{low:.5g}, {high:.5g}{close}" for low, high in ends]
        text = words[0] if len(set(words)) == 1 else " x ".join(words)
        return f"{text} (centres of pixels)" if kind == "centred" else text

    def _roundest(self) -> tuple[str, list[tuple[float, float]]]:
        """The reading whose ends are the simplest numbers."""
        readings = self.ends()
        kind = min(readings, key=lambda k: sum(len(f"{v:.5g}") for pair in readings[k] for v in pair))
        return kind, readings[kind]


def default_coords(shape: Sequence[int]) -> Tensor:
    """``linspace(-1, 1, n)`` along each axis, ``ij``: (points, d), float64."""
    axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _step(axis: Tensor) -> float:
    """The step of an axis whose values are evenly spaced; 0 otherwise."""
    values = torch.unique(axis)
    if len(values) < 2:
        return 0.0
    # float32 coordinates of one grid line may differ in their last bits.
    span = float(values[-1] - values[0])
    values = values[torch.cat([torch.tensor([True]), values.diff() > 1e-6 * span])]
    steps = values.diff()
    even = float(steps.max() - steps.min()) <= 1e-3 * float(steps.max()) + 1e-5 * span
    # Scattered points are all different; a grid has many on a line, but for one axis alone.
    return _rounded(steps.mean()) if even else 0.0


def _order(points: Tensor) -> str:
    if points.shape[1] < 2 or len(points) < 2:
        return ""
    moved = (points[1] - points[0]).abs() > 0
    if int(moved.sum()) != 1:
        return ""
    return "ij" if bool(moved[-1]) else "xy" if bool(moved[0]) else ""


def _rounded(value: Tensor) -> float:
    return float(f"{float(value):.{_DIGITS}g}")


def _equal(one: list[tuple[float, float]], two: list[tuple[float, float]], slack: float) -> bool:
    pairs = zip(one, two, strict=True)
    return all(abs(a - c) <= slack * (b - a) and abs(b - d) <= slack * (b - a) for (a, b), (c, d) in pairs)
