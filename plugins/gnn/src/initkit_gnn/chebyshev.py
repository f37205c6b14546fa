"""Random features through a Chebyshev filter that lets the top of an operator's spectrum pass."""

from __future__ import annotations

import torch
from torch import Tensor

from initkit_gnn.csr import Multiply
from initkit_gnn.segments import Segments
from initkit_gnn.spectrum import Density

# The filter's energy at the top of the spectrum, for each node. What is below the cutoff keeps an energy of about N/2
# in all, so the very top stands out a hundredfold. Less lets noise through (on Cora and PubMed accuracy falls steeply
# below 5), more gives away selectivity (slowly, from 1000 on).
ENERGY = 50.0
OVERSAMPLED = 2  # eigenvalues that at least pass, for each column


def automatic_cutoff(found: Density, columns: int, degree: int) -> Tensor:
    """The cutoff of a filter of some degree for each graph, float64 (G,).

    The highest one at which T_degree(map(high))² >= ENERGY · N and, by the density, at least ``OVERSAMPLED`` ·
    ``columns`` eigenvalues (half of all in a small graph) are above it.
    """
    # T(x) = cosh(degree · arcosh x) = gain at x = map(high) = (2 high - cutoff - low) / (cutoff - low).
    gain = (ENERGY * found.sizes.clamp(min=1)).sqrt()
    x = torch.cosh(torch.acosh(gain) / degree)
    steep = found.low + 2 * (found.high - found.low) / (1 + x)
    wanted = torch.minimum(found.sizes / 2, torch.full_like(found.sizes, OVERSAMPLED * columns))
    enough = _with_above(found, wanted)
    least = found.low + 1e-3 * (found.high - found.low)
    return torch.minimum(steep, enough).maximum(least)


def _with_above(found: Density, wanted: Tensor) -> Tensor:
    """Where ``wanted`` (G,) eigenvalues are above; between the points of the density the count is linear."""
    masses = found.masses * found.sizes[:, None]
    above = masses.flip(1).cumsum(1).flip(1) - masses / 2  # eigenvalues above the middle of a point
    place = (above > wanted[:, None]).sum(dim=1)  # points are ascending, so counts are descending
    last = found.points.shape[1] - 1
    left, right = (place - 1).clamp(0, last)[:, None], place.clamp(0, last)[:, None]
    counts = above.gather(1, left)[:, 0], above.gather(1, right)[:, 0]
    ends = found.points.gather(1, left)[:, 0], found.points.gather(1, right)[:, 0]
    share = ((counts[0] - wanted) / (counts[0] - counts[1]).clamp(min=1e-9)).clamp(0, 1)
    return ends[0] + share * (ends[1] - ends[0])


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

    def factor(values: Tensor) -> Tensor:
        return segments.spread(values.to(start.device)[:, None]).to(start.dtype)

    half, centre = (cutoff - low) / 2, (cutoff + low) / 2
    sigma = first = half / (high - centre)
    before, now = start, multiply(start)
    _add(now.mul_(factor(sigma / half)), start, factor(-sigma * centre / half))
    for _ in range(degree - 1):
        following = 1 / (2 / first - sigma)
        grown = multiply(now).mul_(factor(2 * following / half))
        _add(grown, now, factor(-2 * following * centre / half))
        _add(grown, before, factor(-sigma * following))
        before, now, sigma = now, grown, following
    return now


def _add(block: Tensor, other: Tensor, factor: Tensor) -> None:
    """Add ``factor * other`` in place, factor being a number (1, 1) or a column (N, 1)."""
    if factor.numel() == 1:
        block.add_(other, alpha=float(factor))
    else:
        block.addcmul_(other, factor)
