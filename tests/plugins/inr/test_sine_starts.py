"""The reference starts: bounds, placements, biases, tables, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from siren_pytorch import SirenNet
from torch import nn

import initkit
from initkit import PlanError, Uniform

from .field_networks import Field, FinerLayer, FoldedLayer, GaussLayer, InputLayer, SineLayer, Wavelets


def sines(layer: Any = SineLayer, width: int = 256, hidden: int = 2, axes: int = 2) -> Field:
    return Field(layer, axes=axes, width=width, hidden=hidden)


def bounds(model: nn.Module, recipe: Any) -> list[float]:
    plan = initkit.plan(model, recipe)
    return [fill.draw.std * math.sqrt(3) for fill in plan.fills if fill.name.endswith("weight")]


@pytest.mark.parametrize(
    ("recipe", "options", "wanted"),
    [
        ("inr/siren", {}, [0.5, 0.0051031, 0.0051031]),
        ("inr/weight_scaling", {"alpha": 2.5}, [1.25, 0.0127578, 0.0051031]),
        ("inr/sine_gradient", {}, [0.5, 0.0036084, 0.0036084]),
        ("inr/siren", {"omega_hidden": 1.0}, [0.5, 0.1530931, 0.1530931]),
    ],
)
def test_bounds(recipe: str, options: dict[str, Any], wanted: list[float]) -> None:
    assert bounds(sines(), initkit.recipe(recipe, **options)) == pytest.approx(wanted, abs=6e-8)


def test_bounds_by_placement() -> None:
    outer = bounds(sines(SineLayer), "inr/siren")
    assert bounds(sines(FoldedLayer), "inr/siren") == pytest.approx([30 * outer[0], 30 * outer[1], outer[2]])
    assert bounds(sines(InputLayer), "inr/siren") == pytest.approx(outer)


@pytest.mark.parametrize("recipe", ["inr/siren", "inr/sine_gradient", "inr/weight_scaling", "inr/winner"])
def test_a_folded_network_begins_as_the_same_function(recipe: str) -> None:
    outer, folded = sines(SineLayer, 16).double(), sines(FoldedLayer, 16).double()
    made = initkit.recipe(recipe, **({"s0": 20.0, "s1": 0.1} if recipe == "inr/winner" else {}))
    for model in (outer, folded):
        initkit.apply(model, made, seed=3)
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(10, 2)
    assert torch.allclose(outer(x)[0], folded(x)[0], atol=1e-10)


def test_a_sound_has_its_own_first_frequency() -> None:
    model = nn.Sequential(SineLayer(1, 64, 3000.0), SineLayer(64, 64), nn.Linear(64, 1))
    assert bounds(model, "inr/siren") == pytest.approx([1.0, math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30])


def test_biases() -> None:
    model = sines(width=64)
    draws = {choice: initkit.plan(model, initkit.recipe("inr/siren", bias=choice)) for choice in ("torch", "as_weight")}
    assert draws["torch"]["net.0.linear.bias"].draw == Uniform(-1 / math.sqrt(2), 1 / math.sqrt(2))
    assert draws["torch"]["net.1.linear.bias"].draw == Uniform(-0.125, 0.125)
    for layer in ("net.0.linear", "net.1.linear", "net.2"):
        assert draws["as_weight"][f"{layer}.bias"].draw == draws["as_weight"][f"{layer}.weight"].draw
    kept = initkit.apply(model, initkit.recipe("inr/siren", bias="keep"))
    assert kept.kept == ["net.0.linear.bias", "net.1.linear.bias", "net.2.bias"]
    initkit.apply(model, initkit.recipe("inr/siren", bias="zero"))
    assert not any(bool(parameter.any()) for name, parameter in model.named_parameters() if name.endswith("bias"))
    initkit.apply(model, "inr/sine_gradient")
    assert bool(model.net[0].linear.bias.any())
    assert not bool(model.net[1].linear.bias.any())


def test_siren_pytorch_has_the_same_bounds() -> None:
    """The package draws biases from the bound of the weights, and its hidden layers have frequency 1."""
    model = SirenNet(2, 256, 1, 3)
    plan = initkit.plan(model, initkit.recipe("inr/siren", bias="as_weight"))
    for name, parameter in model.named_parameters():
        bound = plan[name].draw.std * math.sqrt(3)
        assert float(parameter.detach().abs().max()) <= bound * (1 + 1e-6)
        if parameter.numel() > 200:
            assert float(parameter.detach().abs().max()) == pytest.approx(bound, rel=0.05)


def test_finers_first_bias() -> None:
    model = sines(FinerLayer, 64)
    assert bounds(model, "inr/finer") == bounds(model, "inr/siren")
    plan = initkit.plan(model, initkit.recipe("inr/finer", first_bias_scale=5))
    assert plan["net.0.linear.bias"].draw == Uniform(-5.0, 5.0)
    assert plan["net.1.linear.bias"].draw == Uniform(-0.125, 0.125)


def test_gaussians_and_wavelets_begin_with_torchs_default() -> None:
    model = Field(GaussLayer, width=64)
    assert bounds(model, "inr/gauss") == pytest.approx([1 / math.sqrt(2), 0.125, 0.125])
    wavelets = Wavelets(64)
    initkit.apply(wavelets, "inr/wire")
    weight = wavelets.net[1].linear.weight.detach()
    assert float(weight.abs().square().mean()) == pytest.approx(2 / (3 * 64), rel=0.03)
    assert float(weight.real.abs().max()) <= 0.125
    assert float((weight.real * weight.imag).mean().abs()) < 2e-4


def test_hidden_sines_settle_at_their_fixed_point() -> None:
    """In units of 1/ω preactivations go to s² = 1 - exp(-2s²), s = 0.892643."""
    model = sines(width=512, hidden=10)
    report = initkit.apply(model, initkit.recipe("inr/siren", bias="zero"), coords=torch.rand(2000, 2) * 2 - 1)
    rows = report.notes["inr/siren layers"]
    assert [30 * row["predicted_std"] for row in rows[8:]] == pytest.approx([0.892643] * 3, rel=1e-3)
    # s² coth s² at the fixed point: gradients grow by 1.2 in variance a layer.
    assert [row["condition"] for row in rows[8:10]] == pytest.approx([1.2005] * 2, rel=5e-3)
    assert [row["measured_std"] / row["predicted_std"] for row in rows] == pytest.approx([1] * 11, abs=0.3)


def test_the_table_of_layers() -> None:
    report = initkit.apply(sines(FoldedLayer, 16), "inr/siren")
    rows = report.notes["inr/siren layers"]
    assert [row["layer"] for row in rows] == ["net.0.linear", "net.1.linear", "net.2"]
    assert rows[0]["activation"] == "sine:30:folded"
    assert rows[0]["placement"] == "folded"
    assert rows[0]["weight"] == "U(-15, 15)"
    assert rows[2]["activation"] == "none"
    assert "measured_std" not in rows[0]


def test_what_is_said_wins() -> None:
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    with pytest.raises(PlanError, match="0 is followed by tanh, this start is for sine or finer; inr/vi3nr takes any"):
        initkit.plan(model, "inr/siren")
    plan = initkit.plan(model, initkit.recipe("inr/siren", activation="sine:10:folded"))
    assert plan["0.weight"].draw == Uniform(-5.0, 5.0)


def test_one_layer_is_too_few() -> None:
    with pytest.raises(PlanError, match="linear is the model's only linear layer: this start needs a first one and a"):
        initkit.plan(SineLayer(2, 4), "inr/siren")


@pytest.mark.parametrize("recipe", ["inr/gauss", "inr/wire"])
@pytest.mark.parametrize("layer", [SineLayer, FinerLayer])
def test_other_activations_are_refused(recipe: str, layer: Any) -> None:
    with pytest.raises(PlanError, match=r"net\.0\.linear is followed by (sine|finer):30"):
        initkit.plan(Field(layer), recipe)


def test_a_multiplicative_network_is_refused_before_anything_is_written() -> None:
    from .field_networks import Multiplicative

    model = Multiplicative()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(PlanError, match=r"linears\.1"):
        initkit.apply(model, "inr/siren")
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_sines_in_half_precision_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"half precision \(net.0.linear\)"):
        initkit.apply(sines(width=16).to(torch.bfloat16), "inr/siren")
    model = sines(width=16)
    model.spare = nn.Linear(2, 2)
    with pytest.warns(UserWarning, match="not reached in the forward pass and left alone: spare"):
        initkit.apply(model, "inr/siren")


def test_scaling_beyond_reason_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="alpha = 4 is beyond"):
        initkit.plan(sines(width=16), initkit.recipe("inr/weight_scaling", alpha=4))


def test_larger_weights_of_layers_with_a_joint_input() -> None:
    from .field_networks import Skipping

    plan = initkit.plan(Skipping(), "inr/siren")
    assert plan["b.weight"].draw == Uniform(-math.sqrt(6 / 19) / 30, math.sqrt(6 / 19) / 30)
