"""Estimates of an operator's spectrum, for each graph of a batch, from products alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from initkit_gnn.csr import Multiply
from initkit_gnn.segments import Segments

STEPS = 20
PROBES = 4


@dataclass(frozen=True)
class Density:
    """Spectral densities of the graphs of a batch: masses at points.

    Attributes:
        points: Ritz values, float64 (G, probes · steps), ascending.
        masses: of the points, float64, summing to 1 for each graph.
        sizes: nodes of each graph, float64 (G,).
        low, high: bounds of the spectrum, float64 (G,): the outermost points with the error bound of each.
    """

    points: Tensor
    masses: Tensor
    sizes: Tensor
    low: Tensor
    high: Tensor

    def count_above(self, cutoff: Tensor) -> Tensor:
        """Estimated number of eigenvalues above a cutoff (G,), for each graph."""
        return self.sizes * (self.masses * (self.points > cutoff[:, None])).sum(dim=1)


def density(multiply: Multiply, start: Tensor, segments: Segments, steps: int = STEPS) -> Density:
    """Estimate the spectral density of a symmetric operator by stochastic Lanczos quadrature.

    Args:
        multiply: the operator on blocks.
        start: random probes, standard normal (N, probes).
        segments: the graphs of the batch, the operator's blocks.
        steps: of Lanczos' iteration.

    Source: Lin, Saad, Yang, Approximating spectral densities of large matrices, SIAM Review 58(1), 2016.
    """
    lengths = segments.total(start.double().square()).sqrt()
    now, before = start / segments.spread(_positive(lengths)).to(start.dtype), torch.zeros_like(start)
    diagonal, beside = [], [torch.zeros_like(lengths)]
    for _ in range(steps):
        found = multiply(now) - segments.spread(beside[-1]).to(start.dtype) * before
        alpha = segments.total(found.double() * now.double())
        found = found - segments.spread(alpha).to(start.dtype) * now
        beta = segments.total(found.double().square()).sqrt()
        # What is left after the last of a graph's own directions is rounding noise.
        beta = torch.where(beta > 1e-5 * alpha.abs().clamp(min=1e-3), beta, torch.zeros_like(beta))
        diagonal.append(alpha)
        beside.append(beta)
        before, now = now, torch.where(beta > 0, 1 / _positive(beta), 0.0).to(start.dtype)
        now = segments.spread(now) * found
    t = torch.diag_embed(torch.stack(diagonal, dim=-1))  # (G, probes, steps, steps)
    off = torch.diag_embed(torch.stack(beside[1:-1], dim=-1), offset=1)
    values, vectors = torch.linalg.eigh(t + off + off.mT)
    masses = vectors[..., 0, :].square() / start.shape[1]
    error = beside[-1][..., None] * vectors[..., -1, :].abs()
    weighty = masses > 1e-12
    infinity = torch.full_like(values, torch.inf)
    low = torch.where(weighty, values - error, infinity).flatten(1).amin(dim=1)
    high = torch.where(weighty, values + error, -infinity).flatten(1).amax(dim=1)
    points, order = values.flatten(1).sort(dim=1)
    return Density(points, masses.flatten(1).gather(1, order), segments.sizes.double().to(points.device), low, high)


def _positive(lengths: Tensor) -> Tensor:
    return lengths.where(lengths > 0, torch.ones_like(lengths))
