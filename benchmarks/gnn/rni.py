"""Random node features on graphs that message passing cannot tell apart: without, with one draw, with a vote of eight.

Settings are those of the specification of the experiment (for EXP, the authors' script), not tuned: cycles C_2m
against two C_m with four layers of width 32, learning rate 2e-3, 200 epochs on 240 graphs, tested on 240 others; EXP's
fold 0 (graphs 0-119) with eight layers of width 64, learning rate 1e-3, 120 epochs. Finished runs are kept in
``build/``, so an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch_geometric.data import Data

from benchmarks.gnn._expressive import Protocol, cycles, formulas, train
from initkit import Stream
from initkit_gnn import wl_check

SEEDS = [0, 1, 2]
CYCLES = Protocol(width=32, layers=4, epochs=200, rate=2e-3, measured=(50, 100, 150, 200))
EXP = Protocol(width=64, layers=8, epochs=120, rate=1e-3, measured=(20, 40, 60, 80, 100, 120))
# label: share of random columns
STARTS = {"without": 0.0, "half random": 0.5, "all random": 1.0}
# Expected before anything was run: (data, label, what, at least)
EXPECTED = [
    ("cycles", "half random", "vote", 0.95),
    ("exp", "all random", "single", 0.80),
    ("exp", "all random", "vote", 0.95),
]


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows, checks = [], {}
        for name, (train_set, test_set, protocol) in _tasks().items():
            checks[name] = wl_check([*train_set, *test_set]).to_dict()
            rows += [_row(name, label, train_set, test_set, protocol) for label in STARTS]
        left_out = [name for name in ("exp",) if name not in checks]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "protocol": {"cycles": asdict(CYCLES), "exp": asdict(EXP), "activation": "tanh", "pooling": "max"},
        "rows": rows,
        "wl_check": checks,
        "left_out": left_out,
        "expected": [_compared(rows, *one) for one in EXPECTED if one[0] in checks],
    }


def _tasks() -> dict[str, tuple[Sequence[Data], Sequence[Data], Protocol]]:
    stream = Stream(0, "cycles")
    found: dict[str, tuple[Sequence[Data], Sequence[Data], Protocol]] = {
        "cycles": (cycles(240, stream.sub("train")), cycles(240, stream.sub("test")), CYCLES)
    }
    exp = formulas("exp")
    if exp is not None:
        found["exp"] = (exp[120:], exp[:120], EXP)
    return found


def _row(
    name: str, label: str, train_set: Sequence[Data], test_set: Sequence[Data], protocol: Protocol
) -> dict[str, Any]:
    runs = [train(name, train_set, test_set, STARTS[label], seed, protocol) for seed in SEEDS]
    return {
        "data": name,
        "label": label,
        "ratio": STARTS[label],
        "epochs": runs[0].epochs,
        "single": [[round(statistics.fmean(draws), 4) for draws in one.single] for one in runs],
        "single_low": [[min(draws) for draws in one.single] for one in runs],
        "single_high": [[max(draws) for draws in one.single] for one in runs],
        "vote": [one.voted for one in runs],
        "cpu_seconds": [one.seconds for one in runs],
    }


def _compared(rows: list[dict[str, Any]], data: str, label: str, what: str, least: float) -> dict[str, Any]:
    row = next(r for r in rows if (r["data"], r["label"]) == (data, label))
    found = [one[-1] for one in row[what]]
    return {
        "data": data,
        "label": label,
        "what": what,
        "at_least": least,
        "found": found,
        "met_by": sum(value >= least for value in found),
        "mean": round(statistics.fmean(found), 4),
    }
