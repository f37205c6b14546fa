"""Propagated random features: golden values, QR, batches, the Chebyshev filter, the recipe and the transform."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCN

import initkit
from initkit import NeedError, OptionError, Stream
from initkit_gnn import Graph, RandomFeaturePropagation, propagate_features
from initkit_gnn.chebyshev import automatic_cutoff, filtered
from initkit_gnn.csr import TorchCsr
from initkit_gnn.operators import operator
from initkit_gnn.propagation import normalised, trajectory
from initkit_gnn.qr import column_lengths, orthonormal
from initkit_gnn.segments import Segments, read_graphs
from initkit_gnn.spectrum import density


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def both(pairs: Any, nodes: int, **more: Any) -> Data:
    half = torch.tensor(list(pairs)).T.reshape(2, -1)
    return Data(edge_index=torch.cat([half, half.flip(0)], 1), num_nodes=nodes, **more)


def path() -> Data:
    return both([(0, 1), (1, 2), (2, 3)], 4)


def karate() -> Data:
    return both(nx.karate_club_graph().edges, 34)


def random_graph(n: int, degree: float, seed: int) -> Data:
    return both(nx.gnm_random_graph(n, int(n * degree / 2), seed=seed).edges, n)


def features(graph: Any, seed: int = 0, **options: Any) -> Tensor:
    return initkit.apply(GCN(2, 4, 2), initkit.recipe("gnn/rfp", **options), graph=graph, seed=seed).outputs[
        "propagated_features"
    ]


START = [[1.0, 0], [0, 1], [-1, 1], [2, -1]]
GOLDEN = {
    "l2": [
        [[0.545795, 0.492793], [0.081776, 0.804727], [0.527416, 0.311934], [0.645951, -0.110753]],
        [[0.346171, 0.654575], [0.481349, 0.652842], [0.527562, 0.372310], [0.608396, 0.081941]],
    ],
    "qr": [
        [[0.545795, 0.286901], [0.081776, 0.851588], [0.527416, 0.095511], [0.645951, -0.428211]],
        [[0.346171, 0.619475], [0.481349, 0.444166], [0.527562, -0.069616], [0.608396, -0.643522]],
    ],
}


@pytest.mark.parametrize("norm", ["l2", "qr"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_values(norm: Any, dtype: torch.dtype) -> None:
    step = operator(Graph.of(path()), "gcn")
    found = trajectory(step.many, torch.tensor(START, dtype=dtype), 2, norm, Segments(4))
    for one, wanted in zip(found, GOLDEN[norm], strict=True):
        assert torch.allclose(one.block.double(), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "qr"])
def test_first_columns_of_both_norms_are_equal(norm: Any) -> None:
    start = torch.from_numpy(np.random.default_rng(0).standard_normal((34, 5)))
    step = operator(Graph.of(karate()), "gcn")
    found = [list(trajectory(step.many, start, 4, one, Segments(34)))[-1].block for one in ("l2", "qr")]
    assert torch.allclose(found[0][:, 0], found[1][:, 0], atol=1e-12)


# Operators on blocks


def dense(kind: str, graph: Data) -> np.ndarray:
    n = graph.num_nodes
    a = np.zeros((n, n))
    np.add.at(a, (graph.edge_index[1].numpy(), graph.edge_index[0].numpy()), 1.0)
    with np.errstate(divide="ignore"):
        if kind == "gcn":
            b = a + np.eye(n)
            d = 1 / np.sqrt(b.sum(1))
            return d[:, None] * b * d
        inverse = np.where(a.sum(1) > 0, 1 / a.sum(1), 0)
    if kind == "rw":
        return inverse[:, None] * a
    if kind == "lap_shift":
        laplacian = np.eye(n) - np.sqrt(inverse)[:, None] * a * np.sqrt(inverse)
        return np.eye(n) - laplacian / 2
    return a


@pytest.mark.parametrize("kind", ["gcn", "adj", "rw", "lap_shift"])
@pytest.mark.parametrize("width", [1, 16, 70])
def test_operators_on_blocks(kind: str, width: int) -> None:
    graph = random_graph(30, 3, 1)
    names = {"adj": "adjacency", "rw": "rowwise"}
    step = operator(Graph.of(graph), names.get(kind, kind))
    block = torch.from_numpy(np.random.default_rng(0).standard_normal((30, width)))
    wanted = torch.from_numpy(dense(kind, graph)) @ block
    assert torch.allclose(step.many(block), wanted, atol=1e-12)
    assert torch.allclose(step.many(block.float()).double(), wanted, atol=1e-5)
    assert torch.allclose(step.linear(block[:, 0]), wanted[:, 0], atol=1e-12)


def test_operators_of_ones_own() -> None:
    graph = karate()
    matrix = sp.csr_array(dense("gcn", graph))
    wanted = features(graph, width=4, steps=3)
    for one in (
        matrix,
        torch.from_numpy(matrix.toarray()).to_sparse(),
        (lambda a: torch.from_numpy(matrix @ a.numpy()), lambda a: torch.from_numpy(matrix.T @ a.numpy())),
        lambda graph: sp.csr_array(dense("gcn", Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes))),
    ):
        found = propagate_features(graph, width=4, steps=3, operator=one)
        assert torch.allclose(found, wanted, atol=1e-5)
        turned = RandomFeaturePropagation(width=4, steps=3, operator=one)(graph).x
        assert torch.equal(turned, found)
    by_function = initkit.recipe("gnn/rfp", width=4, steps=3, matrix=my_operator)
    found = initkit.apply(GCN(2, 4, 2), by_function, graph=graph).outputs["propagated_features"]
    assert torch.allclose(found, wanted, atol=1e-5)
    assert "my_operator" in by_function.options()["matrix"]


def test_products_on_an_accelerator_are_those_on_the_cpu() -> None:
    # The class for other devices, on the CPU.
    edges = random_graph(30, 3, 1).edge_index
    left, right = (torch.linspace(a, 2, 30, dtype=torch.float64) for a in (0.1, 1.0))
    block = torch.from_numpy(np.random.default_rng(0).standard_normal((30, 5)))
    there, here = TorchCsr(edges[0], edges[1], None, 30), Graph.of(edges, num_nodes=30).matrix()
    for dtype in (torch.float32, torch.float64):
        for sides in ((None, None), (left, None), (left, right)):
            found, wanted = (one.wide(dtype, *sides)(block.to(dtype)) for one in (there, here))
            assert torch.allclose(found, wanted, atol=1e-5 if dtype == torch.float32 else 1e-12)


def my_operator(graph: Graph) -> sp.csr_array:
    return sp.csr_array(dense("gcn", Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)))


# QR


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_qr_agrees_with_numpy(graphs: int, n: int, k: int, seed: int, single: bool) -> None:
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((graphs, n, k)) * 10.0 ** rng.uniform(-8, 8, (graphs, 1, k))
    q, ranks = orthonormal(torch.from_numpy(block.astype(np.float32) if single else block))
    assert ranks.tolist() == [min(n, k)] * graphs
    for g in range(graphs):
        wanted, r = np.linalg.qr(block[g])
        wanted = wanted * np.where(np.diag(r) < 0, -1.0, 1.0)[: wanted.shape[1]]
        gram = q[g].double().mT @ q[g].double()
        full = torch.diag(torch.tensor([1.0] * min(n, k) + [0.0] * (k - min(n, k)), dtype=torch.float64))
        assert torch.allclose(gram, full, atol=1e-6 if single else 1e-12)
        condition = np.linalg.cond(block[g] / np.linalg.norm(block[g], axis=0))
        atol = (1e-6 if single else 1e-13) * max(1.0, condition)
        if n >= k and atol < 0.1:
            assert np.allclose(q[g].double().numpy()[:, : min(n, k)], wanted[:, : min(n, k)], atol=10 * atol)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-8, 1e-9])
def test_qr_is_orthogonal_at_any_condition(gap: float) -> None:
    rng = np.random.default_rng(0)
    block = torch.from_numpy(rng.standard_normal((500, 6)))
    block[:, 3] = block[:, 1] + gap * block[:, 3]
    q, ranks = orthonormal(block[None])
    assert ranks.tolist() == [6]
    assert torch.allclose(q[0].mT @ q[0], torch.eye(6, dtype=torch.float64), atol=1e-13 if gap > 1e-7 else 1e-12)
    wanted, r = np.linalg.qr(block.numpy())
    wanted *= np.where(np.diag(r) < 0, -1.0, 1.0)
    assert np.allclose(q[0].numpy(), wanted, atol=1e-14 / gap * 100)


def test_dependent_columns_become_zero_and_the_others_stay_right() -> None:
    rng = np.random.default_rng(0)
    block = torch.from_numpy(rng.standard_normal((20, 5)))
    kept = block[:, [0, 2, 4]].clone()
    block[:, 1] = 3 * block[:, 0]
    block[:, 3] = 0
    for dtype in (torch.float64, torch.float32):
        q, ranks = orthonormal(block[None].to(dtype))
        assert ranks.tolist() == [3]
        assert not q[0][:, [1, 3]].any()
        wanted, _ = orthonormal(kept[None])
        assert torch.allclose(q[0][:, [0, 2, 4]].double(), wanted[0], atol=1e-6 if dtype == torch.float32 else 1e-13)


def test_lengths_neither_overflow_nor_vanish() -> None:
    block = torch.tensor([[1e30, 1e-30, 0.0], [1e30, 1e-30, 0.0]])[None]
    wanted = torch.tensor([[1e30, 1e-30, 0]], dtype=torch.float64) * math.sqrt(2)
    assert torch.allclose(column_lengths(block), wanted, rtol=1e-6, atol=0)
    found = normalised(block[0], "l2", Segments(2))
    assert torch.allclose(found.block[:, :2], torch.full((2, 2), math.sqrt(0.5)))
    assert found.ranks.tolist() == [2]
    apart = normalised(block[0], "l2", Segments(2, torch.tensor([0, 1])))
    assert torch.allclose(apart.block[:, :2], torch.ones(2, 2))


# Batches


@pytest.mark.parametrize("options", [{}, {"norm": "l2"}, {"filter": "chebyshev"}, {"operator": "adj"}])
def test_graphs_of_a_batch_do_not_see_each_other(options: dict[str, Any]) -> None:
    graphs = [karate(), random_graph(20, 4, 0), random_graph(50, 6, 1), path(), random_graph(300, 3, 2)]
    settings_ = {"width": 4, "steps": 6, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = RandomFeaturePropagation(resample="fixed", seed=3, **settings_)
        # The cutoff comes from probes that are drawn for the batch as a whole; given, it is the same.
        if options.get("filter"):
            transform = RandomFeaturePropagation(resample="fixed", seed=3, cutoff=0.3, **settings_)
        together = transform(Batch.from_data_list(graphs)).x
        apart = torch.cat([transform(g).x for g in graphs])
    assert torch.allclose(together, apart, atol=2e-5)


def test_a_batch_in_any_order_of_nodes() -> None:
    batch = Batch.from_data_list([karate(), path()])
    order = torch.from_numpy(np.random.default_rng(0).permutation(38))
    back = torch.argsort(order)
    turned = Data(edge_index=back[batch.edge_index], batch=batch.batch[order], num_nodes=38)
    start = torch.from_numpy(np.random.default_rng(1).standard_normal((38, 3)))
    found = []
    for graph, block in ((batch, start), (turned, start[order])):
        read, segments = read_graphs(graph)
        step = operator(read, "gcn")
        found.append(list(trajectory(step.many, block, 3, "qr", segments))[-1].block)
    assert torch.allclose(found[0][order], found[1], atol=1e-12)


def test_columns_of_each_graph_are_orthonormal_times_its_size() -> None:
    found = propagate_features([karate(), random_graph(60, 5, 0)], width=5, steps=3, include_r0=False)
    for part in (found[:34], found[34:]):
        for p in range(3):
            q = part[:, 5 * p : 5 * p + 5].double()
            assert torch.allclose(q.mT @ q, len(part) * torch.eye(5, dtype=torch.float64), atol=1e-4)
    plain = propagate_features(karate(), width=5, steps=3, include_r0=False, scale="none")
    assert torch.allclose(plain * math.sqrt(34), propagate_features(karate(), width=5, steps=3, include_r0=False))


def test_segments() -> None:
    batch = torch.tensor([2, 0, 2, 0, 4])
    segments = Segments(5, batch)
    assert segments.sizes.tolist() == [2, 0, 2, 0, 1]
    assert segments.places.tolist() == [0, 0, 1, 1, 0]
    assert sorted(tuple(row) for table in segments.buckets() for row in table.tolist()) == [(0, 2), (1, 3), (4,)]
    assert segments.total(torch.arange(5.0)).tolist() == [4, 0, 2, 0, 4]
    assert Segments(3).places.tolist() == [0, 1, 2]
    assert Segments(3).buckets()[0].tolist() == [[0, 1, 2]]


# Few nodes, low rank


def test_more_columns_than_nodes_are_zeros_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="the graph has fewer than 6 independent columns"):
        found = features(path(), width=6, steps=2)
    assert found.shape == (4, 18)
    assert torch.isfinite(found).all()
    assert not found[:, 10:12].any()
    assert found[:, 6:10].any(dim=0).all()


def test_a_graph_of_low_rank_is_named_in_the_report() -> None:
    star = both([(0, i) for i in range(1, 30)], 30)
    recipe = initkit.recipe("gnn/rfp", width=6, steps=3, operator="adj")
    with pytest.warns(UserWarning, match="independent"):
        report = initkit.apply(GCN(2, 4, 2), recipe, graph=star)
    found = report.outputs["propagated_features"]
    assert (found[:, 6:12].abs().sum(dim=0) > 0).sum() == 2  # A of a star has rank 2
    assert "independent" in report.notes["gnn/rfp remarks"][0]["remark"]
    with pytest.warns(UserWarning, match="1 of 2 graphs have"):
        propagate_features([star, karate()], width=6, steps=2, operator="adj")


def test_a_graph_without_edges_or_of_one_node() -> None:
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    found = propagate_features(empty, width=2, steps=2, include_r0=False)
    assert torch.isfinite(found).all()
    with pytest.warns(UserWarning, match="independent"):
        assert not propagate_features(empty, width=2, steps=2, operator="rw", include_r0=False).any()
    one = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=1)
    assert propagate_features(one, width=1, steps=3).abs()[0, 1:].tolist() == [1, 1, 1]


def test_isolated_nodes_keep_finite_features() -> None:
    found = propagate_features(both([(0, 1), (1, 2)], 6), width=2, steps=4, operator="rw")
    assert torch.isfinite(found).all()
    assert not found[3:, 2:].any()


# Shapes and options


def test_shapes() -> None:
    graph = karate()
    assert features(graph).shape == (34, 16 * 17)
    assert features(graph, width=3, steps=4, include_r0=False).shape == (34, 12)
    assert features(graph, width=3, steps=4, trajectories=5).shape == (34, 5, 15)
    assert features(graph, width=3, steps=4, filter="chebyshev").shape == (34, 3)
    assert features(graph, width=3, steps=4, filter="chebyshev", include_r0=True).shape == (34, 6)


def test_r0_is_standard_normal_from_the_stream_and_not_scaled() -> None:
    found = features(karate(), width=3, steps=2, seed=9)
    wanted = Stream(9, "job:rfp#draw0#R0/0").normals(0, 102).reshape(34, 3).astype(np.float32)
    assert np.array_equal(found[:, :3].numpy(), wanted)


def test_trajectories_are_independent_and_the_first_is_the_single_one() -> None:
    one, three = features(karate(), width=3, steps=2), features(karate(), width=3, steps=2, trajectories=3)
    assert torch.equal(three[:, 0], one)
    assert not torch.equal(three[:, 1], three[:, 2])


def test_precisions_agree() -> None:
    graph = random_graph(200, 6, 0)
    single, double = (propagate_features(graph, steps=8, precision=p) for p in ("float32", "float64"))
    assert torch.allclose(single, double, atol=2e-3)
    assert torch.equal(propagate_features(graph, steps=8), double)


def test_wrong_options_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"width": 0}, "width"),
        ({"steps": 0}, "steps"),
        ({"norm": "rows"}, "norm"),
        ({"operator": "sage"}, "operator"),
        ({"cutoff": 0.5}, "chebyshev"),
        ({"cutoff": 1.5, "filter": "chebyshev"}, "cutoff"),
    ]
    for options, word in cases:
        with pytest.raises(OptionError, match=word):
            initkit.recipe("gnn/rfp", **options)
        with pytest.raises(OptionError, match=word):
            RandomFeaturePropagation(**options)
    with pytest.raises(OptionError, match="attr_name"):
        RandomFeaturePropagation(trajectories=2)
    with pytest.raises(OptionError, match="no_such"):
        RandomFeaturePropagation(no_such=2)
    with pytest.raises(OptionError, match="out has shape"):
        propagate_features(karate(), out=torch.empty(34, 3))
    with pytest.raises(NeedError, match="shape"):
        propagate_features(karate(), operator=sp.eye_array(3))


def test_weights_count() -> None:
    graph = karate()
    weighted = Data(edge_index=graph.edge_index, edge_weight=torch.rand(156), num_nodes=34)
    assert not torch.allclose(features(graph), features(weighted))


# Chebyshev


def test_the_filter_is_the_polynomial() -> None:
    matrix = torch.from_numpy(dense("gcn", karate()))
    values, vectors = torch.linalg.eigh(matrix)
    start = torch.from_numpy(np.random.default_rng(0).standard_normal((34, 4)))
    low, cutoff, high = (torch.tensor([v], dtype=torch.float64) for v in (-1.0, 0.6, 1.0))
    for degree in (1, 2, 5, 16):
        found = filtered(lambda b: matrix @ b, start, degree, low, cutoff, high, Segments(34))
        x = ((2 * values - 0.6 + 1) / 1.6).numpy()
        top = (2 - 0.6 + 1) / 1.6
        chebyshev = np.polynomial.chebyshev.Chebyshev.basis(degree)
        wanted = vectors @ (torch.from_numpy(chebyshev(x) / chebyshev(top))[:, None] * (vectors.mT @ start))
        assert torch.allclose(found, wanted, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*independent columns")
def test_a_high_degree_does_not_overflow() -> None:
    graph = random_graph(400, 8, 0)
    found = propagate_features(graph, width=4, steps=300, filter="chebyshev", cutoff=-0.9, precision="float32")
    assert torch.isfinite(found).all()
    assert found[:, 0].abs().min() > 0


def angle(found: Tensor, wanted: Tensor) -> float:
    """The cosine of the largest angle between two subspaces."""
    q, _ = torch.linalg.qr(found.double())
    return float(torch.linalg.svdvals(q.mT @ wanted).min())


def test_at_the_same_products_the_filter_comes_closer_to_the_top_eigenvectors() -> None:
    graph = both(nx.convert_node_labels_to_integers(nx.grid_2d_graph(20, 31)).edges, 620)
    _, vectors = torch.linalg.eigh(torch.from_numpy(dense("gcn", graph)))
    for width in (8, 16):
        top = vectors[:, -width:]
        power = propagate_features(graph, width=width)[:, -width:]
        chebyshev = propagate_features(graph, width=width, filter="chebyshev")
        shares = [float((torch.linalg.qr(f.double())[0].mT @ top).square().sum()) for f in (power, chebyshev)]
        assert shares[1] > 1.1 * shares[0]


def test_the_density_counts_eigenvalues() -> None:
    graph = random_graph(500, 5, 3)
    values = torch.linalg.eigvalsh(torch.from_numpy(dense("gcn", graph)))
    probes = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 8)))
    found = density(operator(Graph.of(graph), "gcn").many, probes, Segments(500))
    for cutoff in (0.0, 0.3, 0.6):
        wanted = int((values > cutoff).sum())
        assert float(found.count_above(torch.tensor([cutoff]))) == pytest.approx(wanted, rel=0.25, abs=10)
    assert float(found.low) == pytest.approx(float(values[0]), abs=0.05)
    assert float(found.high) == pytest.approx(1.0, abs=0.05)
    assert float(found.masses.sum()) == pytest.approx(1.0)


def test_densities_of_a_batch_are_those_of_its_graphs() -> None:
    graphs = [karate(), random_graph(80, 6, 0), path()]
    read, segments = read_graphs(graphs)
    probes = torch.from_numpy(np.random.default_rng(0).standard_normal((read.num_nodes, 4)))
    together = density(operator(read, "gcn").many, probes, segments)
    first = 0
    for i, one in enumerate(graphs):
        n = one.num_nodes
        alone = density(operator(Graph.of(one), "gcn").many, probes[first : first + n], Segments(n))
        for cutoff in (0.1, 0.5, 0.9):
            c = torch.full((3,), cutoff, dtype=torch.float64)
            # In a graph of 4 nodes 20 steps pass the end; rounding noise decides where weightless points lie.
            assert float(together.count_above(c)[i]) == pytest.approx(float(alone.count_above(c[:1])), abs=0.05)
        first += n


def test_the_automatic_cutoff_leaves_enough_eigenvalues_and_enough_energy() -> None:
    graph = random_graph(500, 5, 3)
    values = torch.linalg.eigvalsh(torch.from_numpy(dense("gcn", graph)))
    probes = torch.from_numpy(np.random.default_rng(0).standard_normal((500, 8)))
    found = density(operator(Graph.of(graph), "gcn").many, probes, Segments(500))
    few, many = (float(automatic_cutoff(found, k, 16)) for k in (2, 60))
    assert int((values > many).sum()) == pytest.approx(120, rel=0.2)
    x = (3 - few) / (1 + few) if int((values > few).sum()) > 8 else None
    if x is not None:
        assert math.cosh(16 * math.acosh(x)) ** 2 >= 25 * 500 * 0.98
    note = initkit.apply(GCN(2, 4, 2), initkit.recipe("gnn/rfp", filter="chebyshev"), graph=graph).notes[
        "gnn/rfp cutoff"
    ]
    assert -1 < note[0]["cutoff"] < 1


@pytest.mark.parametrize("kind", ["adj", "rw", "lap_shift"])
def test_the_filter_on_other_operators(kind: str) -> None:
    graph = both(nx.random_partition_graph([30] * 4, 0.4, 0.02, seed=1).edges, 120)
    matrix = dense(kind, graph)
    values, vectors = np.linalg.eig(matrix)
    top = torch.from_numpy(np.linalg.qr(np.real(vectors[:, np.argsort(-np.real(values))[:4]]))[0])
    found = propagate_features(graph, width=4, filter="chebyshev", operator=kind)
    assert angle(found, top) > 0.95


def test_the_filter_needs_a_symmetric_operator() -> None:
    directed = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), num_nodes=5)
    for kind in ("gcn", "rw", "adj"):
        with pytest.raises(NeedError, match="undirected"):
            propagate_features(directed, filter="chebyshev", width=2, operator=kind)
    matrix = dense("gcn", karate())
    pair = (lambda a: torch.from_numpy(matrix) @ a, lambda a: torch.from_numpy(matrix) @ a)
    found = propagate_features(karate(), filter="chebyshev", width=2, operator=pair)
    assert torch.isfinite(found).all()
    lopsided = (lambda a: a.cumsum(0), lambda a: a.flip(0).cumsum(0).flip(0))
    with pytest.raises(NeedError, match="symmetric"):
        propagate_features(karate(), filter="chebyshev", width=2, operator=lopsided)


# The transform


def test_the_fixed_transform_gives_the_features_of_the_recipe() -> None:
    graph = karate()
    wanted = features(graph, width=4, steps=3, seed=7)
    transform = RandomFeaturePropagation(width=4, steps=3, seed=7)
    assert torch.equal(transform(graph).x, wanted)
    assert graph.x is None
    graph.x = torch.ones(34, 2)
    assert torch.equal(transform(graph).x, torch.cat([torch.ones(34, 2), wanted], 1))
    assert torch.equal(RandomFeaturePropagation(width=4, steps=3, seed=7, attr_name="pe")(graph).pe, wanted)
    assert "width=4, steps=3" in repr(transform)


def test_resampling_of_the_transform() -> None:
    transform = RandomFeaturePropagation(width=4, steps=3, resample="forward")
    assert not torch.equal(transform(karate()).x, transform(karate()).x)
    transform = RandomFeaturePropagation(width=4, steps=3, resample="epoch")
    first = transform(karate()).x
    assert torch.equal(transform(karate()).x, first)
    transform.set_epoch(1)
    assert not torch.equal(transform(karate()).x, first)


def test_several_trajectories_go_to_an_attribute() -> None:
    found = RandomFeaturePropagation(width=2, steps=2, trajectories=3, attr_name="pe")(karate())
    assert found.pe.shape == (34, 3, 6)


def test_a_few_columns_less_are_told_by_the_transform() -> None:
    with pytest.warns(UserWarning, match="RandomFeaturePropagation: the graph has"):
        RandomFeaturePropagation(width=6)(path())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [{}, {"norm": "l2"}, {"filter": "chebyshev"}])
def test_a_gpu_gives_the_same_features(options: dict[str, Any]) -> None:
    graph = random_graph(500, 6, 0)
    here = propagate_features(graph, width=4, steps=4, **options)
    there = propagate_features(graph, width=4, steps=4, device="cuda", **options)
    assert torch.allclose(here, there, atol=1e-4)
