"""VI3NR: gains, sizes, the seeded draw, propagation through fifty layers, options and bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initkit
from initkit import NeedError, OptionError, PlanError, Uniform

from .field_networks import (
    Encoded,
    Field,
    FinerLayer,
    FoldedLayer,
    GaussLayer,
    InputLayer,
    SineLayer,
    Skipping,
    Wavelets,
)


class Gaussian(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.exp(-z.square() / (2 * 0.05**2))


class Sinc(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.sin(z) / z


class Wavelet(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.cos(z) * torch.exp(-z.square())


def chain(activation: nn.Module, layers: int = 3, width: int = 64, axes: int = 2, bias: bool = True) -> nn.Sequential:
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [nn.Linear(axes if i == 0 else width, width, bias=bias), activation]
    return nn.Sequential(*parts, nn.Linear(width, 1, bias=bias))


COORDS = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij"), -1)


@pytest.mark.parametrize(
    ("activation", "size", "squared_gain"),
    [
        (Gaussian(), 0.0776886987, 0.0145710678),
        (nn.Sigmoid(), 6.7545745830, 103.007554),
        (Sinc(), 2.2233350424, 10.6866395),
        (Wavelet(), 0.8704687179, 1.8039109),
        (nn.Tanh(), 0.1, 1.0198391),
        (nn.ReLU(), 1.0, 2.0),
    ],
)
def test_theory(activation: nn.Module, size: float, squared_gain: float) -> None:
    plan = initkit.plan(chain(activation), "inr/vi3nr", coords=COORDS)
    second = 33 / 31 / 3  # mean square of linspace(-1, 1, 32)
    assert plan["0.weight"].draw.std ** 2 == pytest.approx(size**2 / second / 2, rel=1e-6)
    assert plan["2.weight"].draw.std ** 2 == pytest.approx(squared_gain / 64, rel=2e-6)
    assert plan["6.weight"].draw.std ** 2 == pytest.approx(squared_gain / 64, rel=2e-6)


@pytest.mark.parametrize(
    ("size", "mean", "std", "gain"), [(1.0, 5.0, 20.0, 0.0485071250), (0.0776887, 0.0, 0.5773503, 0.1345607684)]
)
def test_gain_of_the_inputs(size: float, mean: float, std: float, gain: float) -> None:
    recipe = initkit.recipe("inr/vi3nr", sigma_p=size, input_moments=(mean, std))
    plan = initkit.plan(chain(Gaussian()), recipe)
    assert plan["0.weight"].draw.std * math.sqrt(2) == pytest.approx(gain, rel=1e-6)


def test_a_draw_with_the_authors_gain() -> None:
    """Their bound: √3 · 1.592537/√64 = 0.3447944."""
    model = chain(nn.Tanh(), width=64)
    plan = initkit.plan(model, initkit.recipe("inr/vi3nr", sigma_p=1.0, first="keep"))
    assert plan["2.weight"].draw.std * math.sqrt(3) == pytest.approx(0.3447944, rel=1e-6)
    initkit.apply(model, initkit.recipe("inr/vi3nr", sigma_p=1.0, first="keep"))
    assert float(model[2].weight.detach().abs().max()) == pytest.approx(0.3447944, rel=2e-3)


def test_sines_keep_their_bandwidth_and_small_preactivations() -> None:
    for layer in (SineLayer, FoldedLayer, InputLayer):
        plan = initkit.plan(Field(layer, width=64), "inr/vi3nr")
        fold = 30 if layer is FoldedLayer else 1
        assert plan["net.0.linear.weight"].draw == Uniform(-0.5 * fold, 0.5 * fold)
        t = 0.3**2
        gain = 0.3 / 30 / math.sqrt(-math.expm1(-2 * t) / 2)
        assert plan["net.1.linear.weight"].draw.std * 8 == pytest.approx(gain * fold, rel=1e-6)


def test_the_limit_of_small_preactivations_is_sine_gradient() -> None:
    model = Field(SineLayer, width=64)
    small = initkit.plan(model, initkit.recipe("inr/vi3nr", sigma_p=1e-6))["net.1.linear.weight"].draw.std
    assert small == pytest.approx(initkit.plan(model, "inr/sine_gradient")["net.1.linear.weight"].draw.std, rel=1e-6)


def test_finer_has_a_root_of_its_own() -> None:
    report = initkit.apply(Field(FinerLayer, width=64), "inr/vi3nr")
    rows = report.notes["inr/vi3nr layers"]
    assert rows[0]["condition"] == pytest.approx(1, abs=1e-4)
    assert 0.4 < 30 * rows[0]["sigma_p"] < 0.6


@pytest.mark.parametrize(
    ("activation", "sigma_p"),
    [
        (nn.Tanh(), "theory"),
        (nn.Sigmoid(), "theory"),
        (Gaussian(), "theory"),
        (Sinc(), "theory"),
        (Wavelet(), "theory"),
        (nn.ReLU(), "theory"),
    ],
)
def test_fifty_layers_keep_signal_and_gradient(activation: nn.Module, sigma_p: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(part for _ in range(50) for part in (activation, nn.Linear(200, 200, bias=False))))
    recipe = initkit.recipe("inr/vi3nr", sigma_p=sigma_p, first="keep")
    whole = nn.Sequential(nn.Linear(200, 200, bias=False), *model)
    report = initkit.apply(whole, recipe, seed=1)
    size = report.notes["inr/vi3nr layers"][0]["sigma_p"]
    x = (size * torch.randn(128, 200)).requires_grad_(True)
    z = model(x)
    z.backward(torch.randn_like(z))
    assert x.grad is not None
    wide = 0.5 if isinstance(activation, nn.ReLU) else 0.15
    assert float(z.detach().std()) / size == pytest.approx(1, abs=wide)
    assert float(x.grad.std()) == pytest.approx(1, abs=0.6)


def test_mixed_activations_each_have_their_size() -> None:
    model = nn.Sequential(nn.Linear(2, 64), Gaussian(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    report = initkit.apply(model, "inr/vi3nr", coords=COORDS)
    rows = report.notes["inr/vi3nr layers"]
    assert [row["sigma_p"] for row in rows] == pytest.approx([0.0776887, 0.1, 0.1], rel=1e-6)
    # Var[w] = σ²/(n m2): the size aimed at is this layer's, the moment that of the one before.
    expected = 0.1 / math.sqrt(0.0776887**2 / 0.0145710678) / 8
    assert report["2.weight"].std == pytest.approx(expected, rel=0.02)


def test_joined_coordinates_count_with_their_share() -> None:
    plan = initkit.plan(Skipping(16), initkit.recipe("inr/vi3nr", sigma_p=1 / 30))
    m2 = (16 * -math.expm1(-2) / 2 + 3 / 3) / 19
    assert plan["b.weight"].draw.std ** 2 == pytest.approx((1 / 30) ** 2 / m2 / 19, rel=1e-6)


def test_features_scale_the_first_layer() -> None:
    plan = initkit.plan(Encoded(), "inr/vi3nr", coords=COORDS.reshape(-1, 2))
    # sin² + cos² = 1 for every pair of features: E[x²] = 1/2.
    assert plan["layers.0.weight"].draw.std ** 2 == pytest.approx(1 / 0.5 / 16, rel=1e-6)


def test_biases_with_a_share_leave_preactivations_their_size() -> None:
    model = chain(Gaussian(), layers=4, width=1024)
    report = initkit.apply(model, initkit.recipe("inr/vi3nr", bias=0.5), coords=COORDS)
    rows = report.notes["inr/vi3nr layers"][:4]
    assert [row["predicted_std"] for row in rows] == pytest.approx([0.0776887] * 4, rel=1e-4)
    assert [row["measured_std"] for row in rows] == pytest.approx([0.0776887] * 4, rel=0.15)


def test_torchs_biases_are_told_of() -> None:
    """A Gaussian net with torch's biases starts with a first preactivation five times as large as meant."""
    report = initkit.apply(chain(Gaussian()), "inr/vi3nr", coords=COORDS)
    assert report.notes["inr/vi3nr layers"][0]["measured_std"] == pytest.approx(0.41, abs=0.07)


