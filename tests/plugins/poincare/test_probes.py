"""Probes: radius by depth, points on the boundary, curvature, dead columns, the old factor."""

from __future__ import annotations

import geoopt
import poincare_layouts as layouts
import pytest
import torch
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HConvolution2d, HEmbedding, HLinear
from hypll.tensors import ManifoldTensor
from torch import Tensor, nn

import initkit

ALL = [f"poincare/{name}" for name in ("radius", "clamp", "curvature", "columns", "conformal_factor")]


class Deep(nn.Module):
    """Layers of hypll behind a map into the ball."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.manifold = PoincareBall(Curvature(1.0))
        self.layers = nn.ModuleList(HLinear(16, 16, self.manifold) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        point = ManifoldTensor(torch.tanh(x) / 8, self.manifold, 1)
        for layer in self.layers:
            point = layer(point)
        out: Tensor = point.tensor
        return out


def levels(found: initkit.Inspection) -> dict[str, str]:
    return {verdict.words: verdict.level for verdict in found.verdicts}


def test_radius_by_depth_tells_a_start_that_collapses() -> None:
    model, x = Deep(8), torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    initkit.apply(model, "poincare/hnnpp")
    found = initkit.inspect(model, x, probes=["poincare/radius"])
    rows = found.tables["poincare/radius"].rows
    assert [row["layer"] for row in rows] == ["input", *(f"layers.{i}" for i in range(8))]
    assert rows[-1]["radius"] < 1e-2 * rows[0]["radius"]
    assert [verdict.level for verdict in found.verdicts] == ["FAIL"]
    assert "points fall to the origin" in found.verdicts[0].words
    initkit.apply(model, "poincare/orthogonal")
    found = initkit.inspect(model, x, probes=["poincare/radius"])
    assert [verdict.level for verdict in found.verdicts] == ["PASS"]


def test_radius_tells_points_on_the_boundary_and_beyond() -> None:
    model, x = Deep(6), torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in model.layers:
            layer.z.tensor.copy_(3 * torch.eye(16))
    found = initkit.inspect(model, x, probes=["poincare/radius"])
    assert found.verdicts[0].level == "WARN"
    assert "projection boundary" in found.verdicts[0].words
    found = initkit.inspect(nn.Sequential(layouts.NormedLinear(4, 4, layouts.Ball())), torch.ones(2, 4), probes=ALL)
    assert "FAIL" in {verdict.level for verdict in found.verdicts}


def test_share_of_points_on_the_boundary() -> None:
    manifold = PoincareBall(Curvature(1.0))
    found = initkit.inspect(HEmbedding(200, 64, manifold), probes=["poincare/clamp"])
    (verdict,) = found.verdicts
    assert verdict.level == "FAIL"
    assert "100% of 200 points" in verdict.words
    model = HEmbedding(200, 64, manifold)
    initkit.apply(model, "poincare/wrapped_normal")
    (verdict,) = initkit.inspect(model, probes=["poincare/clamp"]).verdicts
    assert verdict.level == "PASS"


def test_curvature_in_force() -> None:
    found = initkit.inspect(Deep(1), probes=["poincare/curvature"])
    (verdict,) = found.verdicts
    assert verdict.level == "NOTE"
    assert "the parameter says 1, in force is c = 1.3133" in verdict.words
    model = nn.Module()
    model.ball = geoopt.PoincareBall(2.0)
    model.points = geoopt.ManifoldParameter(torch.zeros(3, 2), manifold=model.ball)
    (verdict,) = initkit.inspect(model, probes=["poincare/curvature"]).verdicts
    assert verdict.level == "PASS"


def test_columns_that_never_learn() -> None:
    layer = layouts.NormedLinear(4, 6, layouts.Ball())
    probe = ["poincare/columns"]
    assert [verdict.level for verdict in initkit.inspect(layer, probes=probe).verdicts] == ["PASS"]
    with torch.no_grad():
        layer.weight_v[:, 1:3] = 0
        layer.weight_g[1] = 0
    words = levels(initkit.inspect(layer, probes=probe))
    assert set(words.values()) == {"FAIL"}
    assert any("1 of 6 columns are dead" in word for word in words)
    assert any("divided by 1e-15" in word for word in words)
    initkit.apply(layer, "poincare/identity")
    assert [verdict.level for verdict in initkit.inspect(layer, probes=probe).verdicts] == ["PASS"]


@pytest.mark.parametrize(("old", "level"), [(True, "FAIL"), (False, "PASS")])
@pytest.mark.parametrize("c", [0.2, 1.0, 3.0])
def test_the_old_factor_is_found(old: bool, level: str, c: float) -> None:
    space = layouts.Ball(c, raw=True)
    for layer in (
        layouts.PoincareLinear(5, 5, space, old=old),
        layouts.PoincareLinear(7, 3, space, old=old, bias=False),
        layouts.PoincareConvolution2d(4, 6, (3, 3), space, old=old),
        layouts.PoincareConvolution2d(6, 4, (5, 2), space, old=old),
    ):
        before = [p.detach().clone() for p in layer.parameters()]
        (verdict,) = initkit.inspect(nn.Sequential(layer), probes=["poincare/conformal_factor"]).verdicts
        assert verdict.level == level, verdict
        assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_exact_layers_of_every_family_are_known_as_such() -> None:
    space, manifold = layouts.Ball(), PoincareBall(Curvature(1.0))
    for layer in (
        layouts.NormedLinear(4, 6, space),
        layouts.PoincareConvTBC(4, 6, 3, 1, space),
        HLinear(6, 4, manifold),
        HConvolution2d(4, 6, 3, manifold, padding=1),
        HConvolution2d(6, 4, 2, manifold),
    ):
        (verdict,) = initkit.inspect(nn.Sequential(layer), probes=["poincare/conformal_factor"]).verdicts
        assert verdict.level == "PASS", (type(layer), verdict)


def test_other_models_have_nothing_to_measure() -> None:
    found = initkit.inspect(nn.Linear(3, 3), torch.randn(4, 3))
    assert not any(name.startswith("poincare") for name in found.tables)


def test_the_general_probes_run_on_hypll_s_parameters() -> None:
    found = initkit.inspect(Deep(3), torch.randn(8, 16))
    assert any(verdict.level in ("PASS", "WARN", "NOTE") for verdict in found.verdicts)
