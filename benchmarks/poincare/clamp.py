"""Share of points on the projection boundary, and mean radius, as embeddings start: hypll, geoopt, wrapped normal.

hypll's tables have its default ``Curvature(1.0)``, which is c = 1.3133; geoopt's ball has c = 1. float32.
"""

from __future__ import annotations

import statistics
from typing import Any

import geoopt
import torch
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HEmbedding
from torch import Tensor

import initkit
from initkit_poincare.geometry import radius

SEEDS = [0, 1, 2, 3, 4]
ROWS, DIMS, EPS = 2000, [2, 5, 10, 32, 64], 4e-3


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for dim in DIMS:
        for label in ("hypll HEmbedding", "geoopt random_normal", "poincare/wrapped_normal"):
            tables = [_points(label, dim, seed) for seed in SEEDS]
            edge = (1 - EPS) * (1 - 1e-5)
            shares = [float((t.double().norm(dim=1) * c**0.5 > edge).double().mean()) for t, c in tables]
            radii = [float(radius(t, c).mean()) for t, c in tables]
            rows.append(
                {
                    "label": label,
                    "dim": dim,
                    "share_mean": round(statistics.fmean(shares), 4),
                    "share_low": min(shares),
                    "share_high": max(shares),
                    "radius_mean": round(statistics.fmean(radii), 4),
                    "radius_std": round(statistics.stdev(radii), 4),
                }
            )
    return {"seeds": SEEDS, "points": ROWS, "rows": rows}


def _points(label: str, dim: int, seed: int) -> tuple[Tensor, float]:
    torch.manual_seed(seed)
    if label.startswith("geoopt"):
        return torch.Tensor(geoopt.PoincareBall(1.0).random_normal(ROWS, dim, std=1.0).detach()), 1.0
    model = HEmbedding(ROWS, dim, PoincareBall(Curvature(1.0)))
    if label.startswith("poincare"):
        initkit.apply(model, "poincare/wrapped_normal", seed=seed)
    return model.weight.tensor.detach(), float(model.manifold.c())
