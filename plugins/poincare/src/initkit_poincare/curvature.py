"""Reading the curvature of a manifold as it is in force, never the raw parameter behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from initkit import PlanError


@dataclass(frozen=True)
class Curvature:
    """The curvature -c of a ball.

    Attributes:
        c: positive.
        raw: the parameter it is computed from, where that is another number (softplus of it, as a rule).
        learnable: whether training changes it.
    """

    c: float
    raw: float | None = None
    learnable: bool = False

    @property
    def words(self) -> str:
        """``c = 1.3133 (from the parameter 1.0), learnable``."""
        made = f" (from the parameter {self.raw:.5g})" if self.raw is not None else ""
        return f"c = {self.c:.5g}{made}{', learnable: its present value counts' if self.learnable else ''}"


def is_ball(manifold: Any) -> bool:
    """Whether an object is a Poincaré ball by its attributes: ``c``, or ``k`` of a stereographic model."""
    if manifold is None or isinstance(manifold, (int, float, torch.Tensor)):
        return False
    if getattr(type(manifold), "c", None) is not None or _has(manifold, "c"):
        return True
    return _has(manifold, "k") and "stereographic" in _kinds(manifold)


def is_lorentz(manifold: Any) -> bool:
    """Whether an object is a hyperboloid by its class name and ``k``."""
    return manifold is not None and _has(manifold, "k") and "lorentz" in _kinds(manifold)


def curvature_of(manifold: Any, where: str) -> Curvature:
    """Read ``manifold.c``, ``manifold.c()`` or ``-manifold.k``.

    Args:
        manifold: a ball.
        where: for messages.

    Raises:
        PlanError: the curvature is on the meta device, or not positive and finite.
    """
    with torch.no_grad():
        value = getattr(manifold, "c", None)
        value = value() if callable(value) else value
        if value is None:
            value = -manifold.k
    raws = list(manifold.parameters()) if isinstance(manifold, nn.Module) else []
    if isinstance(value, torch.Tensor) and value.is_meta:
        raise PlanError(f"{where}: its curvature is on the meta device and holds no number; materialise it first")
    c = checked(float(value), where)
    raw = float(raws[0]) if len(raws) == 1 and raws[0].numel() == 1 else None
    # geoopt stores the inverse of softplus, so that c is what its user asked for: the raw number would only confuse.
    if raw is not None and (hasattr(manifold, "k") or math.isclose(raw, c, rel_tol=1e-6)):
        raw = None
    return Curvature(c, raw, any(p.requires_grad for p in raws))


def checked(c: float, where: str) -> float:
    """Refuse a curvature that makes no ball.

    Raises:
        PlanError: c is not positive and finite.
    """
    if not (math.isfinite(c) and c > 0):
        raise PlanError(f"{where}: its curvature is c = {c:g}; a Poincaré ball of curvature -c needs c > 0 and finite")
    return c


def _has(manifold: Any, name: str) -> bool:
    if name in getattr(manifold, "__dict__", {}) or hasattr(type(manifold), name):
        return True
    return isinstance(manifold, nn.Module) and (name in manifold._modules or name in manifold._parameters)


def _kinds(manifold: Any) -> str:
    return " ".join(kind.__name__ for kind in type(manifold).__mro__).lower()
