"""identity, orthogonal, variance and hnnpp: exact isometries, golden values, every layout."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import poincare_layouts as layouts
import pytest
import torch
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HConvolution2d, HLinear
from hypll.tensors import ManifoldTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import initkit
from initkit import PlanError
from initkit_poincare.geometry import concatenation, exp0, log0, radius

X = torch.tensor([[0.3, -0.4, 0.5]], dtype=torch.float64)


@pytest.fixture
def float64() -> Iterator[None]:
    """hypll's layers cannot be cast, so they are made in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def ball(c: float) -> PoincareBall:
    return PoincareBall(Curvature(c, constraining_strategy=lambda value: value))


def points(count: int, dim: int, c: float, seed: int = 0, reach: float = 0.9999) -> Tensor:
    numbers = torch.Generator().manual_seed(seed)
    v = torch.randn(count, dim, generator=numbers, dtype=torch.float64)
    size = torch.rand(count, 1, generator=numbers, dtype=torch.float64)
    return v / v.norm(dim=1, keepdim=True) * size * reach / math.sqrt(c)


def through(layer: HLinear, x: Tensor) -> Tensor:
    out: Tensor = layer(ManifoldTensor(x, layer.manifold, -1)).tensor
    return out.detach()


# Golden values of hypll's arithmetic, which the layouts of these tests share.


@pytest.mark.usefixtures("float64")
def test_golden_values_of_the_layer() -> None:
    z = torch.tensor([[0.2, -0.1], [0.4, 0.3], [-0.3, 0.6]])
    layer = HLinear(3, 2, ball(1.0))
    layer.z.tensor.data.copy_(z)
    layer.bias.data.copy_(torch.tensor([0.1, -0.2]))
    assert through(layer, X)[0].tolist() == pytest.approx([-0.4820880284647098, 0.656151870444498], abs=1e-15)
    layer.bias.data.zero_()
    assert through(layer, X)[0].tolist() == pytest.approx([-0.5714022167997044, 0.3565732274478522], abs=1e-15)
    assert torch.allclose(layouts.fully_connected(X, z, None, torch.tensor(1.0)), through(layer, X), atol=1e-15, rtol=0)


@pytest.mark.usefixtures("float64")
def test_half_unit_matrices_and_the_old_factor() -> None:
    wide = HLinear(3, 5, ball(1.0))
    initkit.apply(wide, "poincare/identity")
    assert through(wide, X)[0].tolist() == pytest.approx([0.3, -0.4, 0.5, 0, 0], abs=1e-15)
    narrow = HLinear(3, 2, ball(1.0))
    narrow.z.tensor.data.copy_(0.5 * torch.eye(3, 2))
    narrow.bias.data.zero_()
    assert through(narrow, X)[0].tolist() == pytest.approx([0.3708203932499369, -0.4944271909999159], abs=1e-15)
    old = layouts.fully_connected(X, 0.5 * torch.eye(3), None, torch.tensor(1.0), old=True)
    assert old[0].tolist() == pytest.approx([0.1348469228, -0.1797958971, 0.2247448714], abs=1e-10)


def test_gradient_of_a_column_of_zeros_is_finite() -> None:
    z = torch.zeros(3, 4, dtype=torch.float64)
    z[:, :3] = 0.5 * torch.eye(3)
    z.requires_grad_()
    y = layouts.fully_connected(X, z, torch.zeros(4, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(y[0, 3], z)
    assert gradient[:, 3].tolist() == pytest.approx([0.6, -0.8, 1.0], abs=1e-12)


@pytest.mark.parametrize(
    ("channels", "taps", "value"), [(8, 9, 0.3242273677), (12, 25, 0.1960444229), (3, 49, 0.1318408457)]
)
def test_concatenation_factor(channels: int, taps: int, value: float) -> None:
    assert concatenation(channels, taps) == pytest.approx(value, abs=1e-10)


# Exactness.


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 1.3132616875, 2.0, 10.0])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 9), (1, 1), (2, 2)])
@pytest.mark.parametrize("recipe", ["identity", "orthogonal"])
def test_isometry_to_the_last_digits(recipe: str, n: int, m: int, c: float) -> None:
    layer = HLinear(n, m, ball(c))
    initkit.apply(layer, f"poincare/{recipe}", seed=3)
    x = points(500, n, c)
    q = 2 * layer.z.tensor.detach()
    assert torch.allclose(q @ q.T, torch.eye(n), atol=2e-15, rtol=0)
    error = math.sqrt(c) * (through(layer, x) - x @ q).abs().max()
    assert float(error) <= 1e-15
    if recipe == "identity":
        assert float(math.sqrt(c) * (through(layer, x)[:, :n] - x).abs().max()) <= 1e-15


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 12),
    wider=st.integers(0, 5),
    c=st.floats(0.01, 20.0),
    seed=st.integers(0, 2**32),
    mixed=st.booleans(),
)
def test_isometry_of_any_shape_curvature_and_point(n: int, wider: int, c: float, seed: int, mixed: bool) -> None:
    layer = layouts.NormedLinear(n, n + wider, layouts.Ball(c, raw=True)).double()
    initkit.apply(layer, "poincare/orthogonal" if mixed else "poincare/identity", seed=seed)
    x = points(20, n, c, seed % 1000)
    kept = layer(x).detach().norm(dim=1) - x.norm(dim=1)
    assert float(math.sqrt(c) * kept.abs().max()) <= 2e-15


