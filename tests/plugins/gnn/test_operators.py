"""Every operator against a dense matrix and against PyG's own layers."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from initkit.errors import NeedError, OptionError, PlanError
from initkit_gnn.csr import TorchCsr, compress
from initkit_gnn.graph import Graph
from initkit_gnn.operators import OPERATORS, Scaled, operator

# name -> (operator, options, dense matrix from (A, last self-loop or nan, number of edges into each node), root)
Dense = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def inverse(v: np.ndarray) -> np.ndarray:
    return np.divide(1, v, out=np.zeros_like(v), where=v > 0)


def dense_gcn(a: np.ndarray, loops: np.ndarray, fill: float = 1.0) -> np.ndarray:
    b = a - np.diag(np.diag(a)) + np.diag(np.where(np.isnan(loops), fill, loops))
    return dense_symmetric(b)


def dense_symmetric(b: np.ndarray) -> np.ndarray:
    s = np.sqrt(inverse(b.sum(axis=1)))
    return s[:, None] * b * s


def dense_gat(a: np.ndarray) -> np.ndarray:
    b = a - np.diag(np.diag(a)) + np.eye(len(a))
    return inverse(b.sum(axis=1))[:, None] * b


CASES: dict[str, tuple[str, dict[str, Any], Dense, bool]] = {
    "gcn": ("gcn", {}, lambda a, loops, n: dense_gcn(a, loops), False),
    "gcn without loops": ("gcn", {"add_self_loops": False}, lambda a, loops, n: dense_symmetric(a), False),
    "gcn not normalised": ("gcn", {"normalize": False}, lambda a, loops, n: a, False),
    "gat": ("gat", {}, lambda a, loops, n: dense_gat(a), False),
    "gat without loops": (
        "gat",
        {"add_self_loops": False},
        lambda a, loops, n: inverse(a.sum(axis=1))[:, None] * a,
        False,
    ),
    "sage": ("sage", {}, lambda a, loops, n: inverse(a.sum(axis=1))[:, None] * a, True),
    "sage without root": (
        "sage",
        {"root_weight": False},
        lambda a, loops, n: inverse(a.sum(axis=1))[:, None] * a,
        False,
    ),
    "sage sum": ("sage", {"aggr": "sum"}, lambda a, loops, n: a, True),
    "gin": ("gin", {"eps": 0.3}, lambda a, loops, n: a + 1.3 * np.eye(len(a)), False),
    "gin mean": ("gin", {"aggr": "mean"}, lambda a, loops, n: inverse(n)[:, None] * a + np.eye(len(a)), False),
    "graphconv": ("graphconv", {}, lambda a, loops, n: a, True),
    "graphconv mean": ("graphconv", {"aggr": "mean"}, lambda a, loops, n: inverse(n)[:, None] * a, True),
    "adjacency": ("adjacency", {}, lambda a, loops, n: a, False),
    "rowwise": ("rowwise", {}, lambda a, loops, n: inverse(a.sum(axis=1))[:, None] * a, False),
}


@st.composite
def edge_lists(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray | None]:
    """N nodes, some isolated; edges with directions, self-loops and repetitions; weights or none."""
    nodes = draw(st.integers(1, 9))
    ends = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=24))
    if draw(st.booleans()):
        pairs += [(b, a) for a, b in pairs]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    if not draw(st.booleans()):
        return nodes, edges, None
    weight = st.one_of(st.just(0.0), st.floats(0.01, 10))
    return nodes, edges, np.array(draw(st.lists(weight, min_size=len(pairs), max_size=len(pairs))))


def dense_parts(nodes: int, edges: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, loops, number = np.zeros((nodes, nodes)), np.full(nodes, np.nan), np.zeros(nodes)
    for k, (source, target) in enumerate(edges.T):
        w = 1.0 if weight is None else weight[k]
        a[target, source] += w
        number[target] += 1
        if source == target:
            loops[source] = w
    return a, loops, number


@settings(deadline=None, max_examples=150)
@given(edge_lists(), st.sampled_from(sorted(CASES)), st.sampled_from([0.0, 0.4, 1.0]), st.integers(0, 99))
def test_operators_equal_dense_matrices(
    listed: tuple[int, np.ndarray, np.ndarray | None], case: str, correlation: float, seed: int
) -> None:
    nodes, edges, weight = listed
    name, options, dense, root = CASES[case]
    made = operator(Graph.of((edges, weight), num_nodes=nodes), name, **options)
    m = dense(*dense_parts(nodes, edges, weight))
    a = np.random.default_rng(seed).random(nodes)
    for matrix, transposed in ((m, False), (m.T, True)):
        expected = correlation * (matrix @ a) ** 2 + (1 - correlation) * (matrix**2 @ a**2) + root * a**2
        found = made.step(torch.from_numpy(a), transposed=transposed, correlation=correlation)
        assert np.allclose(found.numpy() ** 2, expected, rtol=1e-10, atol=1e-12)
        linear = made.linear(torch.from_numpy(a), transposed=transposed)
        assert np.allclose(linear.numpy(), matrix @ a, rtol=1e-10, atol=1e-12)
    assert made.frobenius_squared() == pytest.approx(float((m**2).sum()), rel=1e-10, abs=1e-12)
    if made.self_transposed:
        assert np.allclose(m, m.T)


@settings(deadline=None, max_examples=60)
@given(edge_lists(), st.integers(0, 99))
def test_the_torch_backend_equals_scipys(listed: tuple[int, np.ndarray, np.ndarray | None], seed: int) -> None:
    nodes, edges, weight = listed
    source, target = torch.from_numpy(edges)
    value = None if weight is None else torch.from_numpy(weight)
    ours, other = compress(source, target, value, nodes), TorchCsr(source, target, value, nodes)
    v = torch.from_numpy(np.random.default_rng(seed).random(nodes))
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(other.dot(v), ours.dot(v), **close)
    torch.testing.assert_close(other.dot_t(v), ours.dot_t(v), **close)
    torch.testing.assert_close(other.squared().dot(v), ours.squared().dot(v), **close)
    torch.testing.assert_close(other.squared().dot_t(v), ours.squared().dot_t(v), **close)
    torch.testing.assert_close(other.diagonal(), ours.diagonal(), **close)
    torch.testing.assert_close(other.row_sums(), ours.row_sums(), **close)
    if weight is None:
        assert other.symmetric() == ours.symmetric()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_graph_on_the_gpu_stays_there_and_agrees(case: str) -> None:
    generator = np.random.default_rng(0)
    edges, weight = torch.from_numpy(generator.integers(0, 500, (2, 4000))), torch.from_numpy(generator.random(4000))
    name, options, _, _ = CASES[case]
    a = torch.from_numpy(generator.random(500))
    here = operator(Graph.of((edges, weight), num_nodes=500), name, **options)
    there = operator(Graph.of((edges.cuda(), weight.cuda()), num_nodes=500), name, **options)
    for transposed in (False, True):
        for r in (0.0, 0.5, 1.0):
            found = there.step(a.cuda(), transposed=transposed, correlation=r)
            assert found.is_cuda
            torch.testing.assert_close(found.cpu(), here.step(a, transposed=transposed, correlation=r))


# PyG's layers with one feature and weight 1 show their own operator.


@pytest.fixture(scope="module")
def pyg() -> ModuleType:
    with warnings.catch_warnings():  # PyG's import meets deprecations of torch
        warnings.simplefilter("ignore")
        return importlib.import_module("torch_geometric.nn")


def one(layer: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in layer.named_parameters():
        torch.nn.init.constant_(parameter, 0.0 if "bias" in name or "att" in name else 1.0)
    return layer.double()


def messy(seed: int, weighted: bool) -> tuple[Tensor, Tensor | None]:
    """12 nodes, the last two isolated, with self-loops (at most one a node where weighted) and repeated edges."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, 10, (2, 30), generator=generator)
    edges = torch.cat([edges[:, edges[0] != edges[1]], torch.tensor([[1, 4, 5], [1, 4, 6]]), edges[:, :3]], dim=1)
    edges = edges[:, (edges[0] != edges[1]) | (torch.arange(edges.shape[1]) < edges.shape[1] - 3)]
    weight = torch.rand(edges.shape[1], generator=generator, dtype=torch.float64) if weighted else None
    return edges, weight


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"improved": True}, {"add_self_loops": False}, {"normalize": False}],
    ids=["plain", "improved", "no loops", "not normalised"],
)
def test_gcn_is_gcnconv(pyg: ModuleType, options: dict[str, bool], weighted: bool, seed: int) -> None:
    edges, weight = messy(seed, weighted)
    a = torch.rand(12, dtype=torch.float64)
    layer = one(pyg.GCNConv(1, 1, **options))
    found = operator(Graph.of((edges, weight), num_nodes=12), "gcn", **options).linear(a)
    torch.testing.assert_close(found, layer(a[:, None], edges, weight).detach()[:, 0])


