"""Starts of embedding tables from a partition of the graph: the steps, their edges, and errors."""

from __future__ import annotations

import importlib.util
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.datasets import KarateClub

import initkit
from initkit import NeedError, OptionError, PlanError, Stream
from initkit.errors import CommitError
from initkit_gnn import partition as engines
from initkit_gnn import spreading
from initkit_gnn.block_embedding import abstract_graph, embedded, netmf
from initkit_gnn.graph import Graph
from initkit_gnn.graph_partition import GraphPartition
from initkit_gnn.label_propagation import label_propagation
from initkit_gnn.spreading import Neighbourhood
from initkit_gnn.undirected import Undirected, undirected

CPU = torch.device("cpu")
karate = KarateClub()[0]
ENGINES = [
    "label_propagation",
    pytest.param("pymetis", marks=pytest.mark.skipif(not importlib.util.find_spec("pymetis"), reason="no pymetis")),
    pytest.param(
        "pymetis_kway", marks=pytest.mark.skipif(not importlib.util.find_spec("pymetis"), reason="no pymetis")
    ),
    pytest.param(
        "mtkahypar", marks=pytest.mark.skipif(not importlib.util.find_spec("mtkahypar"), reason="no mtkahypar")
    ),
]


class SkipGram(nn.Module):
    def __init__(self, nodes: int = 34, width: int = 8, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(nodes, width, dtype=dtype)
        self.context = nn.Embedding(nodes, width, dtype=dtype)


class Node2Vec(nn.Module):
    """As PyG's: one table, and random walks that need no parameters."""

    def __init__(self, nodes: int = 34, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(nodes, width, sparse=True)
        self.register_buffer("rowptr", torch.zeros(nodes + 1, dtype=torch.long))


def edges(*pairs: tuple[int, int], both: bool = True) -> torch.Tensor:
    listed = [*pairs, *((b, a) for a, b in pairs)] if both else list(pairs)
    return torch.tensor(listed).t().contiguous()


def triangles() -> Undirected:
    return undirected(Graph.of(edges((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3))))


def ring(nodes: int, chords: int = 0, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    pairs = {(i, (i + 1) % nodes) for i in range(nodes)}
    pairs |= {(int(a), int(b)) for a, b in rng.integers(0, nodes, (chords, 2)) if a != b}
    return edges(*sorted({(min(p), max(p)) for p in pairs}))


def plain(**options: Any) -> GraphPartition:
    return initkit.recipe("gnn/graph_partition", engine="label_propagation", **options)  # type: ignore[return-value]


# The steps


def test_golden_values() -> None:
    graph, block = triangles(), np.array([0, 0, 0, 1, 1, 1])
    assert abstract_graph(graph, block, 2).toarray().tolist() == [[6, 1], [1, 6]]
    start = torch.eye(2, dtype=torch.float64)[torch.from_numpy(block)]
    found = Neighbourhood(graph, block, CPU, torch.float64).spread(start, 1e-9, 3)
    assert found.changes == pytest.approx([0.07856742, 0.06547285, 0.05783435], rel=2e-5)
    expected = {0: (0.913194, 0.086806), 2: (0.745370, 0.254630), 3: (0.254630, 0.745370), 5: (0.086806, 0.913194)}
    for node, vector in expected.items():
        assert found.vectors[node].tolist() == pytest.approx(vector, rel=2e-5)


@st.composite
def graphs(draw: st.DrawFn, low: int = 4, high: int = 24) -> Undirected:
    nodes = draw(st.integers(low, high))
    end = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(end, end).filter(lambda p: p[0] != p[1]), min_size=1, max_size=60))
    weights = draw(st.none() | st.lists(st.floats(0.1, 9), min_size=len(pairs), max_size=len(pairs)))
    index = torch.tensor(pairs).t()
    return undirected(Graph.of(index, num_nodes=nodes, edge_weight=None if weights is None else torch.tensor(weights)))


@settings(deadline=None, max_examples=30)
@given(graphs(), st.integers(2, 5), st.integers(0, 99))
def test_abstract_graph_is_the_triple_product(graph: Undirected, count: int, seed: int) -> None:
    block = np.random.default_rng(seed).integers(0, count, graph.num_nodes)
    chosen = np.eye(count)[block]
    expected = chosen.T @ graph.matrix.toarray() @ chosen
    np.testing.assert_allclose(abstract_graph(graph, block, count).toarray(), expected, rtol=1e-12)


def test_abstract_graph_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, block = triangles(), np.array([0, 1, 1, 2, 2, 0])
    expected = abstract_graph(graph, block, 3).toarray()
    monkeypatch.setattr("initkit_gnn.block_embedding.DENSE", 2)
    np.testing.assert_array_equal(abstract_graph(graph, block, 3).toarray(), expected)


@settings(deadline=None, max_examples=30)
@given(graphs(), st.integers(0, 99), st.booleans())
def test_spreading_is_the_plain_iteration(graph: Undirected, seed: int, small_groups: bool) -> None:
    rng = np.random.default_rng(seed)
    block, f = rng.integers(0, 3, graph.num_nodes), rng.standard_normal((graph.num_nodes, 3))
    dense, delta = graph.matrix.toarray(), 0.05
    degree = dense.sum(axis=1, keepdims=True)
    expected, changes = f, []
    while not changes or (changes[-1] > delta and len(changes) < 20):
        mean = np.where(degree > 0, dense @ expected / np.maximum(degree, 1e-300), expected)
        changes.append(float(np.linalg.norm((mean - expected) / 2, axis=1).mean()))
        expected = (expected + mean) / 2
    rows = 10**6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spreading, "_ROWS", 5 if small_groups else rows)
        patch.setattr(spreading, "_REST", 0.0)
        found = Neighbourhood(graph, block, CPU, torch.float64).spread(torch.from_numpy(f), delta, 20)
    np.testing.assert_allclose(found.vectors.numpy(), expected, atol=1e-12)
    assert found.changes == pytest.approx(changes, abs=1e-12)


