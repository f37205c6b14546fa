"""Sixteen-layer GCNs on Cora, plain, with the mixed operator and with residual connections, by start of the weights.

``signal`` is the mean of h² at the last hidden layer over that at the first, h the state that the next layer reads;
``diversity`` is 1 minus the cosine between two nodes' states there, averaged over all pairs; both before training.
Options are fixed beforehand, and a start that gains nothing is shown as it is.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

import initkit
from benchmarks.gnn import _citation
from benchmarks.gnn._deep import Bench, Deep, diversity, mean_std
from benchmarks.gnn._train import Protocol

SEEDS = [0, 1, 2]
LAYERS, T = 16, 0.5
PROTOCOL = Protocol()
SHAPES = ("plain", "mixed", "residual")
# label: (recipe, options); the zero start is for residual connections alone
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "pyg_default": ("gnn/pyg_default", {}),
    "residual_aggregation": ("gnn/residual_aggregation", {}),
    "residual_aggregation, zero_branches": ("gnn/residual_aggregation", {"zero_branches": True}),
    "calibrated": ("gnn/calibrated", {}),
}


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = _citation.load("cora")
        rows = [
            _row(data, shape, label)
            for shape in SHAPES
            for label in RECIPES
            if shape == "residual" or "zero_branches" not in label
        ]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "source": data.source,
        "protocol": {**PROTOCOL.to_dict(), "layers": LAYERS, "t": T, "features": "row-normalised", "split": "public"},
        "rows": rows,
    }


def _row(data: _citation.Citation, shape: str, label: str) -> dict[str, Any]:
    recipe, options = RECIPES[label]
    bench = Bench(data, T if shape == "mixed" else None)
    found: list[dict[str, Any]] = []
    for seed in SEEDS:
        widths = [data.x.shape[1], *[PROTOCOL.hidden] * (LAYERS - 1), data.num_classes]
        model = Deep(widths, residual=shape == "residual", mixed=shape == "mixed", dropout=PROTOCOL.dropout)
        needs = {} if recipe == "gnn/pyg_default" else {"graph": bench.graph}
        initkit.apply(model, initkit.recipe(recipe, **options), seed=seed, **needs)
        model.eval()
        with torch.no_grad():
            bench.logits(model)
        first, last = model.states[0].double(), model.states[-1].double()
        sizes = {"signal": float(last.square().mean() / first.square().mean()), "diversity": diversity(last)}
        found.append({**sizes, **bench.train(model, PROTOCOL, seed)})
        print(f"{shape}, {label}, seed {seed}: {found[-1]['test']:.3f}", file=sys.stderr)
    row: dict[str, Any] = {"shape": shape, "label": label, "recipe": recipe, "options": options}
    for key in found[0]:
        row[key] = [one[key] for one in found]
    row["test_mean"], row["test_std"] = mean_std(row["test"])
    return row
