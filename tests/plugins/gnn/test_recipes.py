"""The weight recipes on real PyG models: golden variances, layer kinds, order, edge cases and errors."""

from __future__ import annotations

import math
import warnings
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import (
    APPNP,
    BatchNorm,
    ChebConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    JumpingKnowledge,
    MessagePassing,
    SAGEConv,
    global_mean_pool,
)
from torch_geometric.nn import Sequential as PygSequential
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

import initkit
from initkit import InitError, NeedError, PlanError
from initkit_gnn import Description, linear, register
from initkit_gnn.graph import Graph
from initkit_gnn.layers import find_layers
from initkit_gnn.operators import operator
from initkit_gnn.probe import Probed

ALL = ["gnn/virgo", "gnn/calibrated", "gnn/orthogonal", "gnn/xavier", "gnn/kaiming", "gnn/pyg_default"]
NEED_GRAPH = {"gnn/virgo", "gnn/calibrated"}


def path_graph() -> Data:
    edges = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    return Data(x=torch.tensor([[1.0, 0], [0, 2], [3, 1], [0, 0]]), edge_index=edges)


def karate() -> Data:
    pairs = torch.tensor(list(nx.karate_club_graph().edges)).T
    i = torch.arange(34)
    x = torch.stack([(i + 1) / 34, (i * i % 7) / 7], 1)
    return Data(x=x, edge_index=torch.cat([pairs, pairs.flip(0)], 1))


def star() -> Data:
    leaves = torch.arange(1, 6)
    hub = torch.zeros_like(leaves)
    return Data(x=torch.ones(6, 3), edge_index=torch.cat([torch.stack([leaves, hub]), torch.stack([hub, leaves])], 1))


class Chain(nn.Module):
    """Convolutions with ReLU between, registered in another order than they run."""

    def __init__(self, convs: list[nn.Module], reverse: bool = False) -> None:
        super().__init__()
        order = list(enumerate(convs))
        for i, conv in reversed(order) if reverse else order:
            self.add_module(f"conv{i}", conv)
        self.count = len(convs)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for i in range(self.count):
            x = getattr(self, f"conv{i}")(x, edge_index)
            x = x.relu() if i + 1 < self.count else x
        return x


def gcn(*widths: int, reverse: bool = False) -> Chain:
    return Chain([GCNConv(a, b) for a, b in zip(widths, widths[1:])], reverse)  # noqa: B905, RUF007


def given(recipe: Any, graph: Any) -> dict[str, Any]:
    name = recipe if isinstance(recipe, str) else recipe.id
    return {"graph": graph} if name in NEED_GRAPH else {}


GOLDEN = {
    "path": (path_graph, (2, 8, 8, 3), {
        "forward": [1, 0.2544476, 0.2501905],
        "backward": [0.250002, 0.2500689, 0.5049595],
        "harmonic": [0.4000025, 0.2522393, 0.3345986],
        "mean": [0.625001, 0.2522583, 0.377575],
    }),
    "karate": (karate, (2, 16, 16, 16, 4), {
        "forward": [1, 0.1297619, 0.1272222, 0.1264048],
        "backward": [0.1250836, 0.1252794, 0.1263028, 0.3583647],
        "harmonic": [0.2223543, 0.1274813, 0.1267608, 0.1868889],
        "mean": [0.5625418, 0.1275207, 0.1267625, 0.2423848],
    }),
    "star": (star, (3, 8, 8, 2), {
        "forward": [0.6666667, 0.2514588, 0.2501622],
        "backward": [0.2501622, 0.2514588, 1.052211],
    }),
}  # fmt: skip


@pytest.mark.parametrize("case", GOLDEN)
@pytest.mark.parametrize("reverse", [False, True])
def test_golden_variances_of_the_authors(case: str, reverse: bool) -> None:
    make, widths, wanted = GOLDEN[case]
    model = gcn(*widths, reverse=reverse)
    for variant, values in wanted.items():
        plan = initkit.plan(model, initkit.recipe("gnn/virgo", variant=variant, operator="gcn"), graph=make())
        found = [plan[f"conv{i}.lin.weight"].draw.std ** 2 for i in range(len(widths) - 1)]
        assert found == pytest.approx(values, rel=2e-5)


