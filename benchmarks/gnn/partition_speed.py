"""How long gnn/graph_partition takes on a graph of a million nodes, stage by stage, beside plain SciPy and METIS alone.

Each way runs in its own process on one thread, from the same shuffled edge list on disk; peak memory is what the
process needed beyond its libraries and the edge list.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gnn._blocks import block_graph

SEED = 0
NODES, ENTRIES, BLOCKS, BETWEEN, WIDTH = 1_000_000, 10_500_000, 1000, 0.3, 16
ROUNDS = 3
TARGET_SECONDS, TARGET_MB = 24, 2048


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        edges = block_graph(NODES, ENTRIES, BLOCKS, BETWEEN, SEED)
        np.save(Path(folder) / "edges.npy", edges)
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        loads = []
        for turn in range(ROUNDS):
            for way in WAYS:
                if way == "fallback" and turn:
                    continue
                loads.append(os.getloadavg()[0])
                command = [sys.executable, "-m", "benchmarks.gnn.partition_speed", way, folder]
                single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
                done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout))
                print(way, found[way][-1], flush=True)
    middle = {way: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for way, runs in found.items()}
    ours, plain = middle["recipe"], middle["plain"]
    return {
        "seeds": [SEED],
        "graph": f"degree-corrected blocks, {NODES} nodes, {edges.shape[1]} directed edges, {BLOCKS} planted blocks",
        "threads": 1,
        "load_average": [min(loads), max(loads)],
        "rows": [{"way": way, **values, "rounds": found[way]} for way, values in middle.items()],
        "spread_over_plain": middle["stages"]["spread_seconds"] / plain["spread_seconds"],
        "recipe_over_partition": ours["seconds"] / middle["stages"]["partition_seconds"],
        "targets": {"seconds": TARGET_SECONDS, "peak_mb": TARGET_MB},
        "met": {"seconds": ours["seconds"] <= TARGET_SECONDS, "peak_mb": ours["peak_mb"] <= TARGET_MB},
    }


def recipe(edges: np.ndarray) -> dict[str, Any]:
    """The whole recipe on a table that is there."""
    return _applied(edges, "auto")


def fallback(edges: np.ndarray) -> dict[str, Any]:
    """The same without a partition library."""
    return _applied(edges, "label_propagation")


def _applied(edges: np.ndarray, engine: str) -> dict[str, Any]:
    import initkit

    nodes = int(edges.max()) + 1
    model = torch.nn.Embedding(nodes, WIDTH)
    clock = _Clock()
    report = initkit.apply(model, initkit.recipe("gnn/graph_partition", engine=engine), graph=edges, seed=SEED)
    found = clock.read()
    row = report.notes["gnn/graph_partition partition"][0]
    steps = report.notes["gnn/graph_partition spreading"][0]["steps"]
    return {**found, "cut": row["cut"], "imbalance": row["imbalance"], "steps": steps}


def stages(edges: np.ndarray) -> dict[str, Any]:
    """Each stage by itself."""
    from initkit import Stream
    from initkit_gnn.block_embedding import abstract_graph, embedded
    from initkit_gnn.graph import Graph
    from initkit_gnn.partition import partition
    from initkit_gnn.spreading import Neighbourhood
    from initkit_gnn.undirected import undirected

    clock = _Clock()
    graph = undirected(Graph.of(edges))
    times = {"read_seconds": clock.lap()}
    blocks = int(np.ceil(np.sqrt(graph.num_nodes)))
    found = partition(graph, blocks, "pymetis", Stream(SEED, "partition"))
    times["partition_seconds"] = clock.lap()
    abstract = abstract_graph(graph, found.block, found.count)
    times["abstract_seconds"] = clock.lap()
    vectors, _ = embedded(abstract, WIDTH, None, Stream(SEED, "embed"))
    times["embed_seconds"] = clock.lap()
    start = torch.from_numpy(vectors).float()[torch.from_numpy(found.block)]
    around = Neighbourhood(graph, found.block, torch.device("cpu"), torch.float32)
    times["order_seconds"] = clock.lap()
    steps = len(around.spread(start, graph.num_nodes**-0.5, 100).changes)
    times["spread_seconds"] = clock.lap() / steps
    return {**times, "steps": steps}


def plain(edges: np.ndarray) -> dict[str, Any]:
    """SciPy alone: a sparse triple product for the abstract graph, steps of spreading as one writes them down."""
    import scipy.sparse as sp

    nodes = int(edges.max()) + 1
    blocks = int(np.ceil(np.sqrt(nodes)))
    clock = _Clock()
    ones = np.ones(edges.shape[1], np.float32)
    matrix = sp.coo_array((ones, (edges[1].astype(np.int32), edges[0].astype(np.int32))), shape=(nodes, nodes)).tocsr()
    times = {"read_seconds": clock.lap()}
    block = np.random.default_rng(SEED).integers(0, blocks, nodes)
    chosen = sp.coo_array((np.ones(nodes, np.float32), (np.arange(nodes), block)), shape=(nodes, blocks)).tocsr()
    clock.lap()
    (chosen.T @ matrix @ chosen).toarray()
    times["abstract_seconds"] = clock.lap()
    f = np.random.default_rng(SEED).standard_normal((nodes, WIDTH), dtype=np.float32)
    degree = np.maximum(matrix.sum(axis=1), 1)[:, None]
    clock.lap()
    for _ in range(5):
        new = (f + (matrix @ f) / degree) / 2
        np.linalg.norm(new - f, axis=1).mean()
        f = new
    times["spread_seconds"] = clock.lap() / 5
    return times


WAYS: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "recipe": recipe,
    "stages": stages,
    "plain": plain,
    "fallback": fallback,
}


class _Clock:
    """Wall and processor time; laps are processor time, which other processes on the machine disturb less."""

    def __init__(self) -> None:
        self._wall, self._start, self._last = time.perf_counter(), time.process_time(), time.process_time()

    def lap(self) -> float:
        now = time.process_time()
        last, self._last = self._last, now
        return now - last

    def read(self) -> dict[str, float]:
        return {"seconds": time.process_time() - self._start, "wall_seconds": time.perf_counter() - self._wall}


def _child() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    edges = np.load(chosen.folder / "edges.npy")
    # Libraries and their first-use costs come before the clock and the memory mark.
    ring = np.arange(64)
    WAYS[chosen.way](np.concatenate(([ring, np.roll(ring, 1)], [np.roll(ring, 1), ring]), axis=1))
    before = _peak_mb()
    found = WAYS[chosen.way](edges)
    print(json.dumps({**found, "peak_mb": _peak_mb() - before}))


def _peak_mb() -> float:
    """Return the most memory this process has had; getrusage would count its parent's from before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    _child()
