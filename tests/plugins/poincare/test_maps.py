"""Möbius and Lorentz layers, and calibration of all kinds."""

from __future__ import annotations

import math
from typing import Any

import geoopt
import poincare_layouts as layouts
import pytest
import torch
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HConvolution2d, HLinear
from hypll.tensors import ManifoldTensor
from torch import Tensor, nn
from torch.nn import functional

import initkit
from initkit import CommitError, PlanError
from initkit_poincare.geometry import exp0, log0, radius
from initkit_poincare.layers import find_layers
from initkit_poincare.lorentz_identity import centre_columns
from initkit_poincare.radii import Gauge


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Möbius.


@pytest.mark.parametrize("c", [0.1, 1.0, 2.0])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 9)])
def test_mobius_layers_are_isometries(n: int, m: int, c: float) -> None:
    layer = layouts.MobiusLinear(n, m, layouts.Ball(c, raw=True)).double()
    report = initkit.apply(layer, "poincare/mobius_orthogonal")
    x = exp0(vectors(100, n) / math.sqrt(c), c)
    y = layer(x).detach()
    assert torch.allclose(y, x @ layer.weight.detach().T, atol=1e-14)
    assert not layer.bias.any()
    assert "exact isometry" in report["weight"].why


def test_default_recipes_of_mobius_and_lorentz_models() -> None:
    cards = [card for card in initkit.recipes() if card.plugin == "poincare"]
    for model, first in (
        (layouts.MobiusLinear(4, 4, layouts.Ball()), "mobius_orthogonal"),
        (layouts.LorentzFullyConnected(layouts.Hyperboloid(), 4, 4), "lorentz_identity"),
        (layouts.NormedLinear(4, 4, layouts.Ball()), "identity"),
        (layouts.UnidirectionalPoincareMLR(4, 4, layouts.Ball()), "hnnpp"),
    ):
        assert next(card.name for card in cards if card.claims(model)) == first


def test_tall_mobius_layers_keep_the_mean_radius() -> None:
    layer = layouts.MobiusLinear(64, 16, layouts.Ball()).double()
    initkit.apply(layer, "poincare/mobius_orthogonal")
    x = exp0(0.02 * vectors(500, 64), 1.0)
    assert float(radius(layer(x).detach(), 1.0).mean() / radius(x, 1.0).mean()) == pytest.approx(1, abs=0.03)


def test_mobius_layers_by_other_names() -> None:
    class HypLinear(nn.Module):
        """As in HGCN: the curvature stands in the layer."""

        def __init__(self) -> None:
            super().__init__()
            self.in_features, self.out_features, self.c, self.manifold = 3, 4, 1.0, object()
            self.weight, self.bias = nn.Parameter(torch.zeros(4, 3)), nn.Parameter(torch.zeros(4))

    report = initkit.apply(nn.ModuleList([HypLinear(), nn.Linear(3, 3)]), "poincare/mobius_orthogonal")
    assert list(report) == ["0.weight", "0.bias"]


def test_curvature_of_geoopt_s_other_balls() -> None:
    layer = layouts.MobiusLinear(4, 4, layouts.Ball())
    layer.ball = geoopt.Stereographic(-0.25)
    (found,) = find_layers(layer, ("mobius",))
    assert Gauge.of(found).c == pytest.approx(0.25)
    layer.ball = geoopt.SphereProjection(1.0)
    with pytest.raises(PlanError, match="c > 0 and finite"):
        Gauge.of(find_layers(layer, ("mobius",))[0])


# Lorentz.


def test_lorentz_layers_are_isometries() -> None:
    space = layouts.Hyperboloid(2.0)
    x = space.with_time(vectors(50, 4))
    for m in (5, 8):
        layer = layouts.LorentzFullyConnected(space, 5, m, bias=True).double()
        initkit.apply(layer, "poincare/lorentz_identity")
        y = layer(x).detach()
        assert torch.equal(y[:, 1:5], x[:, 1:])
        assert not y[:, 5:].any()
        assert torch.allclose(y[:, 0], x[:, 0], atol=1e-14)
        assert not layer.weight.weight[0].any()