@pytest.mark.parametrize("c", [0.1, 1.0, 2.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-4), (torch.float64, 1e-11)])
def test_twenty_layers_keep_the_radius(c: float, dtype: torch.dtype, tolerance: float) -> None:
    torch.set_default_dtype(dtype)
    try:
        manifold = ball(c)
        stack = nn.Sequential(*[HLinear(64, 64, manifold) for _ in range(20)])
        initkit.apply(stack, "poincare/orthogonal")
        v = torch.randn(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x = exp0(v / v.norm(dim=1, keepdim=True) * torch.linspace(0.01, 2, 64).unsqueeze(1) / math.sqrt(c), c).to(dtype)
        with torch.no_grad():
            y = stack(ManifoldTensor(x, manifold, -1)).tensor
    finally:
        torch.set_default_dtype(torch.float32)
    error = math.sqrt(c) * (radius(y, c) - radius(x, c)).abs().max()
    assert float(error) <= tolerance


def test_a_funnel_keeps_the_mean_radius() -> None:
    manifold = ball(1.0)
    stack = nn.Sequential(*[HLinear(n, m, manifold) for n, m in itertools.pairwise([128, 64, 32, 16, 8])])
    v = torch.randn(256, 128, generator=torch.Generator().manual_seed(0))
    x = exp0(v / v.norm(dim=1, keepdim=True) / 2, 1.0)
    for recipe in ("poincare/identity", "poincare/orthogonal"):
        initkit.apply(stack, recipe, seed=1)
        with torch.no_grad():
            mean = float(radius(stack(ManifoldTensor(x, manifold, -1)).tensor, 1.0).mean())
        assert mean == pytest.approx(1.0, abs=0.1)


# Rules by shape.


@pytest.mark.usefixtures("float64")
def test_rules_of_linear_layers() -> None:
    layers = nn.ModuleDict(
        {"square": HLinear(4, 4, ball(1)), "wide": HLinear(3, 5, ball(1)), "tall": HLinear(8, 2, ball(1))}
    )
    initkit.apply(layers, "poincare/identity")
    assert torch.equal(layers["square"].z.tensor.data, 0.5 * torch.eye(4))
    assert torch.equal(layers["wide"].z.tensor.data, 0.5 * torch.eye(3, 5))
    tall = layers["tall"].z.tensor.data
    assert torch.allclose(tall.T @ tall, torch.eye(2), atol=1e-14)  # (½√(8/2))² = 1
    plan = initkit.plan(layers, "poincare/variance")
    assert plan["wide.z"].draw.std == pytest.approx(0.5 / math.sqrt(5))
    plan = initkit.plan(layers, "poincare/hnnpp")
    assert plan["tall.z"].draw.std == pytest.approx((2 * 8 * 2) ** -0.5)
    assert plan["tall.z"].why.count("0.5")  # the radius is multiplied by √(2/8)


def test_split_outputs_and_classifiers_of_hnnpp() -> None:
    space = layouts.Ball(1.0)
    model = nn.ModuleDict(
        {
            "split": layouts.NormedLinear(6, 8, space, out_split=4),
            "head": layouts.UnidirectionalPoincareMLR(9, 3, space),
        }
    )
    plan = initkit.plan(model, "poincare/hnnpp")
    assert "0.2041" in plan["split.weight_v"].why  # (2·6·8/4)^-½
    assert f"{9**-0.5 / math.sqrt(1.3132616875):.4g}" in plan["head.weight_v"].why
    assert "head.weight_v" not in [fill.name for fill in initkit.plan(model, "poincare/identity").fills]


@pytest.mark.parametrize("kernel", ["dirac", "dirac_half", "mean"])
@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5), (6, 3)])
def test_rows_of_convolutions(kernel: str, n: int, m: int) -> None:
    layer = HConvolution2d(n, m, 3, ball(1.0))
    initkit.apply(layer, initkit.recipe("poincare/identity", kernel=kernel))
    z = layer.weights.tensor.data.reshape(n, 9, m)  # rows are channel-major
    scale = {"dirac": 0.5 / concatenation(n, 9), "dirac_half": 0.5, "mean": 0.5 / 3}[kernel]
    for tap in range(9):
        at = z[:, tap]
        if kernel != "mean" and tap != 4:
            assert not at.any()
        elif n <= m:
            assert torch.allclose(at, scale * torch.eye(n, m))
        else:
            assert torch.allclose(at.T @ at, scale**2 * n / m * torch.eye(m), atol=1e-6)
    assert float(z.reshape(9 * n, m).norm(dim=0).max()) == pytest.approx(
        scale * (3 if kernel == "mean" else 1) * (math.sqrt(n / m) if n > m else 1), rel=1e-6
    )


