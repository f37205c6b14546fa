"""Walks, skip-gram training by gensim, and scores of node vectors: what the evidence of gnn/graph_partition needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from gensim.models import Word2Vec
from torch import Tensor, nn

WIDTH, WINDOW, NEGATIVE = 64, 5, 5


def walks(adjacency: sp.csr_array, per_node: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform random walks (node2vec with p = q = 1), ``per_node`` from every node: int32 (walks, length).

    A node without neighbours stays where it is.
    """
    degree = np.diff(adjacency.indptr)
    starts = np.concatenate([rng.permutation(adjacency.shape[0]) for _ in range(per_node)])
    found = np.empty((len(starts), length), np.int32)
    found[:, 0] = at = starts
    for step in range(1, length):
        chosen = adjacency.indptr[at] + (rng.random(len(at)) * degree[at]).astype(np.int64)
        moves = degree[at] > 0
        at = np.where(moves, adjacency.indices[np.where(moves, chosen, 0)], at)
        found[:, step] = at
    return found


@dataclass
class Corpus:
    """Walks as gensim reads them; may be read several times."""

    walks: np.ndarray
    names: np.ndarray

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self.names[walk].tolist() for walk in self.walks)


def untrained(counts: np.ndarray, seed: int, width: int = WIDTH) -> Word2Vec:
    """gensim's skip-gram as it starts: vectors U(-1/2d, 1/2d), contexts 0.

    Args:
        counts: how often each node occurs in the walks.
        seed: of the start and of the training.
        width: d.
    """
    model = Word2Vec(
        vector_size=width, window=WINDOW, sg=1, hs=0, negative=NEGATIVE, min_count=0, sample=0, workers=1, seed=seed
    )
    model.build_vocab_from_freq({str(node): int(count) for node, count in enumerate(counts)})
    return model


def train(model: Word2Vec, corpus: Corpus) -> float:
    """Train for one epoch; returns the processor seconds."""
    start = time.process_time()
    model.train(corpus, total_examples=len(corpus.walks), total_words=corpus.walks.size, epochs=1)
    return time.process_time() - start


def table(model: Word2Vec) -> Tensor:
    """The vectors in the order of the nodes, float32 (N, d)."""
    rows = np.array([int(key) for key in model.wv.index_to_key])
    found = np.empty_like(model.wv.vectors)
    found[rows] = model.wv.vectors
    return torch.from_numpy(found)


def logistic(x: Tensor, y: Tensor) -> nn.Linear:
    """Logistic regression, each column of y by itself, with the penalty |w|²/2 on the sum of losses (C = 1)."""
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(x.shape[1], y.shape[1])
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y, reduction="sum")
        loss = (loss + model.weight.square().sum() / 2) / len(x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return model


def even(x: Tensor) -> Tensor:
    """Scaled so that the mean norm is √d: the penalty then weighs the same on tables of any size."""
    return x * (x.shape[1] ** 0.5 / torch.linalg.vector_norm(x, dim=1).mean())


def classification(x: Tensor, labels: Tensor, rng: np.random.Generator) -> dict[str, float]:
    """Micro and macro F1 of logistic regression trained on half the nodes.

    Args:
        x: node vectors (N, d).
        labels: 0 or 1, (N, classes); a node with k labels gets the k most probable ones. Nodes without are left out.
        rng: draws the half.
    """
    held = torch.nonzero(labels.sum(dim=1) > 0).flatten()
    order = held[torch.from_numpy(rng.permutation(len(held)))]
    half = len(order) // 2
    x = even(x)
    with torch.enable_grad():
        model = logistic(x[order[:half]], labels[order[:half]].float())
    with torch.no_grad():
        logits = model(x[order[half:]])
    truth = labels[order[half:]].bool()
    rank = logits.argsort(dim=1, descending=True).argsort(dim=1)
    guess = rank < truth.sum(dim=1, keepdim=True)
    hit, false, missed = (both.sum(dim=0).double() for both in (guess & truth, guess & ~truth, truth & ~guess))
    each = 2 * hit / (2 * hit + false + missed).clamp(min=1)
    micro = 2 * hit.sum() / (2 * hit + false + missed).sum()
    return {"micro": float(micro), "macro": float(each[truth.any(dim=0)].mean())}


def split_edges(adjacency: sp.csr_array, share: float, rng: np.random.Generator) -> tuple[sp.csr_array, np.ndarray]:
    """Hide edges: the graph without them, and the hidden ones (2, M)."""
    upper = sp.triu(adjacency, k=1).tocoo()
    pairs = np.stack(upper.coords)
    hidden = rng.random(pairs.shape[1]) < share
    a, b = pairs[:, ~hidden]
    ends = np.concatenate((a, b)), np.concatenate((b, a))
    return sp.coo_array((np.ones(2 * len(a)), ends), shape=adjacency.shape).tocsr(), pairs[:, hidden]


def no_edges(adjacency: sp.csr_array, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of different nodes that no edge joins (2, count)."""
    size = adjacency.shape[0]
    row = np.repeat(np.arange(size), np.diff(adjacency.indptr))
    known = np.sort(row.astype(np.int64) * size + adjacency.indices)
    pairs = rng.integers(0, size, (2, 2 * count + 100))
    key = pairs[0] * size + pairs[1]
    place = np.minimum(np.searchsorted(known, key), len(known) - 1)
    return pairs[:, (known[place] != key) & (pairs[0] != pairs[1])][:, :count]


def link_prediction(
    x: Tensor, whole: sp.csr_array, seen: sp.csr_array, hidden: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """AUC on hidden edges against as many pairs without an edge.

    Logistic regression on products of the two vectors, element by element (node2vec's Hadamard operator), trained on
    as many edges that were seen.
    """
    upper = np.stack(sp.triu(seen, k=1).tocoo().coords)
    count = min(hidden.shape[1], upper.shape[1], 40_000)
    known = upper[:, rng.permutation(upper.shape[1])[:count]]
    tested = hidden[:, rng.permutation(hidden.shape[1])[:count]]
    none = no_edges(whole, 2 * count, rng)
    x = even(x)

    def features(edges: np.ndarray, others: np.ndarray) -> tuple[Tensor, Tensor]:
        a, b = torch.from_numpy(np.concatenate((edges, others), axis=1).astype(np.int64))
        return x[a] * x[b], torch.cat((torch.ones(edges.shape[1]), torch.zeros(others.shape[1])))

    train_x, train_y = features(known, none[:, :count])
    test_x, test_y = features(tested, none[:, count:])
    with torch.enable_grad():
        model = logistic(train_x, train_y[:, None])
    with torch.no_grad():
        score = model(test_x).flatten().double().numpy()
    return {"auc": auc(score, test_y.numpy() > 0)}


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve; ties count a half."""
    _, rank, count = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    positive = int(truth.sum())
    total = float(middle[rank][truth].sum()) - positive * (positive + 1) / 2
    return total / (positive * (len(truth) - positive))


def start(model: Any, recipe: Any, graph: Any, seed: int) -> tuple[Any, float]:
    """Apply a recipe; returns the report and the processor seconds."""
    import initkit

    begin = time.process_time()
    report = initkit.apply(model, recipe, graph=graph, seed=seed)
    return report, time.process_time() - begin
