"""Two S4D layers trained on digits that are read pixel by pixel, by start of their dynamics.

Digits of scikit-learn enlarged twice on both sides (256 steps), width 32, 32 real states a channel, the last step
decides; four epochs of AdamW, whose rate for the dynamics is lower, as in the plugin's example. All else starts alike.
"""

from __future__ import annotations

import math
import statistics
import sys
from typing import Any

import torch
from torch import nn

import initkit
from benchmarks.ssm._starts import NAIVE, Start, lru, s4d
from initkit_ssm import example_s4d

SCALE, EPOCHS = 2, 4
SEEDS = [0, 1, 2]
STARTS = [
    NAIVE,
    *(s4d(variant) for variant in ("rand", "real", "lin", "inv", "legs")),
    Start("legs, B/2", "ssm/s4d", {"variant": "legs", "legs_b": "half"}),
    lru("LRU .9-.999", preset="long"),
    s4d("dfout"),
]


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for start in STARTS:
        found = [_train(start, seed) for seed in SEEDS]
        rows.append({"label": start.label, "accuracy": found, "mean": statistics.fmean(found), "std": _std(found)})
        print(rows[-1], flush=True)
    at = {row["label"]: row for row in rows}
    return {
        "seeds": SEEDS,
        "protocol": {"length": (8 * SCALE) ** 2, "epochs": EPOCHS, "channels": 32, "state": 32, "layers": 2},
        "rows": rows,
        "verdicts": [
            _above("legs over the naive start, worst seed against best", at["legs"], at["naive"]),
            _above("inv over the naive start, worst seed against best", at["inv"], at["naive"]),
            _above("dfout over the naive start, worst seed against best", at["dfout"], at["naive"]),
            _above("legs over real eigenvalues, worst seed against best", at["legs"], at["real"]),
            {
                "what": "dfout's mean accuracy after four epochs",
                "found": round(at["dfout"]["mean"], 4),
                "at_least": 0.9,
                "holds": at["dfout"]["mean"] >= 0.9,
            },
        ],
    }


def _above(what: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    gap = min(one["accuracy"]) - max(other["accuracy"])
    return {"what": what, "found": round(gap, 4), "at_least": 0.0, "holds": gap > 0}


def _std(values: list[float]) -> float:
    return statistics.stdev(values)


def _train(start: Start, seed: int) -> float:
    torch.manual_seed(seed)
    model = example_s4d.model()
    start.fill(model, seed)
    x, y = example_s4d.digits(SCALE)
    optimizer = example_s4d.optimizer(model)
    train, batch = example_s4d.TRAIN, example_s4d.BATCH
    model.train()
    for epoch in range(EPOCHS):
        order = torch.from_numpy(initkit.Stream(seed, f"epoch {epoch}").permutation(train))
        for step in range(math.ceil(train / batch)):
            rows = order[step * batch : (step + 1) * batch]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = float((model(x[train:]).argmax(-1) == y[train:]).double().mean())
    print(f"{start.label}, seed {seed}: {accuracy:.3f}", file=sys.stderr, flush=True)
    return accuracy
