"""Whether a search for the layers' scales earns its passes: SPoGInit's objective against gnn/calibrated.

One scale a layer, start 1, times Xavier weights, minimises
``J = w1 (‖H_1‖/‖H_(L-1)‖ - 1)² + w2 (‖g_2‖/‖g_(L-1)‖ - 1)² + w3 (GEV(X) - GEV(H_(L-1)))²`` with
``GEV(U) = ½ mean_k u_kᵀ(u_k - P u_k)/(u_kᵀ u_k)`` and g the loss gradients of the weights (Wang et al., TMLR 2025,
arXiv 2506.16790). Steps follow the sign of a zeroth-order estimate, averaged over three directions with common random
numbers, in float64. A pass is one forward and backward of the whole graph.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import initkit
from benchmarks.gnn import _citation
from benchmarks.gnn._deep import ACTIVATIONS, Bench, Deep, mean_std
from benchmarks.gnn._train import Protocol

SEEDS = [0, 1, 2]
LAYERS = 10
PROTOCOL = Protocol()
WEIGHTS = (1.0, 10.0, 1.0)
STEPS, DIRECTIONS, DELTA, RATE, DECAY, EVERY, PATIENCE = 100, 3, 1e-5, 0.05, 0.7, 20, 10
STARTS = ("pyg_default", "calibrated", "scale search")


class Objective:
    """The terms of J at given scales, without dropout."""

    def __init__(self, model: Deep, data: _citation.Citation) -> None:
        self._model, self._data = model.double().eval(), data
        self._bench = Bench(data, dtype=torch.float64)
        self._start = [conv.lin.weight.detach().clone() for conv in model.convs]
        self._energy = self._gev(data.x.double())
        self.passes = 0

    def terms(self, scales: np.ndarray) -> tuple[float, float, float]:
        """Forward, backward and energy terms, not weighted."""
        self.passes += 1
        with torch.no_grad():
            for conv, start, scale in zip(self._model.convs, self._start, scales, strict=True):
                conv.lin.weight.copy_(start * float(scale))
        self._model.zero_grad()
        logits = self._bench.logits(self._model)
        functional.cross_entropy(logits[self._data.train], self._data.y[self._data.train]).backward()
        states, convs = self._model.states, self._model.convs
        forward = float(states[0].detach().norm() / states[-1].detach().norm())
        backward = float(convs[1].lin.weight.grad.norm() / convs[-2].lin.weight.grad.norm())
        return (forward - 1) ** 2, (backward - 1) ** 2, (self._energy - self._gev(states[-1])) ** 2

    def __call__(self, scales: np.ndarray) -> float:
        return sum(w * term for w, term in zip(WEIGHTS, self.terms(scales), strict=True))

    def _gev(self, u: Tensor) -> float:
        u = u.detach()
        below = u.square().sum(0)
        kept = below > 0
        return float(0.5 * ((u * (u - self._bench.p @ u)).sum(0)[kept] / below[kept]).mean())


def search(objective: Objective, layers: int, stream: initkit.Stream) -> np.ndarray:
    """Return the best scales found."""
    scales = np.ones(layers)
    best, best_value, stale = scales.copy(), objective(scales), 0
    value, rate = best_value, RATE
    for step in range(STEPS):
        directions = stream.normals(step * DIRECTIONS * layers, DIRECTIONS * layers).reshape(DIRECTIONS, layers)
        slopes = [(objective(scales + DELTA * z) - value) / DELTA for z in directions]
        scales = scales - rate * np.sign(sum(s * z for s, z in zip(slopes, directions, strict=True)))
        value = objective(scales)
        if value < best_value:
            best, best_value, stale = scales.copy(), value, 0
        else:
            stale += 1
            if stale >= PATIENCE:
                break
        if (step + 1) % EVERY == 0:
            rate *= DECAY
    return best


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = _citation.load("cora")
        rows = [_row(data, activation, label) for activation in ACTIVATIONS for label in STARTS]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "source": data.source,
        "protocol": {**PROTOCOL.to_dict(), "layers": LAYERS, "features": "row-normalised", "split": "public"},
        "search": {"weights": WEIGHTS, "steps": STEPS, "directions": DIRECTIONS, "delta": DELTA, "rate": RATE},
        "rows": rows,
    }


def _row(data: _citation.Citation, activation: str, label: str) -> dict[str, Any]:
    bench = Bench(data)
    found = []
    for seed in SEEDS:
        widths = [data.x.shape[1], *[PROTOCOL.hidden] * (LAYERS - 1), data.num_classes]
        model = Deep(widths, activation=activation, dropout=PROTOCOL.dropout)
        begin = time.process_time()
        passes = _started(model, bench, activation, label, seed)
        seconds = time.process_time() - begin
        measured = Objective(model, data).terms(np.ones(LAYERS))
        terms = dict(zip(("forward_term", "backward_term", "energy_term"), measured, strict=True))
        outcome = bench.train(model.float(), PROTOCOL, seed)
        found.append({"passes": passes, "seconds": round(seconds, 3), **terms, **outcome})
        print(f"{activation}, {label}, seed {seed}: {outcome['test']:.3f} ({seconds:.1f} s)", file=sys.stderr)
    row: dict[str, Any] = {"activation": activation, "label": label}
    for key in found[0]:
        row[key] = [one[key] for one in found]
    row["test_mean"], row["test_std"] = mean_std(row["test"])
    return row


def _started(model: Deep, bench: Bench, activation: str, label: str, seed: int) -> int:
    """Start the model's weights; returns how many passes that took."""
    if label == "pyg_default":
        initkit.apply(model, "gnn/pyg_default", seed=seed)
        return 0
    if label == "calibrated":
        initkit.apply(model, initkit.recipe("gnn/calibrated", activation=activation), seed=seed, graph=bench.graph)
        return 1
    initkit.apply(model, "gnn/xavier", seed=seed)
    objective = Objective(model, bench.data)
    objective.terms(search(objective, LAYERS, initkit.Stream(seed, "scale search")))  # leaves the weights scaled
    return objective.passes - 1
