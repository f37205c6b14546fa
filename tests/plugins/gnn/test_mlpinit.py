"""gnn/mlpinit: the edgeless call is an MLP, training keeps its promises, and bad input is refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GINEConv,
    GraphConv,
    PairNorm,
    SAGEConv,
    global_mean_pool,
)

import initkit
from initkit import CommitError, FileError, NeedError, OptionError, PlanError
from initkit.testing.case import bits
from initkit_gnn.edgeless import EdgelessGraph, edges_for
from initkit_gnn.graph import Graph
from initkit_gnn.layers import find_layers

NODES, WIDTH, CLASSES = 240, 12, 3
FAST = {"epochs": 20, "lr": 3e-2}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(seed: int = 0, **changes: Any) -> Data:
    """A graph of communities whose features tell the community."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, CLASSES, (NODES,), generator=g)
    x = torch.randn(CLASSES, WIDTH, generator=g)[y] + torch.randn(NODES, WIDTH, generator=g)
    ends = torch.randint(0, NODES, (2, 6 * NODES), generator=g)
    ends = ends[:, y[ends[0]] == y[ends[1]]]
    place = torch.rand(NODES, generator=g)
    data = Data(x=x, edge_index=torch.cat([ends, ends.flip(0)], 1), y=y)
    data.train_mask, data.val_mask, data.test_mask = place < 0.5, (place >= 0.5) & (place < 0.8), place >= 0.8
    for name, value in changes.items():
        data[name] = value
    return data


class Net(nn.Module):
    """Two layers of one kind, with dropout between them."""

    def __init__(self, conv: Callable[[int, int], nn.Module] = GCNConv, outputs: int = CLASSES) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = conv(WIDTH, 8), conv(8, outputs)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = functional.dropout(torch.relu(self.a(x, edge_index)), 0.3, self.training)
        return self.b(h, edge_index)


class Normed(Net):
    """With BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.b(torch.relu(self.norm(self.a(x, edge_index))), edge_index)


def gin(a: int, b: int) -> GINConv:
    return GINConv(nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b)), eps=0.25)


def start(model: nn.Module, data: Any, seed: int = 0, progress: Any = None, **options: Any) -> initkit.Report:
    made_recipe = initkit.recipe("gnn/mlpinit", **{**FAST, **options})
    return initkit.apply(model, made_recipe, graph=data, seed=seed, progress=progress)


def edgeless(model: nn.Module, data: Data) -> Tensor:
    """The model's outputs without edges, in float64."""
    edges, _ = edges_for(model, find_layers(model))
    rows = EdgelessGraph(data, Graph.of(data), edges, torch.float64, torch.device("cpu")).rows(torch.arange(NODES))
    model.eval()
    with torch.no_grad():
        return model(rows.x, rows.edge_index)


# --- the edgeless call is the MLP


def _gcn(conv: GCNConv, x: Tensor) -> Tensor:
    return x @ conv.lin.weight.T + conv.bias


def _sage(conv: SAGEConv, x: Tensor) -> Tensor:
    return x @ conv.lin_l.weight.T + conv.lin_l.bias + x @ conv.lin_r.weight.T


def _graphconv(conv: GraphConv, x: Tensor) -> Tensor:
    return x @ conv.lin_rel.weight.T + conv.lin_rel.bias + x @ conv.lin_root.weight.T


def _gin(conv: GINConv, x: Tensor) -> Tensor:
    first, last = conv.nn[0], conv.nn[2]
    return torch.relu((1.25 * x) @ first.weight.T + first.bias) @ last.weight.T + last.bias


def _gatv2(conv: GATv2Conv, x: Tensor) -> Tensor:
    return x @ conv.lin_l.weight.T + conv.lin_l.bias + conv.bias


