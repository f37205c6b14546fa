"""Rational layers: golden values, forms, fits, wiring, and conversion of MLPs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from kan_layouts import KAT_Group, KatMlp, kat_value, rms
from torch import Tensor, nn

import initkit
from initkit import NeedError, OptionError, PlanError
from initkit_kan.rational import (
    IDENTITY,
    TARGETS,
    Coefficients,
    Form,
    denominator,
    fit_rational,
    mean_square,
    measured,
    named,
)
from initkit_kan.rationals import find_rationals, form_of, wiring
from initkit_kan.tables import EVEN, KERNEL

# Released coefficients of rational_kat_cu's init.json, as golden values of the formulas.
RELEASED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "swish": (
        (
            3.054879741161051e-07,
            0.5000007853744493,
            0.24999783422824703,
            0.05326628273219478,
            0.005803034571292244,
            0.0002751961022402342,
        ),
        (
            -4.111554955950634e-06,
            0.10652899335007572,
            -1.2690007399796238e-06,
            0.0005502331264140556,
        ),
    ),
    "gelu": (
        (
            -0.00153969,
            0.51692871,
            0.44075827,
            0.0972553,
            -0.00884418,
            -0.00378675,
        ),
        (
            -0.14171056,
            -0.06481231,
            -0.0444695,
            0.01283776,
        ),
    ),
    "gelu_old": (
        (
            -0.0012423594497499122,
            0.5080497063245629,
            0.41586363182937475,
            0.13022718688035761,
            0.024355900098993424,
            0.00290283948155535,
        ),
        (
            -0.06675015696494944,
            0.17927646217001553,
            0.03746682605496631,
            1.6561610853276082e-10,
        ),
    ),
    "relu": (
        (
            0.029963801610813613,
            0.6168978366891341,
            2.37534759733888,
            3.0659900472408443,
            1.5246831881677423,
            0.2528070864040542,
        ),
        (
            -1.191550121923625,
            4.4080487697236626,
            0.9110357113686055,
            0.34884977946384615,
        ),
    ),
    "leaky_relu": (
        (
            0.029792778657264946,
            0.6183735264987601,
            2.323309062531321,
            3.051936237265109,
            1.4854203263828845,
            0.2510244961111299,
        ),
        (
            -1.1419548357285474,
            4.393159974992486,
            0.8714712309957245,
            0.34719662339598834,
        ),
    ),
    "tanh": (
        (
            -1.0804622559204184e-08,
            1.0003008043819048,
            -2.5878199375289335e-08,
            0.09632129918392647,
            3.4775841628196104e-09,
            0.0004255709234726337,
        ),
        (
            -0.0013027181209176277,
            0.428349017422072,
            1.4524304083061898e-09,
            0.010796648111337176,
        ),
    ),
    "sigmoid": (
        (
            0.4999992534599381,
            0.25002157564685185,
            0.14061924500301096,
            0.049420492431596394,
            0.00876714851885483,
            0.0006442412789159799,
        ),
        (
            2.1694506382753683e-09,
            0.28122766100417684,
            1.0123620714203357e-05,
            0.017531988049946,
        ),
    ),
    "identity": (IDENTITY.a, IDENTITY.b),
}
MEAN_SQUARES = {
    "identity": 1.0,
    "swish": 0.3557752294,
    "gelu": 0.3132261125,
    "gelu_old": 0.4252394558,
    "relu": 0.4998396116,
    "leaky_relu": 0.4998918143,
    "tanh": 0.3942931080,
    "sigmoid": 0.2933794147,
}
POINTS = np.array([-2, -0.5, 0, 0.7, 2.5])
VALUES = {
    "swish": [-0.23840605, -0.18877053, 3.1e-7, 0.46773115, 2.31035454],
    "gelu": [-0.0336231, -0.14853021, -0.00153969, 0.5280479, 1.64086963],
    "gelu_old": [-0.04599327, -0.1534321, -0.00124236, 0.53090269, 2.48460757],
}


@pytest.mark.parametrize("name", MEAN_SQUARES)
def test_golden_second_moments(name: str) -> None:
    a, b = (np.array(part) for part in RELEASED[name])
    assert mean_square(a, b, "kernel") == pytest.approx(MEAN_SQUARES[name], abs=1e-9)


def test_golden_gains() -> None:
    for name, gain in (("swish", 2.8107634187), ("gelu", 3.1925818449), ("gelu_old", 2.3516162163)):
        a, b = (np.array(part) for part in RELEASED[name])
        assert 1 / mean_square(a, b, "kernel") == pytest.approx(gain, rel=1e-9)


@pytest.mark.parametrize("name", VALUES)
def test_golden_values(name: str) -> None:
    found = Coefficients(*RELEASED[name])(POINTS)
    assert found == pytest.approx(VALUES[name], abs=1e-8)


@pytest.mark.parametrize(
    ("name", "largest"),
    [("gelu", 1.46), ("swish", 1.2e-6), ("tanh", 4.1e-5), ("sigmoid", 1.9e-5), ("relu", 0.030), ("gelu_old", 0.0041)],
)
def test_golden_errors_of_the_released_sets(name: str, largest: float) -> None:
    target = {"swish": "silu", "gelu_old": "gelu"}.get(name, name)
    fit = measured(Coefficients(*RELEASED[name]), TARGETS[target], "kernel")
    assert fit.largest == pytest.approx(largest, rel=0.06)


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        (
            "silu",
            [3.1e-7, 0.50000078, 0.24999781, 0.05326562, 0.00580272, 0.00027515],
            [4.08e-6, 0.10652771, 1.25e-6, 0.00055015],
        ),
        (
            "mish",
            [5.966e-5, 0.60095652, 0.31986141, 0.13277339, 0.034491, 0.00356904],
            [0.0099649, 0.22599906, 0.0217209, 0.00424078],
        ),
    ],
)
def test_golden_coefficients(name: str, a: list[float], b: list[float]) -> None:
    assert KERNEL[name].a == pytest.approx(a, abs=2e-8)
    assert KERNEL[name].b == pytest.approx(b, abs=5e-8)


def test_our_gelu_is_no_worse_than_the_golden_one() -> None:
    golden = Coefficients(
        (-0.00124236, 0.50804971, 0.41586364, 0.13022717, 0.02435602, 0.00290262),
        (-0.06675015, 0.17927645, 0.03746677, 0.0),
    )
    theirs = measured(golden, TARGETS["gelu"], "kernel")
    assert theirs.rmse == pytest.approx(9.8e-4, rel=0.01)
    assert theirs.largest == pytest.approx(4.1e-3, rel=0.02)
    ours = measured(KERNEL["gelu"], TARGETS["gelu"], "kernel")
    assert ours.rmse < theirs.rmse
    assert ours.largest < theirs.largest
    assert ours.beyond < theirs.beyond


@pytest.mark.parametrize("form", ["kernel", "fallback"])
@pytest.mark.parametrize("name", ["gelu", "silu", "tanh", "relu"])
def test_the_tables_are_what_the_fit_gives(name: str, form: Form) -> None:
    table = measured(named(name, form), TARGETS[name], form)
    again = fit_rational(TARGETS[name], form=form)
    assert again.rmse == pytest.approx(table.rmse, rel=0.05, abs=1e-8)


def test_a_fit_of_any_function() -> None:
    fit = fit_rational(lambda x: torch.sin(x) / 2)
    assert fit.largest < 0.02
    with pytest.raises(PlanError, match="must return a finite number for each number"):
        fit_rational(lambda x: 1 / (x - x))
    with pytest.raises(PlanError, match="fails at float64 numbers"):
        fit_rational(lambda x: x @ x.no)
    assert fit_rational(nn.Identity()).coefficients == IDENTITY


def test_identity_is_exact() -> None:
    x = np.linspace(-50, 50, 101)
    for table in (KERNEL, EVEN):
        assert np.array_equal(table["identity"](x), x)


def test_even_denominators_are_the_same_in_all_forms() -> None:
    x = np.linspace(-5, 5, 101)
    forms: tuple[Form, ...] = ("kernel", "fallback", "sum")
    for name, c in EVEN.items():
        values = [c(x, form) for form in forms]
        assert np.array_equal(values[0], values[1]), name
        assert values[0] == pytest.approx(values[2], abs=1e-12)
        assert denominator(x, np.array(c.b), "fallback").min() >= 1


@pytest.mark.parametrize("form", ["kernel", "fallback", "sum"])
def test_the_form_is_found_by_calling_the_module(form: Form) -> None:
    module = KAT_Group(4, form)
    before = copy.deepcopy(module.state_dict())
    (one,) = find_rationals(module)
    assert form_of(one) == form
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    (hollow,) = find_rationals(copy.deepcopy(module).to("meta"))
    assert form_of(hollow) == form


def test_a_module_that_cannot_run_is_taken_for_a_kernel() -> None:
    block = KatMlp(16, 32)

    def fails(x: Tensor) -> Tensor:
        raise RuntimeError("needs CUDA")

    block.act2.forward = fails  # type: ignore[method-assign]
    report = initkit.apply(block, "kan/kat")
    said = [row["remark"] for row in report.notes["kan/kat remarks"]]
    assert any("act2 (KAT_Group) cannot run here" in words for words in said)


@pytest.mark.parametrize("form", ["kernel", "fallback"])
@pytest.mark.parametrize("activation", ["swish", "gelu", "tanh"])
def test_a_block_is_set_as_the_paper_says(form: str, activation: str) -> None:
    block = KatMlp(64, 256, form)
    report = initkit.apply(block, initkit.recipe("kan/kat", activation=activation), seed=0)
    x = torch.linspace(-3, 3, 64).reshape(1, 8, 8).repeat(1, 1, 8)
    assert torch.allclose(block.act1(x), x, atol=1e-6)
    wanted = TARGETS["silu" if activation == "swish" else activation](x)
    assert torch.allclose(block.act2(x), wanted, atol=4e-3)
    plan = initkit.plan(block, initkit.recipe("kan/kat", activation=activation))
    assert plan["fc1.weight"].draw.std == pytest.approx(1 / 8, rel=1e-6)
    alpha = {"swish": 2.8107611241, "gelu": 2.3517156141, "tanh": 2.5361754332}[activation]
    assert plan["fc2.weight"].draw.std == pytest.approx(math.sqrt(alpha / 256), rel=2e-3)
    assert not block.fc1.bias.any()
    rows = {row["layer"]: row for row in report.notes["kan/kat layers"]}
    assert (rows["act1"]["linear"], rows["act2"]["linear"]) == ("fc1", "fc2")
    assert rows["act1"]["activation"] == "identity"
    assert rows["act2"]["form"] == form


def test_variance_is_kept_through_a_block() -> None:
    block = KatMlp(256, 1024).eval()
    initkit.apply(block, "kan/kat", seed=0)
    x = torch.randn(1, 2000, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert rms(block.fc1(block.act1(x))) == pytest.approx(1.0, rel=0.05)
        assert rms(block(x)) == pytest.approx(1.0, rel=0.05)


def test_coefficients_that_are_there_decide_by_group() -> None:
    block = KatMlp(16, 32, "kernel", groups=2)
    with torch.no_grad():
        for act in (block.act1, block.act2):
            act.weight_numerator.copy_(torch.tensor([RELEASED["swish"][0]]))
            act.weight_denominator.copy_(torch.tensor([RELEASED["swish"][1], [0.0, 0.0, 0.0, 0.0]]))
    recipe = initkit.recipe("kan/kat", activation="keep")
    std = initkit.plan(block, recipe)["fc2.weight"].draw.parts()[0][1]
    assert std.shape == (1, 32)
    a = np.array(RELEASED["swish"][0])
    for group, b in enumerate((np.array(RELEASED["swish"][1]), np.zeros(4))):
        alpha = 1 / mean_square(a, b, "kernel")
        assert float(std[0, 16 * group]) == pytest.approx(math.sqrt(alpha / 32), rel=1e-5)
    before = block.act2.weight_denominator.clone()
    initkit.apply(block, recipe)
    assert torch.equal(before, block.act2.weight_denominator)


def test_a_denominator_that_crosses_zero_is_refused() -> None:
    block = KatMlp(16, 32, "fallback", groups=2)
    with torch.no_grad():
        block.act2.weight_denominator.copy_(torch.tensor([[3.0, 0.1, 0.0, 0.0]] * 2))
        block.act1.weight_denominator.zero_()
    with pytest.raises(PlanError, match="is not positive near x = -"):
        initkit.plan(block, initkit.recipe("kan/kat", activation="keep"))


def test_options_of_the_linear_layers() -> None:
    block = KatMlp(16, 32)
    old = block.fc1.weight.clone()
    assert initkit.plan(block, initkit.recipe("kan/kat", linear="repo"))["fc2.weight"].draw.std == 0.02
    report = initkit.apply(block, initkit.recipe("kan/kat", linear="keep"))
    assert torch.equal(block.fc1.weight, old)
    assert "fc1.weight" in report.untouched
    two = initkit.plan(block, initkit.recipe("kan/kat", sigma=2.0))["fc2.weight"].draw.std
    assert two == pytest.approx(
        math.sqrt(4 / mean_square(*map(np.array, _pair("silu")), "fallback", 2.0) / 32), rel=1e-6
    )


def _pair(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return EVEN[name].a, EVEN[name].b


def test_identities_that_never_train_on_the_cpu_are_said_and_can_be_moved() -> None:
    block = KatMlp(16, 32)
    report = initkit.apply(block, "kan/kat")
    assert any("gives b = 0 no gradient" in row["remark"] for row in report.notes["kan/kat remarks"])
    block(torch.randn(1, 5, 16)).sum().backward()
    assert not block.act1.weight_denominator.grad.any()
    block.zero_grad()
    report = initkit.apply(block, initkit.recipe("kan/kat", jitter=1e-4))
    assert "kan/kat remarks" not in report.notes
    block(torch.randn(1, 5, 16)).sum().backward()
    assert block.act1.weight_denominator.grad.any()


def test_a_norm_behind_a_rational_layer_is_said() -> None:
    report = initkit.apply(KatMlp(16, 32, norm=True), "kan/kat")
    assert any("fc2: norm before it" in row["remark"] for row in report.notes["kan/kat remarks"])


def test_which_layer_starts_as_the_identity() -> None:
    chain = nn.Sequential(KAT_Group(), nn.Linear(16, 16), KAT_Group(), nn.Linear(16, 16), KAT_Group(), nn.Linear(16, 8))

    def activations(**options: Any) -> list[str]:
        report = initkit.apply(chain, initkit.recipe("kan/kat", **options))
        return [row["activation"] for row in report.notes["kan/kat layers"]]

    assert activations() == ["identity", "swish", "swish"]
    assert activations(identity=["4"]) == ["swish", "swish", "identity"]
    assert activations(identity=[]) == ["swish"] * 3
    with pytest.raises(PlanError, match="matches no rational layer; there are 0, 2, 4"):
        activations(identity=["act1"])
    alone = nn.Sequential(nn.Linear(8, 16), KAT_Group(), nn.Linear(16, 2))
    report = initkit.apply(alone, "kan/kat")
    assert report.notes["kan/kat layers"][0]["activation"] == "swish"


class Untraceable(nn.Module):
    """Its forward depends on values; its block's does not."""

    def __init__(self) -> None:
        super().__init__()
        self.block = KatMlp(16, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) if x.sum() > 0 else x


