"""Random features through a Chebyshev filter that lets the top of an operator's spectrum pass."""

from __future__ import annotations

import torch
from torch import Tensor

from initkit_gnn.propagation import Multiply
from initkit_gnn.segments import Segments
from initkit_gnn.spectrum import Density

# Eigenvalues above the automatic cutoff for each column asked for. The filter grows steeply from the cutoff to the top
# of the spectrum, so that of those above it a small share carries the result.
PER_COLUMN = 14
HIGHEST = 0.95  # of the way from the spectrum's low end to its high one: above, a filter of degree 16 hardly grows


def automatic_cutoff(found: Density, columns: int) -> Tensor:
    """The cutoff above which about ``PER_COLUMN`` · ``columns`` eigenvalues lie, for each graph: float64 (G,).

    Between the points of the density the count is taken as linear. In a graph too small for that, half of the
    spectrum passes.
    """
    wanted = torch.minimum(found.sizes / 2, torch.full_like(found.sizes, PER_COLUMN * columns))
    masses = found.masses * found.sizes[:, None]
    above = masses.flip(1).cumsum(1).flip(1) - masses / 2  # eigenvalues above the middle of a point
    place = (above > wanted[:, None]).sum(dim=1)  # points are ascending, so counts are descending
    last = found.points.shape[1] - 1
    left, right = (place - 1).clamp(0, last)[:, None], place.clamp(0, last)[:, None]
    counts = above.gather(1, left)[:, 0], above.gather(1, right)[:, 0]
    ends = found.points.gather(1, left)[:, 0], found.points.gather(1, right)[:, 0]
    share = ((counts[0] - wanted) / (counts[0] - counts[1]).clamp(min=1e-9)).clamp(0, 1)
    cutoff = ends[0] + share * (ends[1] - ends[0])
    span = found.high - found.low
    return torch.minimum(cutoff, found.low + HIGHEST * span).maximum(found.low + 1e-3 * span)


def filtered(
    multiply: Multiply, start: Tensor, degree: int, low: Tensor, cutoff: Tensor, high: Tensor, segments: Segments
) -> Tensor:
    """Return T_degree(map(S)) start, up to a scale, by ``degree`` products.

    ``map`` takes [low, cutoff] to [-1, 1], where the polynomial stays within ±1; above it grows as fast as any
    polynomial of its degree can. The recurrence is scaled by the polynomial's value at ``high``, so that it neither
    overflows nor vanishes.

    Args:
        multiply: S, symmetric, with its spectrum above ``low``.
        start: the random block (N, k).
        degree: the number of products.
        low, cutoff, high: for each graph, float64 (G,).
        segments: the graphs of the batch.

    Source: Zhou, Saad, Tiago, Chelikowsky, Self-consistent-field calculations using Chebyshev-filtered subspace
    iteration, J. Comput. Phys. 219, 2006.
    """

    def rows(values: Tensor) -> Tensor:
        return segments.spread(values.to(start.device)[:, None]).to(start.dtype)

    half, centre = (cutoff - low) / 2, (cutoff + low) / 2
    first = half / (high - centre)
    sigma = first
    before, now = start, rows(sigma / half) * (multiply(start) - rows(centre) * start)
    for _ in range(degree - 1):
        following = 1 / (2 / first - sigma)
        grown = rows(2 * following / half) * (multiply(now) - rows(centre) * now) - rows(sigma * following) * before
        before, now, sigma = now, grown, following
    return now
