"""hypll networks of several depths on the digits of scikit-learn, by start.

64 inputs scaled to radius 1 on average, L hyperbolic linear layers of width 32 with ReLU in the tangent space, a linear
classifier of tangent vectors; Adam with learning rate 0.003, batches of 128, 300 steps; 1297 images to train on, 500
to test.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from hypll.nn import HLinear
from hypll.tensors import ManifoldTensor
from sklearn.datasets import load_digits
from torch import Tensor, nn

import initkit
from benchmarks.poincare import _stacks
from initkit_poincare.geometry import exp0

SEEDS = [0, 1, 2, 3, 4]
DEPTHS, WIDTH, STEPS, BATCH, RATE = [2, 8, 16], 32, 300, 128, 3e-3
STARTS: dict[str, dict[str, Any]] = {
    "hypll": {},
    "hnnpp": {},
    "variance": {},
    "variance, gain √2": {"gain": 2**0.5},
    "identity": {},
    "orthogonal": {},
    "orthogonal, gain √2": {"gain": 2**0.5},
    "calibrated, orthogonal, network": {"start": "orthogonal", "keep": "network"},
}


class Network(nn.Module):
    """Hyperbolic layers between a ball's points and a linear classifier."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.ball = _stacks.ball()
        self.layers = nn.ModuleList(HLinear(64 if i == 0 else WIDTH, WIDTH, self.ball) for i in range(depth))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, v: Tensor) -> Tensor:
        for layer in self.layers:
            x = exp0(v, 1.0)
            out = layer(ManifoldTensor(x, self.ball, 1)).tensor
            size = out.norm(dim=1, keepdim=True).clamp_min(1e-15)
            v = torch.relu(torch.atanh(size.clamp_max(1 - 1e-6)) / size * out)
        return self.head(v)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std()
    x *= 0.5 / x.norm(dim=1).mean()
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    data = (x[order[500:]], y[order[500:]], x[order[:500]], y[order[:500]])
    rows = []
    for depth in DEPTHS:
        for label in STARTS:
            scores = [_score(data, depth, label, seed) for seed in SEEDS]
            rows.append(
                {
                    "depth": depth,
                    "label": label,
                    "test": scores,
                    "test_mean": round(statistics.fmean(scores), 4),
                    "test_std": round(statistics.stdev(scores), 4),
                }
            )
    return {"seeds": SEEDS, "width": WIDTH, "steps": STEPS, "rate": RATE, "rows": rows}


def _score(data: tuple[Tensor, ...], depth: int, label: str, seed: int) -> float:
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    model = Network(depth)
    if label != "hypll":
        recipe = initkit.recipe(f"poincare/{label.partition(',')[0]}", **STARTS[label])
        needs = {"inputs": x[:256]} if label.startswith("calibrated") else {}
        initkit.apply(model, recipe, seed=seed, **needs)
    parameters = [p.tensor if hasattr(p, "tensor") else p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    numbers = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = torch.randint(len(x), (BATCH,), generator=numbers)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()
    with torch.no_grad():
        return round(float((model(x_test).argmax(1) == y_test).float().mean()), 4)