def test_parts_are_traced_where_the_whole_cannot_be() -> None:
    model = Untraceable()
    found = wiring(model, find_rationals(model))
    assert [fed.name for linears in found.fed.values() for fed in linears] == ["block.fc1", "block.fc2"]
    initkit.apply(model, "kan/kat")
    model.tail = KAT_Group()
    blind = pytest.warns(UserWarning, match="no linear layer was found behind it")
    with blind, pytest.warns(UserWarning, match="the forward of model could not be traced"):
        initkit.apply(model, "kan/kat")


def test_a_rational_layer_without_a_linear_one() -> None:
    model = nn.Sequential(nn.Linear(8, 16), KAT_Group())
    with pytest.warns(UserWarning, match=r"1 \(KAT_Group\): no linear layer was found behind it"):
        report = initkit.apply(model, "kan/kat")
    assert set(report) == {"1.weight_numerator", "1.weight_denominator"}


class Kat2d(KAT_Group):
    """KAT_Group2D's layout: (batch, channels, height, width)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).mT
        return super().forward(flat).mT.reshape(x.shape)


def test_convolutions_of_size_one() -> None:
    model = nn.Sequential(Kat2d(4), nn.Conv2d(8, 6, 1))
    plan = initkit.plan(model, "kan/kat")
    assert plan["1.weight"].draw.std == pytest.approx(math.sqrt(2.8107611 / 8), rel=1e-5)
    initkit.apply(model, "kan/kat")
    assert torch.isfinite(model(torch.randn(2, 8, 3, 3))).all()


BAD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "groups": (
        lambda: nn.Sequential(KAT_Group(8), nn.Linear(20, 4)),
        r"1.weight: its 20 inputs do not split into the 8 groups of 0 \(KAT_Group\)",
    ),
    "denominator": (
        lambda: _changed("weight_denominator", 8, 3),
        r"weight_denominator has shape \(8, 3\), expected \(groups, 4\)",
    ),
    "numerator": (
        lambda: _changed("weight_numerator", 1, 7),
        r"weight_numerator has shape \(1, 7\), expected \(1, 6\)",
    ),
    "count": (lambda: _changed("weight_denominator", 4, 4), "num_groups is 8"),
    "none": (lambda: nn.Linear(2, 2), "has no rational layer"),
}


def _changed(name: str, *shape: int) -> nn.Module:
    layer = KAT_Group(8)
    setattr(layer, name, nn.Parameter(torch.zeros(*shape)))
    return layer


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    build, words = BAD[case]
    model = build()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PlanError, match=words):
        initkit.apply(model, "kan/kat")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_unknown_activations() -> None:
    with pytest.raises(OptionError, match="did you mean 'gelu'"):
        initkit.recipe("kan/kat", activation="gelo")
    with pytest.raises(OptionError, match="no such activation"):
        initkit.recipe("kan/from_mlp", activation="keep")
    made = initkit.recipe("kan/kat", activation=torch.cos)
    report = initkit.apply(KatMlp(16, 32), made)
    assert {row["layer"]: row["activation"] for row in report.notes["kan/kat layers"]} == {
        "act1": "identity",
        "act2": "cos",
    }


def test_training_starts_and_goes_on() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(KatMlp(16, 32) for _ in range(3))).eval()
    initkit.apply(model, "kan/kat", seed=0)
    x = torch.randn(4, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(x) - x.roll(1, 2)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


class Mlp(nn.Module):
    """A ViT's MLP."""

    def __init__(self, width: int, hidden: int, act: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = act
        self.drop1 = nn.Dropout(0.1)
        self.norm = nn.Identity()
        self.fc2 = nn.Linear(hidden, width)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop1(self.act(self.fc1(x))))


