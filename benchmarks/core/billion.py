"""A model of a billion parameters from the meta device: our start against its own reset_parameters, time and memory."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

import initkit
from initkit import Fill, Normal, Recipe, Uniform, _stats, streams

WIDTH, LAYERS = 4096, 60
STD = 0.02
THREADS = (1, 2)


@dataclass(frozen=True)
class Own(Recipe):
    """What the layers start themselves with, or plain normal weights.

    Source: torch.nn.Linear.

    Args:
        law: ``uniform``: torch's own bounds; ``normal``: weights N(0, 0.02²).
    """

    law: Literal["uniform", "normal"] = "uniform"

    def plan(self, model: nn.Module) -> Iterator[Fill]:
        """Yield a fill for each weight."""
        for name, parameter in model.named_parameters():
            bound = 1 / math.sqrt(parameter.shape[1])
            draw = Uniform(-bound, bound) if self.law == "uniform" else Normal(STD)
            yield Fill(name, draw, why=self.law)


def build() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))


def reset(model: nn.Module, law: str) -> None:
    model.to_empty(device="cpu")
    for layer in model.children():
        assert isinstance(layer, nn.Linear)
        if law == "uniform":
            layer.reset_parameters()
        else:
            nn.init.normal_(layer.weight, std=STD)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measured(who: str, law: str, threads: int) -> dict[str, Any]:
    """One start, in this process alone."""
    torch.set_num_threads(threads)
    model = build()
    parts = {"numbers": 0.0, "report": 0.0}
    if who == "initkit":
        _clock(parts, streams, "fill_runs", "numbers")
        _clock(parts, _stats.Measure, "add", "report")
        initkit.recipe  # noqa: B018 - imported before the clock starts
    before, began, worked = peak(), time.perf_counter(), time.process_time()
    if who == "initkit":
        initkit.apply(model, Own(law=law), seed=0)  # type: ignore[arg-type]
    else:
        reset(model, law)
    return {
        "who": who,
        "law": law,
        "threads": threads,
        "seconds": round(time.perf_counter() - began, 2),
        "processor_seconds": round(time.process_time() - worked, 2),
        "peak_gib": round(peak() - before, 2),
        **({f"{name}_seconds": round(seconds, 2) for name, seconds in parts.items()} if who == "initkit" else {}),
    }


def _clock(parts: dict[str, float], owner: Any, name: str, part: str) -> None:
    inner = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            parts[part] += time.perf_counter() - began

    setattr(owner, name, timed)


def run() -> dict[str, Any]:
    """One process a start, one after the other."""
    load, rows = os.getloadavg()[0], []
    for law in ("uniform", "normal"):
        for threads in THREADS:
            pair = []
            for who in ("torch", "initkit"):
                command = [sys.executable, "-m", "benchmarks.core.billion", who, law, str(threads)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                pair.append(json.loads(done.stdout.splitlines()[-1]))
            for name in ("seconds", "processor_seconds"):
                pair[1][f"{name}_ratio"] = round(pair[1][name] / pair[0][name], 2)
            rows += pair
    return {
        "seeds": [0],
        "parameters": WIDTH * WIDTH * LAYERS,
        "dtype": "float32",
        "model_gib": round(WIDTH * WIDTH * LAYERS * 4 / 2**30, 2),
        "largest_tensor_gib": round(WIDTH * WIDTH * 4 / 2**30, 3),
        "load_before": round(load, 2),
        "rows": rows,
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
