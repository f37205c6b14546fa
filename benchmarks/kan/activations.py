"""What the learnable activations of a layer look like from each start.

Six connections of a layer 8 to 8 in efficient-kan's layout, G = 5, on (-1.5, 1.5): the grid ends at ±1, the last
splines at ±2.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from benchmarks.kan._layers import SplineLinear
from benchmarks.kan._starts import STARTS, start

SEED = 0
CURVES = 6


def run() -> dict[str, Any]:
    x = torch.linspace(-1.5, 1.5, 61)
    rows = []
    for label, recipe in STARTS.items():
        layer = SplineLinear(8, 8)
        start(layer, recipe, SEED)
        with torch.no_grad():
            bumps = layer.basis(x.unsqueeze(1).expand(-1, 8))
            weight = layer.spline_weight * layer.spline_scaler.unsqueeze(-1)
            # Output 0 and the first six inputs.
            curves = functional.silu(x)[:, None] * layer.base_weight[0] + torch.einsum("pim,im->pi", bumps, weight[0])
        rows.append({"label": label, "curves": [[round(float(v), 5) for v in c] for c in curves.T[:CURVES]]})
    return {"seeds": [SEED], "x": [round(float(v), 4) for v in x], "rows": rows}