@pytest.mark.parametrize("form", ["kernel", "fallback"])
@pytest.mark.parametrize(("act", "most"), [(nn.GELU(), 3e-3), (nn.SiLU(), 2e-5), (nn.ReLU(), 2e-2)])
def test_a_converted_mlp_computes_the_same(act: nn.Module, most: float, form: str) -> None:
    torch.manual_seed(0)
    mlp, block = Mlp(64, 256, act).eval(), KatMlp(64, 256, form).eval()
    report = initkit.apply(block, "kan/from_mlp", mlp=mlp)
    x = torch.randn(1, 3000, 64)
    with torch.no_grad():
        wanted = mlp(x)
        assert float((block(x) - wanted).norm() / wanted.norm()) <= most
    rows = report.notes["kan/from_mlp layers"]
    assert [row["activation"] for row in rows if row["layer"] == "act1"] == ["identity"]
    assert torch.equal(block.fc1.bias, mlp.fc1.bias)


def test_the_released_gelu_would_change_the_function() -> None:
    torch.manual_seed(0)
    mlp, block = Mlp(64, 256, nn.GELU()).eval(), KatMlp(64, 256, "kernel").eval()
    initkit.apply(block, "kan/from_mlp", mlp=mlp)
    with torch.no_grad():
        block.act2.weight_numerator.copy_(torch.tensor([RELEASED["gelu"][0]]))
        block.act2.weight_denominator.copy_(torch.tensor([RELEASED["gelu"][1]] * 8))
        x = torch.randn(1, 3000, 64)
        wanted = mlp(x)
        assert float((block(x) - wanted).norm() / wanted.norm()) == pytest.approx(0.22, rel=0.1)


