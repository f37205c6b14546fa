"""Root mean square of the outputs of two stacked layers, before and after ssm/output_scale, by kind of data.

Sequences of 512 steps and 16 channels; sizes are over the second half of the steps, on other sequences than those that
the recipe saw. The layers are the plugin's S4D example layer, with the recipe's start and steps from 0.001 to 0.1.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from torch import Tensor, nn

import initkit
from initkit_ssm.example_s4d import S4D

CHANNELS, STATE, LENGTH, SEQUENCES = 16, 64, 512, 32
SEEDS = [0, 1, 2]
DATA = ("white", "AR(1), 0.99", "constant")
STARTS: dict[str, list[Any]] = {
    "ssm/s4d": [],
    "output_scale, exact": [("ssm/output_scale", {"mode": "exact"})],
    "output_scale, bound": [("ssm/output_scale", {"mode": "bound"})],
}


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = S4D(CHANNELS, STATE), S4D(CHANNELS, STATE)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.second(nn.functional.gelu(first))]


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for data in DATA:
        for label, extra in STARTS.items():
            sizes: list[list[float]] = [[], []]
            for seed in SEEDS:
                model = Stack()
                recipes = ["ssm/s4d", *(initkit.recipe(name, **options) for name, options in extra)]
                needs = {"inputs": _sequences(data, 2 * seed)} if extra else {}
                initkit.apply(model, recipes, seed=seed, **needs)
                with torch.no_grad():
                    outputs = model(_sequences(data, 2 * seed + 1))
                for found, y in zip(sizes, outputs, strict=True):
                    found.append(round(float(y[:, LENGTH // 2 :].square().mean().sqrt()), 4))
            rows.append({"data": data, "label": label, "first": sizes[0], "second": sizes[1]})
            print(rows[-1], flush=True)
    exact = [size for row in rows if row["label"].endswith("exact") for size in (*row["first"], *row["second"])]
    return {
        "seeds": SEEDS,
        "rows": rows,
        "verdicts": [
            {
                "what": "least size with mode exact",
                "found": min(exact),
                "at_least": 0.7,
                "holds": min(exact) >= 0.7,
            },
            {"what": "greatest size with mode exact", "found": max(exact), "at_most": 1.4, "holds": max(exact) <= 1.4},
        ],
        "means": {row["data"] + ", " + row["label"]: round(statistics.fmean(row["second"]), 3) for row in rows},
    }


def _sequences(data: str, seed: int) -> Tensor:
    def noise(length: int, tag: str) -> Tensor:
        stream = initkit.Stream(seed, f"{data}#{tag}")
        return initkit.Normal(1.0).sample((SEQUENCES, length, CHANNELS), torch.float32, stream)

    if data == "white":
        return noise(LENGTH, "all")
    if data == "constant":
        return noise(1, "all").expand(-1, LENGTH, -1).contiguous()
    shocks, x, phi, out = noise(LENGTH, "shocks"), noise(1, "first")[:, 0], 0.99, []
    for t in range(LENGTH):
        x = phi * x + math.sqrt(1 - phi * phi) * shocks[:, t]
        out.append(x)
    return torch.stack(out, 1)