def test_uniform_bounds_and_normal_draws_have_the_same_variance() -> None:
    recipe = initkit.recipe("gnn/virgo", variant="forward", operator="gcn")
    report = initkit.apply(gcn(2, 8, 8, 3), recipe, graph=path_graph())
    bounds = [1.732051, 0.8736949, 0.8663553]
    for i, bound in enumerate(bounds):
        entry = report[f"conv{i}.lin.weight"]
        assert entry.max is not None
        assert 0.8 * bound < entry.max <= bound * (1 + 1e-6)
    normal = initkit.recipe("gnn/virgo", variant="forward", operator="gcn", distribution="normal")
    plan = initkit.plan(gcn(2, 8, 8, 3), normal, graph=path_graph())
    assert plan["conv1.lin.weight"].draw.describe().startswith("N(0,")
    assert plan["conv1.lin.weight"].draw.std ** 2 == pytest.approx(0.2544476, rel=2e-5)


def layer_cases() -> dict[str, nn.Module]:
    mlp = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8))
    return {
        "gcn": GCNConv(2, 8),
        "gat": GATConv(2, 4, heads=2),
        "gatv2": GATv2Conv(2, 4, heads=2),
        "sage": SAGEConv(2, 8),
        "sage_sum": SAGEConv(2, 8, aggr="sum", root_weight=False),
        "graphconv": GraphConv(2, 8),
        "gin": GINConv(mlp, eps=0.3),
    }


@pytest.mark.parametrize("kind", ["gcn", "gat", "gatv2", "sage", "sage_sum", "graphconv"])
def test_the_probe_finds_the_operator_that_the_closed_form_says(kind: str) -> None:
    edges = karate().edge_index[:, ::3]  # directed, with isolated nodes
    graph = Graph.of(Data(x=karate().x, edge_index=torch.cat([edges, torch.tensor([[5, 5], [5, 5]])], 1), num_nodes=34))
    (layer,) = find_layers(layer_cases()[kind].double())
    closed = operator(graph, layer.kind, **layer.options)
    probed = Probed(layer, graph)
    a = torch.linspace(0.1, 2, 34, dtype=torch.float64)
    for transposed in (False, True):
        wanted = closed.step(a, transposed=transposed)
        found = probed.step(a, transposed=transposed)
        assert torch.allclose(found, wanted, rtol=1e-10)


def test_the_probe_leaves_a_layer_whose_part_bears_two_names() -> None:
    conv = GCNConv(2, 8)
    conv.alias = conv.lin
    before = conv.lin.weight, conv.lin.weight.clone()
    (layer,) = find_layers(conv)
    Probed(layer, Graph.of(karate())).step(torch.ones(34, dtype=torch.float64))
    assert conv.lin.weight is before[0]
    assert torch.equal(*before)


@pytest.mark.parametrize("recipe", ALL)
@pytest.mark.parametrize("build", [GCN, GAT, GIN, GraphSAGE])
def test_every_recipe_on_every_model_of_pyg(recipe: str, build: Any) -> None:
    torch.manual_seed(0)
    model = build(2, 16, num_layers=3, out_channels=4)
    report = initkit.apply(model, recipe, seed=1, **given(recipe, karate()))
    assert report.covered > 0.9 or build is GAT
    assert not report.untouched
    assert torch.isfinite(model(karate().x, karate().edge_index)).all()
    torch.manual_seed(0)  # attention vectors are the model's own
    again = build(2, 16, num_layers=3, out_channels=4)
    second = initkit.apply(again, recipe, seed=1, **given(recipe, karate()))
    assert report.to_json() == second.to_json()
    assert {n: t.tolist() for n, t in model.named_parameters() if n in report} == {
        n: t.tolist() for n, t in again.named_parameters() if n in second
    }


@pytest.mark.parametrize("recipe", [name for name in ALL if name != "gnn/calibrated"])
def test_a_plan_on_the_meta_device_is_the_plan(recipe: str) -> None:
    real = GCN(2, 16, num_layers=3, out_channels=4)
    with torch.device("meta"):
        hollow = GCN(2, 16, num_layers=3, out_channels=4)
    plans = [initkit.plan(model, recipe, **given(recipe, karate())).to_json() for model in (real, hollow)]
    assert plans[0] == plans[1]
    initkit.apply(hollow, recipe, **given(recipe, karate()))
    assert not any(p.is_meta for p in hollow.parameters())