def test_what_may_be_kept() -> None:
    recipe = initkit.recipe("inr/vi3nr", first="keep", last="keep", bias="keep")
    report = initkit.apply(chain(Gaussian()), recipe)
    assert list(report) == ["2.weight", "4.weight"]
    assert "0.weight" in report.kept
    assert "6.weight" in report.kept


def test_symmetric_starts_are_remarked_on() -> None:
    zero = initkit.recipe("inr/vi3nr", bias="zero")
    with pytest.warns(UserWarning, match="begins as an even function"):
        report = initkit.apply(chain(Gaussian()), zero, coords=COORDS)
    assert "even function" in report.notes["inr/vi3nr remarks"][0]["remark"]
    with pytest.warns(UserWarning, match="begins as an odd function"):
        initkit.apply(Field(SineLayer), zero)


def test_complex_layers_must_be_allowed() -> None:
    with pytest.raises(PlanError, match=r"net\.1\.linear is complex.*complex_ok=true"):
        initkit.plan(Wavelets(), "inr/vi3nr", coords=COORDS)
    model = Wavelets(256)
    allowed = initkit.recipe("inr/vi3nr", complex_ok=True, bias="zero")
    report = initkit.apply(model, allowed, coords=COORDS.reshape(-1, 2))
    rows = report.notes["inr/vi3nr layers"]
    assert rows[1]["measured_std"] == pytest.approx(rows[1]["sigma_p"], rel=0.3)


def test_monte_carlo_is_near_and_repeatable() -> None:
    exact = initkit.plan(chain(Gaussian()), "inr/vi3nr", coords=COORDS)["2.weight"].draw.std
    recipe = initkit.recipe("inr/vi3nr", estimator="mc")
    random = initkit.plan(chain(Gaussian()), recipe, coords=COORDS)["2.weight"].draw.std
    assert random == pytest.approx(exact, rel=5e-3)
    assert random != exact


