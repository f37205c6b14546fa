"""Size of signals and gradients by depth, by recipe and kind of layer, at the start of training.

A signal's size at layer l is the mean of z² over nodes and units, z the layer's output before the activation; a
gradient's is the mean of (dLoss/dz)², of the cross-entropy averaged over all nodes. ``diversity`` is 1 minus the
cosine between two nodes' states relu(z), averaged over all pairs: what scales cannot change.
"""

from __future__ import annotations

import itertools
import math
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, GINConv, GraphConv, SAGEConv

import initkit
from benchmarks.gnn import _citation

SEEDS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
LAYERS, HIDDEN = 10, 64
FIRST, LAST = 1, 8  # the ratio of the table: layer LAST over layer FIRST, both of width HIDDEN


def _mlp(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b))


OPERATORS: dict[str, Callable[[int, int], nn.Module]] = {
    "GCN": GCNConv,
    "GAT": GATConv,
    "mean-SAGE": SAGEConv,
    "GIN": lambda a, b: GINConv(_mlp(a, b)),
    "sum-GraphConv": GraphConv,
}
# label: (recipe, options that differ from the recipe's defaults, whether it asks for the graph)
RECIPES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "pyg_default": ("gnn/pyg_default", {}, False),
    "xavier": ("gnn/xavier", {}, False),
    "kaiming": ("gnn/kaiming", {}, False),
    "orthogonal": ("gnn/orthogonal", {}, False),
    "virgo forward, operator=gcn": ("gnn/virgo", {"variant": "forward", "operator": "gcn"}, True),
    "virgo forward": ("gnn/virgo", {"variant": "forward"}, True),
    "virgo backward": ("gnn/virgo", {"variant": "backward"}, True),
    "calibrated": ("gnn/calibrated", {}, True),
}


class Stack(nn.Module):
    """Layers of one kind with ReLU between them."""

    def __init__(self, make: Callable[[int, int], nn.Module], widths: list[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(make(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x, edge_index))
        return self.convs[-1](x, edge_index)


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = _citation.load("cora")
        rows = [_row(data, operator, label) for operator in OPERATORS for label in RECIPES]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "data": "cora",
        "source": data.source,
        "features": "row-normalised",
        "layers": LAYERS,
        "hidden": HIDDEN,
        "ratio": {"first": FIRST, "last": LAST},
        "rows": rows,
    }


def _row(data: _citation.Citation, operator: str, label: str) -> dict[str, Any]:
    recipe, options, _ = RECIPES[label]
    found = [_measured(data, operator, label, seed) for seed in SEEDS]
    row: dict[str, Any] = {"operator": operator, "label": label, "recipe": recipe, "options": options}
    for key in ("signal", "gradient"):
        row[key] = [_spread([sizes[key][i] for sizes in found]) for i in range(LAYERS)]
    row["diversity"] = [round(statistics.fmean(sizes["diversity"][i] for sizes in found), 5) for i in range(LAYERS - 1)]
    row["signal_ratio"] = _spread([sizes["signal"][LAST - 1] / sizes["signal"][FIRST - 1] for sizes in found])
    row["gradient_ratio"] = _spread([sizes["gradient"][FIRST - 1] / sizes["gradient"][LAST - 1] for sizes in found])
    return row


def _measured(data: _citation.Citation, operator: str, label: str, seed: int) -> dict[str, list[float]]:
    model = Stack(OPERATORS[operator], [data.x.shape[1], *[HIDDEN] * (LAYERS - 1), data.num_classes])
    recipe, options, asks = RECIPES[label]
    needs = {"graph": Data(x=data.x, edge_index=data.edge_index)} if asks else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # remarks on a layer's assumptions; they are in the report too
        # The default first: it fills what a recipe leaves alone, GAT's attention vectors, from streams.
        initkit.apply(model, ["gnn/pyg_default", initkit.recipe(recipe, **options)], seed=seed, **needs)
    outputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    for conv in model.convs:
        conv.register_forward_hook(keep)
    # In float64: the starts of some stacks leave float32's range in the gradient.
    model = model.double().eval()
    functional.cross_entropy(model(data.x.double(), data.edge_index), data.y).backward()
    return {
        "signal": [_mean_square(z) for z in outputs],
        "gradient": [_mean_square(z.grad) for z in outputs],
        "diversity": [_diversity(torch.relu(z)) for z in outputs[:-1]],
    }


def _mean_square(z: Tensor | None) -> float:
    assert z is not None
    return float(z.detach().double().square().mean())


def _diversity(h: Tensor) -> float:
    directions = functional.normalize(h.detach().double(), dim=1)
    return 1 - float(directions.mean(dim=0).square().sum())


def _spread(values: list[float]) -> dict[str, float]:
    """Return the geometric mean and the extremes, and the geometric standard deviation (a factor).

    Where a value is 0 or infinite there is the median in place of the mean, and no factor.
    """
    found = {"middle": statistics.median(values), "low": min(values), "high": max(values)}
    if min(values) > 0 and math.isfinite(max(values)):
        logs = [math.log(value) for value in values]
        found["middle"] = math.exp(statistics.fmean(logs))
        found["factor"] = math.exp(statistics.stdev(logs))
    return {key: float(f"{value:.5g}") for key, value in found.items()}
