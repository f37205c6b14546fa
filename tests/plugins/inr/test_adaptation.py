"""Meta-gradients: golden values, numerical differences, one way of computing against the others."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from initkit_inr.adaptation import Adaptation, Batch, Method

LR = 0.1


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


X = double(-1, -0.5, 0, 0.5, 1)[:, None]
TASKS = Batch({"x": X}, {"y": torch.stack([0.5 * X + 0.5, 1 - X.square()])})
START = {
    "W1": double(0.5, -0.25)[:, None],
    "b1": double(0.1, 0.2),
    "W2": double(0.3, -0.4)[None],
    "b2": double(0.05),
}
# Worked out apart from this code, for K = 2.
GOLDEN: dict[Method, dict[str, list[float]]] = {
    "maml": {
        "W1": [-0.05286700834908, -0.12051610275915],
        "b1": [-0.14663049069785, -0.00139679568505],
        "W2": [-0.00895858820714, -0.02255351486019],
        "b2": [-0.01326874464792],
    },
    "fomaml": {
        "W1": [-0.01373442644827, -0.16132275888205],
        "b1": [-0.17473797062454, 0.01340292330141],
        "W2": [0.07833974678993, -0.10891927246669],
        "b2": [-0.05995687877983],
    },
    "reptile": {
        "W1": [0.00564382350165, -0.04525935934863],
        "b1": [-0.05255588657296, 0.01165014198205],
        "W2": [0.03578011364464, -0.04592442233801],
        "b2": [-0.03070705773612],
    },
}


def loss(params: dict[str, Tensor], task: dict[str, Tensor]) -> Tensor:
    hidden = torch.sin(3 * (task["x"] @ params["W1"].T + params["b1"]))
    return (hidden @ params["W2"].T + params["b2"] + 0.5 - task["y"]).square().mean()


def test_losses_before() -> None:
    for index, wanted in enumerate((0.011708997125432, 0.322235082598568)):
        assert float(loss(START, TASKS.task(index))) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("vectorised", [False, True], ids=["loop", "vmap"])
@pytest.mark.parametrize("method", GOLDEN)
def test_golden_gradients(method: Method, vectorised: bool) -> None:
    outer, found = Adaptation(loss, LR, method, vectorised).gradient(START, [TASKS] * 3)
    assert float(outer) == pytest.approx(0.101558220514126, rel=1e-12)
    for name, values in GOLDEN[method].items():
        torch.testing.assert_close(found[name].flatten(), double(*values), rtol=1e-8, atol=1e-13)


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 4), lr=st.floats(1e-3, 0.3), seed=st.integers(0, 1000))
def test_four_ways_give_the_same_gradient(steps: int, lr: float, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    start = {name: torch.randn(v.shape, generator=numbers, dtype=torch.float64) for name, v in START.items()}
    ways = [
        Adaptation(loss, lr, "maml", vectorised, recompute).gradient(start, [TASKS] * (steps + 1))
        for vectorised, recompute in itertools.product((False, True), repeat=2)
    ]
    for outer, found in ways[1:]:
        torch.testing.assert_close(outer, ways[0][0], rtol=1e-12, atol=1e-14)
        for name in start:
            torch.testing.assert_close(found[name], ways[0][1][name], rtol=1e-9, atol=1e-11)


def test_maml_is_the_slope_of_the_loss_after_the_steps() -> None:
    adaptation = Adaptation(loss, LR)

    def after(start: dict[str, Tensor]) -> float:
        return float(adaptation.gradient(start, [TASKS] * 3)[0])

    _, found = adaptation.gradient(START, [TASKS] * 3)
    for name, value in START.items():
        for place in range(value.numel()):
            h = torch.zeros_like(value)
            h.view(-1)[place] = 1e-5
            slope = (after({**START, name: value + h}) - after({**START, name: value - h})) / 2e-5
            assert slope == pytest.approx(float(found[name].view(-1)[place]), rel=1e-6, abs=1e-10)


def test_each_step_has_its_own_points() -> None:
    """The first inner step at other points than the second and the outer loss."""
    few = Batch({"x": X[:2]}, {"y": TASKS.own["y"][:, :2]})
    adaptation = Adaptation(loss, LR)
    for vectorised in (False, True):
        _, found = Adaptation(loss, LR, "maml", vectorised).gradient(START, [few, TASKS, TASKS])
        start = {name: value.clone().requires_grad_() for name, value in START.items()}
        total = torch.zeros((), dtype=torch.float64)
        for index in range(2):
            ahead = start
            for batch in (few, TASKS):
                slopes = torch.autograd.grad(loss(ahead, batch.task(index)), list(ahead.values()), create_graph=True)
                ahead = {n: v - LR * g for (n, v), g in zip(ahead.items(), slopes, strict=True)}
            total = total + loss(ahead, TASKS.task(index)) / 2
        wanted = torch.autograd.grad(total, list(start.values()))
        for value, other in zip(found.values(), wanted, strict=True):
            torch.testing.assert_close(value, other, rtol=1e-10, atol=1e-13)
    assert set(adaptation.adapted(START, [TASKS.task(0)])) == set(START)


def test_nothing_of_the_start_is_changed_and_no_graph_is_left() -> None:
    before = {name: value.clone() for name, value in START.items()}
    for method in GOLDEN:
        for vectorised in (False, True):
            outer, found = Adaptation(loss, LR, method, vectorised).gradient(START, [TASKS] * 3)
            assert not outer.requires_grad
            assert not any(value.requires_grad for value in found.values())
    assert all(torch.equal(START[name], before[name]) for name in before)
    assert not any(value.requires_grad for value in START.values())
