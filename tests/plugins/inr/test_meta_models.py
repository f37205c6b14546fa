"""inr/meta: networks of all kinds, and those that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initkit
from initkit import CommitError, InitError, PlanError

from .meta_networks import FAST, Clips, Counts, Field, Sine, bits, blobs, learn


@pytest.mark.parametrize(
    ("between", "kind", "words"),
    [
        (lambda: nn.BatchNorm1d(16), PlanError, r"between \(BatchNorm1d\) keeps running statistics, .*use LayerNorm"),
        (lambda: nn.Dropout(0.1), PlanError, r"between \(Dropout, p = 0.1\) draws random numbers"),
        (Counts, CommitError, "a call of Field changes its buffer between.calls"),
    ],
)
def test_stateful_models_are_refused(between: Callable[[], nn.Module], kind: type[InitError], words: str) -> None:
    model = Field(between=between())
    before = bits(model)
    with pytest.raises(kind, match=words) as error:
        learn(model, activation="sine:30")
    assert "\n" not in str(error.value)
    assert bits(model) == before


def test_normalisation_without_statistics_is_welcome() -> None:
    model = Field(between=nn.LayerNorm(16))
    assert learn(model, activation="sine:30").covered == 1


def test_models_that_cannot_be_vectorised() -> None:
    with pytest.raises(CommitError, match="the tasks cannot be vectorised .*vectorize='loop'"):
        learn(Field(between=Clips()), activation="sine:30", vectorize="vmap")
    assert learn(Field(between=Clips()), activation="sine:30", vectorize="loop").covered == 1


class Official(nn.Module):
    """As the authors of SIREN write it: derivatives by the coordinates are wanted, and both come back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 16), Sine(), nn.Linear(16, 16), Sine(), nn.Linear(16, 1))

    def forward(self, coords: Tensor) -> Any:
        coords = coords.clone().detach().requires_grad_(True)
        return self.net(coords), coords


def test_models_that_ask_for_derivatives_by_the_coordinates() -> None:
    assert learn(Official()).covered == 1
    assert learn(Official(), recompute=True).covered == 1
    with pytest.raises(CommitError, match="the tasks cannot be vectorised"):
        learn(Official(), vectorize="vmap")


class Gabor(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.exp(20j * z - (10 * z).abs().square())


class Wavelets(nn.Module):
    """Complex from the second layer on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        complex_layers = nn.Linear(8, 8, dtype=torch.cfloat), Gabor(), nn.Linear(8, 1, dtype=torch.cfloat)
        self.net = nn.Sequential(nn.Linear(2, 8), Gabor(), *complex_layers)

    def forward(self, coords: Tensor) -> Tensor:
        return self.net(coords).real


def exact() -> nn.Module:
    return Wavelets()._apply(lambda t: t.to(torch.complex128) if t.is_complex() else t.double())


@pytest.mark.parametrize("method", ["maml", "fomaml", "reptile"])
def test_complex_parameters_are_learned(method: str) -> None:
    options = {"start": "present", "method": method, "outer_lr": 3e-3, "inner_lr": 1e-2}
    start, learned = learn(Wavelets(), **options, iters=60).notes["inr/meta effect"]
    assert learned["loss_after_2"] < 0.8 * start["loss_after_2"]
    loop, at_once, again = exact(), exact(), exact()
    few = {**options, "iters": 3}  # rounding grows a hundredfold in each
    learn(loop, **few)
    learn(at_once, **few, vectorize="vmap")
    learn(again, **few, recompute=method == "maml")
    for a, b, c in zip(loop.parameters(), at_once.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)


def test_parametrised_weights_are_learned_from_what_they_are() -> None:
    model = Field()
    nn.utils.parametrizations.weight_norm(model.b)
    with pytest.raises(PlanError, match=r"b\.weight is computed from other parameters .* start='present'"):
        learn(model)
    recipes = ["inr/siren", initkit.recipe("inr/meta", **{**FAST, "start": "present"})]
    report = initkit.apply(model, recipes, signals=blobs())
    assert report.covered == 1
    assert "b.parametrizations.weight.original1" in report


def test_outputs_that_do_not_fit_are_refused() -> None:
    class Pair(Field):
        def forward(self, coords: Tensor) -> Any:
            return super().forward(coords), coords

    class Named(Field):
        def forward(self, coords: Tensor) -> Any:
            return {"out": super().forward(coords)}

    class Turned(Field):
        def forward(self, coords: Tensor) -> Tensor:
            return super().forward(coords).T

    assert learn(Pair(), activation="sine:30")["a.weight"].hash == learn(Field(), activation="sine:30")["a.weight"].hash
    for model, signals, words in (
        (Field(channels=3), blobs(), r"gives \(49, 3\) at 49 points, but the signals have 1 channel: \(49, 1\)"),
        (Turned(channels=3), blobs(channels=3), r"gives \(3, 49\) at 49 points"),
        (Named(), blobs(), "returns dict, not a tensor .*loss_fn"),
    ):
        with pytest.raises(CommitError, match=words):
            learn(model, signals, activation="sine:30")
