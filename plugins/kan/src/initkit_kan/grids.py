"""Knots as float64 numbers: a grid stored in a low precision is uniform where it was meant to be."""

from __future__ import annotations

import numpy as np
import torch

from initkit import PlanError
from initkit_kan.bases import Array

_SLACK = 4


def knots(title: str, stored: Array, order: int, dtype: torch.dtype) -> Array:
    """The knots of a layer, (1, T) where all features have the same, else (n, T).

    Rows that are uniform to within the rounding of the dtype they are stored in become exactly so, between the
    shortest decimals that round to their ends. A bfloat16 copy of a layer then gets the scales of the float32 one.

    Args:
        title: of the layer, for messages.
        stored: grid, (n, T), extended by ``order`` knots at both ends.
        order: of the splines.
        dtype: that the grid is stored in.

    Raises:
        PlanError: a row decreases or is not finite.
    """
    if not np.isfinite(stored).all():
        raise PlanError(f"{title}: its grid holds NaN or infinite knots")
    falling = np.flatnonzero((np.diff(stored, axis=1) < 0).any(axis=1))
    if len(falling):
        raise PlanError(f"{title}: the grid of feature {falling[0]} decreases; knots must be in order")
    flat = np.flatnonzero(stored[:, order] >= stored[:, -order - 1])
    if len(flat):
        raise PlanError(f"{title}: the grid of feature {flat[0]} has width 0")
    rows = stored[:1] if (stored == stored[:1]).all() else stored
    return np.stack([as_meant(row, dtype, order) for row in rows])


def as_meant(row: Array, dtype: torch.dtype, order: int = 0) -> Array:
    """A row of points that are evenly spaced to within the rounding of their dtype, exactly so; others as they are.

    Args:
        row: the points.
        dtype: that they are stored in; no finer than float32, which most grids were computed in.
        order: how many points at either end were added to those between whose ends the spacing was meant.
    """
    if len(row) < 2 * order + 2:
        return row
    precision = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    slack = _SLACK * precision * float(np.abs(row).max())
    low, high = (_shortest(float(row[end]), slack) for end in (order, -order - 1))
    intervals = len(row) - 2 * order - 1
    even: Array = low + (high - low) / intervals * (np.arange(len(row), dtype=np.float64) - order)
    return even if bool((np.abs(even - row) <= slack).all()) else row


def _shortest(value: float, slack: float) -> float:
    """The decimal with the fewest digits that is within ``slack`` of a number."""
    for digits in range(1, 17):
        near = float(f"{value:.{digits}g}")
        if abs(near - value) <= slack:
            return near
    return value
