"""Filling 100 million float32 numbers: ours, one and two threads, against torch's serial generator."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from initkit.streams import Stream, fill

COUNT = 100_000_000
REPETITIONS = 5
WORDS = 1 << 16


def run() -> dict[str, Any]:
    """Milliseconds per million numbers, medians of interleaved repetitions, and ratios to torch.

    Every figure stands for the whole of ``COUNT`` numbers in one call. A ratio is the median over repetitions of the
    ratio within one repetition, so that a slow moment of the machine counts for both sides.
    """
    load = os.getloadavg()[0]
    torch.set_num_threads(2)
    tensor = torch.empty(COUNT)
    out = tensor.numpy()
    stream = Stream(0, "benchmark")
    bits = np.random.Philox(key=stream.key)

    def words() -> None:
        for _ in range(COUNT // WORDS):
            bits.random_raw(WORDS)

    tasks: dict[str, Callable[[], object]] = {
        "torch normal_": tensor.normal_,
        "torch uniform_": tensor.uniform_,
        "Philox words alone": words,
        "normals, 1 thread": lambda: fill(out, stream, threads=1),
        "normals, 2 threads": lambda: fill(out, stream, threads=2),
        "uniforms, 1 thread": lambda: fill(out, stream, kind="uniform", threads=1),
        "uniforms, 2 threads": lambda: fill(out, stream, kind="uniform", threads=2),
    }
    torch.manual_seed(0)
    tensor.zero_()  # the pages are there before the first clock starts
    times: dict[str, list[float]] = {name: [] for name in tasks}
    busy: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(REPETITIONS):
        for name, task in tasks.items():
            began, worked = time.perf_counter(), time.process_time()
            task()
            times[name].append(time.perf_counter() - began)
            busy[name].append(time.process_time() - worked)

    def ratio(name: str, base: str) -> float:
        return round(statistics.median(a / b for a, b in zip(times[name], times[base], strict=True)), 2)

    def per_million(seconds: list[float]) -> float:
        return round(statistics.median(seconds) * 1e9 / COUNT, 2)

    rows = [
        {
            "what": name,
            "ms_per_million": per_million(times[name]),
            "processor_ms_per_million": per_million(busy[name]),
            "ratio_to_torch": ratio(name, "torch uniform_" if "uniform" in name else "torch normal_"),
        }
        for name in tasks
    ]
    return {
        "seeds": [0],
        "count": COUNT,
        "repetitions": REPETITIONS,
        "dtype": "float32",
        "load_before": round(load, 2),  # other work on the machine, in processors
        "rows": rows,
    }