def test_resting_groups_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = undirected(Graph.of(ring(400)))
    block = np.arange(400) // 40
    f = torch.from_numpy(np.random.default_rng(0).standard_normal((10, 4)))[torch.from_numpy(np.minimum(block, 5))]
    exact = Neighbourhood(graph, block, CPU, torch.float64).spread(f, 2e-3, 100)
    monkeypatch.setattr(spreading, "_ROWS", 40)
    monkeypatch.setattr(spreading, "_REST", 0.9)
    rested = Neighbourhood(graph, block, CPU, torch.float64).spread(f, 2e-3, 100)
    assert len(rested.changes) <= len(exact.changes) + 8
    difference = torch.linalg.vector_norm(rested.vectors - exact.vectors, dim=1).mean()
    assert 0 < difference < 2e-3 * len(exact.changes)


def test_isolated_nodes_stay_and_the_cap_holds() -> None:
    graph = undirected(Graph.of(edges((0, 1), (1, 2)), num_nodes=5))
    f = torch.arange(10.0).reshape(5, 2)
    found = Neighbourhood(graph, np.zeros(5, np.int64), CPU, torch.float32).spread(f, 1e-9, 7)
    assert len(found.changes) == 7
    assert torch.equal(found.vectors[3:], f[3:])
    assert torch.equal(Neighbourhood(graph, np.zeros(5, np.int64), CPU, torch.float32).spread(f, 1, 0).vectors, f)


@settings(deadline=None, max_examples=40)
@given(graphs(low=6, high=16), st.integers(1, 8))
def test_netmf_is_the_formula(graph: Undirected, width: int) -> None:
    b = graph.matrix
    found, contexts = netmf(b, width, Stream(0, "x"))
    dense = b.toarray()
    degree = dense.sum(axis=1)
    inverse = np.diag(np.where(degree > 0, 1 / np.maximum(degree, 1e-300), 0))
    step = inverse @ dense
    total = sum(np.linalg.matrix_power(step, r) for r in range(1, 6))
    target = np.log(np.maximum(degree.sum() / 5 * total @ inverse, 1))
    u, s, vt = np.linalg.svd(target)
    best = (u[:, :width] * s[:width]) @ vt[:width]
    gap = width >= len(s) or s[width - 1] - s[width] > 1e-6  # else the best approximation is not unique
    if gap:
        np.testing.assert_allclose(found @ contexts.T, best, atol=1e-8)
    np.testing.assert_allclose((found**2).sum(axis=0), s[: found.shape[1]], rtol=1e-6, atol=1e-9)
    if found.size:
        assert (found.max(axis=0) >= (1 - 1e-5) * np.abs(found).max(axis=0)).all()


