"""How much of a layer's signal its splines carry, and how much its residual branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from initkit import Plot, Scene, Table, Verdict
from initkit_kan.layers import Layer, find_layers
from initkit_kan.watching import Seen, watch


def branches(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the variance over samples that either branch carries in each layer's output, averaged over outputs.

    Args:
        scene: of a model with spline or RBF layers that have a residual branch.
    """
    layers = [layer for layer in find_layers(scene.module).layers if layer.residual is not None]
    if not layers:
        return
    rows = [_row(seen) for seen in watch(scene, layers)]
    yield Table(
        "branches",
        rows,
        words="variance over samples of each layer's output, of its splines and of its residual branch",
        plot=Plot("line", "layer", ("splines", "residual"), log=("y",)),
        compare=("splines", "residual"),
    )
    still = [row["layer"] for row in rows if not row["output"] > 0]
    if still:
        yield Verdict("FAIL", "its output is the same for all samples", str(still[0]))
        return
    shares = [row["spline share"] for row in rows]
    yield Verdict("NOTE", f"splines carry {_percent(min(shares))} to {_percent(max(shares))} of the branches' variance")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _row(seen: Seen) -> dict[str, Any]:
    residual = residual_part(seen)
    y = seen.y.to(torch.float64)
    carried = {"output": y, "splines": y - residual, "residual": residual}
    row: dict[str, Any] = {"layer": seen.layer.name or "model"}
    row |= {name: float(part.var(dim=0, unbiased=False).mean()) for name, part in carried.items()}
    both = row["splines"] + row["residual"]
    row["spline share"] = row["splines"] / both if both > 0 else 0.0
    return row


def residual_part(seen: Seen) -> Tensor:
    """What the residual branch adds to the output, (samples, o), float64."""
    layer = seen.layer
    assert layer.residual is not None
    with torch.no_grad():
        value: Tensor = layer.residual(seen.x).to(torch.float64)
    return value @ _weights(layer)


def _weights(layer: Layer) -> Tensor:
    """Residual weights, (n, o), float64."""
    assert layer.residual_weights is not None
    stored: Any = layer.module
    for part in layer.residual_weights.split("."):
        stored = getattr(stored, part)
    weights: Tensor = stored.detach().to(torch.float64)
    if layer.packed:
        return weights[:, -layer.n :].T
    if layer.family != "pykan":
        return weights.T
    if layer.mask is not None:
        weights = weights * torch.from_numpy(layer.mask).to(weights.device)
    return weights
