"""What positional features know of the classes: logistic regression on features of the structure alone.

No node features are used. Half of the nodes, at random, train a logistic regression on standardised columns, the
others test it. Every kind has 32 columns but for the whole trajectory (32 for each step and R_0). Eigenvectors are
those of the 32 largest eigenvalues of the same operator, by ARPACK. Nothing is tuned to the outcome, but for what the
automatic cutoff's constant says of itself: it was set on a plateau that was seen on these two graphs.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.gnn import _citation
from initkit import Stream
from initkit_gnn import Graph, propagate_features
from initkit_gnn.operators import operator

SEEDS = [0, 1, 2]
GRAPHS = ["cora", "pubmed"]
WIDTH = 32
Features = npt.NDArray[np.float64]


def _last(graph: Graph, seed: int, **options: Any) -> Features:
    found: Features = propagate_features(graph, seed=seed, width=WIDTH, **options).numpy().astype(np.float64)
    return found[:, -WIDTH:]


def _whole(graph: Graph, seed: int) -> Features:
    found: Features = propagate_features(graph, seed=seed, width=WIDTH).numpy().astype(np.float64)
    return found


def _random(graph: Graph, seed: int) -> Features:
    return Stream(seed, "random").normals(0, graph.num_nodes * WIDTH).reshape(-1, WIDTH)


def _eigenvectors(graph: Graph, seed: int) -> Features:
    step = operator(graph, "gcn")
    n = graph.num_nodes
    product = LinearOperator((n, n), matvec=lambda v: step.linear(torch.from_numpy(v.ravel().copy())).numpy())
    product.dtype = np.dtype(np.float64)
    found: Features = eigsh(product, k=WIDTH, v0=Stream(0, "eigsh").normals(0, n))[1]
    return found


# label: (features, whether they depend on the seed)
KINDS: dict[str, tuple[Callable[[Graph, int], Features], bool]] = {
    "random features": (_random, True),
    "last step, P = 4": (lambda g, s: _last(g, s, steps=4), True),
    "last step, P = 16": (lambda g, s: _last(g, s), True),
    "last step, P = 16, l2": (lambda g, s: _last(g, s, norm="l2"), True),
    "whole trajectory, P = 16": (_whole, True),
    "chebyshev, degree 16": (lambda g, s: _last(g, s, filter="chebyshev"), True),
    "chebyshev, cutoff 0.7": (lambda g, s: _last(g, s, filter="chebyshev", cutoff=0.7), True),
    "chebyshev, cutoff 0.9": (lambda g, s: _last(g, s, filter="chebyshev", cutoff=0.9), True),
    "chebyshev, cutoff 0.95": (lambda g, s: _last(g, s, filter="chebyshev", cutoff=0.95), True),
    "chebyshev, degree 64": (lambda g, s: _last(g, s, filter="chebyshev", steps=64), True),
    "eigenvectors": (_eigenvectors, False),
}
# Expected before anything was run, from the specification's measurements: (data, better, worse)
EXPECTED = [
    ("cora", "last step, P = 16", "random features"),
    ("pubmed", "whole trajectory, P = 16", "random features"),
    ("pubmed", "chebyshev, degree 16", "whole trajectory, P = 16"),
    ("cora", "chebyshev, degree 16", "last step, P = 16"),
]


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    sources = {}
    try:
        for name in GRAPHS:
            data = _citation.load(name)
            sources[name] = data.source
            graph = Graph.of(data.edge_index, num_nodes=data.num_nodes)
            _last(graph, 0, steps=1)  # the matrix is built once for all
            rows += [_row(name, label, graph, data.y.numpy()) for label in KINDS]
    finally:
        torch.set_num_threads(threads)
    at = {(row["data"], row["label"]): row for row in rows}
    return {
        "seeds": SEEDS,
        "sources": sources,
        "width": WIDTH,
        "rows": rows,
        "expected": [
            {
                "data": data,
                "better": better,
                "worse": worse,
                "found": [at[data, better]["mean"], at[data, worse]["mean"]],
                "met": at[data, better]["mean"] > at[data, worse]["mean"],
            }
            for data, better, worse in EXPECTED
        ],
    }


def _row(name: str, label: str, graph: Graph, y: npt.NDArray[np.int64]) -> dict[str, Any]:
    make, random = KINDS[label]
    scores, seconds = [], []
    features: Features | None = None
    for seed in SEEDS:
        if random or features is None:
            start = time.process_time()
            features = make(graph, seed)
            seconds.append(time.process_time() - start)
        scores.append(_score(features, y, seed))
    row = {
        "data": name,
        "label": label,
        "columns": int(features.shape[1]) if features is not None else 0,
        "accuracy": scores,
        "mean": round(statistics.fmean(scores), 4),
        "std": round(statistics.stdev(scores), 4),
        "cpu_seconds": round(statistics.median(seconds), 3),
    }
    print(row, flush=True)
    return row


def _score(features: Features, y: npt.NDArray[np.int64], seed: int) -> float:
    order = Stream(seed, "split").permutation(len(y))
    train, test = order[: len(y) // 2], order[len(y) // 2 :]
    scale = StandardScaler().fit(features[train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = LogisticRegression(max_iter=300).fit(scale.transform(features[train]), y[train])
    return round(float((found.predict(scale.transform(features[test])) == y[test]).mean()), 4)
