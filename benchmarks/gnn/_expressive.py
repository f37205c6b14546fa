"""Graphs that plain message passing cannot tell apart, and a classifier of whole graphs to train on them."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GraphConv, global_max_pool

import initkit
from benchmarks.harness import HERE, data_folder
from initkit import Stream
from initkit_gnn import WithRandomFeatures

CACHE = HERE.parent / "build" / "benchmarks" / "gnn" / "rni"


def cycles(count: int, stream: Stream) -> list[Data]:
    """Make graphs of 2m nodes, m = 3..8: one cycle (class 0) or two (class 1), nodes in random order, x = 1."""
    made = []
    for i in range(count):
        m, label = 3 + (i // 2) % 6, i % 2
        node = np.arange(2 * m)
        after = (node + 1) % (2 * m) if label == 0 else node - node % m + (node + 1) % m
        order = stream.sub(str(i)).permutation(2 * m)
        half = order[np.stack((node, after))]
        edges = torch.from_numpy(np.concatenate((half, half[::-1]), axis=1))
        made.append(Data(x=torch.ones(2 * m, 1), edge_index=edges, y=torch.tensor([label])))
    return made


def formulas(name: str) -> list[Data] | None:
    """Read EXP or CEXP, node types one-hot; None where the data folder does not have it."""
    path = data_folder() / "exp_cexp" / f"{name}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        z = dict(file)
    made = []
    for i, label in enumerate(z["y"]):
        nodes, edges = slice(*z["node_ptr"][i : i + 2]), slice(*z["edge_ptr"][i : i + 2])
        types = torch.from_numpy(z["node_type"][nodes].astype(np.int64))
        edge_index = torch.from_numpy(z["edge_index"][:, edges].astype(np.int64))
        x = functional.one_hot(types, 2).float()
        made.append(Data(x=x, edge_index=edge_index, y=torch.tensor([int(label)])))
    return made


class Classifier(nn.Module):
    """Graph convolutions (neighbours' mean and root weight) with tanh, max-pooling, two linear layers."""

    def __init__(self, in_channels: int, width: int, layers: int) -> None:
        super().__init__()
        widths = [in_channels, *[width] * layers]
        self.convs = nn.ModuleList(GraphConv(a, b, aggr="mean") for a, b in itertools.pairwise(widths))
        self.hidden = nn.Linear(width, 32)
        self.out = nn.Linear(32, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.tanh(conv(x, edge_index))
        logits: Tensor = self.out(torch.tanh(self.hidden(global_max_pool(x, batch))))
        return logits


@dataclass(frozen=True)
class Protocol:
    """How a classifier is trained: Adam, cross-entropy, batches in a new random order each epoch."""

    width: int
    layers: int
    epochs: int
    rate: float
    batch: int = 20
    draws: int = 8
    measured: tuple[int, ...] = ()  # epochs after which the test accuracy is taken


@dataclass(frozen=True)
class Run:
    """Test accuracies after the measured epochs: of each single draw, and of the vote of all draws."""

    epochs: list[int]
    single: list[list[float]]
    voted: list[float]
    seconds: float


def train(
    key: str, train_set: Sequence[Data], test_set: Sequence[Data], ratio: float, seed: int, protocol: Protocol
) -> Run:
    """Train one classifier, or read the finished run from the cache.

    Args:
        key: names the data.
        train_set, test_set: labelled graphs.
        ratio: of random columns; 0 trains without random features.
        seed: of weights, order and random features.
        protocol: the settings.
    """
    code = hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()[:12]
    setting = json.dumps([key, ratio, seed, asdict(protocol), code])
    path = CACHE / f"{hashlib.sha256(setting.encode()).hexdigest()[:20]}.json"
    if path.is_file():
        return Run(**json.loads(path.read_text()))
    found = _trained(train_set, test_set, ratio, seed, protocol)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = Path(f"{path}.new")
    written.write_text(json.dumps(asdict(found)))
    written.replace(path)
    print(json.dumps([key, ratio, seed, found.voted, [_mean(one) for one in found.single], found.seconds]), flush=True)
    return found


def _trained(train_set: Sequence[Data], test_set: Sequence[Data], ratio: float, seed: int, protocol: Protocol) -> Run:
    start = time.process_time()
    own = train_set[0].num_node_features
    channels = own if ratio == 0 else int(ratio * protocol.width) + (own if ratio < 1 else 0)
    net: nn.Module = Classifier(channels, protocol.width, protocol.layers)
    initkit.apply(net, "gnn/pyg_default", seed=seed)
    wrapped = WithRandomFeatures(net, protocol.width, ratio, seed=seed) if ratio else None
    optimizer = torch.optim.Adam(net.parameters(), lr=protocol.rate)
    order = Stream(seed, "order")
    run = Run([], [], [], 0.0)
    tests = [Batch.from_data_list(list(test_set[i : i + 60])) for i in range(0, len(test_set), 60)]
    for epoch in range(1, protocol.epochs + 1):
        net.train()
        shuffled = order.sub(str(epoch)).permutation(len(train_set))
        for first in range(0, len(shuffled), protocol.batch):
            batch = Batch.from_data_list([train_set[i] for i in shuffled[first : first + protocol.batch]])
            logits = (wrapped or net)(batch.x, batch.edge_index, batch.batch)
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch.y).backward()
            optimizer.step()
        if epoch in protocol.measured or epoch == protocol.epochs:
            single, voted = _tested(net, wrapped, tests, protocol.draws)
            run.epochs.append(epoch)
            run.single.append(single)
            run.voted.append(voted)
    return Run(run.epochs, run.single, run.voted, round(time.process_time() - start, 1))


@torch.no_grad()
def _tested(
    net: nn.Module, wrapped: WithRandomFeatures | None, tests: Sequence[Batch], draws: int
) -> tuple[list[float], float]:
    (wrapped or net).eval()
    y = torch.cat([batch.y for batch in tests])
    outputs = []
    for number in range(draws if wrapped else 1):
        parts = []
        for batch in tests:
            arguments = (batch.x, batch.edge_index, batch.batch)
            parts.append(wrapped.draw(number, *arguments) if wrapped else net(*arguments))
        outputs.append(torch.cat(parts))
    (wrapped or net).train()
    voted = wrapped.vote(outputs) if wrapped else outputs[0]
    return [_accuracy(one, y) for one in outputs], _accuracy(voted, y)


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return round(float((logits.argmax(dim=1) == y).double().mean()), 6)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)
