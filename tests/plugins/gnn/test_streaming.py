"""Graphs whose edges stay on disk: the same results as in memory, with less memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GCN, GIN, GraphSAGE

import initkit
from initkit import NeedError, OptionError
from initkit_gnn import Graph, StreamedGraph, propagate_features
from initkit_gnn.operators import OPERATORS, operator


@pytest.fixture
def edges() -> np.ndarray:
    half = np.random.default_rng(0).integers(0, 60, (2, 300))
    return np.concatenate([half, half[::-1], np.array([[7, 7, 9], [7, 7, 9]])], axis=1)


def given_ways(edges: np.ndarray, folder: Path) -> dict[str, Any]:
    np.save(folder / "edges.npy", edges)
    np.save(folder / "small.npy", edges.astype(np.int32))
    np.save(folder / "turned.npy", np.asfortranarray(edges))
    np.save(folder / "a.npy", edges[:, :100])
    mapped = np.load(folder / "edges.npy", mmap_mode="r")
    return {
        "file": folder / "edges.npy",
        "name": str(folder / "small.npy"),
        "column by column": folder / "turned.npy",
        "memory map": mapped,
        "part of a memory map": [mapped[:, :37], mapped[:, 37:]],
        "several": [folder / "a.npy", edges[:, 100:]],
        "tensor": torch.from_numpy(edges),
        "function": lambda: iter([edges[:, :5], edges[:, 5:]]),
    }


@pytest.mark.parametrize("chunk", [1000, 64])
def test_every_way_to_give_edges(edges: np.ndarray, tmp_path: Path, chunk: int) -> None:
    whole = Graph.of(edges, num_nodes=60)
    v = torch.linspace(-1, 2, 60, dtype=torch.float64)
    for name, one in given_ways(edges, tmp_path).items():
        graph = StreamedGraph(one, chunk=chunk)
        assert (graph.num_nodes, graph.num_edges) == (60, 603), name
        assert torch.allclose(graph.matrix().dot(v), whole.matrix().dot(v)), name
        assert torch.allclose(graph.matrix().dot_t(v), whole.matrix().dot_t(v)), name
    assert repr(graph) == "Graph(60 nodes, 603 edges, unweighted, no features)"


@pytest.mark.parametrize("kind", list(OPERATORS))
@pytest.mark.parametrize("weighted", [False, True])
def test_operators_are_those_of_the_graph_in_memory(kind: str, weighted: bool, edges: np.ndarray) -> None:
    directed = edges[:, ::2]
    weight = np.random.default_rng(1).random(directed.shape[1]) if weighted else None
    streamed = StreamedGraph(directed, 62, edge_weight=weight, chunk=50)
    whole = Graph.of(directed, edge_weight=weight, num_nodes=62)
    here, there = operator(streamed, kind), operator(whole, kind)
    a = torch.linspace(0.1, 2, 62, dtype=torch.float64)
    block = torch.from_numpy(np.random.default_rng(2).standard_normal((62, 5)))
    for transposed in (False, True):
        assert torch.allclose(here.step(a, transposed=transposed), there.step(a, transposed=transposed))
    assert torch.allclose(here.many(block), there.many(block))
    assert torch.allclose(here.many(block.float()), there.many(block.float()), atol=1e-5)
    assert here.self_transposed == there.self_transposed


def test_squares_where_no_edge_is_repeated() -> None:
    path = np.array([[0, 1, 1, 2, 3], [1, 0, 2, 1, 3]])
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.5])
    streamed, whole = StreamedGraph(path, edge_weight=weight, chunk=2), Graph.of(path, edge_weight=weight)
    for kind in OPERATORS:
        here, there = operator(streamed, kind), operator(whole, kind)
        assert here.frobenius_squared() == pytest.approx(there.frobenius_squared())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 60), st.integers(1, 70), st.integers(0, 2**31))
def test_chunks_do_not_matter(n: int, count: int, chunk: int, seed: int) -> None:
    edges = np.random.default_rng(seed).integers(0, n, (2, count))
    streamed, whole = StreamedGraph(edges, n, chunk=chunk), Graph.of(edges, num_nodes=n)
    v = torch.linspace(1, 2, n, dtype=torch.float64)
    assert torch.allclose(operator(streamed, "gcn").linear(v), operator(whole, "gcn").linear(v))
    assert streamed.symmetric == whole.symmetric


@pytest.mark.parametrize("build", [GCN, GraphSAGE, GIN])
@pytest.mark.parametrize("variant", ["backward", "harmonic"])
def test_virgo_plans_the_same(build: Any, variant: str, edges: np.ndarray, tmp_path: Path) -> None:
    x = np.random.default_rng(3).random((60, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    recipe = initkit.recipe("gnn/virgo", variant=variant)
    model = build(8, 16, num_layers=3, out_channels=4)
    for form in (x, tmp_path / "x.npy", torch.from_numpy(x), np.load(tmp_path / "x.npy", mmap_mode="r")):
        streamed = initkit.plan(model, recipe, graph=StreamedGraph(edges, x=form, chunk=100))
        assert streamed.to_json() == initkit.plan(model, recipe, graph=Graph.of(edges, x=x)).to_json()


@pytest.mark.parametrize("options", [{}, {"norm": "l2", "operator": "adj"}, {"filter": "chebyshev"}])
def test_rfp_gives_the_same_features(options: dict[str, Any], edges: np.ndarray, tmp_path: Path) -> None:
    options = {"width": 4, "steps": 5, **options}
    wanted = propagate_features(Graph.of(edges), **options)
    graph = StreamedGraph(edges, chunk=77)
    assert torch.allclose(propagate_features(graph, **options), wanted, atol=1e-4)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, tuple(wanted.shape))
    assert propagate_features(graph, out=out, **options) is out
    assert np.allclose(np.load(tmp_path / "out.npy"), wanted.numpy(), atol=1e-4)
    report = initkit.apply(GCN(2, 4, 2), initkit.recipe("gnn/rfp", **options), graph=graph)
    assert torch.allclose(report.outputs["propagated_features"], wanted, atol=1e-4)


def test_what_needs_the_edges_in_memory_says_so(edges: np.ndarray) -> None:
    graph = StreamedGraph(edges, x=np.ones((60, 8), np.float32))
    with pytest.raises(NeedError, match="on disk"):
        initkit.apply(GCN(8, 16, 2), "gnn/calibrated", graph=graph)
    assert initkit.apply(GCN(8, 16, 2), "gnn/rni", graph=graph).outputs["random_features"].shape == (60, 40)


def test_bad_input(edges: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "no.npy").write_bytes(b"nothing")
    np.save(tmp_path / "flat.npy", np.arange(4))
    with np.errstate(all="ignore"):
        np.savez(tmp_path / "several.npz", a=edges)
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    bad = edges.copy()
    bad[1, 5] = -1
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (tmp_path / "missing.npy", {}, "no file"),
        (tmp_path / "no.npy", {}, "cannot read edge_index from no.npy"),
        (tmp_path / "several.npy", {}, "no .npy file of one array"),
        (tmp_path / "flat.npy", {}, r"shape \(4,\), expected \(2, E\)"),
        (edges.astype(float), {}, "expected integers"),
        (bad, {}, "negative index -1"),
        (edges, {"num_nodes": 50}, "index 59, but there are 50 nodes"),
        (edges + 2**31, {}, "below 2"),
        (np.empty((2, 0), np.int64), {}, "no nodes"),
        (edges, {"edge_weight": np.ones(5)}, "edge_weight has"),
        (edges, {"edge_weight": -np.ones(603)}, "negative"),
        (edges, {"edge_weight": np.full(603, np.nan)}, "NaN"),
        (lambda: iter([edges]), {"edge_weight": np.ones(603)}, "as pairs"),
        (lambda: iter([(edges, np.ones(3))]), {}, "edge_weight has shape"),
        (edges, {"x": np.ones((3, 2)), "num_nodes": 60}, "x has 3 rows"),
        (edges, {"x": tmp_path / "none.npy"}, "no file"),
    ]
    for edges_given, options, words in cases:
        with pytest.raises(NeedError, match=words) as caught:
            StreamedGraph(edges_given, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="chunk"):
        StreamedGraph(edges, chunk=0)


def test_a_file_of_edges_on_the_command_line(edges: np.ndarray, tmp_path: Path) -> None:
    from initkit_gnn.files import load_graph

    np.save(tmp_path / "edges.npy", edges)
    found = load_graph(tmp_path / "edges.npy")
    assert isinstance(found, StreamedGraph)
    assert found.num_edges == 603


LIMITED = """
import json, resource, sys
import numpy as np, torch
from torch_geometric.nn import GCN
import initkit
from initkit_gnn import Graph, StreamedGraph, propagate_features

