"""How large a tree may be drawn: what a table's dtype and its library's clamp can hold."""

from __future__ import annotations

import math

import numpy as np
import torch

from initkit import PlanError
from initkit_poincare.directions import least_angle
from initkit_poincare.trees import Tree

HALF_RADIUS = 3.0
"""Points of half-precision tables lie within this radius: beyond, neighbouring numbers are too far apart."""
MARGIN = 1 - 1e-6
ROOM = 0.98
"""Share of the largest radius that an automatic scale uses."""


def clamp_of(dtype: torch.dtype) -> float:
    """ε of the projection to norms of at most (1-ε)/√c, as geoopt, hypll and the Poincaré ResNet code have it."""
    return 4e-3 if dtype == torch.float32 else 1e-5


def largest_radius(dtype: torch.dtype, clamp: float | None = None) -> float:
    """The largest radius, at c = 1, that a table can hold so that no projection moves a point.

    Args:
        dtype: of the table.
        clamp: ε of the library's projection; None takes :func:`clamp_of`, 0 is no projection.
    """
    eps = clamp_of(dtype) if clamp is None else clamp
    bits = -math.log2(torch.finfo(dtype).eps) + 1
    most = bits * math.log(2)
    if torch.finfo(dtype).bits == 16:
        most = min(most, HALF_RADIUS)
    return most if eps == 0 else min(most, 2 * math.atanh((1 - eps) * MARGIN))


def largest_scale(tree: Tree, dtype: torch.dtype, clamp: float | None = None) -> float:
    """The largest τ at which a tree fits a table; infinite for a single node."""
    return largest_radius(dtype, clamp) / tree.height if tree.height else math.inf


def scale_for(tree: Tree, dim: int, epsilon: float) -> float:
    """An estimate of the τ at which the worst-case distortion is 1 + ε.

    With θ the least angle between neighbours each turn loses about δ = -2 ln sin(θ/2), so that d_wc ≈ 1/(1 - δ/τ). Not
    a bound: what is measured is in the report.
    """
    if len(tree) < 3:
        return 1.0 / epsilon
    loss = -2 * math.log(math.sin(least_angle(int(tree.degrees.max()), dim) / 2))
    return max(loss * (1 + epsilon) / epsilon, 1e-12) / float(tree.length[tree.parent >= 0].min())


def scale_by_rule(tree: Tree, epsilon: float) -> float:
    """The τ of De Sa's rule for two dimensions, which guarantees a worst-case distortion of 1 + ε.

    β = π/(1.2 Δ), v = -2 ln tan(β/2), α = 2π/Δ - 2β, ν = -2 ln tan(α/2), τ = max((1 + ε)/ε · v, ν), over the least
    length; Δ the greatest number of neighbours.
    """
    most = max(2, int(tree.degrees.max()))
    beta = math.pi / (1.2 * most)
    alpha = 2 * math.pi / most - 2 * beta
    v, nu = -2 * math.log(math.tan(beta / 2)), -2 * math.log(math.tan(alpha / 2))
    inner = tree.parent >= 0
    least = float(tree.length[inner].min()) if inner.any() else 1.0
    return max((1 + epsilon) / epsilon * v, nu) / least


def check_scale(tree: Tree, tau: float, dtype: torch.dtype, clamp: float | None, dim: int) -> None:
    """Refuse a scale at which the tree leaves what the table holds.

    Raises:
        PlanError: names the largest admissible τ, and what distortion it gives about.
    """
    largest = largest_scale(tree, dtype, clamp)
    if tau <= largest * (1 + 1e-12):
        return
    eps = clamp_of(dtype) if clamp is None else clamp
    kind = str(dtype).removeprefix("torch.")
    bound = f" under the projection to norms of 1 - {eps:g}" if eps else ""
    half = " (half precision ends at radius 3)" if torch.finfo(dtype).bits == 16 else ""
    wider = "a wider dtype, " if dtype != torch.float64 else ""
    unclamped = ", clamp=0 where nothing projects the table" if eps and tau <= largest_scale(tree, dtype, 0.0) else ""
    raise PlanError(
        f"tau = {tau:.5g} puts the farthest of {len(tree)} nodes at radius {tau * tree.height:.4g} (height "
        f"{tree.height:g}), but a {kind} table holds {largest_radius(dtype, clamp):.4g}{bound}{half}: the largest "
        f"admissible tau is {math.floor(largest * 1e5) / 1e5:.5g} (worst-case distortion about "
        f"{_words(estimate(tree, dim, largest))} in {dim} dimensions); take it, {wider}more dimensions{unclamped}"
    )


def estimate(tree: Tree, dim: int, tau: float) -> float:
    """The estimate 1/(1 - δ/τ) of the worst-case distortion, infinite where δ ≥ τ."""
    if len(tree) < 3:
        return 1.0
    theta = least_angle(int(tree.degrees.max()), dim)
    loss = -2 * math.log(math.sin(theta / 2)) / float(tree.length[tree.parent >= 0].min())
    return 1 / (1 - loss / tau) if loss < tau else math.inf


def _words(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "without bound"
