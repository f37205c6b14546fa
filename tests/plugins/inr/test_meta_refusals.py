"""inr/meta: signals and options that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import initkit
from initkit import InitError, NeedError, OptionError, PlanError

from .meta_networks import FAST, Field, bits, blobs, grid, learn


def spoiled() -> Tensor:
    signals = blobs()
    signals[3, 2, 2] = float("nan")
    return signals


@pytest.mark.parametrize(
    ("signals", "coords", "words"),
    [
        (blobs(1), None, "1 of them; a start is learned from at least two"),
        ([], None, "0 of them"),
        (blobs(2), None, "2 of them, 0 held out, leave 2; .* tasks_per_iter=3"),
        (spoiled(), None, r"number 3 holds NaN or infinite values \(1 signals do\)"),
        ([blobs(1)[0], blobs(1, size=9)[0]], None, r"number 1 has shape \(9, 9\) .* resample them to one shape"),
        (
            blobs().reshape(8, -1),
            None,
            r"shape \(8, 49\), which a model of 2 coordinates cannot tell apart; give coords",
        ),
        (blobs(), grid(6), "has 49 values, which is no multiple of the 36 points of coords"),
        (blobs(), torch.zeros(49), r"coords: shape \(49,\); give \(points, d\)"),
        (blobs(), grid() * float("nan"), "coords: not all values are finite"),
        (torch.ones(4, 7, 7, dtype=torch.int64), None, "torch.int64 values; give floats"),
        (["a", "b"], None, r"signals\[0\]: str is no array of numbers"),
        ({"target": blobs(), "coords": blobs(5)}, None, "the numbers of tasks differ"),
        ({}, None, "an empty mapping"),
        (
            {"target": blobs().reshape(8, -1), "coords": torch.zeros(8, 30, 2)},
            None,
            r"signals\['target'\]: shape \(8, 49, 1\), but there are 30 points of coords",
        ),
        ({"target": blobs().reshape(8, -1), "coords": torch.zeros(8, 49, 2)}, grid(), "coords are given too"),
        ({"target": blobs().reshape(8, -1)}, None, "holds no 'target' with coords"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_signals_are_refused(signals: Any, coords: Any, words: str) -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(NeedError, match=words) as error:
        initkit.apply(model, initkit.recipe("inr/meta", **FAST), signals=signals, coords=coords)
    assert "\n" not in str(error.value)
    assert bits(model) == before


def test_missing_signals_are_named() -> None:
    with pytest.raises(NeedError, match=r"inr/meta needs 'signals' to learn from: .*learned=FILE"):
        initkit.apply(Field(), "inr/meta")


def test_what_is_no_network_is_refused() -> None:
    class Estimator:
        weight = np.ones(3)

    kind = type(initkit.recipe("inr/meta"))
    assert kind.claims(Estimator()) == []
    with pytest.raises(PlanError, match="Estimator is no nn.Module"):
        list(initkit.recipe("inr/meta").plan(Estimator(), signals=blobs()))


def test_a_buffer_without_values_is_refused() -> None:
    class Scaled(Field):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(2, device="meta"))

        def forward(self, coords: Tensor) -> Tensor:
            return super().forward(coords * self.scale)

    with pytest.raises(InitError, match="scale"):
        learn(Scaled(), activation="sine:30")


def test_options_are_checked() -> None:
    for options in ({"iters": 0}, {"inner_lr": 0.0}, {"method": "anil"}, {"vectorize": "fast"}, {"start": "relu"}):
        with pytest.raises(OptionError, match=next(iter(options))):
            initkit.recipe("inr/meta", **options)
    with pytest.raises(OptionError, match="checkpoint='/no/such/folder/x'.*no such folder"):
        initkit.recipe("inr/meta", checkpoint="/no/such/folder/x")
    with pytest.raises(OptionError, match="recompute=True is for method='maml'"):
        initkit.recipe("inr/meta", recompute=True, method="reptile")
    with pytest.raises(OptionError, match="patience=2 needs val_tasks"):
        initkit.recipe("inr/meta", patience=2)