torch.set_num_threads(1)
path, room = sys.argv[1], int(sys.argv[2])
model = GCN(4, 8, num_layers=3, out_channels=2)
tiny = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
recipe = initkit.recipe("gnn/virgo", variant="harmonic", signal="ones")
options = {"width": 2, "steps": 2, "include_r0": False}
initkit.apply(model, recipe, graph=StreamedGraph(tiny))  # libraries load what they need before the limit
propagate_features(StreamedGraph(tiny), **options)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = int(status["VmData"].split()[0]) * 1024 + room
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
graph = StreamedGraph(path, chunk=2**17)
plan = initkit.plan(model, recipe, graph=graph)
found = {"std": [fill.draw.std for fill in plan.fills], "edges": graph.num_edges}
found["norm"] = float(propagate_features(graph, **options).norm())
try:
    Graph.of(np.array(np.load(path))).matrix()
except (MemoryError, RuntimeError) as error:
    found["in memory"] = type(error).__name__
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on data is Linux's")
def test_a_graph_larger_than_memory(tmp_path: Path) -> None:
    half = np.random.default_rng(0).integers(0, 20_000, (2, 1_500_000))
    edges = np.concatenate([half, half[::-1]], axis=1)
    np.save(tmp_path / "edges.npy", edges)
    room = 32 * 2**20
    assert (tmp_path / "edges.npy").stat().st_size > room
    single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "edges.npy"), str(room)]
    done = subprocess.run(command, env=single, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["edges"] == 3_000_000
    assert found["in memory"] == "MemoryError"
    whole = Graph.of(edges)
    recipe = initkit.recipe("gnn/virgo", variant="harmonic", signal="ones")
    plan = initkit.plan(GCN(4, 8, num_layers=3, out_channels=2), recipe, graph=whole)
    assert found["std"] == [fill.draw.std for fill in plan.fills]
    wanted = propagate_features(whole, width=2, steps=2, include_r0=False)
    assert found["norm"] == pytest.approx(float(wanted.norm()), rel=1e-5)