@pytest.mark.parametrize("seed", range(3))
def test_layers_without_weights_are_pygs(pyg: ModuleType, seed: int) -> None:
    edges, _ = messy(seed, False)
    graph = Graph.of(edges, num_nodes=12)
    a = torch.rand(12, dtype=torch.float64)
    for layer, name, options in (
        (pyg.GATConv(1, 1), "gat", {}),
        (pyg.GATConv(1, 1, add_self_loops=False), "gat", {"add_self_loops": False}),
        (pyg.GATv2Conv(1, 1), "gat", {}),
        (pyg.SAGEConv(1, 1, root_weight=False), "sage", {}),
        (pyg.SAGEConv(1, 1, root_weight=False, aggr="sum"), "sage", {"aggr": "sum"}),
        (pyg.GINConv(torch.nn.Identity(), eps=0.25), "gin", {"eps": 0.25}),
        (pyg.GINConv(torch.nn.Identity(), aggr="mean"), "gin", {"aggr": "mean"}),
    ):
        found = operator(graph, name, **options).linear(a)
        torch.testing.assert_close(found, one(layer)(a[:, None], edges).detach()[:, 0], msg=f"{name} {options}")


@pytest.mark.parametrize("aggr", ["add", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_graphconv_is_graphconv(pyg: ModuleType, aggr: str, weighted: bool) -> None:
    edges, weight = messy(5, weighted)
    a = torch.rand(12, dtype=torch.float64)
    layer = one(pyg.GraphConv(1, 1, aggr=aggr))
    neighbours = layer(a[:, None], edges, weight).detach()[:, 0] - a
    found = operator(Graph.of((edges, weight), num_nodes=12), "graphconv", aggr=aggr)
    torch.testing.assert_close(found.linear(a), neighbours)
    torch.testing.assert_close(found.step(a), (neighbours.square() + a.square()).sqrt())


def test_of_several_weighted_self_loops_gcn_keeps_the_last() -> None:
    edges = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 1]])
    graph = Graph.of((edges, torch.tensor([1.0, 5.0, 1.0, 3.0])))
    assert operator(graph, "gcn").linear(torch.tensor([0.0, 1.0], dtype=torch.float64))[1] == pytest.approx(3 / 4)