def test_a_trial_fit_chooses() -> None:
    coords = COORDS[::2, ::2]
    signal = torch.sin(6 * coords[..., 0]) * torch.cos(4 * coords[..., 1])
    model = chain(Gaussian(), layers=2, width=16)
    probe = initkit.recipe("inr/vi3nr", sigma_p="probe")
    report = initkit.apply(model, probe, coords=coords, signal=signal, seed=2)
    table = report.notes["inr/vi3nr sigma_p"]
    assert [row["candidate"] for row in table] == [0.5, 1.0, 1.5, 2.0, 3.0]
    (chosen,) = [row for row in table if row["chosen"]]
    assert chosen["loss"] == min(row["loss"] for row in table)
    fixed = initkit.recipe("inr/vi3nr", factor=chosen["candidate"])
    again = initkit.apply(chain(Gaussian(), layers=2, width=16), fixed, coords=coords, seed=2)
    assert {name: entry.hash for name, entry in report.items()} == {name: entry.hash for name, entry in again.items()}


def test_a_dead_trial_is_told_of() -> None:
    coords = COORDS[::4, ::4]
    signal = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    probe = initkit.recipe("inr/weight_scaling", alpha="probe", activation="sine:3000")
    model = Field(lambda a, b: SineLayer(a, b, 3000.0), width=4)
    report = initkit.apply(model, probe, coords=coords, signal=signal)
    assert sum(row["chosen"] for row in report.notes["inr/weight_scaling alpha"]) == 1


@pytest.mark.parametrize(
    ("options", "needs", "kind", "words"),
    [
        ({}, {}, NeedError, "define or give 'coords'"),
        ({"sigma_p": "probe"}, {"coords": COORDS}, NeedError, "needs 'signal'"),
        (
            {"sigma_p": "probe"},
            {"coords": COORDS, "signal": torch.zeros(7)},
            NeedError,
            "no multiple of the 1024 points",
        ),
        ({"sigma_p": "probe"}, {"coords": COORDS, "signal": COORDS[..., 0] / 0}, NeedError, "are NaN or infinite"),
        ({}, {"coords": 0 * COORDS}, NeedError, "mean square is 0"),
        ({}, {"coords": torch.zeros(5, 3)}, NeedError, "coords"),
        ({"sigma_p": 0.0}, {}, OptionError, "sigma_p"),
        ({"sigma_p": 1e9}, {"coords": COORDS}, None, ""),
        ({"bias": 1.5}, {}, OptionError, "below 1"),
        ({"sigma_p": 1.0, "factor": 2.0}, {}, OptionError, "factor"),
    ],
)
def test_bad_input(options: dict[str, Any], needs: dict[str, Any], kind: Any, words: str) -> None:
    model = chain(Gaussian())
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    if kind is None:
        initkit.apply(model, initkit.recipe("inr/vi3nr", **options), **needs)
        return
    with pytest.raises(kind, match=words) as failure:
        initkit.apply(model, initkit.recipe("inr/vi3nr", **options), **needs)
    assert "\n" not in str(failure.value)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_a_size_at_which_the_activation_is_dead() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.Threshold(5.0, 0.0), nn.Linear(8, 1))
    with pytest.raises(PlanError, match="0: the activation .* is dead at preactivations of size 0.001"):
        initkit.plan(model, initkit.recipe("inr/vi3nr", sigma_p=0.001), coords=COORDS)
    with pytest.raises(PlanError, match="give sigma_p as a number"):
        initkit.plan(nn.Sequential(nn.Linear(2, 8), nn.Hardtanh(), nn.Linear(8, 1)), "inr/vi3nr", coords=COORDS)


def test_gauss_layers_with_a_scale() -> None:
    plan = initkit.plan(Field(GaussLayer, width=64), "inr/vi3nr", coords=COORDS)
    assert "σ_p = 0.03662" in plan["net.0.linear.weight"].why  # 1.0986841/30


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_numbers_are_the_same() -> None:
    here, there = chain(Gaussian()), chain(Gaussian()).cuda()
    reports = [initkit.apply(model, "inr/vi3nr", coords=COORDS, seed=1) for model in (here, there)]
    assert [one.hash for one in reports[0].values()] == [one.hash for one in reports[1].values()]
    sizes = [[row["measured_std"] for row in one.notes["inr/vi3nr layers"]] for one in reports]
    assert sizes[1] == pytest.approx(sizes[0], rel=1e-4)
    signal = torch.sin(5 * COORDS[..., 0])
    probe = initkit.recipe("inr/vi3nr", sigma_p="probe")
    report = initkit.apply(chain(Gaussian()).cuda(), probe, coords=COORDS, signal=signal, seed=1)
    assert sum(row["chosen"] for row in report.notes["inr/vi3nr sigma_p"]) == 1