def test_half_dirac_contracts_by_the_concatenation_alone() -> None:
    manifold = ball(1.0)
    layer = HConvolution2d(8, 8, 3, manifold, padding=1)
    initkit.apply(layer, initkit.recipe("poincare/identity", kernel="dirac_half"))
    v = torch.zeros(2, 8, 3, 3)
    v[:, :, 1, 1] = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    with torch.no_grad():
        y = layer(ManifoldTensor(exp0(v, 1.0, dim=1), manifold, 1)).tensor
    assert torch.allclose(log0(y, 1.0, dim=1), concatenation(8, 9) * v, atol=1e-6)


def test_position_major_rows_and_even_kernels() -> None:
    space = layouts.Ball()
    layer = layouts.PoincareConvTBC(4, 4, 3, 1, space)
    initkit.apply(layer, "poincare/identity")
    z = (layer.weight_g * layer.weight_v).detach().reshape(3, 4, 4)
    assert torch.allclose(z[1], 0.5 / concatenation(4, 3) * torch.eye(4))
    assert not z[0].any()
    assert not z[2].any()
    even = HConvolution2d(2, 2, 2, ball(1.0))
    initkit.apply(even, "poincare/identity")
    assert even.weights.tensor.data.reshape(2, 4, 2)[:, 0].any()  # floor of the middle


# Weight normalisation.


def test_weight_normalised_columns_are_alive() -> None:
    layer = layouts.NormedLinear(3, 5, layouts.Ball(1.0)).double()
    initkit.apply(layer, "poincare/identity")
    assert torch.allclose(layer.weight_v.norm(dim=0), torch.ones(5, dtype=torch.float64))
    assert layer.weight_g.tolist() == [0.5, 0.5, 0.5, 0, 0]
    assert torch.allclose(layer(X)[0], torch.tensor([0.3, -0.4, 0.5, 0, 0], dtype=torch.float64), atol=1e-15)
    layer(X)[0, 4].backward()
    assert layer.weight_g.grad is not None
    assert float(layer.weight_g.grad[4].abs()) > 0
    dead = layouts.NormedLinear(3, 5, layouts.Ball(1.0)).double()
    with torch.no_grad():
        dead.weight_v[:, 4] = 0
        dead.weight_g[4] = 0
    dead(X)[0, 4].backward()
    assert dead.weight_v.grad is not None
    assert dead.weight_g.grad is not None
    assert not dead.weight_v.grad[:, 4].any()  # why a direction is never written as zeros
    assert float(dead.weight_g.grad[4]) == 0


# Layouts: each applied, read back, run and trained.


def training_layouts() -> dict[str, tuple[nn.Module, Tensor]]:
    space = layouts.Ball()
    v = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)) * 0.2
    return {
        "PoincareLinear": (layouts.PoincareLinear(6, 6, space), v),
        "PoincareLinear, no bias": (layouts.PoincareLinear(6, 4, space, bias=False), v),
        "PoincareConvolution2d": (layouts.PoincareConvolution2d(3, 3, (3, 3), space), v.reshape(2, 3, 4, 2)),
        "NormedLinear": (layouts.NormedLinear(6, 9, space), v),
        "PoincareConcatLinear": (layouts.PoincareConcatLinear(2, 3, 6, space), v.reshape(8, 2, 3)),
        "PoincareConvTBC": (layouts.PoincareConvTBC(2, 2, 3, 1, space), v.reshape(8, 3, 2)),
    }


@pytest.mark.parametrize("name", list(training_layouts()))
@pytest.mark.parametrize("recipe", ["identity", "orthogonal", "variance", "hnnpp"])
def test_layouts_run_and_train(name: str, recipe: str) -> None:
    layer, x = training_layouts()[name]
    report = initkit.apply(layer, f"poincare/{recipe}", seed=1)
    assert "ball.isp_c" in report.untouched
    assert report.notes[f"poincare/{recipe} layers"][0]["curvature"].startswith("c = 1.3133")
    with torch.no_grad():
        target = layer(x) * 0.5
    optimiser = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = (layer(x) - target).square().sum()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("recipe", ["identity", "orthogonal", "variance", "hnnpp"])
