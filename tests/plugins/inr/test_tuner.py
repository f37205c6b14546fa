"""TUNER: which frequencies the first layer holds, for each placement, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import initkit
from initkit import OptionError, PlanError

from .field_networks import Field, FoldedLayer, GaussLayer, InputLayer, SineLayer


def frequencies(model: Field, fold: float = 30.0, period: float = 2.0) -> torch.Tensor:
    """The k of each unit: ωW = (2π/period) k."""
    k = model.net[0].linear.weight.detach().double() * fold * period / (2 * math.pi)
    assert torch.allclose(k, k.round(), atol=1e-4)
    return k.round().long()


@settings(max_examples=15, deadline=None)
@given(
    axes=st.integers(1, 3),
    width=st.integers(4, 40),
    low=st.integers(20, 24),
    seed=st.integers(0, 99),
    more=st.booleans(),
)
def test_frequencies_are_whole_and_each_is_there_once(axes: int, width: int, low: int, seed: int, more: bool) -> None:
    low = low if axes < 3 else 6
    width = min(width, low)
    model = Field(SineLayer, axes=axes, width=width)
    recipe = initkit.recipe("inr/tuner", low=low, bandlimit=8 * low if more else None)
    report = initkit.apply(model, recipe, seed=seed)
    k = frequencies(model)
    rows = {tuple(row) for row in k.tolist()}
    assert len(rows) == width
    assert not rows & {tuple(-value for value in row) for row in rows}
    assert {tuple(row) for row in torch.eye(axes, dtype=torch.long).tolist()} <= rows
    high = k.abs().amax(dim=1) > low
    assert int(high.sum()) == (min(width - axes - round(0.7 * (width - axes)), 99) if more else 0)
    assert int(k.abs().max()) <= 8 * low
    assert "low ones" in report.notes["inr/tuner frequencies"]


@pytest.mark.parametrize(("layer", "fold"), [(SineLayer, 30.0), (FoldedLayer, 1.0), (InputLayer, 30.0)])
def test_the_network_has_the_period(layer: Any, fold: float) -> None:
    model = Field(layer, width=32).double()
    initkit.apply(model, initkit.recipe("inr/tuner", period=1.5), seed=1)
    assert int(frequencies(model, fold, 1.5).abs().max()) <= 12
    x = torch.rand(20, 2, dtype=torch.float64)
    shift = torch.tensor([1.5, -3.0], dtype=torch.float64)
    assert torch.allclose(model(x)[0], model(x + shift)[0], atol=1e-9)


def test_other_layers_are_sirens() -> None:
    model, reference = Field(SineLayer), Field(SineLayer)
    initkit.apply(model, "inr/tuner", seed=4)
    initkit.apply(reference, "inr/siren", seed=4)
    assert torch.equal(model.net[1].linear.weight, reference.net[1].linear.weight)
    assert torch.equal(model.net[0].linear.bias, reference.net[0].linear.bias)


def test_what_does_not_fit() -> None:
    with pytest.raises(OptionError, match="the box holds 11 frequencies, net.0.linear asks for 63; raise low"):
        initkit.plan(Field(SineLayer, axes=1, width=64), "inr/tuner")
    with pytest.raises(OptionError, match="too many to list; lower low"):
        initkit.plan(Field(SineLayer, axes=3), initkit.recipe("inr/tuner", low=200))
    with pytest.raises(OptionError, match="has 1 units for 2 axes"):
        initkit.plan(Field(SineLayer, width=1), "inr/tuner")
    with pytest.raises(PlanError, match="is followed by gauss:30"):
        initkit.plan(Field(GaussLayer), "inr/tuner")
