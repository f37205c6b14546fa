"""Whether inputs lie where splines are: outside the grid they give nothing and learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initkit import NotMeasured, Plot, Scene, Table, Verdict
from initkit_kan.bases import Basis, BSpline, GaussianRbf, Pairs
from initkit_kan.layers import find_layers
from initkit_kan.watching import Seen, watch

OUTSIDE, DEAD = 0.2, 0.5


def grid(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield, layer by layer, the share of inputs outside the grid, and of those where every spline is 0.

    Args:
        scene: of a model with spline or RBF layers.
    """
    layers = [layer for layer in find_layers(scene.module).layers if layer.family != "chebykan"]
    if not layers:
        return
    rows = [_row(seen) for seen in watch(scene, layers)]
    yield Table(
        "grid",
        rows,
        words="share of inputs outside the grid (beyond the centres of bumps), and where all basis functions are 0",
        plot=Plot("bars", "layer", ("outside", "dead")),
    )
    worst = max(rows, key=lambda row: (row["dead"] > DEAD, row["outside"]))
    dead, outside = worst["dead"], worst["outside"]
    if dead > DEAD:
        words = (
            f"{100 * dead:.0f} % of the inputs are where every basis function is 0: its splines neither act nor learn"
        )
        yield Verdict("FAIL", f"{words}; scale the inputs, or move the grid (update_grid)", worst["layer"])
    elif outside > OUTSIDE:
        words = f"{100 * outside:.0f} % of the inputs are outside the grid"
        yield Verdict("WARN", f"{words}; scale the inputs, or move the grid (update_grid)", worst["layer"])
    else:
        yield Verdict("PASS", f"at most {100 * outside:.0f} % of a layer's inputs are outside its grid")


def _row(seen: Seen) -> dict[str, Any]:
    if not bool(torch.isfinite(seen.basis_x).all()):
        raise NotMeasured(f"NaN or infinite values reach {seen.layer.title}")
    return {"layer": seen.layer.name or "model", **shares(seen.layer.make_basis(), seen.basis_x)}


def shares(basis: Basis, inputs: Tensor) -> dict[str, float]:
    """Shares of inputs below and above the grid, outside it, and where every function is 0.

    Args:
        basis: splines, bumps, or products of splines.
        inputs: (samples, n), finite.
    """
    basis = basis.one if isinstance(basis, Pairs) else basis
    x = inputs.to("cpu", torch.float64).numpy()
    if isinstance(basis, BSpline):
        (low, high), first, last = basis.domain, basis.knots[:, 0], basis.knots[:, -1]
    else:
        assert isinstance(basis, GaussianRbf)
        low, high = np.array([min(basis.centres)]), np.array([max(basis.centres)])
        reach = 4 * basis.width  # a bump is below 1e-6 there
        first, last = low - reach, high + reach
    return {
        "below": float((x < low).mean()),
        "above": float((x > high).mean()),
        "outside": float(((x < low) | (x > high)).mean()),
        "dead": float(((x < first) | (x >= last)).mean()),
    }