def test_hypll_runs_and_trains(recipe: str) -> None:
    manifold = PoincareBall(Curvature(1.0))
    model = nn.Sequential(HConvolution2d(3, 4, 3, manifold, padding=1), HConvolution2d(4, 3, 3, manifold, padding=1))
    report = initkit.apply(model, f"poincare/{recipe}", seed=1)
    assert report.untouched == ["0.manifold.c.value"]
    assert set(report) == {"0.weights", "0.bias", "1.weights", "1.bias"}
    x = exp0(torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.1, 1.3133, dim=1)
    optimiser = torch.optim.Adam([getattr(p, "tensor", p) for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = (model(ManifoldTensor(x, manifold, 1)).tensor - 0.5 * x).square().sum()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_hypll_parameters_keep_their_kind_and_are_restored(tmp_path: Any) -> None:
    model = HLinear(4, 4, PoincareBall(Curvature(1.0)))
    held, inside = model.z, model.z.tensor
    report = initkit.apply(model, "poincare/variance", seed=2)
    assert model.z is held
    assert model.z.tensor is inside
    assert list(model.state_dict()) == ["z", "bias", "manifold.c.value"]
    initkit.save(model, tmp_path / "m.safetensors", report=report)
    other = HLinear(4, 4, PoincareBall(Curvature(1.0)))
    initkit.load(other, tmp_path / "m.safetensors")
    assert torch.equal(other.z.tensor, inside)
    before = inside.detach().clone()
    with pytest.raises(initkit.InitError):
        initkit.apply(model, ["poincare/identity", initkit.recipe("poincare/sarkar", tau=99.0)], tree=[(0, 1)])
    assert torch.equal(model.z.tensor, before)


# Refusals.


def test_the_old_factor_is_refused_and_explained() -> None:
    for layer in (
        layouts.PoincareLinear(6, 6, layouts.Ball(), old=True),
        layouts.PoincareLinear(6, 2, layouts.Ball(), old=True),
    ):
        before = layer.z.detach().clone()
        for recipe in ("identity", "orthogonal", "variance"):
            with pytest.raises(PlanError, match=r"PoincareLinear.*λ = 2\(1 - c‖x‖²\).*poincare/calibrated"):
                initkit.apply(layer, f"poincare/{recipe}")
        assert torch.equal(layer.z, before)
        initkit.apply(layer, "poincare/hnnpp")  # promises nothing that the layer cannot keep
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            report = initkit.apply(layer, "poincare/calibrated", inputs=torch.randn(16, 6) * 0.3)
        assert any("no weights make it an isometry" in str(one.message) for one in said)
        (row,) = report.notes["poincare/calibrated layers"]
        assert row["radius_after"] == pytest.approx(row["radius_in"], rel=1e-3)


def test_old_convolutions_are_refused_too() -> None:
    layer = layouts.PoincareConvolution2d(4, 4, (3, 3), layouts.Ball(), old=True)
    with pytest.raises(PlanError, match=r"PoincareConvolution2d, 4 to 4 channels, 3x3\): it computes with λ"):
        initkit.plan(nn.Sequential(layer), "poincare/identity")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layer: setattr(layer, "in_features", 7), r"z has shape \(6, 6\).*\(7, 6\)"),
        (lambda layer: setattr(layer, "bias", nn.Parameter(torch.zeros(5))), r"bias has shape \(5,\), expected \(6,\)"),
        (lambda layer: setattr(layer, "z", nn.Parameter(torch.zeros(6, 2, 2))), "a matrix with no empty side"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: Any, words: str) -> None:
    layer = layouts.PoincareLinear(6, 6, layouts.Ball())
    change(layer)
    with pytest.raises(PlanError, match=words):
        initkit.plan(nn.Sequential(layer), "poincare/identity")


def test_other_models_are_refused_with_what_is_known() -> None:
    with pytest.raises(PlanError, match="HLinear"):
        initkit.plan(nn.Linear(3, 3), "poincare/identity")
    with pytest.raises(PlanError, match="MobiusLinear"):
        initkit.plan(layouts.MobiusLinear(3, 3, layouts.Ball()), "poincare/identity")


@pytest.mark.parametrize("c", [0.0, -1.0, math.nan, math.inf])
def test_curvature_that_makes_no_ball_is_refused(c: float) -> None:
    layer = layouts.UnidirectionalPoincareMLR(4, 2, layouts.Ball(c, raw=True))
    with pytest.raises(PlanError, match="c > 0 and finite"):
        initkit.plan(layer, "poincare/hnnpp")
