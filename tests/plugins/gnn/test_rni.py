"""Random node features: the recipe, the transform, the wrapping module, and the variance over draws."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader, NeighborLoader
from torch_geometric.nn import GCN, GCNConv, GraphConv, global_max_pool, global_mean_pool

import initkit
from initkit import InitError, NeedError, OptionError, PlanError, Stream
from initkit_gnn import RandomNodeFeatures, WithRandomFeatures, draw_variance
from initkit_gnn.random_columns import RandomColumns
from initkit_gnn.segments import Segments


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cycle(n: int, first: int = 0) -> Tensor:
    i = torch.arange(n)
    return torch.stack([torch.cat([i, (i + 1) % n]), torch.cat([(i + 1) % n, i])]) + first


def six() -> Data:
    return Data(x=torch.ones(6, 2), edge_index=cycle(6), y=torch.tensor([0]))


def three_and_three() -> Data:
    return Data(x=torch.ones(6, 2), edge_index=torch.cat([cycle(3), cycle(3, 3)], 1), y=torch.tensor([1]))


class Net(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = GraphConv(channels, 8, aggr="mean"), GraphConv(8, 8, aggr="mean")
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = torch.tanh(self.two(torch.tanh(self.one(x, edge_index)), edge_index))
        return self.out(global_mean_pool(x, batch))


def made(channels: int) -> Net:
    net = Net(channels)
    initkit.apply(net, "gnn/pyg_default", seed=3)
    return net


def wrapped(**options: Any) -> WithRandomFeatures:
    options = {"width": 8, "ratio": 0.5, "seed": 5, **options}
    channels = options["width"] if options["ratio"] == 1 or options.get("project") else 2 + 4
    return WithRandomFeatures(made(channels), **options)


def features(recipe: Any, graph: Any, seed: int = 0) -> Tensor:
    return initkit.apply(GCN(2, 4, 2), recipe, graph=graph, seed=seed).outputs["random_features"]


# The recipe


def test_the_features_are_x_then_k_random_columns() -> None:
    found = features(initkit.recipe("gnn/rni", width=7, ratio=0.5), six())
    assert found.shape == (6, 2 + 3)  # int(3.5) = 3
    assert torch.equal(found[:, :2], torch.ones(6, 2))
    stream = Stream(0, "rni#draw0")
    assert torch.equal(found[:, 2:], torch.from_numpy(stream.normals(0, 18)).float().reshape(6, 3))


def test_full_randomness_replaces_the_features() -> None:
    assert features(initkit.recipe("gnn/rni", width=5, ratio=1.0), six()).shape == (6, 5)


def test_a_graph_without_features_gets_random_columns_alone() -> None:
    assert features("gnn/rni", Data(edge_index=cycle(6), num_nodes=8)).shape == (8, 32)


def test_integer_and_sparse_features_are_kept() -> None:
    x = torch.tensor([[1, 0], [0, 2], [0, 0], [0, 0], [3, 0], [0, 1]])
    for form in (x, x.float().to_sparse()):
        found = features("gnn/rni", Data(x=form, edge_index=cycle(6)))
        assert torch.equal(found[:, :2], x.float())


def test_several_draws_are_independent_and_the_first_is_the_single_one() -> None:
    one = features(initkit.recipe("gnn/rni", width=8), six())
    three = features(initkit.recipe("gnn/rni", width=8, draws=3), six())
    assert three.shape == (3, 6, 6)
    assert torch.equal(three[0], one)
    assert not torch.equal(three[1, :, 2:], three[2, :, 2:])
    assert torch.equal(three[:, :, :2], torch.ones(3, 6, 2))


@pytest.mark.parametrize(
    ("distribution", "std", "limit"),
    [("normal", 1.0, None), ("uniform", 1 / math.sqrt(3), 1.0), ("xavier_normal", None, None)],
)
def test_distributions(distribution: str, std: float | None, limit: float | None) -> None:
    graph = Data(edge_index=cycle(2000), num_nodes=2000)
    found = features(initkit.recipe("gnn/rni", width=64, ratio=1.0, distribution=distribution), graph)
    wanted = std or math.sqrt(2 / (2000 + 64))
    assert float(found.std()) == pytest.approx(wanted, rel=0.01)
    if limit:
        assert float(found.abs().max()) <= limit


def test_xavier_of_a_graph_does_not_depend_on_the_batch() -> None:
    # The figures of the paper's code: 0.133 for one graph of 49 nodes, 0.044 in a batch of 20 of them, k = 64.
    sizes = torch.full((20,), 49)
    batch = Segments(980, torch.repeat_interleave(sizes))
    for distribution in ("xavier_normal", "xavier_uniform"):
        own, whole = (RandomColumns(64, 1.0, distribution, fan) for fan in ("graph", "batch"))  # type: ignore[arg-type]
        assert own.draw(Segments(49)).std == pytest.approx(0.133, abs=5e-4)
        assert float(torch.as_tensor(own.draw(batch).std)) == pytest.approx(0.133, abs=5e-4)
        assert whole.draw(batch).std == pytest.approx(0.044, abs=5e-4)
        assert float(own.sample(Stream(0, "a"), batch).std()) == pytest.approx(0.133, rel=0.02)


def test_xavier_in_a_batch_scales_each_graph_by_its_own_size() -> None:
    graphs = [Data(edge_index=cycle(n), num_nodes=n) for n in (1000, 4000)]
    recipe = initkit.recipe("gnn/rni", width=32, ratio=1.0, distribution="xavier_uniform")
    found = features(recipe, Batch.from_data_list(graphs))
    for part, n in ((found[:1000], 1000), (found[1000:], 4000)):
        assert float(part.std()) == pytest.approx(math.sqrt(2 / (n + 32)), rel=0.02)
    assert torch.equal(found, features(recipe, graphs))


def test_options_and_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="no random column"):
        initkit.recipe("gnn/rni", width=4, ratio=0.2)
    for options in ({"ratio": 0.0}, {"ratio": 1.5}, {"width": 0}, {"distribution": "cauchy"}, {"draws": 0}):
        with pytest.raises(OptionError, match=next(iter(options))):
            initkit.recipe("gnn/rni", **options)
    with pytest.raises(PlanError, match="has no parameters"):
        initkit.plan(nn.ReLU(), "gnn/rni", graph=six())
    with pytest.raises(NeedError, match="x has shape"):
        initkit.plan(GCN(2, 4, 2), "gnn/rni", graph=Data(x=torch.ones(6, 2, 2), edge_index=cycle(6)))
    with pytest.raises(NeedError, match="batch has shape"):
        initkit.plan(
            GCN(2, 4, 2), "gnn/rni", graph=Data(x=torch.ones(6, 2), edge_index=cycle(6), batch=torch.zeros(5).long())
        )


# Exact properties


def test_without_random_features_the_two_graphs_have_equal_logits_and_with_them_not() -> None:
    net = made(2).double()
    batch = torch.zeros(6, dtype=torch.long)
    a, b = six(), three_and_three()
    plain = [net(g.x.double(), g.edge_index, batch) for g in (a, b)]
    assert torch.allclose(plain[0], plain[1], atol=1e-6)
    model = wrapped().eval()
    random = [model(g.x, g.edge_index, batch) for g in (a, b)]
    assert not torch.allclose(random[0], random[1], atol=1e-6)


def test_in_expectation_the_order_of_nodes_does_not_matter() -> None:
    torch.manual_seed(0)
    model = wrapped(draws=1500, average="mean").eval()
    graph = Data(x=torch.randn(5, 2), edge_index=torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 4, 4]]))
    order = torch.tensor([3, 0, 4, 1, 2])
    back = torch.argsort(order)
    turned = Data(x=graph.x[order], edge_index=back[graph.edge_index])
    batch = torch.zeros(5, dtype=torch.long)
    with torch.no_grad():
        one, two = (model(g.x, g.edge_index, batch) for g in (graph, turned))
    assert torch.allclose(one, two, atol=0.03)


# The module


def test_training_draws_anew_and_evaluation_repeats_itself() -> None:
    model, data = wrapped(draws=3), Batch.from_data_list([six(), three_and_three()])
    before = model.eval()(data)
    model.train()
    first, second = model(data), model(data)
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(data), before)
    assert torch.equal(model(data), before)


def test_the_same_seed_gives_the_same_training_draws() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    one, two, other = wrapped().train(), wrapped().train(), wrapped(seed=6).train()
    for _ in range(3):
        assert torch.equal(one(data), two(data))
    assert not torch.equal(one(data), other(data))


def test_global_random_state_neither_matters_nor_moves() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    net = made(8)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = WithRandomFeatures(net, 8, seed=5, project=True, in_channels=2).train()
    out = first(data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(wrapped(project=True, in_channels=2).train()(data), out)


def test_a_graph_is_evaluated_alike_in_any_batch() -> None:
    model = wrapped(draws=2, distribution="xavier_normal").eval()
    graphs = [six(), three_and_three(), Data(x=torch.ones(4, 2), edge_index=cycle(4), y=torch.tensor([0]))]
    together = model(Batch.from_data_list(graphs))
    alone = torch.cat([model(Batch.from_data_list([g])) for g in graphs])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("resample", ["epoch", "fixed"])
def test_epoch_and_fixed(resample: str) -> None:
    model, data = wrapped(resample=resample).train(), Batch.from_data_list([six()])
    first = model(data)
    assert torch.equal(model(data), first)
    model.set_epoch(1)
    assert torch.equal(model(data), first) == (resample == "fixed")
    model.set_epoch(0)
    assert torch.equal(model(data), first)
    with pytest.raises(OptionError, match="negative"):
        model.set_epoch(-1)


def test_a_resumed_run_goes_on_with_the_draws_that_would_have_come() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    model = wrapped().train()
    model(data), model(data)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    wanted = [model(data) for _ in range(2)]
    resumed = wrapped().train()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert all(torch.equal(resumed(data), one) for one in wanted)
    with pytest.raises(OptionError, match="saved state"):
        resumed.set_extra_state(torch.tensor([-1, 2]))


def test_copies_and_pickles_count_on_their_own() -> None:
    data = Batch.from_data_list([six()])
    model = wrapped().train()
    model(data)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    wanted = model(data)
    for twin in twins:
        assert torch.equal(twin(data), wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_features_keep_the_dtype_of_x(dtype: torch.dtype) -> None:
    seen: list[torch.dtype] = []

    class Look(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            seen.append(x.dtype)
            return x * self.scale

    model = WithRandomFeatures(Look(), 8)
    model(torch.ones(6, 2, dtype=dtype), cycle(6))
    model(None, cycle(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(torch.ones(6, 2), cycle(6))
        model(torch.ones(6, 2, dtype=torch.long), cycle(6))
    assert seen == [dtype, torch.float32, torch.float32, torch.bfloat16]


def test_half_precision_draws_are_the_single_ones_rounded() -> None:
    columns = RandomColumns(8, 1.0, "xavier_uniform", "graph")
    segments = Segments(6, torch.tensor([0, 0, 0, 1, 1, 1]))
    for rows in (None, segments.places):
        single = columns.sample(Stream(0, "a"), segments, torch.float32, rows)
        double = columns.sample(Stream(0, "a"), segments, torch.float64, rows)
        assert torch.equal(columns.sample(Stream(0, "a"), segments, torch.bfloat16, rows), single.bfloat16())
        assert torch.equal(double.float(), single)


def test_no_gradient_flows_into_the_random_columns_and_it_does_into_x() -> None:
    x = torch.ones(6, 2, requires_grad=True)
    seen: list[Tensor] = []
    model = wrapped().train()
    model.model.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model(x, cycle(6), torch.zeros(6, dtype=torch.long)).sum().backward()
    assert x.grad is not None
    assert seen[0].grad_fn is not None
    alone = wrapped(ratio=1.0).train()
    alone.model.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    alone(x, cycle(6), torch.zeros(6, dtype=torch.long))
    assert not seen[1].requires_grad


def test_projection_is_the_authors_two_layers_and_comes_first() -> None:
    model = wrapped(project=True, in_channels=2).train()
    assert model.projection is not None
    assert [(c.in_channels, c.out_channels) for c in model.projection] == [(2, 32), (32, 4)]
    bound = 1 / math.sqrt(32)
    weight = model.projection[1].lin_rel.weight
    assert float(weight.detach().abs().max()) <= bound
    seen: list[Tensor] = []
    model.model.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    data = six()
    model(data.x, data.edge_index, torch.zeros(6, dtype=torch.long)).sum().backward()
    own = data.x
    for layer in model.projection:
        own = torch.tanh(layer(own, data.edge_index))
    assert torch.equal(seen[0][:, :4], own)
    assert weight.grad is not None


def test_averages() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    model = wrapped(draws=4).eval()
    logits = torch.stack([model.draw(j, data) for j in range(4)])
    assert torch.allclose(model(data).exp(), logits.softmax(-1).mean(0), atol=1e-6)
    model.average = "mean"
    assert torch.allclose(model(data), logits.mean(0))
    model.average = "sigmoid"
    assert torch.allclose(model(data).sigmoid(), logits.sigmoid().mean(0), atol=1e-6)
    model.average = "softmax"
    with pytest.raises(OptionError, match="single logit"):
        model.vote([torch.ones(3, 1)] * 2)
    with pytest.raises(OptionError, match="tuple"):
        model.vote([(1,), (2,)])


def test_ways_to_call() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    model = wrapped().eval()
    wanted = model(data.x, data.edge_index, data.batch)
    assert torch.equal(model(data.x, data.edge_index, batch=data.batch), wanted)
    assert torch.equal(model(x=data.x, edge_index=data.edge_index, batch=data.batch), wanted)
    assert torch.equal(model(data), wanted)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = made(6)

        def forward(self, data: Data) -> Tensor:
            return self.net(data.x, data.edge_index, data.batch)

    whole = WithRandomFeatures(Whole(), 8, seed=5).eval()
    assert torch.equal(whole(data), wanted)
    assert torch.equal(whole(data=data), wanted)
    assert data.x.shape == (12, 2)
    plain = WithRandomFeatures(GCN(10, 4, 2), 10, 1.0).eval()
    assert plain(None, cycle(6)).shape == (6, 4)
    with pytest.raises(NeedError, match="number of nodes is unknown"):
        plain(None, torch.empty(2, 0, dtype=torch.long))


def test_wrong_options_of_the_module() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"average": "max"}, "average"),
        ({"resample": "never"}, "resample"),
        ({"project": True}, "in_channels"),
        ({"project": True, "in_channels": 2, "ratio": 1.0}, "no column"),
        ({"draws": 0}, "draws"),
        ({"seed": -1}, "seed"),
        ({"ratio": 2.0}, "ratio"),
    ]
    for options, word in cases:
        with pytest.raises(OptionError, match=word):
            wrapped(**{"width": 8, **options})


def test_it_says_what_it_is() -> None:
    assert "width=8, ratio=0.5, distribution='normal', resample='forward', draws=1, seed=5" in repr(wrapped())
    assert repr(RandomNodeFeatures(8)).startswith("RandomNodeFeatures(width=8, ratio=0.5")


def test_recipes_see_the_model_inside() -> None:
    model = wrapped()
    report = initkit.apply(model, "gnn/kaiming")
    assert "model.one.lin_rel.weight" in report


# The transform


def test_the_transform_leaves_the_data_alone_and_draws_anew() -> None:
    transform, data = RandomNodeFeatures(8), six()
    first, second = transform(data), transform(data)
    assert data.x.shape == (6, 2)
    assert first.x.shape == (6, 6)
    assert torch.equal(first.x[:, :2], data.x)
    assert not torch.equal(first.x, second.x)
    assert torch.equal(RandomNodeFeatures(8)(data).x, first.x)


def test_fixed_features_are_those_of_the_recipe() -> None:
    data = six()
    transform = RandomNodeFeatures(8, resample="fixed", seed=4)
    assert torch.equal(transform(data).x, features(initkit.recipe("gnn/rni", width=8), data, seed=4))
    assert torch.equal(transform(data).x, transform(data).x)


def test_other_attributes_and_devices_of_data() -> None:
    found = RandomNodeFeatures(8, 1.0, attr_name="pe")(Data(edge_index=cycle(6)))
    assert found.x is None
    assert found.pe.shape == (6, 8)
    assert RandomNodeFeatures(8)(Data(x=torch.ones(6, 2).double(), edge_index=cycle(6))).x.dtype == torch.float64
    with pytest.raises(NeedError, match="to_homogeneous"):
        RandomNodeFeatures(8)(HeteroData())
    with pytest.raises(NeedError, match="no nodes"):
        RandomNodeFeatures(8)(Data())


def test_epochs_of_the_transform() -> None:
    transform, data = RandomNodeFeatures(8, resample="epoch"), six()
    first = transform(data).x
    assert torch.equal(transform(data).x, first)
    transform.set_epoch(1)
    assert not torch.equal(transform(data).x, first)


class Numbered(torch.utils.data.Dataset[Any]):
    """Graphs that a transform changes on access, as a data set of PyG does."""

    def __init__(self, transform: Any, size: int = 8) -> None:
        self.transform, self.size = transform, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Data:
        return self.transform(six())


def rows(loader: Any) -> list[tuple[float, ...]]:
    return [tuple(row.tolist()) for batch in loader for row in batch.x[:, 2:]]


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_and_epochs_never_share_numbers(persistent: bool) -> None:
    transform = RandomNodeFeatures(8)
    loader = DataLoader(
        Numbered(transform),  # type: ignore[arg-type]
        batch_size=2,
        num_workers=2,
        persistent_workers=persistent,
        multiprocessing_context="fork",
    )
    seen = [row for _ in range(3) for row in rows(loader)]
    assert len(seen) == len(set(seen)) == 3 * 8 * 6
    assert transform.resampler.state.tolist() == [0, 0, 12, 12]
    again = DataLoader(
        Numbered(RandomNodeFeatures(8)),  # type: ignore[arg-type]
        batch_size=2,
        num_workers=2,
        multiprocessing_context="fork",
    )
    assert rows(again) == seen[:48]


def test_an_epoch_reaches_workers_that_stay_alive() -> None:
    transform = RandomNodeFeatures(8, resample="epoch")
    loader = DataLoader(
        Numbered(transform),  # type: ignore[arg-type]
        batch_size=2,
        num_workers=1,
        persistent_workers=True,
        prefetch_factor=1,
        multiprocessing_context="fork",
    )
    first = rows(loader)
    transform.set_epoch(1)
    second = rows(loader)
    assert set(first).isdisjoint(second)


RANK = """
import json, sys
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCN
from initkit_gnn import WithRandomFeatures

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=int(sys.argv[1]), world_size=2)
torch.manual_seed(0)
ring = torch.stack([torch.arange(6), torch.arange(6).roll(1)])
data = Batch.from_data_list([Data(x=torch.ones(6, 2), edge_index=ring)] * 2)
inside = WithRandomFeatures(GCN(6, 4, 2, out_channels=2), 8, draws=2)
model = nn.parallel.DistributedDataParallel(inside)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
seen = []
inside.model.register_forward_pre_hook(lambda m, args: seen.append(args[0][:, 2:].flatten().tolist()))
for _ in range(2):
    optimizer.zero_grad()
    model(data.x, data.edge_index).square().sum().backward()
    optimizer.step()
