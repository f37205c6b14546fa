"""How long propagated and random features take on a graph of a million nodes, beside the plainest way to get them.

Each way runs in a process of its own on one thread, in turn, from the same edge list on disk, so that load from
elsewhere meets all alike; figures are medians. Peak memory is what a process needed beyond its libraries and the edge
list. "Plain" is a torch CSR matrix with the normalised values, products in float32, columns divided by their length:
no trajectory is kept. "Products" are the products alone.
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
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gnn import _data
from benchmarks.gnn.virgo_speed import _peak_mb

SEED, ROUNDS = 0, 5
NODES, ENTRIES = 1_000_000, 10_500_000
WIDTH, STEPS = 16, 8


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edges.npy"
        np.save(path, _data.uniform(NODES, ENTRIES, SEED))
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.gnn.rfp_speed", way, str(path)]
                single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
                done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
                print(way, found[way][-1], flush=True)
    rows = [
        {
            "way": way,
            **{key: round(statistics.median(one[key] for one in runs), 4) for key in runs[0]},
            "all_seconds": [round(one["seconds"], 3) for one in runs],
        }
        for way, runs in found.items()
    ]
    at = {row["way"]: row["seconds"] for row in rows}
    return {
        "seeds": [SEED],
        "nodes": NODES,
        "entries": ENTRIES,
        "width": WIDTH,
        "steps": STEPS,
        "threads": 1,
        "rows": rows,
        "ratios": {
            "rfp l2 over plain": round(at["rfp l2"] / at["plain l2"], 3),
            "rfp l2 over products": round(at["rfp l2"] / at["products"], 3),
            "rfp qr over rfp l2": round(at["rfp qr"] / at["rfp l2"], 3),
            "rni over torch.randn": round(at["rni k=64"] / at["torch.randn k=64"], 3),
            "rni over numpy": round(at["rni k=64"] / at["numpy normal k=64"], 3),
        },
    }


def _rfp(**options: Any) -> Callable[[np.ndarray], dict[str, float]]:
    def way(edges: np.ndarray) -> dict[str, float]:
        from initkit_gnn import Graph, propagate_features

        start = time.perf_counter()
        graph = Graph.of(edges, num_nodes=int(edges.max()) + 1)
        graph.matrix()
        built = time.perf_counter()
        propagate_features(graph, width=WIDTH, precision="float32", **{"steps": STEPS, **options})
        return {"seconds": time.perf_counter() - built, "graph_seconds": built - start}

    return way


def _gcn(edges: np.ndarray) -> Tensor:
    nodes = int(edges.max()) + 1
    loops = torch.arange(nodes)
    index = torch.cat([torch.from_numpy(edges).flip(0), torch.stack([loops, loops])], 1)
    degree = torch.bincount(index[0], minlength=nodes).float().rsqrt()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = degree[index[0]] * degree[index[1]]
        return torch.sparse_coo_tensor(index, value, (nodes, nodes)).coalesce().to_sparse_csr()


def plain(edges: np.ndarray) -> dict[str, float]:
    start = time.perf_counter()
    matrix = _gcn(edges)
    built = time.perf_counter()
    block = torch.randn(matrix.shape[0], WIDTH, generator=torch.Generator().manual_seed(SEED))
    for _ in range(STEPS):
        block = matrix @ block
        block /= block.norm(dim=0)
    return {"seconds": time.perf_counter() - built, "graph_seconds": built - start}


def products(edges: np.ndarray) -> dict[str, float]:
    matrix = _gcn(edges)
    block = torch.randn(matrix.shape[0], WIDTH, generator=torch.Generator().manual_seed(SEED))
    start = time.perf_counter()
    for _ in range(STEPS):
        matrix @ block
    return {"seconds": time.perf_counter() - start}


def rni(edges: np.ndarray) -> dict[str, float]:
    from torch_geometric.data import Data

    from initkit_gnn import RandomNodeFeatures

    data = Data(edge_index=torch.from_numpy(edges[:, :1]), num_nodes=NODES)
    transform = RandomNodeFeatures(64, 1.0)
    start = time.perf_counter()
    transform(data)
    return {"seconds": time.perf_counter() - start}


def torch_randn(edges: np.ndarray) -> dict[str, float]:
    start = time.perf_counter()
    torch.randn(NODES, 64, generator=torch.Generator().manual_seed(SEED))
    return {"seconds": time.perf_counter() - start}


def numpy_normal(edges: np.ndarray) -> dict[str, float]:
    start = time.perf_counter()
    np.random.default_rng(SEED).standard_normal((NODES, 64), dtype=np.float32)
    return {"seconds": time.perf_counter() - start}


WAYS: dict[str, Callable[[np.ndarray], dict[str, float]]] = {
    "rfp l2": _rfp(norm="l2"),
    "plain l2": plain,
    "products": products,
    "rfp qr": _rfp(norm="qr"),
    "rfp chebyshev, degree 16": _rfp(filter="chebyshev", steps=16),
    "rni k=64": rni,
    "torch.randn k=64": torch_randn,
    "numpy normal k=64": numpy_normal,
}


def _child() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("path", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    edges = np.load(chosen.path)
    # Libraries and their first-use costs come before the clock and the memory mark.
    half = np.random.default_rng(0).integers(0, 200, (2, 400))
    if not chosen.way.endswith("k=64"):
        WAYS[chosen.way](np.concatenate([half, half[::-1]], axis=1))
    before = _peak_mb()
    found = WAYS[chosen.way](edges)
    print(json.dumps({**found, "peak_mb": round(_peak_mb() - before)}))


if __name__ == "__main__":
    _child()