@pytest.mark.parametrize(
    ("conv", "explicit", "edges"),
    [
        (GCNConv, _gcn, "none"),
        (lambda a, b: GCNConv(a, b, add_self_loops=False), _gcn, "loops"),
        (lambda a, b: GCNConv(a, b, improved=True), _gcn, "none"),
        (GATConv, _gcn, "none"),
        (GATv2Conv, _gatv2, "none"),
        (SAGEConv, _sage, "loops"),
        (lambda a, b: SAGEConv(a, b, aggr="max"), _sage, "loops"),
        (GraphConv, _graphconv, "loops"),
        (gin, _gin, "none"),
    ],
    ids=["gcn", "gcn without loops", "gcn improved", "gat", "gatv2", "sage", "max-sage", "graphconv", "gin"],
)
def test_edgeless_call_equals_the_explicit_mlp(conv: Any, explicit: Any, edges: str) -> None:
    """G9."""
    model, data = Net(conv).double(), made()
    assert edges_for(model, find_layers(model))[0] == edges
    with torch.no_grad():
        wanted = explicit(model.b, torch.relu(explicit(model.a, data.x.double())))
    assert float((edgeless(model, data) - wanted).abs().max()) < 1e-12


def test_layers_without_weights_are_asked_too() -> None:
    class Propagates(Net):
        def __init__(self) -> None:
            super().__init__(gin)
            self.spread = APPNP(2, 0.1)

    class Sums(Net):
        def __init__(self) -> None:
            super().__init__(gin)
            self.spread = SAGEConv(8, 8)

    assert edges_for(Propagates(), find_layers(Propagates())) == ("none", ())
    assert edges_for(Sums(), find_layers(Sums())) == ("loops", ("a", "b"))


# --- training


def test_the_gnn_starts_with_what_the_mlp_learnt() -> None:
    model, data = Net(), made()
    report = start(model, data, epochs=40)
    note = report.notes["gnn/mlpinit"]
    assert note["validation"] > 0.8
    assert note["training_nodes"] == int(data.train_mask.sum())
    assert note["label_rate"] == pytest.approx(note["training_nodes"] / NODES, rel=1e-6)
    assert report.covered == 1.0
    model.eval()
    right = (model(data.x, data.edge_index).argmax(1) == data.y)[data.test_mask].double().mean()
    assert right > 0.85
    best = max(report.notes["gnn/mlpinit epochs"], key=lambda row: row["validation"])
    assert best["validation"] == note["validation"]


def test_training_starts_from_the_weights_present_or_from_the_default() -> None:
    one, two, data = Net(), Net(), made()
    with torch.no_grad():
        two.a.lin.weight.mul_(0.5)
    assert start(one, data)["a.lin.weight"].hash != start(two, data)["a.lin.weight"].hash
    assert (
        start(one, data, start="pyg_default")["a.lin.weight"].hash
        == start(two, data, start="pyg_default")["a.lin.weight"].hash
    )


def test_one_seed_gives_one_result_and_leaves_random_state_alone() -> None:
    data = made()
    models = [Net() for _ in range(3)]
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = start(models[0], data, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    second = start(models[1], data, seed=3)
    other = start(models[2], data, seed=4)
    assert first.to_json() == second.to_json()
    assert bits(models[0]) == bits(models[1])
    assert first["b.lin.weight"].hash != other["b.lin.weight"].hash


def test_patience_counts_from_the_last_gain() -> None:
    report = start(Net(), made(), epochs=400, lr=0.1, patience=3)
    history = report.notes["gnn/mlpinit epochs"]
    assert len(history) == report.notes["gnn/mlpinit"]["epochs"] < 400


def test_index_lists_do_as_well_as_masks() -> None:
    data = made()
    listed = Data(x=data.x, edge_index=data.edge_index, y=data.y)
    listed.train_idx, listed.val_idx = (torch.nonzero(m).flatten() for m in (data.train_mask, data.val_mask))
    mapping = {k: v.numpy() for k, v in listed.to_dict().items()}
    hashes = {start(Net(), given)["a.lin.weight"].hash for given in (data, listed, mapping)}
    assert len(hashes) == 1


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo])
def test_sparse_features_stay_sparse_and_give_the_same(layout: torch.layout) -> None:
    data = made()
    data.x = torch.where(data.x.abs() > 1, data.x, 0.0)
    model, other = Net(), Net()
    start(model, data)
    data.x = data.x.to_sparse(layout=layout)
    start(other, data)
    torch.testing.assert_close(other.a.lin.weight, model.a.lin.weight, rtol=1e-3, atol=1e-5)