class Vit(nn.Module):
    """An embedding, attention and blocks; ``kat`` says what stands in the blocks."""

    def __init__(self, kat: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.mlp = KatMlp(16, 32) if kat else Mlp(16, 32, nn.GELU())
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.mlp(self.norm(x))
        return self.head(x.mean(1))


def test_a_whole_transformer_is_converted_by_names() -> None:
    torch.manual_seed(0)
    vit, kat = Vit(kat=False).eval(), Vit(kat=True).eval()
    report = initkit.apply(kat, "kan/from_mlp", mlp=vit)
    assert report.covered == 1.0
    x = torch.randn(5, 7, 12)
    with torch.no_grad():
        assert torch.allclose(kat(x), vit(x), atol=1e-2)


def test_layers_of_other_names_are_matched_by_place() -> None:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16)).eval()
    block = KatMlp(16, 32).eval()
    initkit.apply(block, "kan/from_mlp", mlp=mlp)
    x = torch.randn(1, 50, 16)
    with torch.no_grad():
        assert torch.allclose(block(x), mlp(x), atol=1e-4)


def test_functional_activations_are_found_with_their_arguments() -> None:
    torch.manual_seed(0)
    mlp = Mlp(16, 32, lambda x: nn.functional.leaky_relu(x, 0.3)).eval()
    block = KatMlp(16, 32).eval()
    report = initkit.apply(block, "kan/from_mlp", mlp=mlp)
    (row,) = [row for row in report.notes["kan/from_mlp layers"] if row["layer"] == "act2"]
    assert row["max_error"] < 0.03