def test_models_on_the_meta_device_can_be_calibrated() -> None:
    with torch.device("meta"):
        model = gcn(2, 16, 16, 4)
    report = initkit.apply(model, "gnn/calibrated", graph=karate())
    assert report.notes["gnn/calibrated layers"][2]["rms_after"] == pytest.approx(0.1, rel=1e-2)


def sizes(model: nn.Module, graph: Data, names: list[str]) -> list[float]:
    seen: list[float] = []
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda m, a, out: seen.append(out.double().square().mean().sqrt().item())
        )
        for name in names
    ]
    with torch.no_grad():
        model(graph.x, graph.edge_index)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("start", ["kaiming", "orthogonal"])
@pytest.mark.parametrize("build", [GCN, GAT, GIN, GraphSAGE])
def test_calibrated_layers_have_the_target_size(build: Any, start: str) -> None:
    torch.manual_seed(0)
    model = build(2, 16, num_layers=5, out_channels=4)
    initkit.apply(model, initkit.recipe("gnn/calibrated", target=0.3, start=start), graph=karate())
    found = sizes(model, karate(), [f"convs.{i}" for i in range(5)])
    assert found == pytest.approx([0.3] * 5, rel=1e-2)


def test_calibrated_backward_makes_gradients_equal() -> None:
    torch.manual_seed(0)
    model = gcn(2, 32, 32, 32, 4)
    report = initkit.apply(model, initkit.recipe("gnn/calibrated", mode="backward", target=0.2), graph=karate())
    rows = report.notes["gnn/calibrated layers"]
    assert [row["layer"] for row in rows] == ["conv3", "conv2", "conv1", "conv0"]
    after = [row["gradient_after"] for row in rows[:3]]
    assert max(after) / min(after) < 1.05
    assert sizes(model, karate(), ["conv3"])[0] == pytest.approx(0.2, rel=2e-2)


def test_calibration_changes_no_mode_and_no_statistics() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.b = GCNConv(2, 8), BatchNorm(8), GCNConv(8, 3)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.b(self.norm(self.a(x, edge_index)).relu(), edge_index)

    model = Normed()
    before = [t.clone() for t in model.norm.buffers()]
    with pytest.warns(UserWarning, match="calibrated: norm normalises"):
        initkit.apply(model, "gnn/calibrated", graph=karate())
    assert model.training
    assert model.norm.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.norm.buffers(), strict=True))


def test_a_dead_layer_is_named() -> None:
    graph = karate()
    graph.x = torch.zeros_like(graph.x)
    with pytest.raises(InitError, match=r"output of layer conv0 is 0 everywhere"):
        initkit.apply(gcn(2, 8, 4), "gnn/calibrated", graph=graph)


def test_large_graphs_are_calibrated_on_a_sample_that_is_reported() -> None:
    report = initkit.apply(gcn(2, 8, 4), initkit.recipe("gnn/calibrated", max_nodes=20), graph=karate())
    assert report.notes["gnn/calibrated sample"][0]["nodes"] == 20


def test_gradients_and_signals_survive_where_the_default_kills_them() -> None:
    """What Virgo promises, on a graph: signals forward, gradients backward, of equal size at all depths."""
    ratios = {}
    for recipe in ("gnn/pyg_default", initkit.recipe("gnn/virgo", variant="forward")):
        found = []
        for seed in range(5):
            model = gcn(34, *[128] * 8, 4)
            graph = Data(x=torch.eye(34), edge_index=karate().edge_index)
            initkit.apply(model, recipe, seed=seed, **given(recipe, graph))
            size = sizes(model, graph, [f"conv{i}" for i in range(8)])
            found.append((size[-1] / size[0]) ** 2)
        ratios[recipe if isinstance(recipe, str) else "virgo"] = sum(found) / 5
    assert ratios["gnn/pyg_default"] < 0.03
    assert 0.2 < ratios["virgo"] < 2