def test_attention_keeps_its_start() -> None:
    model = Net(GATConv)
    before = model.a.att_src.detach().clone()
    report = start(model, made())
    assert torch.equal(model.a.att_src, before)
    assert "a.att_src" in report.kept
    report = start(Net(GATv2Conv), made())
    assert {"a.att", "a.lin_r.weight", "b.lin_r.bias"} <= set(report.kept)
    assert report.reasons["a.lin_r.weight"] == "without edges no gradient reaches it"
    report = start(Net(GATConv), made(), start="pyg_default")
    assert report["a.att_src"].why == "without edges attention has no gradient: its start"


def test_labels_of_several_kinds() -> None:
    data = made()
    several = torch.stack([data.y == 0, data.y != 1], 1)
    for y, outputs, task, least in (
        ((data.y == 1).long(), 1, "classes", 0.8),
        (several, 2, "labels", 0.3),
        (several.float(), 2, "labels", 0.3),
        (data.x[:, :2] + 0.5, 2, "values", 0.5),
        (data.x[:, 0], 1, "values", 0.5),
    ):
        report = start(Net(outputs=outputs), made(y=y), epochs=40)
        note = report.notes["gnn/mlpinit"]
        assert note["task"] == task
        assert note["validation"] > least
    assert note["score"] == "R²"
    assert note["chance"] == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_statistics_of_normalisations_are_those_on_the_graph() -> None:
    model, data = Normed(), made()
    report = start(model, data)
    model.eval()
    with torch.no_grad():
        z = model.a(data.x, data.edge_index)
    torch.testing.assert_close(model.norm.running_mean, z.mean(0))
    torch.testing.assert_close(model.norm.running_var, z.var(0), rtol=1e-4, atol=1e-6)
    assert int(model.norm.num_batches_tracked) == 0
    assert model.norm.momentum == 0.1
    assert report["norm.running_mean"].why == "measured with one pass of the GNN"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_batch_has_a_single_row() -> None:
    """BatchNorm cannot train on one."""
    data = made()
    data.train_mask[:] = False
    data.train_mask[torch.stack([torch.nonzero(data.y == c)[0, 0] for c in range(CLASSES)])] = True
    data.val_mask &= ~data.train_mask
    assert start(Normed(), data, batch=2).notes["gnn/mlpinit"]["training_nodes"] == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_cached_first_graph_is_neither_used_nor_replaced() -> None:
    data = made()
    empty, plain, full = (Net(lambda a, b, c=c: GCNConv(a, b, cached=c)) for c in (True, False, True))
    full.eval()
    full(data.x, data.edge_index)
    held = full.a._cached_edge_index
    for model in (empty, plain, full):
        start(model, data)
    assert bits(empty) == bits(plain) == bits(full)
    assert empty.a._cached_edge_index is None
    assert full.a._cached_edge_index is held
    assert full.a.cached
    assert empty.a.cached


@pytest.mark.filterwarnings("ignore:Sparse")
def test_models_of_other_forms() -> None:
    class Whole(Net):
        def forward(self, data: Data) -> Tensor:
            return super().forward(data.x, data.edge_index)

    class Adjacency(Net):
        def forward(self, x: Tensor, adj_t: Tensor) -> Tensor:
            return super().forward(x, adj_t)

    class Weighted(Net):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            h = functional.dropout(torch.relu(self.a(x, edge_index, edge_weight)), 0.3, self.training)
            return self.b(h, edge_index, edge_weight)

    class Attributed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a = GINEConv(nn.Linear(WIDTH, 8), edge_dim=3)
            self.b = nn.Linear(8 + 2, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, pos: Tensor) -> Tensor:
            return self.b(torch.cat([torch.relu(self.a(x, edge_index, edge_attr)), pos], 1))

    data = made()
    many = data.edge_index.shape[1]
    wanted = start(Net(), data)["a.lin.weight"].hash
    assert start(Whole(), data)["a.lin.weight"].hash == wanted
    assert start(Weighted(), made(edge_weight=torch.rand(many)))["a.lin.weight"].hash == wanted
    matrix = torch.sparse_coo_tensor(data.edge_index.flip(0), torch.ones(many), (NODES, NODES))
    with_matrix = made(adj_t=matrix.coalesce().to_sparse_csr())
    assert start(Adjacency(), with_matrix, epochs=2).covered == 1
    report = start(Attributed(), made(edge_attr=torch.rand(many, 3), pos=torch.rand(NODES, 2)))
    assert "a.lin.weight" in report.kept  # edge attributes have no edges to act on