def test_lorentz_layers_that_normalise_keep_directions_and_say_so() -> None:
    space = layouts.Hyperboloid()
    layer = layouts.LorentzFullyConnected(space, 5, 5, normalize=True).double()
    with pytest.warns(UserWarning, match=r"normalize=True.*directions"):
        initkit.apply(layer, "poincare/lorentz_identity")
    x = space.with_time(vectors(20, 4))
    cosines = functional.cosine_similarity(layer(x).detach()[:, 1:], x[:, 1:], dim=1)
    assert torch.allclose(cosines, torch.ones(20, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_centre_of_a_lorentz_convolution_is_found_by_looking(k: int) -> None:
    space = layouts.Hyperboloid()
    conv = layouts.LorentzConv2d(space, 4, 6, k, padding=k // 2)
    (layer,) = find_layers(conv, ("lorentz_conv",))
    centre = ((k - 1) // 2) * k + (k - 1) // 2
    assert centre_columns(layer) == [1 + centre * 3 + channel for channel in range(3)]  # position-major
    before = {name: tensor.clone() for name, tensor in conv.state_dict().items()}
    conv = conv.double()
    initkit.apply(conv, "poincare/lorentz_identity")
    assert set(before) == set(conv.state_dict())
    if k % 2:
        image = space.with_time(vectors(2, 6, 6, 3))
        out = conv(image).detach()
        assert torch.equal(out[..., 1:4], image[..., 1:])
        assert not out[..., 4:].any()


def test_lorentz_layers_train() -> None:
    space = layouts.Hyperboloid()
    model = nn.Sequential(layouts.LorentzConv2d(space, 4, 4, 3), layouts.LorentzFullyConnected(space, 4, 3))
    initkit.apply(model, "poincare/lorentz_identity")
    image = space.with_time(vectors(2, 5, 5, 3).float())
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = model(image)[..., 1:].square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_lorentz_convolutions_on_meta_are_refused() -> None:
    with torch.device("meta"):
        conv = layouts.LorentzConv2d(layouts.Hyperboloid(), 4, 4, 3)
    with pytest.raises(PlanError, match="meta device"):
        initkit.plan(conv, "poincare/lorentz_identity")


# Calibration.


def images(count: int, channels: int, side: int, rho: float) -> Tensor:
    v = functional.avg_pool2d(vectors(count, channels, side, side), 5, stride=1, padding=2)
    return exp0(v * (rho / 2) / v.norm(dim=1).mean(), 1.0, dim=1).float()


@pytest.mark.parametrize("rho", [1.0, 3.0])
def test_ten_convolutions_of_hypll(rho: float) -> None:
    manifold = PoincareBall(Curvature(1.0, constraining_strategy=lambda value: value))
    stack = nn.Sequential(*[HConvolution2d(32, 32, 3, manifold, padding=1) for _ in range(10)])
    x = images(2, 32, 12, rho)
    report = initkit.apply(stack, "poincare/calibrated", inputs=ManifoldTensor(x, manifold, 1))
    rows = report.notes["poincare/calibrated layers"]
    assert [row["radius_after"] for row in rows] == pytest.approx([row["radius_in"] for row in rows], rel=1e-3)
    with torch.no_grad():
        y = stack(ManifoldTensor(x, manifold, 1)).tensor
    assert float(radius(y, 1.0, 1).mean()) == pytest.approx(rho, rel=1e-2)
    cosine = functional.cosine_similarity(log0(y.double(), 1.0, 1), log0(x.double(), 1.0, 1), dim=1).mean()
    assert float(cosine) >= (0.95 if rho == 1 else 0.6)
    assert max(row["calls"] for row in rows) <= 12


def test_every_kind_of_layer_is_calibrated() -> None:
    space, hyper = layouts.Ball(), layouts.Hyperboloid()
    cases: list[tuple[nn.Module, Any]] = [
        (layouts.PoincareLinear(16, 4, space), 0.2 * vectors(32, 16).float()),
        (layouts.NormedLinear(16, 4, space), exp0(0.2 * vectors(32, 16), 1.3133).float()),
        (layouts.PoincareConcatLinear(3, 4, 6, space), exp0(0.2 * vectors(32, 3, 4), 1.3133).float()),
        (layouts.PoincareConvTBC(4, 4, 3, 1, space), exp0(0.2 * vectors(9, 5, 4), 1.3133).float()),
        (layouts.MobiusLinear(16, 4, space), exp0(0.2 * vectors(32, 16), 1.3133).float()),
        (layouts.LorentzFullyConnected(hyper, 8, 4), hyper.with_time(vectors(32, 7).float())),
        (layouts.LorentzConv2d(hyper, 8, 4, 3), hyper.with_time(vectors(2, 5, 5, 7).float())),
    ]
    for model, x in cases:
        for start in ("identity", "orthogonal", "variance"):
            recipe = initkit.recipe("poincare/calibrated", start=start)
            report = initkit.apply(nn.Sequential(model), recipe, inputs=x, seed=1)
            (row,) = report.notes["poincare/calibrated layers"]
            assert row["radius_after"] == pytest.approx(row["radius_in"], rel=1e-3), (type(model), start)


def test_the_network_s_radius_is_kept_through_activations() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(layouts.PoincareLinear(32, 32, layouts.Ball()) for _ in range(6))

        def forward(self, v: Tensor) -> Tensor:
            for layer in self.layers:
                v = torch.relu(layer(v))
            return v

    x = 0.1 * vectors(64, 32).float()
    ends = {}
    for keep in ("layer", "network"):
        model = Net()
        initkit.apply(model, initkit.recipe("poincare/calibrated", start="orthogonal", keep=keep), inputs=x)
        with torch.no_grad():
            ends[keep] = float(model(x).norm(dim=1).mean() / x.norm(dim=1).mean())
    assert ends["layer"] < 0.2
    assert 0.6 < ends["network"] < 0.8  # one ReLU: 1/√2


def test_targets_beyond_the_boundary_are_lowered_with_a_warning() -> None:
    manifold = PoincareBall(Curvature(1.0, constraining_strategy=lambda value: value))
    layer = HLinear(8, 8, manifold)
    v = vectors(16, 8)
    x = exp0(v / v.norm(dim=1, keepdim=True) * 3.1, 1.0).float()
    x = x / x.norm(dim=1, keepdim=True) * (1 - 4e-3)
    with pytest.warns(UserWarning, match="near the projection boundary"):
        report = initkit.apply(nn.Sequential(layer), "poincare/calibrated", inputs=ManifoldTensor(x, manifold, 1))
    (row,) = report.notes["poincare/calibrated layers"]
    assert row["radius_after"] == pytest.approx(0.95 * 6.2126, rel=2e-3)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(4, 6), "0 for every point"),
        (torch.full((4, 6), 0.9), "not finite: points lie on or beyond the sphere"),
    ],
)
def test_batches_without_a_radius_are_refused(x: Tensor, words: str) -> None:
    model = nn.Sequential(layouts.NormedLinear(6, 6, layouts.Ball()))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(CommitError, match=words):
        initkit.apply(model, "poincare/calibrated", inputs=x)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_layers_that_cannot_follow_are_named() -> None:
    normalised = layouts.LorentzFullyConnected(layouts.Hyperboloid(), 6, 6, normalize=True)
    x = layouts.Hyperboloid().with_time(vectors(8, 5).float())
    recipe = initkit.recipe("poincare/calibrated", max_tries=6)
    with pytest.raises(CommitError, match="does it normalise its own output"):
        initkit.apply(nn.Sequential(normalised), recipe, inputs=x)

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layouts.NormedLinear(6, 6, layouts.Ball()), layouts.NormedLinear(6, 6, layouts.Ball())

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x)

    with pytest.raises(CommitError, match=r"b \(NormedLinear, 6 to 6\) was not called"):
        initkit.apply(Unused(), "poincare/calibrated", inputs=0.1 * vectors(4, 6).float())