def test_heads_whose_mean_is_taken_start_larger() -> None:
    one = initkit.plan(Chain([GATConv(2, 8), GATConv(8, 4)]), "gnn/virgo", graph=karate())
    four = initkit.plan(Chain([GATConv(2, 8), GATConv(8, 4, heads=4, concat=False)]), "gnn/virgo", graph=karate())
    assert four["conv1.lin.weight"].draw.std == pytest.approx(2 * one["conv1.lin.weight"].draw.std, rel=1e-6)
    assert four["conv0.lin.weight"].draw.std == pytest.approx(one["conv0.lin.weight"].draw.std, rel=1e-6)


def test_inner_layers_of_gin_and_what_the_authors_leave() -> None:
    model = GIN(2, 16, num_layers=2, out_channels=4)
    ours = initkit.plan(model, "gnn/virgo", graph=karate())
    assert ours["convs.0.nn.lins.1.weight"].draw.std ** 2 == pytest.approx(2 / 16)
    authors = initkit.plan(model, initkit.recipe("gnn/virgo", operator="gcn"), graph=karate())
    assert authors["convs.0.nn.lins.1.weight"].draw.std == authors["convs.0.nn.lins.0.weight"].draw.std


def test_unknown_linear_layers_are_probed_and_taught_ones_described() -> None:
    class Mine(MessagePassing):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(aggr="mean")
            self.theta = nn.Linear(a, b, bias=False)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=self.theta(x))

    plan = initkit.plan(Chain([ChebConv(2, 8, K=3), ChebConv(8, 4, K=3)]), "gnn/virgo", graph=karate())
    assert len(plan.fills) == 8
    mine = initkit.plan(Chain([Mine(2, 8), Mine(8, 4)]), "gnn/virgo", graph=karate())

    @register(Mine)
    def describe(layer: Mine) -> Description:
        return Description("rowwise", (linear("theta.weight", layer.theta),))

    taught = initkit.plan(Chain([Mine(2, 8), Mine(8, 4)]), "gnn/virgo", graph=karate())
    for name in ("conv0.theta.weight", "conv1.theta.weight"):
        assert mine[name].draw.std == pytest.approx(taught[name].draw.std, rel=1e-6)


def test_a_layer_that_is_not_linear_is_refused_with_advice() -> None:
    class Odd(MessagePassing):
        def __init__(self) -> None:
            super().__init__(aggr="max")
            self.theta = nn.Linear(2, 4)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=self.theta(x))

    with pytest.raises(PlanError, match=r"conv0 \(Odd\).*not linear.*gnn/calibrated"):
        initkit.plan(Chain([Odd()]), "gnn/virgo", graph=karate())
    initkit.apply(Chain([Odd()]), "gnn/calibrated", graph=karate())


class Jumping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = GCNConv(2, 8), GCNConv(8, 8), GCNConv(8, 8)
        self.jump, self.head = JumpingKnowledge("cat"), nn.Linear(24, 3)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        a = self.one(x, edge_index).relu_()
        b = self.two(a, edge_index).relu() + a
        c = self.three(b, edge_index)
        return self.head(global_mean_pool(self.jump([a, b, c]), batch))


def test_skip_connections_and_jumping_knowledge_are_seen() -> None:
    with pytest.warns(UserWarning, match=r"three also reads one; the output also reads one, two.*gnn/calibrated"):
        initkit.plan(Jumping(), "gnn/virgo", graph=karate())


def test_heads_outside_the_layers_are_left_or_included() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = initkit.plan(Jumping(), "gnn/virgo", graph=karate())
        with_head = initkit.plan(Jumping(), initkit.recipe("gnn/virgo", include_head=True), graph=karate())
    assert left.untouched == ["head.weight", "head.bias"]
    assert with_head["head.weight"].draw.std ** 2 == pytest.approx(1 / 24)


def test_a_layer_used_twice_counts_once_and_warns() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = GCNConv(8, 8)
            self.first = GCNConv(2, 8)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            x = self.first(x, edge_index)
            return self.conv(self.conv(x, edge_index), edge_index)

    with pytest.warns(UserWarning, match="conv is called more than once"):
        plan = initkit.plan(Shared(), "gnn/virgo", graph=karate())
    assert len([fill for fill in plan.fills if fill.name.endswith("weight")]) == 2


