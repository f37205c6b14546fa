"""Virgo and propagated features on a graph whose edges do not fit into the memory that the process may have.

A random graph is written to a file of edges. A process that may allocate far less than that file (RLIMIT_DATA) plans
Virgo for a GCN of three layers and propagates features, which go to a file too; then it tries to load the graph. The
same figures from memory, without a limit, are for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.nn import GCN

import initkit
from benchmarks.gnn.virgo_speed import _peak_mb
from initkit_gnn import Graph, StreamedGraph, propagate_features

SEED = 0
NODES, EDGES = 2**21, 64_000_000
ROOM_MB = 320
WIDTH, STEPS = 4, 4


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edges.npy"
        _write(path)
        rows = []
        for way in ("streamed", "in memory"):
            command = [sys.executable, "-m", "benchmarks.gnn.streaming", way, str(path)]
            single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
            rows.append({"way": way, **json.loads(done.stdout.splitlines()[-1])})
            print(rows[-1], flush=True)
        size = path.stat().st_size / 2**20
    streamed, whole = rows
    return {
        "seeds": [SEED],
        "nodes": NODES,
        "stored_edges": EDGES,
        "file_mb": round(size),
        "room_mb": ROOM_MB,
        "steps": STEPS,
        "width": WIDTH,
        "rows": rows,
        "same_variances": streamed["std"] == whole["std"],
        "largest_difference_of_features": max(
            abs(a - b) for a, b in zip(streamed["first"], whole["first"], strict=True)
        ),
        "time_over_memory": round(
            (streamed["virgo_seconds"] + streamed["rfp_seconds"]) / (whole["virgo_seconds"] + whole["rfp_seconds"]), 2
        ),
    }


def _write(path: Path) -> None:
    """Write a symmetric graph with uniform ends, a piece at a time."""
    out = np.lib.format.open_memmap(path, "w+", np.int32, (2, EDGES))
    rng = np.random.default_rng(SEED)
    piece = 2**21
    for first in range(0, EDGES, 2 * piece):
        count = min(piece, (EDGES - first) // 2)
        half = rng.integers(0, NODES, (2, count), dtype=np.int32)
        out[:, first : first + count] = half
        out[:, first + count : first + 2 * count] = half[::-1]
    out.flush()


def _child() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way")
    parser.add_argument("path", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    recipe = initkit.recipe("gnn/virgo", variant="harmonic", signal="ones")
    model = GCN(16, 64, num_layers=3, out_channels=8)
    tiny = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
    initkit.plan(model, recipe, graph=StreamedGraph(tiny))
    propagate_features(StreamedGraph(tiny), width=2, steps=2)
    limited = chosen.way == "streamed"
    if limited:
        used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
        limit = int(used.split()[1]) * 1024 + ROOM_MB * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    before = _peak_mb()
    start = time.perf_counter()
    graph = StreamedGraph(chosen.path) if limited else Graph.of(np.load(chosen.path))
    plan = initkit.plan(model, recipe, graph=graph)
    planned = time.perf_counter()
    out = np.lib.format.open_memmap(
        chosen.path.with_name("features.npy"), "w+", np.float32, (NODES, WIDTH * (STEPS + 1))
    )
    propagate_features(graph, width=WIDTH, steps=STEPS, precision="float32", out=out)
    end = time.perf_counter()
    found: dict[str, Any] = {
        "virgo_seconds": round(planned - start, 2),
        "rfp_seconds": round(end - planned, 2),
        "peak_mb": round(_peak_mb() - before),
        "std": [fill.draw.std for fill in plan.fills],
        "first": [round(float(value), 5) for value in out[:3].ravel()],
    }
    if limited:
        try:
            Graph.of(np.load(chosen.path)).matrix()
            found["in_memory_under_the_limit"] = "fits"
        except MemoryError:
            found["in_memory_under_the_limit"] = "MemoryError"
    print(json.dumps(found))


if __name__ == "__main__":
    _child()
