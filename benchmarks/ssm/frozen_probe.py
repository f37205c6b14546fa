"""What the last state of a frozen model tells of an image that was read as one sequence.

Digits of scikit-learn, each enlarged 1, 4 or 8 times on both sides and read pixel by pixel (64 to 4,096 steps) by eight
models of 32 real states whose parameters are as their start left them; a ridge classifier (penalty 1) reads the last
states, each number standardised, so that no start gains by the size of its states. 1,437 images train it, 360 test it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import initkit
from benchmarks.ssm._starts import NAIVE, RINGS, Start, s4d

CHANNELS, STATE, TRAIN = 8, 32, 1437
SCALES = [1, 4, 8]
SEEDS = [0, 1, 2]
STARTS = [NAIVE, *(s4d(variant) for variant in ("rand", "real", "lin", "inv", "legs")), *RINGS, s4d("dfout")]
UNIFORM = Start("uniform", "ssm/s4d", {"variant": "lin", "real_part": "random", "imag_part": "random"})


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for scale in SCALES:
        images, classes = _digits(scale)
        length = images.shape[1]
        for label, features in _features(length).items():
            found = [_accuracy(features(images, seed), classes) for seed in SEEDS]
            rows.append({"label": label, "length": length, "accuracy": found, "mean": statistics.fmean(found)})
            print(rows[-1], flush=True)
    at = {(row["label"], row["length"]): row["mean"] for row in rows}
    return {
        "seeds": SEEDS,
        "protocol": {
            "channels": CHANNELS,
            "state": STATE,
            "train": TRAIN,
            "classifier": "StandardScaler, RidgeClassifier(1.0)",
        },
        "rows": rows,
        "verdicts": [
            _at_least("legs reads 1,024 steps", at["legs", 1024], 0.93),
            _at_least("inv reads 1,024 steps", at["inv", 1024], 0.93),
            _at_least("legs at 4,096 steps over the naive start", at["legs", 4096] / at["naive", 4096], 2.0),
            _at_least("a ring of r from .99 to .9999 reads 4,096 steps", at["LRU .99-.9999 π/10", 4096], 0.92),
        ],
    }


def _at_least(what: str, found: float, least: float) -> dict[str, Any]:
    return {"what": what, "found": round(found, 4), "at_least": least, "holds": found >= least}


def _digits(scale: int) -> tuple[Tensor, Any]:
    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.images))
    images = torch.from_numpy(data.images[order]).double() / 16
    images = images.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return images.reshape(len(images), -1), data.target[order]


def _features(length: int) -> dict[str, Callable[[Tensor, int], Tensor]]:
    found: dict[str, Callable[[Tensor, int], Tensor]] = {
        start.label: lambda images, seed, start=start: _last_states(*start.poles(CHANNELS, STATE, seed), images)
        for start in [*STARTS, UNIFORM]
    }
    return found | {"dense Glorot": _dense}


def _last_states(lam: Tensor, gain: Tensor, images: Tensor) -> Tensor:
    """Σ_l λ^l B̄ u[L-1-l], real and imaginary parts, (images, 2 channels modes)."""
    length = images.shape[1]
    places = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    flat, gains = lam.reshape(-1, 1), gain.reshape(-1, 1)
    responses = gains * torch.polar(flat.abs() ** places, flat.angle() * places)
    return torch.cat([images @ responses.real.t(), images @ responses.imag.t()], 1)


def _dense(images: Tensor, seed: int) -> Tensor:
    """Eight dense recurrences x = W x + b u with Glorot's variance, as a plain RNN starts."""
    w = initkit.Normal(STATE**-0.5).sample((CHANNELS, STATE, STATE), torch.float64, initkit.Stream(seed, "W"))
    b = initkit.Normal(1.0).sample((CHANNELS, STATE), torch.float64, initkit.Stream(seed, "b"))
    found = []
    for channel in range(CHANNELS):
        # A recurrence that grows overflows: directions and sizes are kept apart, and the largest size becomes 1.
        directions, sizes, x, size = [], [], b[channel], 0.0
        for _ in range(images.shape[1]):
            norm = float(x.norm())
            x, size = x / norm, size + math.log(norm)
            directions.append(x)
            sizes.append(size)
            x = w[channel] @ x
        scale = torch.exp(torch.tensor(sizes, dtype=torch.float64) - max(sizes))
        found.append(images @ (torch.stack(directions) * scale.unsqueeze(-1)).flip(0))
    return torch.cat(found, 1)


def _accuracy(features: Tensor, classes: Any) -> float:
    x = features.numpy()
    reader = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(x[:TRAIN], classes[:TRAIN])
    return float(reader.score(x[TRAIN:], classes[TRAIN:]))