def test_models_of_other_types_of_numbers() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model = Net().to(dtype)
        report = start(model, made(), epochs=20)
        assert report["a.lin.weight"].dtype == str(dtype).removeprefix("torch.")
        assert report.notes["gnn/mlpinit"]["validation"] > 0.7


def test_normalisation_over_nodes_is_said() -> None:
    class Paired(Normed):
        def __init__(self) -> None:
            super().__init__()
            self.norm = PairNorm()

    report = start(Paired(), made())
    assert any("norm normalises over all nodes" in words for words in report.notes["gnn/mlpinit"]["remarks"])


def test_the_plan_says_cost_and_benefit_first() -> None:
    plan = initkit.plan(Net(), "gnn/mlpinit", graph=made())
    words = plan.jobs[0].words
    assert "label rate 0.5" in words
    assert "of a GNN epoch's multiply-adds" in words
    assert "seldom raises the final accuracy" in words
    assert {fill.name for fill in plan.fills} == {name for name, _ in Net().named_parameters()}


# --- when it does no good


def test_nothing_is_changed_near_chance() -> None:
    model = Normed()
    data = made(y=torch.randint(0, CLASSES, (NODES,), generator=torch.Generator().manual_seed(5)))
    before = bits(model)
    with pytest.warns(UserWarning, match=r"gnn/mlpinit: nothing was changed, the MLP is near chance: accuracy 0\.\d+"):
        report = start(model, data)
    assert bits(model) == before
    assert report.covered == 0
    assert not list(report)
    assert "not changed, the MLP is near chance" in report.reasons["a.lin.weight"]
    assert "near chance" in report.notes["gnn/mlpinit"]["verdict"]


def test_the_margin_is_the_users() -> None:
    with pytest.warns(UserWarning, match="near chance"):
        assert start(Net(), made(), margin=1.0).covered == 0


# --- interruption


