"""MLP warm starts of GCNs: epochs to the random start's accuracy, final accuracy, and time with both phases counted.

A seed sets the split (where none is published), the start and the dropout; the MLP starts from the weights of the
random run with that seed. Epoch 0 is before any training of the GNN. The target is 99 % of the best validation
accuracy of the random run with the same seed. Times are processor seconds of one thread, which other work on the
machine disturbs least: the MLP phase as it runs in ``initkit.apply``; a GNN epoch (training and validation) with PyG's
layers as most people have it, and with hand-written sparse products. Memory is measured in processes of their own.
Finished runs are kept in ``build/``, so an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data

import initkit
from benchmarks.gnn import _citation, _data
from benchmarks.gnn._citation import Citation
from benchmarks.gnn._train import Gcn, Masks, Protocol, Workbench, fingerprint
from benchmarks.harness import HERE
from initkit_gnn.edgeless import EdgelessGraph
from initkit_gnn.graph import Graph

CACHE = HERE.parent / "build" / "benchmarks" / "gnn" / "mlpinit"
PROTOCOL = Protocol()
# data, layers, seeds
CONFIGURATIONS = [
    ("cora", 2, [0, 1, 2, 3, 4]),
    ("pubmed", 2, [0, 1, 2]),
    ("amazon_photo", 3, [0, 1, 2]),
    ("coauthor_cs", 3, [0, 1, 2]),
]
RANDOM = "pyg_default"
# The recipe's defaults are the authors'; the other line trains the MLP with the GNN's own learning rate.
WARM: dict[str, dict[str, Any]] = {"mlpinit": {}, "mlpinit, lr=0.01": {"lr": 0.01}}
TIMED_EPOCHS = 5


class Network(Gcn):
    """A GCN as a user writes it, dropout included."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs[:-1]:
            x = functional.dropout(torch.relu(conv(x, edge_index)), PROTOCOL.dropout, self.training)
        return self.convs[-1](x, edge_index)


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for configuration in CONFIGURATIONS for row in _configuration(*configuration)]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": sorted({seed for _, _, seeds in CONFIGURATIONS for seed in seeds}),
        "protocol": {
            **PROTOCOL.to_dict(),
            "target": 0.99,
            "features": "row-normalised, sparse",
            "split": "public for Cora and PubMed, else 50/25/25 by seed",
            "model": "GCN, ReLU",
        },
        "load_average": os.getloadavg()[0],
        "rows": rows,
        "memory": [_memory(name, layers) for name, layers, _ in CONFIGURATIONS if _split(name, 0) is not None],
        "expected": _expected(rows),
    }


def _configuration(name: str, layers: int, seeds: list[int]) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in (RANDOM, *WARM)}
    for seed in seeds:
        data = _split(name, seed)
        if data is None:
            return [{"data": name, "layers": layers, "left_out": "no data"}]
        bench = Workbench(data)
        start = Network([data.x.shape[1], *[PROTOCOL.hidden] * (layers - 1), data.num_classes])
        initkit.apply(start, "gnn/pyg_default", seed=seed)
        target = None
        for label, runs in found.items():
            outcome = _run(bench, start, label, seed, target)
            target = outcome["target"]
            runs.append(outcome)
            print(
                f"{name} L={layers} {label}, seed {seed}: {outcome['epochs_to_target']} epochs, "
                f"test {outcome['test']:.3f}, start {outcome['test_before']:.3f}",
                file=sys.stderr,
            )
    return [_row(name, layers, label, runs, found[RANDOM]) for label, runs in found.items()]


