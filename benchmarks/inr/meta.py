"""Starts for fitting faces: PSNR of unseen faces after a few steps, from meta-learned and other starts.

80 faces to learn from, 20 others to test on; SIREN 2-64x4-1, omega 30, zero biases, plus 0.5; 1000 outer iterations of
three faces, Adam 1e-4, inner SGD 1e-2. A seed sets the first weights and the order of the faces.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

import initkit
from benchmarks.inr import _faces
from benchmarks.inr._faces import STEPS, TEST, TRAIN, Siren, curves, faces, grid, packed, resized

SEEDS = (0, 1, 2)
ITERATIONS = 1000
SHOWN = (0, 7)  # of the test faces
SHOWN_STEPS = (0, 2, 8, 32)
FIT_STEPS = 1500
# start: (recipe options or None, how it is adapted)
META = {
    "maml": {"method": "maml"},
    "fomaml": {"method": "fomaml"},
    "reptile": {"method": "reptile"},
    "reptile K=12": {"method": "reptile", "inner_steps": 12},
}
PLAIN = [("SGD", 1e-2), ("SGD", 1e-1), ("Adam", 1e-4), ("Adam", 1e-3)]
TUNED = {
    "siren": PLAIN,
    "maml": [("SGD", 1e-2), ("Adam", 1e-4)],
    "fomaml": [("SGD", 1e-2)],
    "reptile": [("SGD", 1e-2)],
    "reptile K=12": [("SGD", 1e-2)],
    "mean face": [("SGD", 1e-2), ("Adam", 1e-4), ("Adam", 1e-3)],
    "strainer": [("Adam", 1e-4), ("Adam", 1e-3)],
    "strainer, zero biases": [("Adam", 1e-4), ("Adam", 1e-3)],
}
PICTURED = {
    "siren": ("Adam", 1e-3),
    "mean face": ("Adam", 1e-3),
    "strainer": ("Adam", 1e-3),
    "reptile K=12": ("SGD", 1e-2),
    "fomaml": ("SGD", 1e-2),
    "maml": ("SGD", 1e-2),
}
OTHER_SIZES = (13, 25, 37, 49)
# Learned from as many points in each step, at random of a grid that is twice as fine.
FINE, FINE_SIZE = "maml, 625 of 49 x 49 points", 49


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run()
    finally:
        torch.set_num_threads(threads)


def _run() -> dict[str, Any]:
    images = faces()
    coords, test = grid(_faces.SIZE), torch.from_numpy(images[TEST]).reshape(20, -1, 1)
    found: dict[tuple[str, str, float], list[dict[int, float]]] = {}
    seconds: dict[str, list[float]] = {}
    pictures: dict[str, dict[str, list[str]]] = {}
    sizes: dict[str, list[dict[int, float]]] = {"maml": [], FINE: [], "siren": []}
    for seed in SEEDS:
        for label, tunings in TUNED.items():
            model = Siren()
            begin = time.process_time()
            _start(model, label, images[TRAIN], seed)
            seconds.setdefault(label, []).append(time.process_time() - begin)
            for optimiser, lr in tunings:
                psnr, outputs = curves(model, coords, test, optimiser, lr)
                means = {step: statistics.fmean(values) for step, values in psnr.items()}
                found.setdefault((label, optimiser, lr), []).append(means)
                words = ", ".join(f"{step}: {value:.1f}" for step, value in means.items())
                print(f"seed {seed}, {label}, {optimiser} {lr:g}: {words}", file=sys.stderr, flush=True)
                if seed == SEEDS[0] and PICTURED.get(label) == (optimiser, lr):
                    pictures[label] = {
                        str(step): [packed(outputs[step][face], _faces.SIZE) for face in SHOWN] for step in SHOWN_STEPS
                    }
            if label in sizes:
                sizes[label].append(_other_sizes(model, images[TEST]))
        fine = Siren()
        recipe = initkit.recipe("inr/meta", iters=ITERATIONS, points_per_step=_faces.SIZE**2)
        initkit.apply(fine, recipe, signals=resized(images[TRAIN], FINE_SIZE), seed=seed)
        sizes[FINE].append(_other_sizes(fine, images[TEST]))
        print(f"seed {seed}, {FINE}: {sizes[FINE][-1]}", file=sys.stderr, flush=True)
    rows = [_row(*key, runs, seconds[key[0]]) for key, runs in found.items()]
    return {
        "seeds": list(SEEDS),
        "protocol": {
            "iterations": ITERATIONS,
            "fit_steps": FIT_STEPS,
            "train": 80,
            "test": 20,
            "size": _faces.SIZE,
            "range": 1,
        },
        "rows": rows,
        "sizes": [
            {"label": label, "size": size, **_spread([run[size] for run in runs])}
            for label, runs in sizes.items()
            for size in OTHER_SIZES
        ],
        "pictures": {
            "size": _faces.SIZE,
            "targets": [packed(test[face], _faces.SIZE) for face in SHOWN],
            "starts": {label: {"tuned": list(PICTURED[label]), "steps": pictures[label]} for label in PICTURED},
        },
        "expected": _expected(found),
    }


def _start(model: Siren, label: str, train: np.ndarray[Any, Any], seed: int) -> None:
    if label in META:
        initkit.apply(model, initkit.recipe("inr/meta", iters=ITERATIONS, **META[label]), signals=train, seed=seed)
    elif label.startswith("strainer"):
        bias = "zero" if "zero" in label else "torch"
        initkit.apply(model, initkit.recipe("inr/strainer", steps=FIT_STEPS, bias=bias), signals=train, seed=seed)
    else:
        initkit.apply(model, initkit.recipe("inr/siren", bias="zero"), seed=seed)
    if label == "mean face":
        _fit(model, torch.from_numpy(train.mean(0)).reshape(-1, 1))


def _fit(model: Siren, target: Tensor) -> None:
    coords = grid(_faces.SIZE)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    for _ in range(FIT_STEPS):
        adam.zero_grad()
        (model(coords) - target).square().mean().backward()
        adam.step()


def _other_sizes(model: Siren, test: np.ndarray[Any, Any]) -> dict[int, float]:
    """Mean PSNR after two SGD steps on the faces at other sizes, coordinates in the same range."""
    found = {}
    for size in OTHER_SIZES:
        images = test if size == _faces.SIZE else resized(test, size)
        targets = torch.from_numpy(images).reshape(len(test), -1, 1)
        psnr, _ = curves(model, grid(size), targets, "SGD", 1e-2, steps=(2,))
        found[size] = statistics.fmean(psnr[2])
    return found


def _row(label: str, optimiser: str, lr: float, runs: list[dict[int, float]], seconds: list[float]) -> dict[str, Any]:
    psnr = {str(step): _spread([run[step] for run in runs]) for step in STEPS}
    row = {"label": label, "optimiser": optimiser, "lr": lr, "psnr": psnr}
    return row | {"seconds": round(statistics.median(seconds), 2)}


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "values": [round(value, 3) for value in values],
        "mean": round(statistics.fmean(values), 3),
        "std": round(statistics.stdev(values), 3),
    }


def _expected(found: dict[tuple[str, str, float], list[dict[int, float]]]) -> list[dict[str, Any]]:
    """What was expected before the runs, seed by seed."""
    maml = found["maml", "SGD", 1e-2]
    plain = [runs for (label, _, _), runs in found.items() if label not in META]
    best = [max(runs[index][2] for runs in plain) for index in range(len(SEEDS))]
    wanted = [
        ("MAML after 2 steps, dB", 30.0, [run[2] for run in maml]),
        ("MAML after 2 steps over the best start that is not meta-learned, dB", 12.0, [
            run[2] - other for run, other in zip(maml, best, strict=True)
        ]),
        ("MAML after 8 steps, dB", 45.0, [run[8] for run in maml]),
    ]  # fmt: skip
    return [
        {"words": words, "least": least, "found": [round(v, 2) for v in values], "met": min(values) >= least}
        for words, least, values in wanted
    ]
