"""How long Virgo's variances take on a graph of a million nodes, beside the authors' way and the bare products.

Each way runs in its own process on one thread, from the same shuffled edge list on disk; peak memory is what the
process needed beyond its libraries and the edge list. The authors' way is written from the description of their
code: the GCN normalisation is computed anew for each of the L steps and messages are passed edge by edge in float32.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
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

from benchmarks.gnn import _data

SEED = 0
LAYERS, WIDTH, CLASSES, FEATURES = 10, 64, 16, 16
ROUNDS = 3
GRAPHS: dict[str, Callable[[], np.ndarray]] = {
    "uniform, 1.00M nodes": lambda: _data.uniform(1_000_000, 10_000_000, SEED),
    "R-MAT, 1.05M nodes": lambda: _data.rmat(20, 5_400_000, SEED),
}

GOLDEN = (
    # graph, row-normalised, widths, classes, forward, backward; of the authors' code
    (
        "cora",
        False,
        [1433, 64, 64, 64, 64, 64, 7],
        [0.0013956734, 0.031929734, 0.031500127, 0.031381678, 0.031333888, 0.031309179],
        [0.031279086, 0.031291322, 0.031315808, 0.031379846, 0.031619597, 0.17789784],
    ),
    (
        "cora",
        True,
        [1433, 64, 64, 64, 64, 64, 7],
        [0.0013956734, 0.031619591, 0.03137985, 0.031315808, 0.031291317, 0.031279084],
        [0.031279086, 0.031291322, 0.031315808, 0.031379846, 0.031619597, 0.17789784],
    ),
    ("citeseer", True, [3703, 64, 6], [0.00054010262, 0.031481643], [0.031469162, 0.20839408]),
    ("pubmed", False, [500, 64, 3], [0.004, 0.032313016], [0.032307171, 0.58167329]),
)
NORMS = {"cora": 0.22865, "citeseer": 0.32366, "pubmed": 0.21608}


def run() -> dict[str, Any]:
    rows = []
    for name, make in GRAPHS.items():
        with tempfile.TemporaryDirectory() as folder:
            edges = make()
            np.save(Path(folder) / "edges.npy", edges)
            nodes = int(edges.max()) + 1
            x = np.random.default_rng(SEED).standard_normal((nodes, FEATURES), dtype=np.float32) + 1
            np.save(Path(folder) / "x.npy", x)
            row = {"graph": name, "nodes": nodes, "stored_edges": edges.shape[1], **_compared(folder)}
        print(json.dumps(row, indent=1), flush=True)
        rows.append(row)
    return {"seeds": [SEED], "layers": LAYERS, "threads": 1, "rows": rows, "golden": golden()}


def _compared(folder: str) -> dict[str, Any]:
    """Run the ways in turn, ROUNDS times, and set their medians beside one another."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.gnn.virgo_speed", way, folder]
            single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
            found[way].append(json.loads(done.stdout))
    middle = {
        way: {key: statistics.median(one[key] for one in runs) for key, value in runs[0].items() if value is not None}
        for way, runs in ((w, [{k: v for k, v in r.items() if k != "variance"} for r in rs]) for w, rs in found.items())
    }
    apart = max(
        abs(a - b) / b
        for side in ("forward", "backward")
        for a, b in zip(found["ours"][0]["variance"][side], found["authors"][0]["variance"][side], strict=True)
    )
    ours, authors, bare = middle["ours"]["seconds"], middle["authors"]["seconds"], middle["bare"]
    return {
        **middle,
        "authors_over_ours": authors / ours,
        "ours_over_bare_products": ours / bare["products_f64_seconds"],
        "authors_memory_over_ours": middle["authors"]["peak_mb"] / middle["ours"]["peak_mb"],
        "largest_relative_difference": apart,
    }


# The ways. Each takes edges (2, E) and features and returns what a child process prints.