class Stops:
    """A progress display in which somebody presses Ctrl-C before the given epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, iterable: Iterable[Any], words: str, total: int | None) -> Iterator[Any]:
        for item in iterable:
            if words == "training as an MLP" and item == self.epoch:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, whole, data, path = Normed(), Normed(), made(), tmp_path / "mlp.safetensors"
    before = bits(model)
    with pytest.raises(KeyboardInterrupt, match=r"after 4 of 20 epochs; the model is unchanged; go on .* checkpoint='"):
        start(model, data, progress=Stops(5), checkpoint=str(path))
    assert bits(model) == before
    assert path.is_file()
    assert not list(tmp_path.glob(".*"))
    report = start(model, data, checkpoint=str(path))
    wanted = start(whole, data)
    assert bits(model) == bits(whole)
    assert report.notes["gnn/mlpinit epochs"] == wanted.notes["gnn/mlpinit epochs"]


def test_an_interrupt_without_a_file_says_how_to_keep_the_state(tmp_path: Path) -> None:
    model = Net()
    before = bits(model)
    with pytest.raises(KeyboardInterrupt, match="give checkpoint=FILE"):
        start(model, made(), progress=Stops(3))
    path = tmp_path / "mlp.safetensors"
    with pytest.raises(KeyboardInterrupt, match="after 0 of 20 epochs"):
        start(model, made(), progress=Stops(1), checkpoint=str(path))
    assert not path.exists()
    assert bits(model) == before


class Explodes(Net):
    """Gives NaN from its third training batch on, once."""

    calls = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(x, edge_index)
        if self.training:
            Explodes.calls += 1
        return out * float("nan") if Explodes.calls == 3 else out


def test_a_loss_that_is_no_number_changes_nothing_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    model, path = Explodes(), tmp_path / "mlp.safetensors"
    before = bits(model)
    Explodes.calls = 0
    with pytest.raises(CommitError, match=r"no finite number in epoch 3; .* lower lr \(now 0.03\) .* from epoch 2"):
        start(model, made(), checkpoint=str(path))
    assert bits(model) == before
    Explodes.calls = 100
    report = start(model, made(), checkpoint=str(path), lr=1e-2)
    assert report.notes["gnn/mlpinit"]["epochs"] == 20
    Explodes.calls = 0
    with pytest.raises(CommitError, match="lower lr"):
        start(Explodes(), made())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlp.safetensors"
    with pytest.raises(KeyboardInterrupt):
        start(Net(), made(), progress=Stops(3), checkpoint=str(path))
    for model, data, seed, word in (
        (Net(), made(), 1, "seed"),
        (Normed(), made(), 0, "start"),
        (Net(), made(1), 0, "data"),
    ):
        with pytest.raises(FileError, match=rf"it is of another run \({word} differs\)"):
            start(model, data, seed=seed, checkpoint=str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(FileError, match="cannot go on from"):
        start(Net(), made(), checkpoint=str(path))


# --- bad input


def one_hot() -> Tensor:
    return torch.eye(NODES)[torch.randperm(NODES, generator=torch.Generator().manual_seed(0))]


def without(data: Data, *names: str) -> Data:
    for name in names:
        del data[name]
    return data


def labels(value: float, node: int | None = None) -> Data:
    data = made()
    data.y = data.y.float() if value != value else data.y
    data.y[int(torch.nonzero(data.train_mask)[0]) if node is None else node] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (without(made(), "x"), "no features x, without which an MLP can only memorise"),
        (made(x=one_hot()), "only numbers the nodes"),
        (made(x=one_hot().to_sparse()), "only numbers the nodes"),
        (made(x=torch.arange(NODES)), "only numbers the nodes"),
        (without(made(), "y"), "no labels y"),
        (made(y=torch.zeros(5)), r"y has shape \(5,\)"),
        (made(y=torch.ones(NODES, dtype=torch.long)), "all training nodes have the same label"),
        (made(y=torch.full((NODES,), 0.5)), "y is constant"),
        (labels(-1), "1 nodes of train and val have no label"),
        (labels(float("nan")), "1 nodes of train and val have no label"),
        (without(made(), "train_mask"), "neither train_mask nor train_idx; say which nodes train"),
        (without(made(), "val_mask"), "neither val_mask nor val_idx; say which nodes choose"),
        (made(train_mask=torch.ones(NODES, 3, dtype=torch.bool)), "several splits; choose one"),
        (made(train_mask=torch.ones(5, dtype=torch.bool)), r"train_mask has shape \(5,\)"),
        (made(val_mask=torch.zeros(NODES, dtype=torch.bool)), "val_mask selects no node"),
        (made(val_mask=torch.ones(NODES, dtype=torch.bool)), "nodes are both in train and val"),
        (without(made(train_idx=torch.tensor([0, NODES])), "train_mask"), f"train_idx holds 0 to {NODES}"),
        (without(made(train_idx=torch.tensor([0.5])), "train_mask"), "expected node numbers"),
        (without(made(train_idx=torch.tensor([], dtype=torch.long)), "train_mask"), "train_idx is empty"),
        (made(y=torch.arange(NODES)), r"y has classes up to 239, but the model gives 3 outputs"),
        (made(y=torch.rand(NODES, 2)), r"y has 2 columns \(values\), but the model gives 3 outputs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_graphs_are_refused(data: Data, words: str) -> None:
    model = Net()
    before = bits(model)
    with pytest.raises(NeedError, match=words) as error:
        start(model, data)
    assert "\n" not in str(error.value)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("y", "task", "words"),
    [
        (torch.rand(NODES), "classes", "y holds fractions"),
        (torch.rand(NODES, 2), "classes", r"y has shape \(240, 2\)"),
        (torch.rand(NODES, 3), "labels", "more than zeros and ones"),
    ],
)
def test_labels_of_another_task_are_refused(y: Tensor, task: str, words: str) -> None:
    with pytest.raises(NeedError, match=words):
        start(Net(), made(y=y), task=task)


def test_models_that_are_no_mlp_without_edges_are_refused() -> None:
    class Pools(Net):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            return global_mean_pool(super().forward(x, edge_index), batch)

    class Mixes(Net):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x + x.mean(0), edge_index)

    class Fixed(Net):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x, edge_index) + torch.zeros(NODES, 1)

    class Asks(Net):
        def forward(self, x: Tensor, edge_index: Tensor, hyperedges: Tensor) -> Tensor:
            return super().forward(x, edge_index)

    for model, words in (
        (Pools(), "one row of outputs for each node"),
        (Mixes(), "Mixes mixes the rows of a graph even without edges"),
        (Fixed(), "Fixed cannot be called on 6 rows without edges"),
        (Asks(), "forward asks for 'hyperedges'"),
    ):
        before = bits(model)
        with pytest.raises((NeedError, CommitError), match=words) as error:
            start(model, made())
        assert "\n" not in str(error.value)
        assert bits(model) == before
        assert model.training


def test_models_without_values_are_refused() -> None:
    with pytest.raises(PlanError, match=r"a\.bias \(8,\) is on the meta device, and this recipe trains the model"):
        start(Net().to("meta"), made())
    with pytest.raises(PlanError, match="has no shape yet"):
        start(Net(lambda a, b: GCNConv(-1, b)), made())
    with pytest.raises(PlanError, match="no message-passing layer"):
        start(nn.Linear(2, 2), made())


def test_options_are_checked() -> None:
    for options in ({"epochs": 0}, {"batch": 1}, {"lr": 0.0}, {"margin": 2.0}, {"task": "links"}, {"edges": "all"}):
        with pytest.raises(OptionError, match=next(iter(options))):
            initkit.recipe("gnn/mlpinit", **options)
    with pytest.raises(OptionError, match="checkpoint='/no/such/folder/x'.*no such folder"):
        initkit.recipe("gnn/mlpinit", checkpoint="/no/such/folder/x")


def test_a_run_after_another_recipe_starts_from_what_that_wrote() -> None:
    data = made()
    both, one = Net(), Net()
    initkit.apply(both, ["gnn/kaiming", initkit.recipe("gnn/mlpinit", **FAST)], graph=data, seed=2)
    initkit.apply(one, "gnn/kaiming", seed=2)
    start(one, data, seed=2)
    assert bits(both) == bits(one)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_nearly_the_same() -> None:
    cpu, gpu, data = Normed(), copy.deepcopy(Normed()), made()
    first = start(cpu, data)
    second = initkit.apply(gpu, initkit.recipe("gnn/mlpinit", **FAST), graph=data, device="cuda")
    assert np.isclose(first.notes["gnn/mlpinit"]["validation"], second.notes["gnn/mlpinit"]["validation"], atol=0.05)
    assert gpu.a.lin.weight.device.type == "cpu"


class Twice(nn.Module):
    """One layer that bears two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(WIDTH, WIDTH)
        self.again = self.first
        self.last = GCNConv(WIDTH, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.again(self.first(x, edge_index).relu(), edge_index).relu(), edge_index)


@pytest.mark.filterwarnings("ignore:gnn/mlpinit:UserWarning")
def test_a_layer_that_bears_two_names_is_left_as_it_was_when_nothing_is_kept() -> None:
    model = Twice()
    before = {name: (parameter, parameter.clone()) for name, parameter in model.named_parameters()}
    report = initkit.apply(model, initkit.recipe("gnn/mlpinit", epochs=2, margin=1.0), graph=made())
    assert not report.entries
    for name, parameter in model.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])