def test_netmf_beyond_the_dense_size(monkeypatch: pytest.MonkeyPatch) -> None:
    b = undirected(Graph.of(ring(40, 60))).matrix
    dense, dense_contexts = netmf(b, 6, Stream(0, "x"))
    monkeypatch.setattr("initkit_gnn.block_embedding.DENSE", 10)
    found, contexts = netmf(b, 6, Stream(0, "x"))
    np.testing.assert_allclose(found @ contexts.T, dense @ dense_contexts.T, atol=1e-8)


def test_block_vectors_without_structure_are_an_error() -> None:
    flat = sp.csr_array(np.ones((3, 3)))
    with pytest.raises(CommitError, match="sees no structure in the abstract graph of 3 blocks"):
        embedded(flat, 2, None, Stream(0, "x"))


# Partitions


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_split_planted_blocks(engine: Any) -> None:
    rng = np.random.default_rng(0)
    inside = [(8 * b + i, 8 * b + j) for b in range(6) for i in range(8) for j in range(i)]
    between = [(8 * b + int(rng.integers(8)), 8 * ((b + 1) % 6)) for b in range(6)]
    graph = undirected(Graph.of(edges(*inside, *between)))
    found = engines.partition(graph, 6, engine, Stream(3, "job:partition#partition"))
    again = engines.partition(graph, 6, engine, Stream(3, "job:partition#partition"))
    assert found.count == 6
    assert found.imbalance == 1
    assert found.cut == pytest.approx(len(between) / (len(inside) + len(between)))
    np.testing.assert_array_equal(found.block, again.block)


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_take_weights(engine: Any) -> None:
    heavy, light = [(0, 1), (2, 3), (4, 5), (6, 7)], [(1, 2), (3, 4), (5, 6), (7, 0)]
    weights = torch.tensor([2.5] * 4 + [0.3] * 4).repeat(2)
    graph = undirected(Graph.of(edges(*heavy, *light), edge_weight=weights))
    found = engines.partition(graph, 4, engine, Stream(0, "x"))
    assert found.cut == pytest.approx(1.2 / 11.2)
    if engine != "label_propagation":
        assert "edge weights are scaled by" in found.notes[0]


def test_whole_weights_are_taken_as_they_are() -> None:
    graph = undirected(Graph.of(ring(6), edge_weight=torch.tensor([1.0, 2, 3, 4, 5, 6]).repeat(2)))
    notes: list[str] = []
    assert sorted(engines._integers(graph, notes).tolist()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert not notes
    huge = undirected(Graph.of(ring(6), edge_weight=torch.full((12,), 2.0**40)))
    assert engines._integers(huge, notes).tolist() == [1000] * 12
    assert notes


@settings(deadline=None, max_examples=30)
@given(graphs(high=60), st.integers(2, 60), st.integers(0, 2**31))
def test_label_propagation_is_balanced(graph: Undirected, blocks: int, seed: int) -> None:
    blocks = min(blocks, graph.num_nodes)
    found = label_propagation(graph.matrix, blocks, Stream(seed, "x"))
    assert found.shape == (graph.num_nodes,)
    assert found.min() >= 0
    assert found.max() < blocks
    assert np.bincount(found).max() <= math.ceil(1.03 * graph.num_nodes / blocks)
    np.testing.assert_array_equal(found, label_propagation(graph.matrix, blocks, Stream(seed, "x")))


def test_empty_blocks_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "label_propagation", lambda *_: np.array([7, 7, 2, 2, 4, 4]))
    found = engines.partition(triangles(), 9, "label_propagation", Stream(0, "x"))
    assert found.block.tolist() == [2, 2, 0, 0, 1, 1]
    assert found.notes == ("6 of 9 blocks were empty and are left out",)


def test_an_engine_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_metis", lambda *_, **__: [][1])
    with pytest.raises(CommitError, match="pymetis could not split the graph into 2 blocks: list index"):
        engines.partition(triangles(), 2, "pymetis", Stream(0, "x"))


@pytest.fixture
def without_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_installed", lambda package: False)


@pytest.mark.usefixtures("without_engines")
def test_without_pymetis_label_propagation_runs_and_says_so() -> None:
    with pytest.warns(UserWarning, match="pymetis is not installed"):
        report = initkit.apply(SkipGram(), "gnn/graph_partition", graph=karate)
    assert report.notes["gnn/graph_partition partition"][0]["engine"] == "label_propagation"
    assert "initkit-gnn[partition]" in report.notes["gnn/graph_partition remarks"][0]["remark"]