def test_models_that_take_the_whole_data_and_models_that_cannot_be_run() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late, self.early = GCNConv(8, 4), GCNConv(2, 8)

        def forward(self, data: Data) -> Tensor:
            return self.late(self.early(data.x, data.edge_index).relu(), data.edge_index)

    assert [row["layer"] for row in _factors(initkit.apply(Whole(), "gnn/virgo", graph=karate()))] == ["early", "late"]
    initkit.apply(Whole(), "gnn/calibrated", graph=karate())

    class Broken(Chain):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            raise RuntimeError("only on Tuesdays")

    with pytest.warns(UserWarning, match="registration order.*only on Tuesdays"):
        initkit.plan(Broken([GCNConv(2, 4)]), "gnn/virgo", graph=karate())


def _factors(report: initkit.Report) -> list[dict[str, Any]]:
    return list(report.notes["gnn/virgo graph factors"])


def test_sequential_models_of_pyg() -> None:
    model = PygSequential(
        "x, edge_index", [(GCNConv(2, 8), "x, edge_index -> x"), nn.ReLU(), (GCNConv(8, 4), "x, edge_index -> x")]
    )
    report = initkit.apply(model, "gnn/virgo", graph=karate())
    assert len(report) == 4


def test_bias_can_be_kept_and_attention_is_left() -> None:
    plan = initkit.plan(Chain([GATConv(2, 8)]), initkit.recipe("gnn/virgo", bias="keep"), graph=karate())
    kept = {keep.name: keep.why for keep in plan.keeps}
    assert kept["conv0.bias"] == "bias=keep"
    assert "attention" in kept["conv0.att_src"]


def test_one_output_centred_features_and_no_features() -> None:
    with pytest.warns(UserWarning, match="C - 1"):
        initkit.plan(gcn(2, 8, 1), "gnn/virgo", graph=karate())
    centred = karate()
    centred.x = torch.stack([torch.ones(34), -torch.ones(34)], 1)
    with pytest.warns(UserWarning, match="ones|constant"):
        initkit.plan(gcn(2, 8, 4), initkit.recipe("gnn/virgo", variant="forward"), graph=centred)
    bare = Data(edge_index=karate().edge_index, num_nodes=34)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = initkit.plan(gcn(2, 8, 4), initkit.recipe("gnn/virgo", variant="forward"), graph=bare)
    assert plan["conv0.lin.weight"].draw.std > 0


def test_depth_100_of_sum_aggregation_neither_overflows_nor_underflows() -> None:
    model = Chain([GraphConv(2 if i == 0 else 4, 4) for i in range(100)])
    report = initkit.apply(model, initkit.recipe("gnn/virgo", variant="harmonic"), graph=karate())
    assert all(entry.std is not None and math.isfinite(entry.std) for entry in report.values())


def test_pyg_default_is_what_pyg_does() -> None:
    model = GCN(1433, 64, num_layers=2, out_channels=7)
    plan = initkit.plan(model, "gnn/pyg_default")
    assert plan["convs.0.lin.weight"].draw.std * math.sqrt(3) == pytest.approx(0.06330889, rel=2e-5)
    sage = initkit.plan(GraphSAGE(64, 64, num_layers=1), "gnn/pyg_default")
    for name in ("convs.0.lin_l.weight", "convs.0.lin_l.bias", "convs.0.lin_r.weight"):
        assert sage[name].draw.std * math.sqrt(3) == pytest.approx(0.125)
    for build in (GCN, GAT, GIN, GraphSAGE):
        torch.manual_seed(3)
        theirs = build(30, 64, num_layers=3, out_channels=8)
        plan = initkit.plan(theirs, "gnn/pyg_default")
        assert not plan.untouched
        for name, parameter in theirs.named_parameters():
            if parameter.numel() >= 512:
                assert parameter.std().item() == pytest.approx(plan[name].draw.std, rel=0.1), name


class NoGraph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.smooth = APPNP(3, 0.1)