def test_what_a_conversion_cannot_use() -> None:
    block = KatMlp(16, 32)
    with pytest.raises(NeedError, match=r"fc1.weight has shape \(32, 16\), but mlp's fc1.weight has \(24, 16\)"):
        initkit.apply(block, "kan/from_mlp", mlp=Mlp(16, 24, nn.GELU()))
    with pytest.raises(NeedError, match="mlp is int, expected the trained nn.Module"):
        initkit.apply(block, "kan/from_mlp", mlp=3)
    with pytest.raises(NeedError, match="cannot be matched by place"):
        initkit.apply(block, "kan/from_mlp", mlp=nn.Sequential(nn.Linear(16, 32), nn.ReLU()))
    with pytest.raises(NeedError, match="on the meta device"):
        initkit.apply(block, "kan/from_mlp", mlp=Mlp(16, 32, nn.GELU()).to("meta"))
    with pytest.raises(PlanError, match="no linear layer was found behind"):
        initkit.apply(KAT_Group(), "kan/from_mlp", mlp=Mlp(16, 32, nn.GELU()))


def test_the_stand_in_is_the_kernel_s_function() -> None:
    module = KAT_Group(2, "kernel")
    with torch.no_grad():
        module.weight_numerator.copy_(torch.tensor([RELEASED["gelu_old"][0]]))
        module.weight_denominator.copy_(torch.tensor([RELEASED["gelu_old"][1]] * 2))
        x = torch.tensor(POINTS, dtype=torch.float32).reshape(1, 5, 1).repeat(1, 1, 2)
        assert module(x)[0, :, 0].tolist() == pytest.approx(VALUES["gelu_old"], abs=1e-6)
        assert torch.allclose(module(x), kat_value(x, *RELEASED["gelu_old"]), atol=1e-6)
