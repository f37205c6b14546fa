"""Function fitting from different starts: Adam with rate 1e-3 on the full batch, the same steps for all.

Small: [d, 8, 8, 1], G = 5, 400 points, 2000 steps, four functions. Deep: eight hidden layers of 16, G = 5, 256 points.
Big: [d, 32, 32, 32, 1], G = 20, 256 points. Inputs are uniform on (-1, 1); the error is the relative L2 error on 2000
points that are not trained on. Layers have efficient-kan's layout. All starts and seeds of a task train side by side
as one stack of models, which changes nothing for any of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.kan._layers import spline_network
from benchmarks.kan._stack import Stack
from benchmarks.kan._starts import STARTS as ALL_STARTS
from benchmarks.kan._starts import spread, start

Function = Callable[[Tensor], Tensor]
STARTS = {label: recipe for label, recipe in ALL_STARTS.items() if label != "iso 0.1"}
FUNCTIONS: dict[str, tuple[int, Function]] = {
    "exp(sin πx + y²)": (2, lambda x: torch.exp(torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2)),
    "x exp(-y)": (2, lambda x: x[:, 0] * torch.exp(-x[:, 1])),
    "x (1 + y cos z)": (3, lambda x: x[:, 0] * (1 + x[:, 1] * torch.cos(x[:, 2]))),
    "√(1 + x² + y²)": (2, lambda x: torch.sqrt(1 + x[:, 0] ** 2 + x[:, 1] ** 2)),
}
HARD = ("exp(sin πx + y²)", "x (1 + y cos z)")
# size: hidden widths, grid, points, steps, seeds, functions
SIZES: dict[str, tuple[list[int], int, int, int, int, tuple[str, ...]]] = {
    "small": ([8, 8], 5, 400, 2000, 5, tuple(FUNCTIONS)),
    "deep": ([16] * 8, 5, 256, 500, 3, HARD),
    "big": ([32] * 3, 20, 256, 300, 3, HARD),
}
HELD_OUT = 2000


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for size, (hidden, intervals, points, steps, seeds, functions) in SIZES.items():
        for function in functions:
            for row in _task(function, hidden, intervals, points, steps, seeds):
                rows.append({"size": size, "function": function, **row})
                error = row["error"]
                print(
                    f"{size}, {function}, {row['label']}: {error['middle']} [{error['low']}, {error['high']}]",
                    flush=True,
                )
    return {
        "seeds": list(range(max(size[4] for size in SIZES.values()))),
        "sizes": {
            name: {"hidden": s[0], "intervals": s[1], "points": s[2], "steps": s[3], "seeds": s[4]}
            for name, s in SIZES.items()
        },
        "rows": rows,
        "verdicts": _verdicts(rows),
    }


def _task(
    function: str, hidden: list[int], intervals: int, points: int, steps: int, seeds: int
) -> list[dict[str, Any]]:
    inputs, target = FUNCTIONS[function]
    models = [
        start(spline_network([inputs, *hidden, 1], intervals), recipe, seed)
        for recipe in STARTS.values()
        for seed in range(seeds)
    ]
    data = [_data(inputs, target, points, seed) for seed in range(seeds)] * len(STARTS)
    x, y, held_x, held_y = (torch.stack(parts) for parts in zip(*data, strict=True))
    stack = Stack(models)
    optimizer = torch.optim.Adam(stack.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        (stack(x).squeeze(-1) - y).square().mean(1).sum().backward()
        optimizer.step()
    with torch.no_grad():
        losses = (stack(x).squeeze(-1) - y).square().mean(1)
        errors = (stack(held_x).squeeze(-1) - held_y).norm(dim=1) / held_y.norm(dim=1)
    rows = []
    for i, label in enumerate(STARTS):
        own = slice(i * seeds, (i + 1) * seeds)
        found = errors[own].tolist()
        rows.append(
            {
                "label": label,
                "loss": spread(losses[own].tolist()),
                "error": {**spread(found), "median": float(f"{statistics.median(found):.4g}")},
                "errors": [float(f"{value:.4g}") for value in found],
            }
        )
    return rows


def _data(inputs: int, target: Function, points: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(points + HELD_OUT, inputs, generator=numbers) - 1
    y = target(x)
    return x[:points], y[:points], x[points:], y[points:]


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = {(row["size"], row["function"], row["label"]): row["error"]["median"] for row in rows}
    found = []
    for rival, at_least in (("default", 4), ("baseline", 3)):
        wins = [f for f in FUNCTIONS if at["small", f, "power"] < at["small", f, rival]]
        found.append(
            {
                "what": f"small networks: power's median error is below {rival}'s on {at_least} functions or more",
                "found": len(wins),
                "at_least": at_least,
                "holds": len(wins) >= at_least,
            }
        )
    return found
