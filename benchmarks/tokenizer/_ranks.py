"""Ranks of the right one among many, and values of seeds in a row."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import Tensor


def ranks(scores: Tensor, right: Tensor, same: float) -> dict[str, float]:
    """Mean reciprocal rank of the right column and its share of first places, both the mean over the orders of ties.

    Args:
        scores: higher is better, (n, choices).
        right: the right choice of each line, (n,).
        same: scores no further apart are a tie.
    """
    own = scores.gather(1, right[:, None])
    above = (scores > own + same).sum(1)
    equal = ((scores - own).abs() <= same).sum(1)
    sums = torch.cat([torch.zeros(1), (1 / torch.arange(1, scores.shape[1] + 1)).cumsum(0)]).double()
    reciprocal = (sums[above + equal] - sums[above]) / equal
    first = (above == 0).double() / equal
    return {"reciprocal_rank": round(float(reciprocal.mean()), 4), "first": round(float(first.mean()), 4)}


def table(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Values of all seeds, their mean and deviation."""
    row: dict[str, Any] = {}
    for key in runs[0]:
        values = [one[key] for one in runs]
        row[key] = values
        row[f"{key}_mean"] = round(statistics.mean(values), 4)
        row[f"{key}_std"] = round(statistics.stdev(values), 4)
    return row