def _split(name: str, seed: int) -> Citation | None:
    if name in _data.PLANETOID:
        return _citation.load(name)
    real = _data.load(name, row_normalised=True)
    if real is None or real.x is None or real.y is None:
        return None
    size = len(real.y)
    order = torch.from_numpy(initkit.Stream(seed, f"split of {name}").permutation(size))
    train, val, test = order[: size // 2], order[size // 2 : 3 * size // 4], order[3 * size // 4 :]
    return Citation(name, "real", real.edge_index, real.x, real.y, train, val, test)


def _run(bench: Workbench, start: Network, label: str, seed: int, target: float | None) -> dict[str, Any]:
    data = bench.data
    model = copy.deepcopy(start)
    code = Path(__file__).read_text() if label == RANDOM else repr((Path(__file__).read_text(), _code()))
    key = fingerprint(start, data.name, data.source, PROTOCOL, seed, label, code, data.train.tolist())
    place = CACHE / f"{key}.json"
    if place.is_file():
        found: dict[str, Any] = json.loads(place.read_text())
        return found
    graph = Data(x=bench.x, edge_index=data.edge_index, y=data.y, train_idx=data.train, val_idx=data.val)
    found = _timed_pyg(copy.deepcopy(model), graph)
    if label != RANDOM:
        begin = time.process_time()
        report = initkit.apply(model, initkit.recipe("gnn/mlpinit", **WARM[label]), seed=seed, graph=graph)
        found["mlp_seconds"] = time.process_time() - begin
        note = report.notes["gnn/mlpinit"]
        found |= {f"mlp_{key}": note[key] for key in ("epochs", "best_epoch", "validation", "verdict", "label_rate")}
        found["mlp_test"] = _peer_accuracy(model, graph, data)
    found |= _train(bench, model, seed, target)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_suffix(".part").write_text(json.dumps(found))
    os.replace(place.with_suffix(".part"), place)
    return found


def _code() -> list[str]:
    import initkit_gnn

    folder = Path(initkit_gnn.__file__).parent
    names = ("edgeless", "mlp_state", "mlp_training", "mlpinit", "supervision")
    return [(folder / f"{name}.py").read_text() for name in names]


def _peer_accuracy(model: Network, graph: Data, data: Citation) -> float:
    rows = EdgelessGraph(graph, Graph.of(graph), "none", torch.float32, torch.device("cpu")).rows(data.test)
    model.eval()
    with torch.no_grad():
        return float((model(rows.x, rows.edge_index).argmax(1) == data.y[data.test]).double().mean())


def _timed_pyg(model: Network, graph: Data, epochs: int = TIMED_EPOCHS) -> dict[str, Any]:
    """Seconds of a GNN epoch with PyG's layers, the median of a few after a first one."""
    optimiser = torch.optim.Adam(model.parameters(), lr=PROTOCOL.learning_rate, weight_decay=PROTOCOL.weight_decay)
    seconds = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(epochs + 1):
            begin = time.process_time()
            model.train()
            optimiser.zero_grad()
            logits = model(graph.x, graph.edge_index)
            functional.cross_entropy(logits[graph.train_idx], graph.y[graph.train_idx]).backward()
            optimiser.step()
            model.eval()
            with torch.no_grad():
                model(graph.x, graph.edge_index)[graph.val_idx].argmax(1)
            seconds.append(time.process_time() - begin)
    return {"pyg_epoch_seconds": statistics.median(seconds[1:])}


def _train(bench: Workbench, model: Network, seed: int, target: float | None) -> dict[str, Any]:
    """Train as the evidence on accuracy does, and remember when validation reached the target."""
    data = bench.data
    masks = Masks(seed)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=PROTOCOL.learning_rate, weight_decay=PROTOCOL.weight_decay, foreach=True
    )
    validation, test, seconds = [], [], []
    first = bench.first(model)
    best_epoch = 0
    for epoch in range(PROTOCOL.epochs + 1):
        begin = time.process_time()
        if epoch:
            optimiser.zero_grad()
            logits = bench.logits(model, first, masks)
            functional.cross_entropy(logits[data.train], data.y[data.train]).backward()
            optimiser.step()
            first = bench.first(model)
        with torch.no_grad():
            right = bench.logits(model, first).argmax(dim=1) == data.y
        seconds.append(time.process_time() - begin)
        validation.append(float(right[data.val].double().mean()))
        test.append(float(right[data.test].double().mean()))
        if validation[-1] > validation[best_epoch]:
            best_epoch = epoch
        elif epoch - best_epoch >= PROTOCOL.patience:
            break
    wanted = 0.99 * max(validation) if target is None else target
    reached = next((epoch for epoch, value in enumerate(validation) if value >= wanted), None)
    return {
        "target": wanted,
        "epochs_to_target": reached,
        "best_epoch": best_epoch,
        "validation": validation[best_epoch],
        "test": test[best_epoch],
        "validation_before": validation[0],
        "test_before": test[0],
        "sparse_epoch_seconds": statistics.median(seconds[1:]),
        "curve": [round(value, 5) for value in validation[:101]],
    }


