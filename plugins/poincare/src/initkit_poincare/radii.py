"""Hyperbolic radii of what goes into and comes out of a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from initkit_poincare.curvature import curvature_of, is_ball
from initkit_poincare.geometry import radius
from initkit_poincare.layers import Layer
from initkit_poincare.manifold_slots import inner
from initkit_poincare.planning import clamp_of, largest_radius

Space = Literal["ball", "tangent", "lorentz"]


@dataclass(frozen=True)
class Gauge:
    """How radii about a layer are read.

    Attributes:
        space: ``ball``: points; ``tangent``: tangent vectors at the origin, as Poincaré ResNet code hands them on;
            ``lorentz``: points of the hyperboloid, time first.
        c: curvature -c.
        dim: of the coordinates, where the value itself does not say.
    """

    space: Space
    c: float
    dim: int = -1

    @classmethod
    def of(cls, layer: Layer) -> Gauge:
        """The gauge of a layer, by its family.

        Raises:
            PlanError: its curvature is not positive, or on the meta device.
        """
        module: Any = layer.module
        if layer.kind in ("lorentz", "lorentz_conv"):
            manifold = getattr(module, "manifold", None) or getattr(module.linearized_kernel, "manifold", None)
            return cls("lorentz", 1.0 / float(getattr(manifold, "k", 1.0)))
        if not is_ball(layer.ball):
            value = getattr(module, "c", None)
            c = 1.0 if value is None else float(value() if callable(value) else value)
            return cls("ball", c)
        c = curvature_of(layer.ball, layer.label).c
        held = module._parameters.get("z", module._parameters.get("weights"))
        plain = held is not None and inner(held) is held
        channels_first = layer.kind == "conv" and layer.gain is None
        return cls("tangent" if plain else "ball", c, 1 if channels_first else -1)

    def radii(self, value: Any) -> Tensor:
        """ρ of each point of a tensor or manifold tensor, flat, in float64."""
        tensor, dim = _tensor(value, self.dim)
        x = tensor.detach().to(torch.float64)
        if self.space == "tangent":
            found: Tensor = 2 * x.norm(dim=dim).reshape(-1)
            return found
        if self.space == "lorentz":
            space = x.narrow(dim, 1, x.shape[dim] - 1).norm(dim=dim)
            return (torch.asinh(math.sqrt(self.c) * space) / math.sqrt(self.c)).reshape(-1)
        return radius(x, self.c, dim).reshape(-1)

    def mean(self, value: Any) -> float:
        """Mean ρ; not finite where a point lies on or beyond the sphere."""
        return float(self.radii(value).mean())

    def largest(self, dtype: torch.dtype) -> float:
        """The radius of the library's projection boundary; infinite on the hyperboloid and for tangent vectors."""
        if self.space == "lorentz":
            return math.inf
        return largest_radius(dtype, clamp_of(dtype)) / math.sqrt(self.c)


def dtype_of(value: Any) -> torch.dtype:
    """The dtype of a tensor or manifold tensor."""
    return _tensor(value, -1)[0].dtype


def _tensor(value: Any, dim: int) -> tuple[Tensor, int]:
    while isinstance(value, (tuple, list)):
        value = value[0]
    if isinstance(value, Tensor) and "tensor" not in getattr(value, "__dict__", {}):
        return value, dim
    return value.tensor, int(getattr(value, "man_dim", dim))