@pytest.mark.usefixtures("without_engines")
@pytest.mark.parametrize(("engine", "extra"), [("pymetis", "partition"), ("mtkahypar", "mtkahypar")])
def test_an_engine_that_is_not_installed(engine: Any, extra: str) -> None:
    with pytest.raises(OptionError, match=rf"needs the package {engine}: pip install 'initkit-gnn\[{extra}\]'"):
        initkit.plan(SkipGram(), initkit.recipe("gnn/graph_partition", engine=engine), graph=karate)


def test_with_pymetis_it_is_the_default() -> None:
    pytest.importorskip("pymetis")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = initkit.apply(SkipGram(), "gnn/graph_partition", graph=karate)
    assert report.notes["gnn/graph_partition partition"][0]["engine"] == "pymetis"


# The recipe


def test_both_tables_are_filled() -> None:
    model = SkipGram(width=5)
    report = initkit.apply(model, plain(), graph=karate)
    assert report.covered == 1
    for table in (model.embedding.weight, model.context.weight):
        assert float(torch.linalg.vector_norm(table.detach(), dim=1).mean()) == pytest.approx(0.5, rel=1e-5)
    assert not torch.equal(model.embedding.weight, model.context.weight)
    assert report.notes["gnn/graph_partition partition"][0]["blocks"] == 6
    rows = report.notes["gnn/graph_partition spreading"]
    assert [row["table"] for row in rows] == ["embedding.weight", "context.weight"]
    assert rows[0]["last_change"] <= rows[0]["delta"] == pytest.approx(34**-0.5, rel=1e-6)


def test_neighbours_start_near_each_other() -> None:
    model = SkipGram(width=6)
    initkit.apply(model, plain(), graph=karate)
    f = nn.functional.normalize(model.embedding.weight.detach(), dim=1)
    near = (f[karate.edge_index[0]] * f[karate.edge_index[1]]).sum(dim=1).mean()
    assert near > (f @ f.T).mean() + 0.3


def test_node2vec_of_pyg_by_its_attributes() -> None:
    model = Node2Vec()
    report = initkit.apply(model, plain(), graph=karate)
    assert list(report) == ["embedding.weight"]


def test_narrow_pads_with_noise() -> None:
    model = SkipGram(width=16)
    report = initkit.apply(model, plain(narrow="pad"), graph=karate)
    table = model.embedding.weight.detach()
    assert torch.linalg.matrix_rank(table) == 16
    columns = report.notes["gnn/graph_partition spreading"][0]["columns"]
    assert columns <= 6
    share = table[:, columns:].square().mean().sqrt() / table[:, :columns].square().mean().sqrt()
    assert float(share) == pytest.approx(0.01, rel=0.2)
    assert any("have no block vectors" in row["remark"] for row in report.notes["gnn/graph_partition remarks"])
    initkit.apply(model, plain(narrow="pad", noise=0.0), graph=karate)
    assert not model.embedding.weight[:, columns:].any()


@pytest.mark.parametrize(("width", "blocks"), [(5, 6), (8, 16), (20, 17)])
def test_narrow_raises_the_number_of_blocks(width: int, blocks: int) -> None:
    plan = initkit.plan(SkipGram(width=width), plain(), graph=karate)
    assert f"K = {blocks} blocks" in plan["embedding.weight"].why
    plan = initkit.plan(SkipGram(width=width), plain(blocks=4), graph=karate)
    assert "K = 4 blocks" in plan["embedding.weight"].why


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_tables_dtype(dtype: torch.dtype) -> None:
    model, single = SkipGram(dtype=dtype), SkipGram()
    initkit.apply(model, plain(), graph=karate)
    initkit.apply(single, plain(), graph=karate)
    assert model.embedding.weight.dtype == dtype
    torch.testing.assert_close(model.embedding.weight.float(), single.embedding.weight, atol=4e-3, rtol=1e-2)


