"""Filling many float32 numbers: ours, one and two threads, with and without numba, against torch's serial generator."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch

from initkit import _compiled, _normal, streams
from initkit._normal import Workspace
from initkit.streams import Kind, Stream, fill

COUNT = 50_000_000
REPETITIONS = 5
WORDS = 1 << 16


def run() -> dict[str, Any]:
    """Milliseconds per million numbers, medians of interleaved repetitions, and ratios to torch.

    Every figure stands for the whole of ``COUNT`` numbers in one call. A ratio is the median over repetitions of the
    ratio within one repetition, so that a slow moment of the machine counts for both sides.
    """
    load = os.getloadavg()[0]
    tensor = torch.empty(COUNT)
    out = tensor.numpy()
    stream = Stream(0, "benchmark")
    bits = np.random.Philox(key=stream.key)

    def words() -> None:
        for _ in range(COUNT // WORDS):
            bits.random_raw(WORDS)

    def ours(threads: int, way: Callable[..., Any] = _normal.quantile_into, kind: Kind = "normal") -> Any:
        def task() -> None:
            with mock.patch.object(streams, "quantile_for", return_value=way):
                fill(out, stream, threads=threads, kind=kind)

        return task

    def theirs(method: Callable[[], Any], threads: int) -> Any:
        def task() -> None:
            torch.set_num_threads(threads)
            method()

        return task

    began = time.process_time()
    _compiled.quantile_compiled(np.full(8, 0.5), Workspace(8))
    compiling = time.process_time() - began
    compiled = _compiled.quantile_compiled
    tasks: dict[str, Callable[[], object]] = {
        "torch normal_, 1 thread": theirs(tensor.normal_, 1),
        "torch normal_, 2 threads": theirs(tensor.normal_, 2),
        "torch uniform_, 1 thread": theirs(tensor.uniform_, 1),
        "torch uniform_, 2 threads": theirs(tensor.uniform_, 2),
        "Philox words alone": words,
        "normals, 1 thread": ours(1),
        "normals, 2 threads": ours(2),
        "normals compiled, 1 thread": ours(1, compiled),
        "normals compiled, 2 threads": ours(2, compiled),
        "uniforms, 1 thread": ours(1, kind="uniform"),
        "uniforms, 2 threads": ours(2, kind="uniform"),
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

    def ratio(name: str, took: dict[str, list[float]]) -> float:
        base = "torch uniform_, 1 thread" if "uniform" in name else "torch normal_, 1 thread"
        return round(statistics.median(a / b for a, b in zip(took[name], took[base], strict=True)), 2)

    def per_million(seconds: list[float]) -> float:
        return round(statistics.median(seconds) * 1e9 / COUNT, 2)

    rows = [
        {
            "what": name,
            "ms_per_million": per_million(times[name]),
            "processor_ms_per_million": per_million(busy[name]),
            "ratio_to_torch": ratio(name, times),
            "processor_ratio_to_torch": ratio(name, busy),
        }
        for name in tasks
    ]
    return {
        "seeds": [0],
        "count": COUNT,
        "repetitions": REPETITIONS,
        "dtype": "float32",
        "compiling_seconds": round(compiling, 1),
        "load_before": round(load, 2),  # other work on the machine, in processors
        "rows": rows,
    }
