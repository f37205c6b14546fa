"""Tables of points: uniform, wrapped normal, and trees in live tables of hypll, geoopt and torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import geoopt
import numpy as np
import pytest
import torch
from geoopt.layers.stereographic import Distance2StereographicHyperplanes
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HEmbedding
from scipy import integrate, special
from torch import nn

import initkit
from initkit import NeedError, OptionError, PlanError
from initkit_poincare import Tree, measured
from initkit_poincare.geometry import distance, distances, radius
from initkit_poincare.tables import all_tables, fitted
from initkit_poincare.wrapped_normal import std_of_radius


class Points(nn.Module):
    """A table of geoopt, whose ball is a submodule."""

    def __init__(
        self, rows: int, dim: int, c: float = 1.0, dtype: torch.dtype = torch.float32, learnable: bool = False
    ):
        super().__init__()
        self.ball = geoopt.PoincareBall(c, learnable=learnable)
        self.points = geoopt.ManifoldParameter(torch.zeros(rows, dim, dtype=dtype), manifold=self.ball)


def embedding(rows: int, dim: int, c: float = 1.0) -> HEmbedding:
    return HEmbedding(rows, dim, PoincareBall(Curvature(c)))


def complete(branches: int, depth: int) -> list[int]:
    parents, level = [-1], [0]
    for _ in range(depth):
        level = [len(parents) + i for i in range(len(level) * branches)]
        parents += [(i - 1) // branches for i in level]
    return parents


# Finding.


def test_tables_are_found_by_their_manifold() -> None:
    model = nn.ModuleDict(
        {
            "hypll": embedding(5, 3),
            "geoopt": Points(4, 2),
            "planes": Distance2StereographicHyperplanes(3, 6, ball=geoopt.PoincareBall(2.0)),
            "plain": nn.Embedding(7, 2),
            "flat": nn.Linear(3, 2),
        }
    )
    found = {table.name: table for table in all_tables(model)}
    assert list(found) == ["hypll.weight", "geoopt.points", "planes.points"]
    assert not found["planes.points"].embedding
    assert found["hypll.weight"].curvature(None).c == pytest.approx(1.3132616875, abs=1e-6)
    assert found["hypll.weight"].curvature(None).raw == 1.0
    assert found["planes.points"].curvature(None).c == pytest.approx(2.0)
    plan = initkit.plan(model, "poincare/wrapped_normal")
    assert [fill.name for fill in plan.fills] == ["hypll.weight", "geoopt.points"]
    plan = initkit.plan(model, initkit.recipe("poincare/wrapped_normal", table="planes.*"))
    assert [fill.name for fill in plan.fills] == ["planes.points"]


def test_plain_tables_are_named() -> None:
    model = nn.ModuleDict({"emb": nn.Embedding(7, 2, padding_idx=0)})
    with pytest.raises(PlanError, match="table='emb.weight'"):
        initkit.plan(model, "poincare/embedding_uniform")
    with pytest.raises(PlanError, match="matches no table of points; there are emb.weight"):
        initkit.plan(model, initkit.recipe("poincare/embedding_uniform", table="embedding"))
    report = initkit.apply(model, initkit.recipe("poincare/embedding_uniform", table="emb.weight", c=4.0))
    assert report["emb.weight"].draw.startswith("U(")
    weight = model["emb"].weight.detach()
    assert not weight[0].any()
    assert 0 < float(weight.abs().max()) <= 0.5e-3
    lorentz, manifold = nn.Module(), geoopt.Lorentz()
    lorentz.points = geoopt.ManifoldParameter(manifold.random_normal(4, 3), manifold=manifold)
    with pytest.raises(PlanError, match="Lorentz"):
        initkit.plan(lorentz, "poincare/wrapped_normal")


def test_uniform_bounds_follow_the_curvature() -> None:
    for bound, r in (("paper", 1e-3), ("code", 1e-4)):
        model = Points(1000, 3, c=0.25)
        initkit.apply(model, initkit.recipe("poincare/embedding_uniform", bound=bound))
        assert float(model.points.detach().abs().max()) == pytest.approx(2 * r, rel=1e-2)
    with pytest.raises(PlanError, match="c=2 was said"):
        initkit.plan(model, initkit.recipe("poincare/embedding_uniform", c=2.0))


# Wrapped normal.


@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_std_of_a_mean_radius(dim: int) -> None:
    # E‖v‖ of N(0, σ²I_d) by quadrature of the chi density.
    std = std_of_radius(0.7, dim)

    def integrand(r: float) -> float:
        log_density = (dim - 1) * math.log(r) - r * r / 2 - (dim / 2 - 1) * math.log(2) - special.gammaln(dim / 2)
        return std * r * math.exp(log_density)

    mean, _ = integrate.quad(integrand, 0, math.sqrt(dim) + 12, points=[math.sqrt(dim)])
    assert mean == pytest.approx(0.7, rel=1e-6)


@pytest.mark.parametrize("c", [0.1, 1.0, 3.0])
def test_distance_from_the_centre_is_the_length_of_the_vector(c: float) -> None:
    model = Points(4000, 3, c=c, dtype=torch.float64)
    mean = (0.3 / math.sqrt(c), -0.2 / math.sqrt(c), 0.1 / math.sqrt(c))
    initkit.apply(model, initkit.recipe("poincare/wrapped_normal", mean=mean, radius=0.5, clamp=0))
    centre = torch.tensor(mean, dtype=torch.float64)
    found = distance(model.points.detach(), centre.expand(4000, 3), c)
    spread = std_of_radius(0.5, 3) * math.sqrt(3 - 8 / math.pi)
    assert float(found.mean()) == pytest.approx(0.5, abs=5 * spread / math.sqrt(4000))
    ball = geoopt.PoincareBall(c)
    assert torch.allclose(ball.dist(model.points.detach(), centre), found, atol=1e-5)


def test_scales_by_coordinate_and_defaults() -> None:
    model = Points(3000, 2)
    initkit.apply(model, initkit.recipe("poincare/wrapped_normal", std=(0.2, 0.01)))
    points = model.points.detach()
    assert float(points[:, 0].std()) == pytest.approx(0.1, rel=0.06)  # ρ is twice the norm near the origin
    assert float(points[:, 1].std()) == pytest.approx(0.005, rel=0.06)
    initkit.apply(model, "poincare/wrapped_normal")
    assert float(radius(model.points.detach(), 1.0).mean()) == pytest.approx(0.1, rel=0.05)


def test_no_point_of_a_wide_table_is_on_the_boundary() -> None:
    model = embedding(2000, 64)
    edge = (1 - 4e-3) / math.sqrt(1.3132616875)
    assert float((model.weight.tensor.norm(dim=1) > edge * 0.99999).float().mean()) == 1.0  # hypll's own start
    initkit.apply(model, "poincare/wrapped_normal")
    assert float((model.weight.tensor.norm(dim=1) > edge * 0.99999).float().mean()) == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 5.0}, r"radius 6.212 at c = 1; the largest admissible mean distance is about [1-3]"),
        ({"mean": (0.1,)}, "mean has 1 numbers, the points 3 coordinates"),
        ({"mean": (1.0, 1.0, 0.0)}, "mean has norm 1.414, the ball ends at 1"),
        ({"std": (0.1, 0.1)}, "std has 2 numbers, the points 3 coordinates"),
    ],
)
def test_wrapped_normals_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        initkit.plan(Points(10, 3), initkit.recipe("poincare/wrapped_normal", **options))
    with pytest.raises(OptionError, match="give one of them"):
        initkit.recipe("poincare/wrapped_normal", radius=0.1, std=0.1)


def test_points_stay_within_a_limit_after_rounding() -> None:
    v = torch.randn(500, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        limit = 2.9
        on_edge = v / v.norm(dim=1, keepdim=True) * math.tanh(limit / 2) * (1 + 1e-9)
        made = fitted(on_edge, 1.0, limit, dtype)
        assert made.dtype == dtype
        assert float(made.double().norm(dim=1).max()) <= math.tanh(limit / 2)


# Trees in tables.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
def test_a_tree_in_a_table_of_geoopt(dtype: torch.dtype, c: float) -> None:
    parents = complete(3, 4)
    model = Points(len(parents), 5, c=c, dtype=dtype)
    report = initkit.apply(model, "poincare/sarkar", tree=parents)
    (row,) = report.notes["poincare/sarkar embedding"]
    assert row["map"] == 1.0
    points = model.points.detach()
    assert torch.equal(model.ball.projx(points), points)  # no projection moves a point
    tau = row["tau"]
    c = float(model.ball.c)  # in float32
    found = distance(points[1:].double(), points[torch.tensor(parents[1:])].double(), c) * math.sqrt(c)
    assert torch.allclose(found, torch.full_like(found, tau), rtol=1e-6 if dtype == torch.float64 else 1e-3)
    tree = Tree.of(parents)
    again = measured(tree, points, tau, c)
    assert row["d_avg"] == pytest.approx(again.average, rel=1e-5)


def test_hypll_tables_and_their_softplus() -> None:
    model = embedding(45, 10)
    parents = complete(3, 3)
    report = initkit.apply(model, "poincare/sarkar", tree=parents)
    assert "c = 1.3133 (from the parameter 1)" in report["weight"].why
    points = model.weight.tensor.detach()[:40].double()
    (row,) = report.notes["poincare/sarkar embedding"]
    found = distance(points[1:], points[torch.tensor(parents[1:])], 1.3132616875) * math.sqrt(1.3132616875)
    assert torch.allclose(found, torch.full_like(found, row["tau"]), rtol=1e-3)


def test_a_table_trains_on_from_its_tree() -> None:
    parents = complete(2, 4)
    model = Points(len(parents), 4)
    initkit.apply(model, "poincare/sarkar", tree=parents)
    optimiser = geoopt.optim.RiemannianSGD(model.parameters(), lr=0.05)
    child, parent = torch.arange(1, len(parents)), torch.tensor(parents[1:])
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        far = model.ball.dist(model.points[child].unsqueeze(1), model.points.unsqueeze(0))
        far = far.masked_fill(nn.functional.one_hot(child, len(parents)).bool(), 1e4)
        loss = nn.functional.cross_entropy(-far, parent)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(math.isfinite(value) for value in losses)
    assert losses[-1] < losses[0]


def test_mammals_like_tree_in_a_float32_table_before_any_training() -> None:
    # 1170 nodes, a node of 36 neighbours, height 9: as deep and as wide as WordNet's mammals.
    numbers = np.random.default_rng(4)
    parents, depth = [-1, *([0] * 35)], [0, *([1] * 35)]
    while len(parents) < 1170:
        above = int(numbers.integers(0, len(parents)))
        if depth[above] < 8:
            parents.append(above)
            depth.append(depth[above] + 1)
    model = Points(1170, 40)
    report = initkit.apply(model, "poincare/sarkar", tree=parents)
    (row,) = report.notes["poincare/sarkar embedding"]
    assert row["map"] == 1.0
    assert row["computed_with"] == "float64"
    assert float(model.points.detach().norm(dim=1).max()) <= (1 - 4e-3)


WORDNET = Path("/usr/share/wordnet/data.noun")


@pytest.mark.skipif(not WORDNET.is_file(), reason="needs WordNet, Debian's wordnet-base")
def test_mammals_of_wordnet_in_a_float32_table_before_any_training() -> None:
    above: dict[str, list[str]] = {}
    for line in WORDNET.read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):
            words = line.split(" ")
            at = 4 + 2 * int(words[3], 16)
            pointers = [words[at + 1 + 4 * i : at + 3 + 4 * i] for i in range(int(words[at]))]
            above[words[0]] = [target for sign, target in pointers if sign == "@"]
    inside, size = {"01861778"}, 0
    while len(inside) > size:
        size = len(inside)
        inside |= {node for node, parents in above.items() if inside & set(parents)}
    edges = [(n, p) for n in above if n in inside and n != "01861778" for p in above[n] if p in inside]
    tree = Tree.of(edges, cycles="first_parent")
    assert (len(tree), tree.height, int(tree.degrees.max())) == (1170, 8, 36)
    model = Points(1170, 40)
    with pytest.warns(UserWarning, match="1 edges were dropped"):
        report = initkit.apply(model, "poincare/sarkar", tree=tree)
    (row,) = report.notes["poincare/sarkar embedding"]
    assert row["map"] == 1.0
    assert row["d_avg"] < 0.445
    assert float(model.points.detach().norm(dim=1).max()) <= 1 - 4e-3


def test_rows_by_name_and_rows_to_spare() -> None:
    edges = [("b", "a"), ("c", "a"), ("d", "b")]
    model = Points(6, 3)
    with torch.no_grad():
        model.points[:] = 0.05
    report = initkit.apply(model, "poincare/sarkar", tree=edges, nodes=["x", "d", "c", "b", "a", "y"])
    points = model.points.detach()
    assert torch.equal(points[0], torch.full((3,), 0.05))
    assert torch.equal(points[5], torch.full((3,), 0.05))
    found = distances(points.double(), points.double(), 1.0)
    near = report.notes["poincare/sarkar embedding"][0]["tau"]
    assert float(found[1, 3]) == pytest.approx(near, rel=1e-3)
    assert "2 rows without a node keep their values" in report["points"].why
    initkit.apply(model, initkit.recipe("poincare/sarkar", extra="wrapped_normal"), tree=edges)
    assert 0 < float(radius(model.points.detach()[4:], 1.0).max()) < 0.5


def test_prototypes_and_virtual_roots() -> None:
    planes = Distance2StereographicHyperplanes(4, 5, ball=geoopt.PoincareBall(1.0))
    forest = [(1, 0), (2, 0), (4, 3)]
    recipe = initkit.recipe("poincare/sarkar", table="points", forest="virtual_root")
    with pytest.warns(UserWarning, match="2 trees are joined"):
        report = initkit.apply(planes, recipe, tree=forest)
    assert report["points"].shape == (5, 4)
    assert report.notes["poincare/sarkar remarks"][0]["remark"].startswith("2 trees")


def test_learnable_curvature_is_said() -> None:
    with pytest.warns(UserWarning, match="learnable: its present value counts"):
        initkit.apply(Points(3, 2, learnable=True), "poincare/sarkar", tree=[-1, 0, 0])


def test_precision_beyond_float64_is_planned() -> None:
    parents = [-1, *range(8)]
    model = Points(9, 3, dtype=torch.float64)
    report = initkit.apply(model, initkit.recipe("poincare/sarkar", tau=6.0, clamp=0), tree=parents)
    (row,) = report.notes["poincare/sarkar embedding"]
    assert row["computed_with"] == "31 decimal digits"  # radius 24
    assert float(model.points.detach().norm(dim=1).max()) < 1


@pytest.mark.parametrize(
    ("make", "options", "given", "kind", "words"),
    [
        (lambda: Points(3, 2), {}, {"tree": [(0, 1), (1, 2), (2, 0)]}, NeedError, "closes a cycle"),
        (lambda: Points(4, 2), {}, {"tree": [(0, 1), (2, 3)]}, NeedError, "forest of 2 trees"),
        (
            lambda: Points(2, 2),
            {},
            {"tree": [-1, 0, 0]},
            PlanError,
            r"points \(2, 2\): the tree has 3 nodes, the table 2",
        ),
        (lambda: Points(4, 2), {}, {"tree": [(9, 4), (7, 4)]}, PlanError, "node 9 asks for row 9.*nodes="),
        (lambda: Points(3, 1), {}, {"tree": [-1, 0, 0]}, PlanError, "at least 2 dimensions"),
        (
            lambda: Points(3, 2),
            {},
            {"tree": [("b", "a")], "nodes": ["a", "a"]},
            NeedError,
            "'a' stands in rows 0 and 1",
        ),
        (lambda: Points(3, 2), {}, {"tree": [("b", "a")], "nodes": ["a", "c"]}, NeedError, "b of the tree has no row"),
        (
            lambda: Points(5, 2, dtype=torch.float16),
            {"tau": 2.0},
            {"tree": [-1, 0, 1, 2, 3]},
            PlanError,
            r"float16 table holds 3 .*half precision ends at radius 3.*largest admissible tau is 1.5",
        ),
        (
            lambda: Points(40, 2),
            {"tau": 3.0},
            {"tree": complete(3, 3)},
            PlanError,
            r"radius 9 \(height 3\).*float32 table holds 6.212.*largest admissible tau is 2.070.*clamp=0",
        ),
        (
            lambda: Points(40, 2),
            {"epsilon": 0.1, "clamp": 0},
            {"tree": complete(3, 3)},
            PlanError,
            r"float32 table holds 16.64.*more dimensions",
        ),
        (
            lambda: nn.ModuleList([Points(3, 2), Points(3, 2)]),
            {},
            {"tree": [-1, 0, 0]},
            PlanError,
            "several tables.*table=",
        ),
    ],
)
def test_mistakes_with_trees(make: Any, options: dict[str, Any], given: Any, kind: type[Exception], words: str) -> None:
    model = make()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    recipe = initkit.recipe("poincare/sarkar", **options)
    with pytest.raises(kind, match=words) as refused:
        initkit.apply(model, recipe, **given)
    assert "\n" not in str(refused.value)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_half_precision_tables_get_what_they_hold() -> None:
    model = Points(5, 3, dtype=torch.bfloat16)
    report = initkit.apply(model, "poincare/sarkar", tree=[-1, 0, 1, 2, 3])
    assert report.notes["poincare/sarkar embedding"][0]["largest_radius"] == pytest.approx(0.98 * 3)
    assert float(radius(model.points.detach(), 1.0).max()) <= 3.0


@pytest.mark.parametrize("c", [-1.0, 0.0, math.nan])
def test_curvature_that_makes_no_ball(c: float) -> None:
    model = Points(3, 2)
    model.points.manifold = type("PoincareBall", (), {"c": c})()
    with pytest.raises(PlanError, match="c > 0 and finite"):
        initkit.plan(model, "poincare/sarkar", tree=[-1, 0, 0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_table_on_the_gpu_gets_the_same_points() -> None:
    parents = complete(3, 4)
    one, two = Points(len(parents), 4, dtype=torch.float64), Points(len(parents), 4, dtype=torch.float64).cuda()
    initkit.apply(one, "poincare/sarkar", tree=parents)
    initkit.apply(two, "poincare/sarkar", tree=parents)
    assert torch.allclose(one.points, two.points.cpu(), atol=1e-9)
