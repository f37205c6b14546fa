"""Test accuracy of deep GCNs on citation graphs, by recipe: five seeds, paired.

A recipe's run with seed s takes the streams of seed s for its weights and the same dropout masks as every other
recipe's run with that seed. Nothing is chosen by the outcome: options are the recipes' defaults but for those that a
row names. Finished runs are kept in ``build/`` under a hash of their starting weights and the training code, so an
interrupted benchmark goes on where it stopped, and a recipe that gives other weights is run anew.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from scipy import stats

import initkit
from benchmarks.gnn import _citation
from benchmarks.gnn._train import Gcn, Outcome, Protocol, Workbench, fingerprint
from benchmarks.harness import HERE

CACHE = HERE.parent / "build" / "benchmarks" / "gnn" / "accuracy"
SEEDS = [0, 1, 2, 3, 4]
PROTOCOL = Protocol()
CONFIGURATIONS = [("cora", 2), ("cora", 6), ("cora", 10), ("citeseer", 6), ("pubmed", 10)]
DEFAULT = "pyg_default"
# label: (recipe, options that differ from the recipe's defaults)
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    DEFAULT: ("gnn/pyg_default", {}),
    "xavier": ("gnn/xavier", {}),
    "kaiming": ("gnn/kaiming", {}),
    "orthogonal": ("gnn/orthogonal", {}),
    "virgo forward": ("gnn/virgo", {"variant": "forward"}),
    "virgo backward": ("gnn/virgo", {"variant": "backward"}),
    "virgo harmonic": ("gnn/virgo", {"variant": "harmonic"}),
    "virgo mean": ("gnn/virgo", {"variant": "mean"}),
    "calibrated 0.1": ("gnn/calibrated", {"target": 0.1}),
    "calibrated 1": ("gnn/calibrated", {"target": 1.0}),
    "orthogonal, calibrated 0.1": ("gnn/calibrated", {"start": "orthogonal", "target": 0.1}),
}
ASKS_FOR_GRAPH = {"gnn/virgo", "gnn/calibrated"}
# Points over the default that were expected before anything was run: (label, data, layers, points).
EXPECTED = [
    ("virgo backward", "cora", 6, 8),
    ("virgo backward", "cora", 10, 25),
    ("virgo backward", "pubmed", 10, 25),
]


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {configuration: _configuration(*configuration) for configuration in CONFIGURATIONS}
    finally:
        torch.set_num_threads(threads)
    rows = [row for part in found.values() for row in part]
    return {
        "seeds": SEEDS,
        "protocol": {**PROTOCOL.to_dict(), "features": "row-normalised", "split": "public", "model": "GCN, ReLU"},
        "sources": {data: _citation.load(data).source for data, _ in CONFIGURATIONS},
        "rows": rows,
        "expected": [_compared(rows, *one) for one in EXPECTED],
    }


def _compared(rows: list[dict[str, Any]], label: str, data: str, layers: int, points: float) -> dict[str, Any]:
    found = next(r["over_default"] for r in rows if (r["label"], r["data"], r["layers"]) == (label, data, layers))
    met = found["mean"] >= points / 100
    return {"label": label, "data": data, "layers": layers, "points": points, "found": found, "met": met}


def _configuration(data: str, layers: int) -> list[dict[str, Any]]:
    bench = Workbench(_citation.load(data))
    outcomes: dict[str, list[Outcome]] = {label: [] for label in RECIPES}
    for seed in SEEDS:
        for label in RECIPES:
            start = time.perf_counter()
            outcome = _run(bench, layers, label, seed)
            outcomes[label].append(outcome)
            seconds = time.perf_counter() - start
            print(f"{data} L={layers} {label}, seed {seed}: {outcome.test:.3f} ({seconds:.1f} s)", file=sys.stderr)
    base = [outcome.test for outcome in outcomes[DEFAULT]]
    return [_row(data, layers, label, found, base) for label, found in outcomes.items()]


def _run(bench: Workbench, layers: int, label: str, seed: int) -> Outcome:
    data = bench.data
    model = Gcn([data.x.shape[1], *[PROTOCOL.hidden] * (layers - 1), data.num_classes])
    recipe, options = RECIPES[label]
    needs = {"graph": bench.graph()} if recipe in ASKS_FOR_GRAPH else {}
    initkit.apply(model, initkit.recipe(recipe, **options), seed=seed, **needs)
    key = fingerprint(model, data.name, data.source, layers, PROTOCOL, seed)
    place = CACHE / f"{key}.json"
    if place.is_file():
        return Outcome(**json.loads(place.read_text()))
    outcome = bench.train(model, PROTOCOL, seed)
    _keep(place, asdict(outcome))
    return outcome


def _keep(place: Path, found: dict[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(found))
    os.replace(part, place)


def _row(data: str, layers: int, label: str, found: list[Outcome], base: list[float]) -> dict[str, Any]:
    recipe, options = RECIPES[label]
    test = [outcome.test for outcome in found]
    reached = [outcome.milestone for outcome in found if outcome.milestone is not None]
    row: dict[str, Any] = {
        "data": data,
        "layers": layers,
        "label": label,
        "recipe": recipe,
        "options": options,
        "test": test,
        "test_mean": round(statistics.fmean(test), 6),
        "test_std": round(statistics.stdev(test), 6),
        "validation": [outcome.validation for outcome in found],
        "best_epoch": [outcome.best_epoch for outcome in found],
        "epochs": [outcome.epochs for outcome in found],
        "milestone_epoch": [outcome.milestone for outcome in found],
        "milestone_reached": len(reached),
        "milestone_median": statistics.median(reached) if reached else None,
    }
    if label != DEFAULT:
        row["over_default"] = paired(test, base)
    return row


def paired(ours: list[float], base: list[float]) -> dict[str, float]:
    """Return the mean of the differences with its 95 % interval, by Student's t over the seeds."""
    differences = [a - b for a, b in zip(ours, base, strict=True)]
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return {"mean": round(mean, 6), "low": round(mean - half, 6), "high": round(mean + half, 6)}
