"""The inputs that a layer is assumed to see, and its moments under them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from initkit import PlanError
from initkit_kan.bases import BSpline, GaussianRbf
from initkit_kan.layers import Layer
from initkit_kan.moments import NORMAL, UNIFORM, Law, Moments, moments, residual_moments

Assumed = Literal["uniform", "normal", "grid"]


def assumed_moments(layer: Layer, assumed: Assumed) -> Moments:
    """The layer's moments.

    Args:
        layer: of the model, with values in its grid.
        assumed: ``uniform`` on (-1, 1), ``normal`` (0, 1), or ``grid``: uniform on each feature's own grid. A basis
            that stands behind a layer norm sees a normal variable whatever is assumed.

    Raises:
        PlanError: the grid has no values, or there is none.
    """
    if assumed == "grid":
        return _on_the_grid(layer)
    law = UNIFORM if assumed == "uniform" else NORMAL
    return _under(layer, law)


def predicted_moments(layer: Layer) -> Moments | None:
    """Moments under U(-1, 1) for the report; None on the meta device."""
    try:
        return assumed_moments(layer, "uniform")
    except PlanError:
        return None


def _under(layer: Layer, law: Law) -> Moments:
    found = moments(layer.make_basis(), None, NORMAL if layer.normalised else law)
    r0, r1 = residual_moments(layer.residual, law) if layer.residual is not None else (np.empty(0), np.empty(0))
    return Moments(found.mu0, found.mu1, r0, r1, law.std)


def _on_the_grid(layer: Layer) -> Moments:
    basis = layer.make_basis()
    if isinstance(basis, GaussianRbf):
        return _under(layer, Law("uniform", min(basis.centres), max(basis.centres)))
    if not isinstance(basis, BSpline):
        raise PlanError(f"{layer.title}: input='grid' needs a grid, and {layer.family} layers have none")
    ends = zip(*basis.domain, strict=True)
    rows = [
        moments(BSpline(basis.knots[i : i + 1], basis.order), layer.residual, Law("uniform", float(low), float(high)))
        for i, (low, high) in enumerate(ends)
    ]
    return Moments(
        mu0=np.concatenate([m.mu0 for m in rows]),
        mu1=np.concatenate([m.mu1 for m in rows]),
        r0=np.concatenate([m.r0 for m in rows]),
        r1=np.concatenate([m.r1 for m in rows]),
        g=float(np.sqrt(np.mean([m.g**2 for m in rows]))),
    )