def test_weights_can_be_ignored() -> None:
    edges, weight = messy(1, True)
    a = torch.rand(12, dtype=torch.float64)
    for name in OPERATORS:
        plain = operator(Graph.of(edges, num_nodes=12), name).step(a)
        ignored = operator(Graph.of((edges, weight), num_nodes=12), name, weighted=False).step(a)
        assert torch.equal(plain, ignored)


def test_an_operator_is_built_once() -> None:
    graph = Graph.of(torch.tensor([[0, 1], [1, 0]]))
    assert operator(graph, "gin", eps=0.1) is operator(graph, "gin", eps=torch.tensor(0.1, dtype=torch.float64))
    assert operator(graph, "gin", eps=0.1) is not operator(graph, "gin", eps=0.2)


def test_users_operators() -> None:
    graph = Graph.of(torch.tensor([[0, 1], [1, 2]]))
    m = np.array([[0.5, 0, 0], [1.0, 0, -2.0], [0, 3.0, 0]])
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    pair = (lambda v: m @ v.numpy(), lambda v: torch.from_numpy(m.T) @ v)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compressed = torch.from_numpy(m).to_sparse_csr()
    for kind in (sp.csr_array(m), sp.coo_matrix(m), torch.from_numpy(m).to_sparse(), compressed, pair):
        made = operator(graph, kind)
        assert np.allclose(made.step(a), m @ a.numpy())
        assert np.allclose(made.step(a, transposed=True), m.T @ a.numpy())
        if kind is not pair:
            assert np.allclose(made.step(a, correlation=0.0), np.sqrt(m**2 @ a.numpy() ** 2))
            assert operator(graph, kind) is made
    assert operator(graph, made) is made
    with pytest.raises(NeedError, match="a pair of functions does not show"):
        made.step(a, correlation=0.5)


def test_functions_cannot_change_the_amplitudes_they_are_given() -> None:
    graph = Graph.of(torch.tensor([[0], [1]]))
    made = operator(graph, (lambda v: v.mul_(2), lambda v: v))
    a = torch.ones(2, dtype=torch.float64)
    assert torch.equal(made.step(a), 2 * a)
    assert torch.equal(a, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("sage", {"aggr": "max"}, PlanError, "aggr='max' is not linear"),
        ("graphconv", {"aggr": ["mean", "max"]}, PlanError, "is not linear"),
        ("gin", {"aggr": "lstm"}, PlanError, "calibrate this layer on data"),
        ("transformer", {}, PlanError, "operator 'transformer' is unknown; there are gcn"),
        ("gin", {"epsilon": 1}, OptionError, "operator 'gin' has no option 'epsilon'; it has eps, aggr, weighted"),
        (3, {}, PlanError, "cannot use a int"),
        (sp.eye_array(5), {}, NeedError, r"the matrix has shape \(5, 5\), expected \(2, 2\)"),
        (sp.csr_array([[0, np.nan], [1, 0]]), {}, NeedError, "complex, NaN or infinite"),
        (sp.eye_array(2), {"eps": 1}, OptionError, "options .eps. go with an operator's name"),
        ((lambda v: v[:1], lambda v: v), {}, NeedError, r"its forward function returned shape \(1,\)"),
        ((lambda v: None, lambda v: v), {}, NeedError, "its forward function returned NoneType"),
    ],
)
def test_errors(kind: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    graph = Graph.of(torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(error, match=message):
        operator(graph, kind, **options).step(torch.ones(2, dtype=torch.float64))


def test_an_operator_of_another_graph_is_refused() -> None:
    other = operator(Graph.of(torch.tensor([[0], [5]])), "gcn")
    with pytest.raises(NeedError, match="it is for 6 nodes, the graph has 2"):
        operator(Graph.of(torch.tensor([[0], [1]])), other)


def test_no_dense_matrix_is_made() -> None:
    graph = Graph.of(torch.tensor([[0], [199_999]]))
    made = operator(graph, "gcn")
    assert isinstance(made, Scaled)
    assert made.linear(torch.ones(200_000, dtype=torch.float64)).shape == (200_000,)
