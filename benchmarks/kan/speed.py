"""What planning and writing cost.

Planning: kan/glorot on a hundred layers, with moments of a kind of layer that was not seen before, and again. Writing:
layers of 1024 inputs and outputs, G = 5 (9.4 million numbers each), against the normal stream alone and against the
library's own start, inkan's ``reset_parameters`` (torch's trunc_normal_). One thread; medians of seven runs, taken in
turn, and of the ratios within a turn.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from inkan import KANNetwork
from torch import nn

import initkit
from benchmarks.kan._layers import spline_network
from initkit_kan.moments import _basis_moments

REPEATS = 7
WIDTH, LAYERS = 1024, 2


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    small = spline_network([4] * 101, 5)
    times: dict[str, list[float]] = {}

    def first_plan() -> None:
        _basis_moments.cache_clear()
        initkit.plan(small, "kan/glorot")

    ways: dict[str, Callable[[], Any]] = {
        "plan of 100 layers, first": first_plan,
        "plan of 100 layers, again": lambda: initkit.plan(small, "kan/glorot"),
    }
    large = KANNetwork([WIDTH] * (LAYERS + 1), compile_basis=False)
    shapes = [tuple(layer.weight.shape) for layer in large.layers]

    def stream() -> None:
        for i, shape in enumerate(shapes):
            initkit.Normal(0.1).sample(shape, torch.float32, initkit.Stream(0, f"layers.{i}.weight"))

    def reset() -> None:
        layer: Any
        for layer in large.layers:
            layer.reset_parameters()

    class Plain(initkit.Recipe):
        """The same numbers in one scale, to tell the checks, statistics and hashes of any commit from the recipes."""

        def plan(self, model: nn.Module) -> Any:
            for name, _ in model.named_parameters():
                yield initkit.Fill(name, initkit.Normal(0.1), why="the same everywhere")

    ways |= {
        "stream alone": stream,
        "inkan's own start": reset,
        "a plain recipe: one scale, checks, statistics, hashes": lambda: initkit.apply(large, Plain(), rollback=False),
        "kan/power": lambda: initkit.apply(large, "kan/power", rollback=False),
        "kan/glorot": lambda: initkit.apply(large, "kan/glorot", rollback=False),
        "torch's normal_": lambda: [nn.init.normal_(layer.weight) for layer in large.layers],
    }
    for _, (name, way) in itertools.product(range(REPEATS), ways.items()):
        begin = time.perf_counter()
        way()
        times.setdefault(name, []).append(time.perf_counter() - begin)
    rows = [
        {
            "way": name,
            "seconds": float(f"{statistics.median(found):.4g}"),
            "low": float(f"{min(found):.4g}"),
            "high": float(f"{max(found):.4g}"),
        }
        for name, found in times.items()
    ]
    for row in rows:
        if not row["way"].startswith("plan"):
            ratios = [own / base for own, base in zip(times[row["way"]], times["stream alone"], strict=True)]
            row["over the stream"] = float(f"{statistics.median(ratios):.3g}")
        print(row, flush=True)
    return {
        "seeds": [],
        "numbers": sum(shape[0] * shape[1] for shape in shapes),
        "repeats": REPEATS,
        "rows": rows,
    }