def ours(edges: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    from initkit_gnn.graph import Graph
    from initkit_gnn.variance import Layer, virgo_variances

    start = time.perf_counter()
    graph = Graph.of(edges, x=x)
    graph.matrix()
    built = time.perf_counter()
    widths = [FEATURES, *[WIDTH] * (LAYERS - 1), CLASSES]
    layers = [Layer(a, b) for a, b in itertools.pairwise(widths)]
    found = virgo_variances(graph, layers, CLASSES, variant="harmonic", operator="gcn")
    end = time.perf_counter()
    both = {"forward": found.forward, "backward": found.backward}
    return {"seconds": end - start, "graph_seconds": built - start, "variance": both}


def authors(edges: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import MessagePassing
        from torch_geometric.nn.conv.gcn_conv import gcn_norm

    class Propagate(MessagePassing):
        def __init__(self) -> None:
            super().__init__(aggr="add")

        def forward(self, h: torch.Tensor, edge_index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return self.propagate(edge_index, x=h, weight=weight)

        def message(self, x_j: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return weight[:, None] * x_j

    start = time.perf_counter()
    edge_index, nodes, pass_on = torch.from_numpy(edges), len(x), Propagate()
    h, g = torch.from_numpy(x).mean(dim=1, keepdim=True), torch.ones(nodes, 1)
    c, b = [], []
    for _ in range(LAYERS):
        index, weight = gcn_norm(edge_index, None, nodes)
        h, g = pass_on(h, index, weight), pass_on(g, index, weight)
        c.append(float(h.square().sum()))
        b.append(float(g.square().sum()))
    forward = [2 / FEATURES, *[2 / WIDTH * c[k - 1] / c[k] for k in range(1, LAYERS)]]
    backward = [2 / WIDTH * b[k] / b[k + 1] for k in range(LAYERS - 2, -1, -1)] + [nodes / ((CLASSES - 1) * b[0])]
    end = time.perf_counter()
    return {"seconds": end - start, "variance": {"forward": forward, "backward": backward}}


def bare(edges: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    """Time the sparse products alone: 2L of them in float64 and in float32, and single ones of several libraries."""
    import scipy.sparse as sp

    from initkit_gnn.graph import Graph

    nodes = len(x)
    stored = Graph.of(edges, x=x).matrix()._matrix  # type: ignore[attr-defined]
    ends = edges.astype(np.int32)
    data = np.ones(edges.shape[1], np.float32)
    coo = sp.coo_array((data, (ends[1], ends[0])), shape=(nodes, nodes))
    times = {"scipy_coo_to_csr_seconds": _clock(lambda: coo.tocsr(copy=False), 1)}
    for name, dtype in (("f64", np.float64), ("f32", np.float32)):
        matrix = stored.astype(dtype)
        v = np.ones(nodes, dtype)
        times[f"spmv_{name}_seconds"] = _clock(lambda m=matrix, v=v: m @ v)
        times[f"spmv_transposed_{name}_seconds"] = _clock(lambda m=matrix.T, v=v: m @ v)
        times[f"products_{name}_seconds"] = LAYERS * (
            times[f"spmv_{name}_seconds"] + times[f"spmv_transposed_{name}_seconds"]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
            other = torch.sparse_csr_tensor(*parts, (nodes, nodes))
        vector = torch.from_numpy(v)
        times[f"spmv_torch_{name}_seconds"] = _clock(lambda m=other, v=vector: m @ v)
    return times


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, Any]]] = {"ours": ours, "authors": authors, "bare": bare}


def _clock(do: Callable[[], Any], times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        do()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def golden() -> list[dict[str, Any]]:
    """Compare with what the authors' code gives on the Planetoid graphs; a graph that is not at hand is left out."""
    from initkit_gnn.graph import Graph
    from initkit_gnn.operators import operator
    from initkit_gnn.variance import Layer, virgo_variances

    rows: list[dict[str, Any]] = []
    for name, normalised, widths, forward, backward in GOLDEN:
        data = _data.load(name, row_normalised=normalised)
        if data is None:
            rows.append({"graph": name, "row_normalised": normalised, "left_out": "no data"})
            continue
        graph = Graph.of(data.edge_index, x=data.x)
        layers = [Layer(a, b) for a, b in itertools.pairwise(widths)]
        found = virgo_variances(graph, layers, widths[-1], variant="mean", operator="gcn")
        norm = operator(graph, "gcn").frobenius_squared() / graph.num_nodes
        rows.append(
            {
                "graph": name,
                "row_normalised": normalised,
                "forward": found.forward,
                "backward": found.backward,
                "largest_relative_error": max(_error(found.forward, forward), _error(found.backward, backward)),
                "frobenius_squared_over_n": norm,
                "frobenius_relative_error": abs(norm / NORMS[name] - 1),
            }
        )
    return rows


def _error(found: Any, expected: list[float]) -> float:
    return max(abs(a / b - 1) if math.isfinite(a) else math.inf for a, b in zip(found, expected, strict=True))


def _child() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    edges, x = np.load(chosen.folder / "edges.npy"), np.load(chosen.folder / "x.npy")
    # Libraries and their first-use costs come before the clock and the memory mark.
    tiny = np.array([[0, 1], [1, 0]])
    WAYS[chosen.way](tiny, x[:2])
    before = _peak_mb()
    found = WAYS[chosen.way](edges, x)
    print(json.dumps({**found, "peak_mb": _peak_mb() - before, "edges_mb": edges.nbytes / 2**20}))


def _peak_mb() -> float:
    """Return the most memory this process has had; getrusage would count its parent's from before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    _child()