def test_a_function_embeds_the_blocks() -> None:
    seen: list[Any] = []

    def embed(b: Any, d: int, seed: int) -> Any:
        seen.append((b, d, seed))
        return torch.ones(b.shape[0], d) if len(seen) == 1 else (np.ones((b.shape[0], 2)), np.ones((b.shape[0], d)))

    model = SkipGram(width=3)
    before = model.context.weight.detach().clone()
    report = initkit.apply(model, plain(embed=embed), graph=karate)
    b, d, seed = seen[0]
    assert (b.shape, d, b.sum()) == ((6, 6), 3, karate.num_edges)
    assert 0 <= seed < 2**31
    assert report.kept == ["context.weight"]
    assert torch.equal(model.context.weight, before)
    torch.testing.assert_close(model.embedding.weight.detach(), torch.full((34, 3), 0.5 / 3**0.5))
    report = initkit.apply(model, plain(embed=embed), graph=karate)
    assert [row["columns"] for row in report.notes["gnn/graph_partition spreading"]] == [2, 3]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (np.ones((6, 9)), "embed returned shape (6, 9), expected (6, at most 8)"),
        (np.ones((5, 8)), "embed returned shape (5, 8)"),
        (np.ones(6), "embed returned shape (6,)"),
        (np.full((6, 8), np.nan), "embed returned NaN or infinite values"),
        (np.zeros((6, 8)), "every vector is 0"),
        ("no", "embed returned a str, which is no array"),
        ((1, 2, 3), "embed returned 3 arrays"),
    ],
)
def test_a_function_that_returns_something_else(returned: Any, words: str) -> None:
    def embed(b: Any, d: int, seed: int) -> Any:
        return returned

    model = SkipGram()
    before = model.embedding.weight.detach().clone()
    with pytest.raises(CommitError) as error:
        initkit.apply(model, plain(embed=embed, blocks=6), graph=karate)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert torch.equal(model.embedding.weight, before)


def test_directed_graphs_loops_and_repeated_edges() -> None:
    directed = edges((0, 1), (1, 2), (2, 3), (3, 0), (0, 1), (2, 2), both=False)
    graph = undirected(Graph.of(directed))
    expected = np.zeros((4, 4))
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 1)):
        expected[a, b] += 1
        expected[b, a] += 1
    np.testing.assert_array_equal(graph.matrix.toarray(), expected)
    assert not graph.ones
    assert graph.degrees.tolist() == [2, 2, 2, 2]
    assert graph.notes == (
        "the graph is directed: an edge counts in both directions",
        "1 self-loops are left out",
    )
    report = initkit.apply(SkipGram(4, 2), plain(), graph=directed)
    remarks = [row["remark"] for row in report.notes["gnn/graph_partition remarks"]]
    assert remarks[:2] == list(graph.notes)


def test_the_graph_given_is_not_changed() -> None:
    graph = Graph.of(edges((0, 1), (1, 2), (1, 2), (3, 3), (2, 3)))
    before = graph.matrix().row_sums()
    read = undirected(graph)
    assert read.matrix.nnz == 6
    assert torch.equal(graph.matrix().row_sums(), before)


def test_disconnected_graphs_with_isolated_nodes() -> None:
    index = torch.cat((karate.edge_index, karate.edge_index + 40), dim=1)
    model = SkipGram(80, 4)
    initkit.apply(model, plain(), graph={"edge_index": index, "num_nodes": 80})
    assert torch.isfinite(model.embedding.weight).all()


def test_max_iter_is_said() -> None:
    report = initkit.apply(SkipGram(), plain(delta=1e-12, max_iter=4), graph=karate)
    assert report.notes["gnn/graph_partition spreading"][0]["steps"] == 4
    assert any("ended at max_iter=4" in row["remark"] for row in report.notes["gnn/graph_partition remarks"])


# Finding the tables


class Named(nn.Module):
    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)


def table(rows: int = 34, width: int = 3) -> nn.Embedding:
    return nn.Embedding(rows, width)


@pytest.mark.parametrize(
    ("layers", "node", "context"),
    [
        ({"a": table()}, "a.weight", None),
        ({"in_embed": table(), "out_embed": table()}, "in_embed.weight", "out_embed.weight"),
        ({"u": table(), "v": table()}, "u.weight", "v.weight"),
        ({"nodeVectors": table(), "contextVectors": table()}, "nodeVectors.weight", "contextVectors.weight"),
        ({"layout": table()}, "layout.weight", None),
        ({"context": table()}, "context.weight", None),
        ({"emb": table(), "words": table(99), "bias": table(34, 1)}, "emb.weight", None),
        ({"emb": table(), "softmax": nn.Linear(3, 34)}, "emb.weight", "softmax.weight"),
        ({"emb": table(), "ctx": table(), "head": nn.Linear(3, 34)}, "emb.weight", "ctx.weight"),
        ({"emb": table(), "context": table(34, 5)}, "emb.weight", None),
    ],
)
def test_tables_are_found_by_shape_and_name(layers: Any, node: str, context: str | None) -> None:
    plan = initkit.plan(Named(**layers), plain(), graph=karate)
    assert [fill.name for fill in plan.fills] == [name for name in (node, context) if name]


