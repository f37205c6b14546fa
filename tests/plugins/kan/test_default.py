"""The libraries' own starts: what they draw and what kan/default draws have the same distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from flashkan.layer import KANLayer as FlashLayer
from inkan import KANLayer as PackedLayer
from kan.KANLayer import KANLayer as PyLayer
from kan.spline import coef2curve
from kan_layouts import ChebyKANLayer, FastKANLayer, KANLinear, rms
from torch import nn

import initkit


def test_pykan() -> None:
    theirs = PyLayer(6, 300, num=5, k=3, noise_scale=0.3)
    ours = PyLayer(6, 300, num=5, k=3)
    initkit.apply(ours, "kan/default", seed=0)
    for name in ("coef", "scale_base", "scale_sp"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert rms(mine) == pytest.approx(rms(other), rel=0.03), name
    per_basis = [layer.coef.square().mean((0, 1)).sqrt() for layer in (ours, theirs)]
    assert torch.allclose(per_basis[0], per_basis[1], rtol=0.1)
    assert torch.allclose(ours.scale_sp, theirs.scale_sp)


def test_pykan_s_splines_go_through_the_noise() -> None:
    layer = PyLayer(2, 50, num=5, k=3)
    initkit.apply(layer, initkit.recipe("kan/default", noise=0.8), seed=0)
    knots = layer.grid[:, 3:-3].T
    values = coef2curve(knots, layer.grid, layer.coef, 3)
    assert float(values.detach().abs().max()) <= 0.4 / 5 + 1e-6
    assert rms(values) == pytest.approx(0.8 / 5 / math.sqrt(12), rel=0.05)


def test_efficient_kan() -> None:
    layer = KANLinear(9, 400)
    initkit.apply(layer, "kan/default", seed=0)
    bound = math.sqrt(6 / (6 * 9))
    for weight in (layer.base_weight, layer.spline_scaler):
        assert float(weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    x = layer.grid[:, 3:-3].T
    from kan_layouts import splines

    values = torch.einsum("pnm,onm->pon", splines(x, layer.grid, 3), layer.spline_weight)
    assert float(values.detach().abs().max()) == pytest.approx(0.05 / 5, rel=0.02)


def test_a_larger_base_gives_smaller_weights_in_efficient_kan() -> None:
    layer = KANLinear(9, 4)
    small = initkit.plan(layer, initkit.recipe("kan/default", base=2.0))["base_weight"].draw.std
    assert small < initkit.plan(layer, "kan/default")["base_weight"].draw.std
    layer.scale_base = 2.0
    assert initkit.plan(layer, "kan/default")["base_weight"].draw.std == small


@pytest.mark.parametrize("kind", [FlashLayer, PackedLayer])
def test_truncated_starts(kind: type[nn.Module]) -> None:
    theirs, ours = kind(8, 100), kind(8, 100)
    initkit.apply(ours, "kan/default", seed=0)
    for name in ("spline_weight", "base_weight"):
        assert rms(getattr(ours, name)) == pytest.approx(rms(getattr(theirs, name)), rel=0.08)


def test_fastkan() -> None:
    layer = FastKANLayer(8, 300)
    initkit.apply(layer, "kan/default", seed=0)
    assert rms(layer.spline_linear.weight) == pytest.approx(0.1, rel=0.02)
    assert float(layer.base_linear.weight.detach().abs().max()) == pytest.approx(1 / math.sqrt(8), rel=0.01)
    assert layer.base_linear.bias.any()
    layer.spline_linear.init_scale = 0.3
    assert initkit.plan(layer, "kan/default")["spline_linear.weight"].draw.std == pytest.approx(0.3)


def test_chebykan() -> None:
    layer = ChebyKANLayer(16, 30, 4)
    assert initkit.plan(layer, "kan/default")["cheby_coeffs"].draw.std == 1 / (16 * 5)


@pytest.mark.parametrize("kind", ["efficient", "packed", "pykan", "fast"])
def test_the_baseline_of_the_study(kind: str) -> None:
    n, o = 10, 200
    layers = {"efficient": KANLinear, "packed": PackedLayer, "pykan": PyLayer, "fast": FastKANLayer}
    layer: nn.Module = layers[kind](n, o)
    initkit.apply(layer, initkit.recipe("kan/default", scheme="baseline"), seed=0)
    bound = math.sqrt(6 / (n + o))
    names = {
        "efficient": ("base_weight", "spline_weight"),
        "packed": ("base_weight", "spline_weight"),
        "pykan": ("scale_base", "coef"),
        "fast": ("base_linear.weight", "spline_linear.weight"),
    }[kind]
    found = []
    for name in names:
        value: object = layer
        for part in name.split("."):
            value = getattr(value, part)
        assert isinstance(value, torch.Tensor)
        found.append(value)
    assert float(found[0].detach().abs().max()) == pytest.approx(bound, rel=0.02)
    assert rms(found[1]) == pytest.approx(0.1, rel=0.03)
    if kind == "pykan":
        assert layer.scale_sp.eq(1).all()


def test_options_that_leave_tensors() -> None:
    layer = PyLayer(3, 4, num=5, k=3)
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    recipe = initkit.recipe("kan/default", noise=0.0, base=0.0, keep_scale=True)
    with pytest.raises(initkit.InitError, match="found nothing to initialise"):
        initkit.apply(layer, recipe)
    report = initkit.apply(layer, initkit.recipe("kan/default", noise=0.0), seed=0)
    assert "coef" in report.kept
    assert np.array_equal(before["coef"].numpy(), layer.coef.detach().numpy())


def test_masked_connections_stay_cut() -> None:
    layer = PyLayer(4, 3, num=5, k=3)
    with torch.no_grad():
        layer.mask[0, 1] = 0.0
    initkit.apply(layer, "kan/default", seed=0)
    assert layer.scale_sp[0, 1] == 0
    assert float(layer.scale_sp.detach()[0, 0]) == pytest.approx(0.5)