def bad_graphs() -> dict[str, tuple[Any, str]]:
    good = karate()
    far = good.edge_index.clone()
    far[0, 3] = 99
    unknown = HeteroData()
    unknown["a"].x = good.x
    unknown["a", "to", "a"].edge_index = good.edge_index
    hole = good.x.clone()
    hole[4, 1] = torch.nan
    return {
        "edge_index out of range": (Data(x=good.x, edge_index=far), "99"),
        "negative index": (Data(x=good.x, edge_index=good.edge_index - 1), "-1"),
        "float edge_index": (Data(x=good.x, edge_index=good.edge_index.float()), "float"),
        "transposed": (Data(x=good.x, edge_index=good.edge_index.T.contiguous()), "edge_index"),
        "empty graph": (
            Data(x=torch.zeros(0, 2), edge_index=torch.zeros(2, 0, dtype=torch.long)),
            "no nodes|N = 0|empty|0 nodes",
        ),
        "wrong width": (
            Data(x=torch.ones(34, 5), edge_index=good.edge_index),
            "x has 5 features, but conv0 .* takes 2",
        ),
        "NaN": (Data(x=hole, edge_index=good.edge_index), "NaN"),
        "negative weights": (Data(x=good.x, edge_index=good.edge_index, edge_weight=-torch.ones(156)), "negative|>= 0"),
        "a number": (3, "graph"),
        "hetero": (unknown, "edge_type|edge type"),
    }


@pytest.mark.parametrize("case", bad_graphs())
@pytest.mark.parametrize("recipe", sorted(NEED_GRAPH))
def test_bad_graphs_are_one_clear_line_and_change_nothing(case: str, recipe: str) -> None:
    graph, words = bad_graphs()[case]
    model = gcn(2, 8, 4)
    before = {n: t.clone() for n, t in model.named_parameters()}
    with pytest.raises(NeedError, match=words) as caught:
        initkit.apply(model, recipe, graph=graph)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(t, before[n]) for n, t in model.named_parameters())


@pytest.mark.parametrize("recipe", ALL)
def test_models_without_message_passing_and_lazy_layers_are_refused(recipe: str) -> None:
    with pytest.raises(PlanError, match="has no message-passing layer"):
        initkit.plan(NoGraph() if recipe != "gnn/pyg_default" else nn.Linear(2, 2), recipe, **given(recipe, karate()))
    if recipe != "gnn/pyg_default":
        with pytest.raises(PlanError, match=r"conv0 \(GCNConv\): lin.weight has no shape yet"):
            initkit.plan(Chain([GCNConv(-1, 4)]), recipe, **given(recipe, karate()))


def test_self_loops_isolated_nodes_and_no_edges_at_all() -> None:
    edges = torch.tensor([[0, 0, 1], [0, 1, 0]])
    lonely = Data(x=torch.ones(5, 2), edge_index=edges)
    bare = Data(x=torch.ones(5, 2), edge_index=torch.zeros(2, 0, dtype=torch.long))
    for graph in (lonely, bare):
        report = initkit.apply(gcn(2, 8, 4), "gnn/virgo", graph=graph)
        assert report.covered == 1
    with pytest.raises(InitError, match=r"layer 1 \(sage\): all that its nodes aggregate is zero"):
        initkit.plan(Chain([SAGEConv(2, 4, root_weight=False)]), "gnn/virgo", graph=bare)


def test_several_graphs_are_one_block_diagonal_graph() -> None:
    a, b = karate(), path_graph()
    both = Data(x=torch.cat([a.x, b.x]), edge_index=torch.cat([a.edge_index, b.edge_index + 34], 1))
    plans = [initkit.plan(gcn(2, 8, 4), "gnn/virgo", graph=g) for g in ([a, b], both)]
    assert plans[0]["conv0.lin.weight"].draw == plans[1]["conv0.lin.weight"].draw


def test_scaling_a_layer_changes_no_prediction_of_a_relu_gcn() -> None:
    """Why no scale-only recipe cures oversmoothing: a ReLU GCN without offsets is positively homogeneous."""
    model = gcn(2, 8, 8, 4)
    initkit.apply(model, "gnn/kaiming")
    before = model(karate().x, karate().edge_index).argmax(1)
    with torch.no_grad():
        model.conv1.lin.weight.mul_(7.3)
    assert torch.equal(model(karate().x, karate().edge_index).argmax(1), before)