def test_tables_are_named_by_options() -> None:
    model = Named(a=table(), b=table(), c=nn.Linear(3, 34))
    plan = initkit.plan(model, plain(table="b", context="a.weight"), graph=karate)
    assert [fill.name for fill in plan.fills] == ["b.weight", "a.weight"]
    plan = initkit.plan(model, plain(table="b", context="none"), graph=karate)
    assert [fill.name for fill in plan.fills] == ["b.weight"]
    free = nn.Module()
    free.vectors = nn.Parameter(torch.zeros(34, 2))
    assert [fill.name for fill in initkit.plan(free, plain(table="vectors"), graph=karate).fills] == ["vectors"]
    alone = table()
    assert [fill.name for fill in initkit.plan(alone, plain(), graph=karate).fills] == ["weight"]


def test_a_tied_context_is_one_table() -> None:
    model = SkipGram()
    model.context.weight = model.embedding.weight
    report = initkit.apply(model, plain(), graph=karate)
    assert list(report) == ["embedding.weight"]


@pytest.mark.parametrize(
    ("model", "options", "kind", "words"),
    [
        (nn.Linear(3, 34), {}, PlanError, "Linear has no nn.Embedding; set table="),
        (Named(a=table(), b=table()), {}, PlanError, "a.weight, b.weight all have 34 rows; set table="),
        (Named(a=table(), ctx=table(), out=table()), {}, PlanError, "ctx.weight, out.weight may all be the context"),
        (table(33), {}, NeedError, "34 nodes, but table weight (33, 3) has 33 rows; row i belongs to node i: for a gr"),
        (table(40), {}, NeedError, "if some nodes have no edges, give the graph's num_nodes=40"),
        (Named(a=table(9), b=table(8)), {}, NeedError, "no embedding table has as many rows: a.weight (9, 3), b.w"),
        (SkipGram(), {"table": "embeding"}, PlanError, "'embeding'"),
        (SkipGram(), {"context": "embedding"}, PlanError, "are both embedding.weight"),
        (Named(a=table(), b=table(34, 4)), {"table": "a", "context": "b"}, PlanError, "b.weight (34, 4) has another"),
        (SkipGram(), {"blocks": 35}, OptionError, "blocks=35: the graph has 34 nodes only"),
        (object(), {}, PlanError, "object is no nn.Module"),
    ],
)
def test_models_that_do_not_fit(model: Any, options: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind) as error:
        initkit.plan(model, plain(**options), graph=karate)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given_graph", "words"),
    [
        (edges((0, 1), (1, 2)), "it has 3 nodes; a start from its partition needs at least 4"),
        ({"edge_index": torch.empty(2, 0), "num_nodes": 9}, "it has no edges between different nodes"),
        (edges((0, 0), (5, 5)), "it has no edges between different nodes"),
        ((edges((0, 1), (2, 3)), torch.zeros(4)), "it has no edges between different nodes"),
        ((edges((0, 1), (2, 3)), torch.tensor([1, -1, 1, 1.0])), "edge_weight holds 1 negative value"),
    ],
)
def test_graphs_that_do_not_fit(given_graph: Any, words: str) -> None:
    rows = Graph.of(given_graph).num_nodes if "negative" not in words else 4
    with pytest.raises(NeedError) as error:
        initkit.plan(table(rows), plain(), graph=given_graph)
    assert words in str(error.value)


def test_claims() -> None:
    claims = GraphPartition.claims
    assert claims(SkipGram()) == ["embedding.weight", "context.weight"]
    assert claims(Node2Vec()) == ["embedding.weight"]
    assert claims(Named(a=table(), b=nn.Linear(3, 3))) == []
    assert claims(object()) == []


# Growth


