"""What a graph may be given as, and how a bad one is refused."""

from __future__ import annotations

import importlib
import math
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import networkx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from initkit.errors import NeedError
from initkit_gnn.csr import ScipyCsr, TorchCsr
from initkit_gnn.graph import Graph

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 2, 0]])
DENSE = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 1]], dtype=torch.float64)  # A[target, source]
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0])
HEAVY = torch.tensor([[0, 0, 3.0], [0.5, 0, 0], [0, 2.0, 1.0]], dtype=torch.float64)


@pytest.fixture(scope="module")
def pyg() -> ModuleType:
    with warnings.catch_warnings():  # PyG's import meets deprecations of torch
        warnings.simplefilter("ignore")
        return importlib.import_module("torch_geometric")


def dense(graph: Graph) -> Tensor:
    matrix = graph.matrix()
    return torch.stack([matrix.dot(column) for column in torch.eye(graph.num_nodes, dtype=torch.float64)], dim=1)


def quiet_csr(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return matrix.to_sparse_csr()


@pytest.mark.parametrize(
    "given",
    [
        EDGES,
        EDGES.int(),
        EDGES.to(torch.uint8),
        EDGES.numpy(),
        EDGES.numpy().astype(np.uint16),
        EDGES.numpy().astype(">i4"),
        np.asfortranarray(EDGES.numpy()),
        EDGES.numpy()[::-1, ::-1].copy()[::-1, ::-1],
        np.frombuffer(EDGES.numpy().tobytes(), np.int64).reshape(2, 4),
        EDGES.tolist(),
        (EDGES, None),
        {"edge_index": EDGES.numpy()},
        {"edge_index": EDGES, "num_nodes": np.int64(3)},
        sp.csr_array(DENSE.numpy()),
        sp.csc_matrix(DENSE.numpy().astype(bool)),
        DENSE.to_sparse(),
        quiet_csr(DENSE),
        SimpleNamespace(edge_index=EDGES),
        SimpleNamespace(adj_t=quiet_csr(DENSE)),
        SimpleNamespace(adj_t=SimpleNamespace(coo=lambda: (EDGES[1], EDGES[0], None)), num_nodes=3),
        networkx.DiGraph(EDGES.T.tolist()),
        [EDGES],
        Graph.of(EDGES),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_form_of_one_graph(given: Any) -> None:
    graph = Graph.of(given)
    assert torch.equal(dense(graph), DENSE)
    assert graph.num_nodes == 3
    assert graph.num_edges == 4
    assert graph.edge_weight is None
    assert not graph.symmetric
    assert torch.equal(graph.in_counts(), torch.tensor([1.0, 1, 2], dtype=torch.float64))


@pytest.mark.parametrize(
    "given",
    [
        (EDGES, WEIGHT),
        (EDGES.numpy(), WEIGHT.numpy()),
        (EDGES, WEIGHT[:, None]),
        {"edge_index": EDGES, "edge_weight": WEIGHT},
        SimpleNamespace(edge_index=EDGES, edge_weight=WEIGHT),
        sp.coo_array(HEAVY.numpy()),
        HEAVY.to_sparse(),
        SimpleNamespace(adj_t=SimpleNamespace(coo=lambda: (EDGES[1], EDGES[0], WEIGHT)), num_nodes=3),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_form_of_one_weighted_graph(given: Any) -> None:
    graph = Graph.of(given)
    assert torch.equal(dense(graph), HEAVY)
    assert torch.equal(graph.in_counts(), torch.tensor([1.0, 1, 2], dtype=torch.float64))


def test_pyg_data(pyg: ModuleType) -> None:
    x = torch.rand(3, 2)
    data = pyg.data.Data(x=x, edge_index=EDGES, edge_attr=WEIGHT)
    assert torch.equal(dense(Graph.of(data)), DENSE)
    assert Graph.of(data).x is not None
    assert torch.equal(dense(Graph.of(data, edge_weight="edge_attr")), HEAVY)
    assert torch.equal(dense(Graph.of(data, edge_weight=WEIGHT)), HEAVY)
    with pytest.raises(NeedError, match="edge_weight='weight', but the data has no attribute of that name"):
        Graph.of(data, edge_weight="weight")
    sparse = pyg.data.Data(x=x, edge_index=EDGES, edge_weight=WEIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = pyg.transforms.ToSparseTensor()(sparse)
    assert torch.equal(dense(Graph.of(sparse)), HEAVY)
    assert Graph.of(pyg.data.Data(edge_index=EDGES, num_nodes=7)).num_nodes == 7
    assert Graph.of(pyg.data.Data(edge_index=EDGES)).num_nodes == 3
    with pytest.raises(NeedError, match="neither edge_index nor adj_t"):
        Graph.of(pyg.data.Data(x=x))


def test_pyg_edge_index(pyg: ModuleType) -> None:
    edges = pyg.EdgeIndex(EDGES, sparse_size=(3, 3))
    assert torch.equal(dense(Graph.of(edges)), DENSE)


def test_several_graphs_are_blocks_of_one(pyg: ModuleType) -> None:
    parts = [
        pyg.data.Data(x=torch.rand(3, 2), edge_index=EDGES, edge_weight=WEIGHT),
        pyg.data.Data(x=torch.rand(2, 2), edge_index=torch.tensor([[0], [1]]), edge_weight=torch.ones(1)),
    ]
    expected = torch.block_diag(HEAVY, torch.tensor([[0, 0], [1.0, 0]], dtype=torch.float64))
    for given in (parts, tuple(parts), pyg.data.Batch.from_data_list(parts)):
        graph = Graph.of(given)
        assert torch.equal(dense(graph), expected)
        assert graph.x is not None
        assert torch.equal(graph.x, torch.cat([parts[0].x, parts[1].x]))
    renamed = [pyg.data.Data(edge_index=EDGES, w=WEIGHT), pyg.data.Data(edge_index=EDGES, w=WEIGHT)]
    assert Graph.of(renamed, edge_weight="w").num_nodes == 6


def test_lists_that_do_not_fit_together() -> None:
    with pytest.raises(NeedError, match="the list of graphs is empty"):
        Graph.of([])
    with pytest.raises(NeedError, match="graph 1 of the list has no edge_weight, others have"):
        Graph.of([(EDGES, WEIGHT), EDGES])
    with pytest.raises(NeedError, match="graph 0 of the list has no x, others have"):
        Graph.of([{"edge_index": EDGES}, {"edge_index": EDGES, "x": torch.ones(3, 1)}])
    with pytest.raises(NeedError, match=r"features of graph 1 of the list have width \(2,\), those of graph 0 \(1,\)"):
        Graph.of([{"edge_index": EDGES, "x": torch.ones(3, n)} for n in (1, 2)])
    with pytest.raises(NeedError, match="go into each graph of a list"):
        Graph.of([EDGES, EDGES], x=torch.ones(6, 1))


def test_heterogeneous_data(pyg: ModuleType) -> None:
    data = pyg.data.HeteroData()
    data["paper"].x = torch.rand(3, 2)
    data["author"].x = torch.rand(2, 2)
    data["paper", "cites", "paper"].edge_index = EDGES
    data["author", "writes", "paper"].edge_index = torch.tensor([[0], [2]])
    with pytest.raises(NeedError, match=r"choose one with edge_type=, of \('paper', 'cites', 'paper'\)"):
        Graph.of(data)
    graph = Graph.of(data, edge_type=("paper", "cites", "paper"))
    assert torch.equal(dense(graph), DENSE)
    assert torch.equal(graph.x, data["paper"].x)
    with pytest.raises(NeedError, match="joins two node types"):
        Graph.of(data, edge_type=("author", "writes", "paper"))
    with pytest.raises(NeedError, match="is not in the HeteroData"):
        Graph.of(data, edge_type=("paper", "likes", "paper"))
    with pytest.raises(NeedError, match="goes with HeteroData, not with Tensor"):
        Graph.of(EDGES, edge_type=("paper", "cites", "paper"))


def test_networkx_keeps_its_order_and_both_directions() -> None:
    graph = Graph.of(networkx.karate_club_graph())
    assert (graph.num_nodes, graph.num_edges) == (34, 156)
    assert graph.symmetric
    assert np.array_equal(dense(graph), networkx.to_numpy_array(networkx.karate_club_graph(), weight=None))
    loop = networkx.Graph([("b", "a"), ("a", "a")])
    loop.add_node("alone")
    assert torch.equal(dense(Graph.of(loop)), torch.tensor([[0, 1.0, 0], [1, 1, 0], [0, 0, 0]], dtype=torch.float64))
    assert torch.equal(dense(Graph.of(networkx.MultiDiGraph([(0, 1), (0, 1)])))[1, 0], torch.tensor(2.0).double())


def test_repeated_edges_are_summed_and_counted() -> None:
    edges = torch.tensor([[0, 0, 1, 0], [1, 1, 0, 1]])
    plain = Graph.of(edges)
    assert torch.equal(dense(plain), torch.tensor([[0, 1.0], [3, 0]], dtype=torch.float64))
    assert torch.equal(plain.in_counts(), torch.tensor([1.0, 3], dtype=torch.float64))
    assert not plain.symmetric
    weighted = Graph.of((edges, torch.tensor([1.0, 2, 7, 4])))
    assert torch.equal(dense(weighted), torch.tensor([[0, 7.0], [7, 0]], dtype=torch.float64))
    assert weighted.symmetric
    assert weighted.matrix(weighted=False).row_sums().tolist() == [1, 3]


def test_self_loops_and_isolated_nodes() -> None:
    graph = Graph.of((torch.tensor([[2, 0, 2], [2, 1, 2]]), torch.tensor([5.0, 1, 6])), num_nodes=5)
    nodes, weight = graph.self_loops()
    assert nodes.tolist() == [2]
    assert weight.tolist() == [6.0]
    assert graph.self_loops(weighted=False)[1].tolist() == [1.0]
    assert dense(graph)[2, 2] == 11
    assert graph.in_counts().tolist() == [0, 1, 2, 0, 0]


def test_the_number_of_nodes() -> None:
    assert Graph.of(EDGES, x=torch.ones(9, 1)).num_nodes == 9
    assert Graph.of(EDGES, num_nodes=9).num_nodes == 9
    assert Graph.of(Graph.of(EDGES), num_nodes=9).num_nodes == 9
    assert Graph.of(torch.empty(2, 0), num_nodes=4).num_edges == 0
    assert Graph.of(torch.empty(2, 0), x=torch.ones(4, 1)).matrix().dot(torch.ones(4).double()).tolist() == [0] * 4
    assert Graph.of(np.empty((2, 0)), num_nodes=1).symmetric


def test_what_is_made_is_kept() -> None:
    graph = Graph.of((EDGES, WEIGHT))
    assert Graph.of(graph) is graph
    assert graph.matrix() is graph.matrix()
    assert graph.matrix(weighted=False) is graph.matrix(weighted=False)
    assert graph.matrix(weighted=False) is not graph.matrix()
    with pytest.raises(AttributeError):
        graph.num_nodes = 4  # type: ignore[misc]
    assert repr(graph) == "Graph(3 nodes, 4 edges, weighted, no features)"


def test_what_is_given_stays_as_it_is() -> None:
    edges, weight = EDGES.clone(), WEIGHT.clone()
    x = torch.rand(3, 2, requires_grad=True)
    graph = Graph.of((edges, weight), x=x)
    graph.matrix()
    assert graph.symmetric is False
    graph.self_loops()
    graph.feature_rows()
    assert torch.equal(edges, EDGES)
    assert torch.equal(weight, WEIGHT)
    assert graph.edge_index.data_ptr() == edges.data_ptr()
    assert graph.x.data_ptr() == x.data_ptr()


def test_large_random_graphs_are_symmetric_only_if_they_are() -> None:
    generator = np.random.default_rng(0)
    half = generator.integers(0, 1000, (2, 5000))
    both = np.concatenate([half, half[::-1]], axis=1)
    assert Graph.of(both).symmetric
    assert not Graph.of(both[:, :-1]).symmetric
    turned = both.copy()
    turned[:, 0] = turned[::-1, 0]
    assert not Graph.of(turned).symmetric
    weight = generator.random(5000)
    assert Graph.of((both, np.concatenate([weight, weight]))).symmetric
    assert not Graph.of((both, np.concatenate([weight, weight * (1 + 1e-6)]))).symmetric


def test_indices_are_32_bit() -> None:
    matrix = Graph.of(EDGES).matrix()
    assert isinstance(matrix, ScipyCsr)
    assert matrix._matrix.indices.dtype == matrix._matrix.indptr.dtype == np.int32


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_row_moments(dtype: torch.dtype) -> None:
    x = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1]]).to(dtype)
    rows = Graph.of(EDGES, x=x).feature_rows()
    assert torch.allclose(rows[0], torch.tensor([2 / 3, 0, 1], dtype=torch.float64))
    assert torch.allclose(rows[1], torch.tensor([2 / 3, 0, 1], dtype=torch.float64))


def test_row_moments_of_other_shapes() -> None:
    x = torch.tensor([[1.0, 0, 3], [0, 0, 0], [2, 0, 0]])
    mean, square = Graph.of(EDGES, x=x).feature_rows()
    for other in (x.to_sparse(), quiet_csr(x), x[:, :, None], x.numpy()):
        assert torch.allclose(Graph.of(EDGES, x=other).feature_rows()[0], mean)
        assert torch.allclose(Graph.of(EDGES, x=other).feature_rows()[1], square)
    assert Graph.of(EDGES, x=x[:, 0]).feature_rows()[0].tolist() == [1, 0, 2]
    assert Graph.of(EDGES, x=torch.empty(3, 0)).feature_rows() is None
    big = torch.rand(3000, 1000)
    edges = torch.tensor([[0], [2999]])
    assert torch.allclose(Graph.of(edges, x=big).feature_rows()[1], big.double().square().mean(dim=1))


def nan_at(*where: int) -> Tensor:
    x = torch.ones(3, 4)
    x[where] = math.nan
    return x


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"edge_index": EDGES, "num_nodes": 2},
            r"holds the index 2, but there are 2 nodes \(0 to 1\); pass num_nodes=3",
        ),
        ({"edge_index": EDGES - 1}, "holds the negative index -1"),
        ({"edge_index": EDGES.float()}, "edge_index has dtype torch.float32, expected integers"),
        ({"edge_index": EDGES.bool()}, "edge_index has dtype torch.bool, expected integers"),
        ({"edge_index": EDGES.t()}, r"edge_index has shape \(4, 2\), expected \(2, E\): transpose it"),
        ({"edge_index": EDGES[0]}, r"edge_index has shape \(4,\), expected \(2, E\)$"),
        ({"edge_index": "01"}, "edge_index of type str is no numeric tensor or array"),
        ({"edge_index": torch.empty(2, 0)}, "it has no nodes"),
        ({"edge_index": torch.empty(2, 0), "num_nodes": 0}, "it has no nodes"),
        ({"edge_index": EDGES, "num_nodes": 2**31}, "node numbers must be below 2.31"),
        ({"edge_index": EDGES, "edge_weight": WEIGHT[:3]}, r"edge_weight has shape \(3,\), expected \(4,\)"),
        ({"edge_index": EDGES, "edge_weight": WEIGHT - 1}, "1 negative value .the lowest -0.5., the first at edge 0"),
        ({"edge_index": EDGES, "edge_weight": -WEIGHT}, "4 negative values"),
        ({"edge_index": EDGES, "edge_weight": WEIGHT / 0}, "4 NaN or infinite values, the first at edge 0"),
        ({"edge_index": EDGES, "edge_weight": [1, 1, math.nan, 1]}, "1 NaN or infinite value, the first at edge 2"),
        ({"edge_index": EDGES, "edge_weight": WEIGHT * 1j}, "edge_weight has dtype torch.complex64"),
        ({"edge_index": EDGES, "x": nan_at(1, 2)}, "x holds 1 NaN or infinite value, the first in row 1"),
        ({"edge_index": EDGES, "x": nan_at(2)}, "x holds 4 NaN or infinite values, the first in row 2"),
        ({"edge_index": EDGES, "x": nan_at(1, 2).half()}, "x holds 1 NaN or infinite value, the first in row 1"),
        ({"edge_index": EDGES, "x": nan_at(1, 2).to_sparse()}, "x holds 1 NaN or infinite value, the first in row 1"),
        ({"edge_index": EDGES, "x": torch.ones(3, 2) / 0}, "x holds 6 NaN or infinite values, the first in row 0"),
        ({"edge_index": EDGES, "x": torch.ones(5, 2), "num_nodes": 3}, "x has 5 rows, but there are 3 nodes"),
        ({"edge_index": EDGES, "x": torch.tensor(1.0)}, "x has no rows, but there are 3 nodes"),
        ({"edge_index": EDGES, "x": torch.ones(2, 2)}, "holds the index 2, but there are 2 nodes"),
        ({"edge_index": EDGES, "x": torch.ones(3, 1) * 1j}, "x has dtype torch.complex64"),
        ({"edges": EDGES}, "no key 'edge_index'; the keys are 'edges'"),
        (sp.csr_array((2, 3)), r"the adjacency matrix has shape \(2, 3\), expected \(N, N\)"),
        (torch.ones(2, 3).to_sparse(), r"the adjacency matrix has shape \(2, 3\), expected \(N, N\)"),
        (sp.csr_array([[0, -1.0], [2, 0]]), "1 negative value"),
        (17, "cannot read a int; give a PyG Data, an edge_index"),
        ([17], "cannot read a int"),
    ],
)
def test_errors_name_the_argument(given: Any, message: str) -> None:
    with pytest.raises(NeedError, match=f"graph: .*{message}"):
        Graph.of(given)


def test_a_named_weight_must_be_there() -> None:
    with pytest.raises(NeedError, match="edge_weight='w', but there is no such key"):
        Graph.of({"edge_index": EDGES}, edge_weight="w")
    with pytest.raises(NeedError, match="edge_weight='w', but a Tensor has no named attributes"):
        Graph.of(EDGES, edge_weight="w")


def test_large_half_precision_features_are_no_error() -> None:
    assert Graph.of(EDGES, x=torch.full((3, 100), 60000.0).half()).feature_rows()[0][0] == 60000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_on_the_gpu() -> None:
    graph = Graph.of((EDGES.cuda(), WEIGHT.cuda()), x=torch.ones(3, 2).cuda())
    assert isinstance(graph.matrix(), TorchCsr)
    assert graph.matrix().dot(torch.ones(3, device="cuda").double()).tolist() == HEAVY.sum(dim=1).tolist()
    assert graph.feature_rows()[0].is_cuda
    assert not graph.symmetric