training = seen[:]
weights = [p.flatten().tolist() for p in inside.parameters()]
model.eval()
evaluation = model(data.x, data.edge_index).tolist()
print(json.dumps({"training": training, "weights": weights, "evaluation": evaluation}))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_ranks_of_a_distributed_run(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", RANK, str(rank), str(tmp_path / "meet")] for rank in (0, 1)]
    running = [subprocess.Popen(one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for one in commands]
    ended = [process.communicate(timeout=120) for process in running]
    found = []
    for process, (out, error) in zip(running, ended, strict=True):
        assert process.returncode == 0, error
        found.append(json.loads(out.splitlines()[-1]))
    assert found[0]["training"] != found[1]["training"]
    assert found[0]["weights"] == found[1]["weights"]
    assert found[0]["evaluation"] == found[1]["evaluation"]


def test_ranks_draw_from_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        found.append(RandomNodeFeatures(8)(six()).x)
    assert not torch.equal(found[0], found[1])


def test_workers_that_are_not_forked_are_told_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rank in (0, 1):
        with monkeypatch.context() as patch:
            patch.setattr(torch.distributed, "is_initialized", lambda: True)
            patch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
            sent = pickle.dumps(RandomNodeFeatures(8))
        found.append(pickle.loads(sent)(six()).x)
    assert not torch.equal(found[0], found[1])
    monkeypatch.setenv("RANK", "1")
    assert torch.equal(RandomNodeFeatures(8)(six()).x, found[1])


def test_in_a_distributed_module_evaluation_is_the_same_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Batch.from_data_list([six()])
    wanted = wrapped(draws=2).eval()(data)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    assert torch.equal(wrapped(draws=2).eval()(data), wanted)


def test_sampled_subgraphs_get_the_features_of_their_nodes() -> None:
    whole = Data(x=torch.arange(40.0)[:, None], edge_index=cycle(40))
    transform = RandomNodeFeatures(8, resample="fixed")
    wanted = transform(whole).x
    part = Data(x=whole.x[[7, 3, 30]], edge_index=torch.empty(2, 0, dtype=torch.long), n_id=torch.tensor([7, 3, 30]))
    assert torch.equal(transform(part).x, wanted[[7, 3, 30]])
    with pytest.raises(NeedError, match="n_id"):
        transform(Data(x=torch.ones(3, 1), edge_index=cycle(3), n_id=torch.tensor([1])))
    with pytest.raises(NeedError, match="negative"):
        transform(Data(x=torch.ones(1, 1), edge_index=cycle(1), n_id=torch.tensor([-1])))
    assert NeighborLoader is not None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.integers(1, 5))
def test_rows_of_a_stream_are_where_they_belong(numbers: list[int], width: int) -> None:
    columns = RandomColumns(width, 1.0, "normal", "graph")
    whole = columns.sample(Stream(1, "a"), Segments(61))
    n_id = torch.tensor(numbers)
    assert torch.equal(columns.sample(Stream(1, "a"), Segments(len(numbers)), rows=n_id), whole[n_id])


# Variance over draws


def test_the_variance_report_counts_draws_and_votes() -> None:
    model = wrapped(width=8)
    graphs = [six(), three_and_three()] * 4
    batches = [Batch.from_data_list(graphs[:3]), Batch.from_data_list(graphs[3:])]
    model.train()
    found = draw_variance(model, batches, draws=16, vote=4)
    assert model.training
    assert (found.items, found.draws, found.vote, len(found.single), len(found.voted)) == (8, 16, 4, 16, 4)
    assert found.voted_std is not None
    assert 0 < found.voted_std < found.single_std
    assert found.voted_std == pytest.approx(found.single_std / 2, rel=0.6)
    assert draw_variance(model, batches, draws=16, vote=4) == found
    assert "one draw: accuracy" in str(found)
    assert found.to_dict()["single"] == list(found.single)
    unlabelled = draw_variance(model, [(b.x, b.edge_index, b.batch) for b in batches], draws=4, vote=4)
    assert unlabelled.single == ()
    assert unlabelled.voted_std is None


def test_the_variance_report_refuses_what_does_not_fit() -> None:
    with pytest.raises(OptionError, match="multiple"):
        draw_variance(wrapped(), [], draws=6, vote=4)
    with pytest.raises(NeedError, match="at least one batch"):
        draw_variance(wrapped(), [])
    with pytest.raises(NeedError, match="labels"):
        draw_variance(wrapped(), [Batch.from_data_list([six()])], labels=torch.zeros(3))


# It does what it is for


def test_random_features_make_cycles_solvable() -> None:
    graphs = [six(), three_and_three()]
    data = Batch.from_data_list(graphs * 6)

    class Max(Net):
        def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
            x = torch.tanh(self.two(torch.tanh(self.one(x, edge_index)), edge_index))
            return self.out(global_max_pool(x, batch))

    def accuracy(random: bool) -> float:
        net: nn.Module = Max(2 + 16 if random else 2)
        initkit.apply(net, "gnn/pyg_default", seed=0)
        model = WithRandomFeatures(net, 32, draws=8) if random else net
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(120):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(data.x, data.edge_index, data.batch), data.y)
            loss.backward()
            optimizer.step()
        model.eval()
        fresh = Batch.from_data_list(graphs)
        return float((model(fresh.x, fresh.edge_index, fresh.batch).argmax(1) == fresh.y).double().mean())

    assert accuracy(random=False) == 0.5
    assert accuracy(random=True) == 1.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_are_the_same_on_a_gpu() -> None:
    data = Batch.from_data_list([six(), three_and_three()])
    here = RandomNodeFeatures(8, resample="fixed")(data)
    there = RandomNodeFeatures(8, resample="fixed")(data.to("cuda"))
    assert there.x.is_cuda
    assert torch.equal(there.x.cpu(), here.x)
    model = wrapped().eval().cuda()
    assert model(data.to("cuda")).is_cuda


def test_errors_are_of_one_line() -> None:
    for call in (lambda: RandomNodeFeatures(8, 0.01), lambda: WithRandomFeatures(GCNConv(2, 2), 8, 0.01)):
        with pytest.raises(InitError) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_the_example_gets_features_for_graphs_that_need_them() -> None:
    from initkit_gnn import example_expressive, wl_check

    assert wl_check(example_expressive.graph).needed is True
    found = initkit.apply(example_expressive.model(), "gnn/rni", graph=example_expressive.graph)
    assert found.outputs["random_features"].shape == (example_expressive.graph.num_nodes, 33)
    link = Path(__file__).parents[3] / "examples" / "gnn_expressive.py"
    assert link.read_text() == Path(example_expressive.__file__).read_text()