def _row(name: str, layers: int, label: str, runs: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"data": name, "layers": layers, "label": label, "options": WARM.get(label, {})}
    for key in runs[0]:
        row[key] = [one[key] for one in runs]
    for key in ("test", "test_before", "mlp_test"):
        if key in row:
            row[f"{key}_mean"] = round(statistics.fmean(row[key]), 6)
            row[f"{key}_std"] = round(statistics.stdev(row[key]), 6)
    if label == RANDOM:
        return row
    pairs = [(one, other) for one, other in zip(runs, base, strict=True) if one["epochs_to_target"] is not None]
    row["reached"] = len(pairs)
    row["epoch_share"] = [a["epochs_to_target"] / b["epochs_to_target"] for a, b in pairs]
    for kind in ("pyg", "sparse"):
        epochs = f"{kind}_epoch_seconds"
        row[f"time_share_{kind}"] = [
            # One run's own GNN epoch times both sides, so that a busier moment does not favour either.
            (a["mlp_seconds"] + a["epochs_to_target"] * a[epochs]) / (b["epochs_to_target"] * a[epochs])
            for a, b in pairs
        ]
    return row


def _expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was expected before the runs: a tenth of the epochs and 65 % of the time on Coauthor CS."""
    found = []
    for row in rows:
        if row["data"] == "coauthor_cs" and row.get("label") in WARM:
            for key, most in (("epoch_share", 0.1), ("time_share_pyg", 0.65), ("time_share_sparse", 0.65)):
                met = row["reached"] == len(row["test"]) and all(value <= most for value in row[key])
                found.append({"label": row["label"], "key": key, "most": most, "found": row[key], "met": met})
    return found


def _memory(name: str, layers: int) -> dict[str, Any]:
    """Peak memory of two GNN epochs and of an MLP phase over the data's, each in a process of its own."""
    found: dict[str, Any] = {"data": name}
    for phase in ("gnn", "mlp"):
        command = [sys.executable, "-m", "benchmarks.gnn.mlpinit", phase, name, str(layers)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
        found[f"{phase}_peak_mb"] = round(float(done.stdout.split()[-1]), 1)
    return found


def _child(phase: str, name: str, layers: int) -> None:
    torch.set_num_threads(1)
    data = _split(name, 0)
    assert data is not None
    warnings.filterwarnings("ignore", message=".*[Ss]parse")
    graph = Data(x=data.x.to_sparse_csr(), edge_index=data.edge_index, y=data.y)
    graph.train_idx, graph.val_idx = data.train, data.val
    model = Network([data.x.shape[1], *[PROTOCOL.hidden] * (layers - 1), data.num_classes])
    data = None  # the dense features are not what is measured
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _mb("VmRSS")
    if phase == "gnn":
        _timed_pyg(model, graph, epochs=2)
    else:
        initkit.apply(model, initkit.recipe("gnn/mlpinit", epochs=3, margin=0.0), graph=graph)
    print(_mb("VmHWM") - before)


def _mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