def test_new_rows_start_from_trained_neighbours() -> None:
    model = SkipGram(34, 4)
    old = model.embedding.weight.detach().clone()
    index = torch.cat((karate.edge_index, edges((34, 0), (34, 33), (35, 34), (36, 1))), dim=1)
    keep = model.embedding.weight
    report = initkit.apply(model, plain(trained=34), graph=index)
    new = model.embedding.weight.detach()
    assert model.embedding.weight is keep
    assert new.shape == (37, 4)
    assert model.embedding.num_embeddings == model.context.num_embeddings == 37
    assert torch.equal(new[:34], old)
    torch.testing.assert_close(new[36], old[1], atol=1e-5, rtol=1e-5)
    assert report.notes["gnn/graph_partition growth"][0]["new"] == 3
    fixed = initkit.recipe("gnn/graph_partition", trained=34, delta=1e-9, max_iter=500)
    initkit.apply(model, fixed, graph=index)
    grown = model.embedding.weight.detach()
    assert torch.equal(grown[:34], old)
    torch.testing.assert_close(grown[35], grown[34], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(grown[34], (old[0] + old[33]) / 2, atol=1e-5, rtol=1e-5)


def test_new_nodes_without_a_path_start_from_noise() -> None:
    model = table(34, 50)
    index = torch.cat((karate.edge_index, edges((34, 35))), dim=1)
    report = initkit.apply(model, plain(trained=34), graph=index)
    old, new = model.weight.detach().split((34, 2))
    assert 0.7 < float(new.std() / old.std()) < 1.3
    assert not torch.equal(new[0], new[1])
    assert report.notes["gnn/graph_partition growth"][0]["unreached"] == 2
    assert "without a path" in report.notes["gnn/graph_partition remarks"][0]["remark"]


def test_a_table_that_has_rows_for_new_nodes_already() -> None:
    model = table(34, 5)
    old = model.weight.detach().clone()
    report = initkit.apply(model, plain(trained=30), graph=karate)
    assert torch.equal(model.weight[:30], old[:30])
    assert not torch.equal(model.weight[30:], old[30:])
    assert report.notes["gnn/graph_partition growth"][0]["trained"] == 30


def test_nothing_new_is_an_error() -> None:
    with pytest.raises(OptionError, match="trained=34: the table has no row for a new node"):
        initkit.plan(table(), plain(trained=34), graph=karate)


# gensim


@pytest.fixture
def gensim_like() -> Any:
    """A class that looks as gensim's do, without it."""

    class KeyedVectors:
        def __init__(self, keys: list[Any], width: int) -> None:
            self.index_to_key = keys
            self.vectors = np.full((len(keys), width), 3.0, np.float32)
            self.norms: Any = "old"

    class Word2Vec:
        def __init__(self, keys: list[Any], width: int) -> None:
            self.wv = KeyedVectors(keys, width)
            self.syn1neg = np.zeros((len(keys), width), np.float32)

    class FastText(Word2Vec):
        pass

    for kind in (KeyedVectors, Word2Vec, FastText):
        kind.__module__ = "gensim.models"
    return Word2Vec, KeyedVectors, FastText


def test_rows_follow_the_keys(gensim_like: Any) -> None:
    word2vec, keyed, _ = gensim_like
    order = np.random.default_rng(0).permutation(34)
    model, module = word2vec([str(node) for node in order], 8), SkipGram()
    vectors, contexts = model.wv.vectors, model.syn1neg
    report = initkit.apply(model, plain(), graph=karate)
    initkit.apply(module, plain(), graph=karate)
    assert list(report) == ["wv.vectors", "syn1neg"]
    assert model.wv.vectors is vectors
    assert model.syn1neg is contexts
    assert model.wv.norms is None
    np.testing.assert_array_equal(vectors, module.embedding.weight.detach().numpy()[order])
    np.testing.assert_array_equal(contexts, module.context.weight.detach().numpy()[order])
    alone = keyed(list(range(34)), 8)
    initkit.apply(alone, plain(), graph=karate)
    np.testing.assert_array_equal(alone.vectors, module.embedding.weight.detach().numpy())
    assert GraphPartition.claims(alone) == ["vectors"]


def test_keys_are_names_in_networkx(gensim_like: Any) -> None:
    people = networkx.les_miserables_graph()
    names = sorted(people.nodes)
    model, module = gensim_like[0](names[5:], 4), SkipGram(77, 4)
    initkit.apply(model, plain(), graph=people)
    initkit.apply(module, plain(), graph=people)
    number = {name: i for i, name in enumerate(people.nodes)}
    rows = [number[name] for name in names[5:]]
    np.testing.assert_array_equal(model.wv.vectors, module.embedding.weight.detach().numpy()[rows])


@dataclass(frozen=True)
class Fails(initkit.Recipe):
    """Fails after what came before it.

    Source: this test.
    """

    def plan(self, model: Any) -> Any:
        def fail(ctx: Any) -> Any:
            raise CommitError("on purpose")

        job = initkit.Job("fails", fail, "fails")
        yield job
        yield initkit.Output("x", job["x"], None, why="never")


@pytest.mark.parametrize("writeable", [True, False])
def test_gensim_vectors_are_restored(gensim_like: Any, writeable: bool) -> None:
    model = gensim_like[0]([str(i) for i in range(34)], 8)
    vectors = model.wv.vectors
    vectors.flags.writeable = writeable
    with pytest.raises(CommitError, match="on purpose"):
        initkit.apply(model, [plain(), Fails()], graph=karate)
    assert model.wv.vectors is vectors
    assert (vectors == 3).all()
    assert model.wv.norms == "old"
    initkit.apply(model, plain(), graph=karate)
    assert (model.wv.vectors != 3).any()
    assert writeable or (vectors == 3).all()


def test_growth_of_a_gensim_model(gensim_like: Any) -> None:
    model = gensim_like[0]([str(i) for i in range(34)], 8)
    model.wv.vectors[30:] = 0
    initkit.apply(model, plain(trained=30), graph=karate)
    np.testing.assert_allclose(model.wv.vectors, 3, rtol=1e-6)


def test_gensim_models_that_do_not_fit(gensim_like: Any) -> None:
    word2vec, _, fasttext = gensim_like
    with pytest.raises(NeedError, match="the key 'Myriel', which is none of the graph's 34 nodes"):
        initkit.plan(word2vec(["0", "Myriel"], 4), plain(), graph=karate)
    with pytest.raises(PlanError, match="the vocabulary is empty; call build_vocab"):
        initkit.plan(word2vec([], 4), plain(), graph=karate)
    with pytest.raises(PlanError, match="FastText is no nn.Module"):
        initkit.plan(fasttext(["0"], 4), plain(), graph=karate)


def test_gensim_saves_and_loads(gensim_like: Any, tmp_path: Path) -> None:
    one, two = (gensim_like[0]([str(i) for i in range(34)], 8) for _ in range(2))
    report = initkit.apply(one, plain(), graph=karate)
    initkit.save(one, tmp_path / "a.safetensors", report=report)
    initkit.load(two, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(one.wv.vectors, two.wv.vectors)
    np.testing.assert_array_equal(one.syn1neg, two.syn1neg)


def test_gensim_itself() -> None:
    models = pytest.importorskip("gensim.models")
    walks = [[str(a), str(b)] for a, b in karate.edge_index.t().tolist()]
    model = models.Word2Vec(vector_size=8, min_count=1, sg=1, negative=5, workers=1, seed=1)
    model.build_vocab(walks)
    initkit.apply(model, plain(), graph=karate)
    module = SkipGram()
    initkit.apply(module, plain(), graph=karate)
    for node in range(34):
        np.testing.assert_array_equal(model.wv[str(node)], module.embedding.weight[node].detach().numpy())
    model.train(walks, total_examples=len(walks), epochs=1)
    assert np.isfinite(model.wv.vectors).all()
    before = model.wv.vectors.copy()
    model.build_vocab([["34", "0"], ["35", "34"]], update=True)
    grown = torch.cat((karate.edge_index, edges((34, 0), (34, 35))), dim=1)
    initkit.apply(model, plain(trained=34), graph=grown)
    np.testing.assert_array_equal(model.wv.vectors[:34], before)
    cosine = model.wv.similarity("34", "0")
    assert cosine == pytest.approx(1, abs=1e-4)


def test_the_example_runs() -> None:
    path = Path(__file__).parents[3] / "examples" / "node_embedding.py"
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    model = names["model"]()
    assert initkit.apply(model, plain(), graph=names["graph"]).covered == 1
    node = torch.arange(77)
    assert torch.isfinite(model(node, node.flip(0), node[:, None]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu() -> None:
    here, there = SkipGram(), SkipGram().cuda()
    initkit.apply(here, plain(), graph=karate)
    initkit.apply(there, plain(), graph=karate.clone().cuda())
    torch.testing.assert_close(there.embedding.weight.cpu(), here.embedding.weight, atol=1e-5, rtol=1e-4)
