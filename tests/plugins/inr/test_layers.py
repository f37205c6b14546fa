"""The layer plan: what is read of real modules and of their relatives, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from siren_pytorch import Siren, SirenNet, SirenWrapper
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from initkit import OptionError, PlanError
from initkit_inr.activations import KINDS, NUMBERS, Activation, parse, recognise
from initkit_inr.layers import LayerPlan, find_layers

from .field_networks import (
    Bare,
    Encoded,
    Field,
    FinerLayer,
    FoldedLayer,
    GaussLayer,
    InputLayer,
    Multiplicative,
    SineLayer,
    Skipping,
    Wavelets,
)


def said(plan: LayerPlan) -> list[str]:
    return [str(layer.activation) for layer in plan]


@pytest.mark.parametrize(
    ("layer", "activation"),
    [
        (SineLayer, "sine:30"),
        (FoldedLayer, "sine:30:folded"),
        (InputLayer, "sine:30:input"),
        (FinerLayer, "finer:30"),
        (GaussLayer, "gauss:30"),
    ],
)
def test_where_the_frequency_sits(layer: Any, activation: str) -> None:
    plan = find_layers(Field(layer))
    assert said(plan) == [activation] * 2 + ["None"]
    assert [item.label for item in plan] == ["net.0.linear", "net.1.linear", "net.2"]
    assert [item.first for item in plan] == [True, False, False]
    assert [item.last for item in plan] == [False, False, True]
    assert [item.weight for item in plan] == ["net.0.linear.weight", "net.1.linear.weight", "net.2.weight"]


def test_siren_pytorch() -> None:
    plan = find_layers(SirenNet(2, 16, 3, 3))
    assert said(plan) == ["sine:30", "sine:1", "sine:1", "None"]
    assert [(layer.n_in, layer.n_out) for layer in plan] == [(2, 16), (16, 16), (16, 16), (16, 3)]
    assert plan[0].weight == "layers.0.weight"
    assert plan[3].bias == "last_layer.bias"


def test_siren_pytorch_s_wrapper() -> None:
    """It draws its coordinates from a buffer and folds the output with einops."""
    plan = find_layers(SirenWrapper(SirenNet(2, 16, 3, 2), image_width=8, image_height=4))
    assert [layer.name for layer in plan] == ["net.layers.0", "net.layers.1", "net.last_layer"]
    assert said(plan) == ["sine:30", "sine:1", "None"]
    modulated = SirenWrapper(SirenNet(2, 16, 3, 2), image_width=8, image_height=4, latent_dim=5)
    assert len(find_layers(modulated, "sine:30", {"latent": torch.rand(5)})) > 3


def test_siren_pytorch_with_a_sine_at_the_end() -> None:
    plan = find_layers(SirenNet(2, 16, 3, 2, w0=20.0, final_activation=None))
    assert said(plan)[1] == "sine:20"
    single = find_layers(Siren(2, 3, w0=7.0))
    assert said(single) == ["sine:7"]
    assert single[0].last


def test_wavelets_have_complex_layers() -> None:
    plan = find_layers(Wavelets())
    assert said(plan) == ["wire:10:40", "wire:10:40", "None"]
    assert [layer.dtype for layer in plan] == [torch.float32, torch.complex64, torch.complex64]


def test_parameters_without_modules() -> None:
    plan = find_layers(Bare())
    assert [layer.weight for layer in plan] == ["w0", "w1"]
    assert [layer.bias for layer in plan] == ["b0", None]
    assert said(plan) == ["sine:30", "None"]


def test_joined_coordinates_are_a_source_of_their_own() -> None:
    plan = find_layers(Skipping())
    assert [(source.layer, source.width) for source in plan[1].sources] == [(0, 16), (None, 3)]
    assert not plan[1].first
    assert plan.previous(plan[1]) is plan[0]


def test_features_are_the_first_layers_input() -> None:
    model = Encoded()
    plan = find_layers(model)
    coords = torch.linspace(-1, 1, 10).reshape(5, 2)
    angles = coords @ model.frequencies
    expected = torch.cat([angles.sin(), angles.cos()], dim=-1).double()
    assert torch.allclose(plan.input_of(plan[0], coords), expected, atol=1e-6)


def test_order_is_that_of_execution() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(8, 1), nn.Linear(2, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)))

    assert [layer.name for layer in find_layers(Backwards())] == ["first", "last"]


def test_multiplicative_networks_are_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"linears\.1: its input mixes linears\.0 and filters\.1"):
        find_layers(Multiplicative())


def test_the_user_may_say_it_is_a_chain() -> None:
    plan = find_layers(Multiplicative(), "sine:30")
    assert len(plan) == 6
    assert said(plan)[-1] == "None"


def test_a_residual_is_refused_by_name() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.sin(self.a(x))
            return self.c(h + torch.sin(self.b(h)))

    with pytest.raises(PlanError, match="c: its input mixes a and b"):
        find_layers(Residual())


def test_what_is_not_elementwise_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1))
    with pytest.raises(PlanError, match="^0: the activation after it is unknown: it is not elementwise"):
        find_layers(model)


def test_units_with_different_activations_are_refused_by_name() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 8), nn.Linear(8, 1)
            self.register_buffer("omegas", torch.arange(1.0, 9.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.sin(self.omegas * self.a(x)))

    with pytest.raises(PlanError, match="a: the activation after it is unknown: its units have different activations"):
        find_layers(Mixed())


def test_a_layer_used_twice_is_refused_by_name() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.sin(self.a(torch.sin(self.a(x)))))

    with pytest.raises(PlanError, match=r"a\.weight is used twice"):
        find_layers(Twice())


def test_a_layer_that_is_not_reached_is_noted() -> None:
    model = Field(SineLayer)
    model.spare = nn.Linear(3, 3)
    plan = find_layers(model)
    assert len(plan) == 3
    assert plan.notes == ["not reached in the forward pass and left alone: spare"]


def test_a_weight_that_is_computed_is_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, 2))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, 2 * self.w)

    with pytest.raises(PlanError, match="computed in the forward pass"):
        find_layers(Scaled())


def test_a_normalised_weight_is_found_under_its_name() -> None:
    model = Field(SineLayer)
    weight_norm(model.net[1].linear)
    assert find_layers(model)[1].weight == "net.1.linear.weight"


class Asking(Field):
    """Asks about shapes and values on the way."""

    def forward(self, coords: Tensor) -> Tensor:
        if coords.shape[-1] != 2:
            raise ValueError("two coordinates")
        assert coords.ndim == 2
        if coords.abs().max() > 10:
            coords = coords / coords.abs().max()
        return super().forward(coords)[0]


def test_questions_about_shapes_are_answered() -> None:
    assert said(find_layers(Asking(SineLayer))) == ["sine:30", "sine:30", "None"]
    assert said(find_layers(Asking(SineLayer), inputs=torch.ones(4, 2))) == ["sine:30", "sine:30", "None"]


def test_a_dictionary_of_inputs() -> None:
    class Named(Field):
        def forward(self, model_input: dict[str, Tensor]) -> dict[str, Tensor]:
            coords = model_input["coords"]
            return {"model_out": self.net(coords), "model_in": coords}

    model = Named(FoldedLayer)
    inputs = {"coords": torch.rand(50, 2)}
    plan = find_layers(model, inputs=inputs)
    assert said(plan) == ["sine:30:folded", "sine:30:folded", "None"]
    assert torch.equal(plan.input_of(plan[0], inputs), inputs["coords"].double())
    sizes = plan.measured(inputs)
    assert sizes is not None
    assert sizes[0] == pytest.approx(float(model.net[0].linear(inputs["coords"]).detach().std()), rel=1e-2)


def test_what_cannot_be_followed_can_be_said() -> None:
    class Looping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 8), nn.Linear(8, 1)

        def forward(self, x: Tensor, steps: Tensor) -> Tensor:
            for _ in range(int(steps)):
                x = x / 2
            return self.b(torch.sin(30 * self.a(x)))

    with pytest.raises(PlanError, match="cannot be followed.*activation=sine:30"):
        find_layers(Looping())
    plan = find_layers(Looping(), "sine:30")
    assert said(plan) == ["sine:30", "None"]
    assert "in the order they are registered" in plan.notes[0]


def test_what_the_user_says() -> None:
    model = Field(SineLayer)
    assert said(find_layers(model, "gauss:20")) == ["gauss:20", "gauss:20", "None"]
    assert said(find_layers(model, ("sine:300", "sine:30:folded"))) == ["sine:300", "sine:30:folded", "None"]
    plan = find_layers(model, lambda z: torch.sin(5 * z))
    assert said(plan) == ["sine:5", "sine:5", "None"]
    with pytest.raises(OptionError, match="activation lists 4; the model has 3 linear layers, 2 before"):
        find_layers(model, ("relu",) * 4)
    with pytest.raises(OptionError, match="not elementwise"):
        find_layers(model, lambda z: z.sum())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sin:30", "no kind 'sin'"),
        ("sine", "write sine:OMEGA"),
        ("sine:-3", "must be a positive number"),
        ("sine:nan", "must be a positive number"),
        ("sine:x", "must be a positive number"),
        ("relu:2", "write relu"),
        ("gauss:3:folded", "no frequency"),
        ("wire:20", "write wire:OMEGA:SCALE"),
    ],
)
def test_malformed_activations(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse(text)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    omega=st.floats(0.05, 4000),
    scale=st.floats(0.01, 100),
    amplitude=st.sampled_from([1.0, 0.5, 30.0]),
)
def test_every_activation_is_recognised_by_its_values(kind: str, omega: float, scale: float, amplitude: float) -> None:
    names = NUMBERS.get(kind, ())
    given_ = Activation(kind, omega if "omega" in names else 1.0, scale if "scale" in names else 1.0)
    factor = amplitude if kind in ("sine", "gauss") else 1.0
    if kind == "leaky_relu" and scale > 0.9:
        return
    if kind == "wire" and not 0.02 < omega / scale < 50:
        return
    found, measured = recognise(lambda z: factor * given_(z))
    assert found.kind == kind
    assert found.omega == pytest.approx(given_.omega, rel=1e-6)
    assert found.scale == pytest.approx(given_.scale, rel=1e-6)
    assert measured == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("text", ["sine:30", "sine:30:folded", "wire:20:10", "gauss:3.5", "relu", "finer:30:input"])
def test_activations_are_written_as_they_are_read(text: str) -> None:
    assert str(parse(text)) == text


def test_an_activation_of_ones_own_is_kept_as_it_is() -> None:
    found, _ = recognise(lambda z: z.abs() ** 1.5)
    assert found.kind == "custom"
    assert torch.allclose(found(torch.tensor([-4.0])), torch.tensor([8.0]))


def test_a_forward_pass_that_remembers_and_counts_does_neither_here() -> None:
    class Counting(Field):
        def __init__(self) -> None:
            super().__init__(SineLayer)
            self.register_buffer("calls", torch.zeros(1))
            self.seen: Any = None

        def forward(self, coords: Tensor) -> Tensor:
            self.seen = coords
            self.calls.add_(1)
            return super().forward(coords)[0]

    model = Counting()
    assert said(find_layers(model)) == ["sine:30", "sine:30", "None"]
    assert model.seen is None
    assert float(model.calls) == 0


def test_dropout_is_no_part_of_an_activation() -> None:
    class Dropping(Field):
        def forward(self, coords: Tensor) -> Tensor:
            h = nn.functional.dropout(self.net[0](coords), 0.5, self.training)
            return self.net[2](self.net[1](h))

    model = Dropping(SineLayer).train()
    plan = find_layers(model)
    assert said(plan) == ["sine:30", "sine:30", "None"]
    assert all(module.training for module in model.modules())
    coords = torch.rand(20, 2)
    state = torch.random.get_rng_state()
    assert plan.measured(coords) is not None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_following_a_model_leaves_it_as_it_was() -> None:
    class Constant(Field):
        def forward(self, coords: Tensor) -> Tensor:
            noise = torch.rand(1)
            return super().forward(coords * torch.tensor([1.0, 2.0]))[0] + 0 * noise

    model = Constant(SineLayer)
    before, state = set(vars(model)), torch.random.get_rng_state()
    find_layers(model)
    assert set(vars(model)) == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = Field(FoldedLayer)
    assert said(find_layers(model)) == ["sine:30:folded", "sine:30:folded", "None"]
    with torch.device("meta"):
        wavelets = Wavelets()
    with pytest.raises(PlanError, match=r"net\.0\.linear.*meta device"):
        find_layers(wavelets)
    assert said(find_layers(wavelets, "wire:10:40"))[0] == "wire:10:40"


def test_a_warning_of_the_users_own_forward_is_not_repeated() -> None:
    class Warning_(Field):
        def forward(self, coords: Tensor) -> Tensor:
            warnings.warn("look here", stacklevel=1)
            return super().forward(coords)[0]

    find_layers(Warning_(SineLayer))


def test_no_linear_layers() -> None:
    with pytest.raises(PlanError, match="has no linear layers"):
        find_layers(nn.Identity())
