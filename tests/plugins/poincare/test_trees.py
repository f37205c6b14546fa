"""Trees: reading, checking, embedding, measuring, planning of precision."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from initkit import NeedError
from initkit_poincare import Tree, embed_tree, largest_radius, largest_scale, measured, scale_for
from initkit_poincare.directions import least_angle, simplex, sphere
from initkit_poincare.distortion import tree_distances
from initkit_poincare.geometry import distance, distances
from initkit_poincare.planning import estimate, scale_by_rule
from initkit_poincare.tree_files import load_nodes, load_tree

SEVEN = [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)]


def complete(branches: int, depth: int) -> list[int]:
    parents, level = [-1], [0]
    for _ in range(depth):
        below = []
        for node in level:
            for _ in range(branches):
                parents.append(node)
                below.append(len(parents) - 1)
        level = below
    return parents


def random_parents(nodes: int, seed: int) -> list[int]:
    numbers = np.random.default_rng(seed)
    return [-1, *(int(numbers.integers(0, i)) for i in range(1, nodes))]


def two_hop(tau: float, theta: float) -> float:
    return math.acosh(math.cosh(tau) ** 2 - math.sinh(tau) ** 2 * math.cos(theta))


# Golden values.


def test_seven_nodes_in_the_plane() -> None:
    points, numbers = embed_tree(Tree.of(SEVEN, root=0), 2, 1.0)
    assert numbers.words == "float64"
    assert points[0].tolist() == [0, 0]
    assert sorted(points[1:3, 0]) == pytest.approx([-0.4621171573, 0.4621171573], abs=1e-10)
    for node in (3, 4, 5, 6):
        assert abs(points[node]).tolist() == pytest.approx([0.6680700612, 0.2499612924], abs=1e-10)
        parent = 1 if node < 5 else 2
        assert points[node, 0] * points[parent, 0] > 0
    found = distances(torch.from_numpy(points), torch.from_numpy(points), 1.0)
    assert float(found[1, 2]) == pytest.approx(2, abs=1e-12)
    assert float(found[3, 4]) == pytest.approx(1.7877441356, abs=1e-10)
    crossing = sorted({round(float(found[a, b]), 10) for a in (3, 4) for b in (5, 6)})
    assert crossing == pytest.approx([3.4520514896, 3.5754882712], abs=1e-9)


@pytest.mark.parametrize(("tau", "degree", "value"), [(1.0, 4, 1.5133740066), (2.0, 5, 3.0021547001)])
def test_two_hop_distances(tau: float, degree: int, value: float) -> None:
    assert two_hop(tau, 2 * math.pi / degree) == pytest.approx(value, abs=1e-10)
    star = [(i, 0) for i in range(1, degree + 1)]
    points, _ = embed_tree(Tree.of(star, root=0), 2, tau)
    near = distances(torch.from_numpy(points[1:]), torch.from_numpy(points[1:]), 1.0)
    assert float(near[~torch.eye(degree, dtype=torch.bool)].min()) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("dim", "tau", "d_avg", "d_wc", "precision"),
    [
        (2, 2.0335, 0.1991, 1.854, 1.0),
        (2, 4.0, 0.1004, 1.196, 1.0),
        (2, 1.0, 0.406, 258, 0.250),
        (3, 2.0335, 0.1734, None, 1.0),
        (3, 4.0, 0.0886, 1.105, 1.0),
    ],
)
def test_complete_tree_of_1093_nodes(dim: int, tau: float, d_avg: float, d_wc: float | None, precision: float) -> None:
    tree = Tree.of(complete(3, 6))
    points, _ = embed_tree(tree, dim, tau)
    found = measured(tree, points, tau)
    assert found.average == pytest.approx(d_avg, abs=1e-3)
    assert found.map == pytest.approx(precision, abs=5e-4)
    if d_wc is not None:
        assert found.worst == pytest.approx(d_wc, rel=1e-3)
    else:
        assert found.worst < 1.322  # what unturned simplices give


def test_rule_for_the_scale() -> None:
    tree = Tree.of(complete(3, 3))  # inner nodes have four neighbours
    assert [scale_by_rule(tree, eps) for eps in (0.1, 0.5, 1.0)] == pytest.approx([23.769, 6.4825, 4.3217], abs=1e-3)
    assert scale_by_rule(tree, 1e9) == pytest.approx(4.0552, abs=1e-3)
    heavy = Tree.of([(a, b, 2.0) for a, b in SEVEN])
    assert scale_by_rule(heavy, 0.5) == pytest.approx(scale_by_rule(Tree.of(SEVEN), 0.5) / 2)


def test_estimate_of_the_distortion() -> None:
    # δ = -2 ln sin(θ/2); 3-ary in the plane at τ = 4: 1.210, 2-ary at 2.6: 1.124
    assert estimate(Tree.of(complete(3, 6)), 2, 4.0) == pytest.approx(1.210, abs=1e-3)
    assert estimate(Tree.of(complete(2, 8)), 2, 2.6) == pytest.approx(1.124, abs=1e-3)
    assert estimate(Tree.of(complete(3, 2)), 2, 0.1) == math.inf
    tree = Tree.of(complete(3, 4))
    assert estimate(tree, 3, scale_for(tree, 3, 0.1)) == pytest.approx(1.1)


# Invariants.


@settings(deadline=None, max_examples=25)
@given(nodes=st.integers(2, 60), seed=st.integers(0, 10**6), dim=st.sampled_from([2, 3, 5, 10]), reach=st.floats(1, 12))
def test_every_edge_has_its_length(nodes: int, seed: int, dim: int, reach: float) -> None:
    parents = random_parents(nodes, seed)
    lengths = np.random.default_rng(seed).uniform(0.5, 2, nodes)
    tree = Tree.of([(i, p, float(lengths[i])) for i, p in enumerate(parents) if p >= 0])
    tau = reach / tree.height
    points = torch.from_numpy(embed_tree(tree, dim, tau, seed=seed)[0])
    inner = torch.from_numpy(np.flatnonzero(tree.parent >= 0))
    found = distance(points[inner], points[torch.from_numpy(tree.parent)[inner]], 1.0)
    wanted = torch.from_numpy(tau * tree.length)[inner]
    assert torch.allclose(found, wanted, rtol=1e-9 if reach < 10 else 1e-7)
    assert float(points.norm(dim=1).max()) < 1


@settings(deadline=None, max_examples=20)
@given(nodes=st.integers(3, 40), seed=st.integers(0, 10**6))
def test_neighbours_stand_at_equal_angles_in_the_plane(nodes: int, seed: int) -> None:
    tree = Tree.of(random_parents(nodes, seed))
    tau = 6 / tree.height
    points = torch.from_numpy(embed_tree(tree, 2, tau)[0])
    for node in range(nodes):
        near = [*np.flatnonzero(tree.parent == node), *([tree.parent[node]] if tree.parent[node] >= 0 else [])]
        pairs = list(itertools.combinations(near, 2))
        found = sorted(float(distance(points[int(a)], points[int(b)], 1.0)) for a, b in pairs)
        steps = sorted(
            two_hop(tau, 2 * math.pi * (b - a) / len(near)) for a, b in itertools.combinations(range(len(near)), 2)
        )
        assert found == pytest.approx(steps, rel=1e-6)


def test_numbering_and_order_of_edges_do_not_matter_for_edges_and_worst_pairs() -> None:
    parents = complete(3, 4)
    numbers = np.random.default_rng(0)
    shuffled = numbers.permutation(len(parents))
    edges = [(int(shuffled[i]), int(shuffled[p])) for i, p in enumerate(parents) if p >= 0]
    one, two = Tree.of(parents), Tree.of([edges[i] for i in numbers.permutation(len(edges))])
    a, b = (measured(tree, embed_tree(tree, 2, 2.0)[0], 2.0) for tree in (one, two))
    assert a.worst == pytest.approx(b.worst, rel=1e-6)
    assert a.average == pytest.approx(b.average, rel=1e-6)
    assert (a.map, b.map) == (1.0, 1.0)


def test_large_subtrees_are_kept_apart() -> None:
    # A hub with 30 leaves and three long branches: given in one row, branches would be neighbours.
    edges = [(i, 0) for i in range(1, 34)]
    nodes = 34
    for branch in (1, 2, 3):
        for _ in range(40):
            edges.append((nodes, branch))
            nodes += 1
    tree = Tree.of(edges, root=0)
    spread, given = (
        measured(tree, embed_tree(tree, 2, 3.0, children=kind)[0], 3.0).average for kind in ("spread", "given")
    )
    assert spread < 0.7 * given


# Precision.


def test_digits_follow_the_radius() -> None:
    path = Tree.of([(i, i - 1) for i in range(1, 17)])
    tau = 36.0 / path.height
    points, numbers = embed_tree(path, 3, tau)
    assert numbers.digits == math.ceil(0.87 * 36) + 10
    assert np.isfinite(points).all()
    _, numbers = embed_tree(path, 3, 15 / path.height)
    assert numbers.digits == 0


def test_many_digits_agree_with_float64_where_both_hold() -> None:
    tree = Tree.of(random_parents(30, 3))
    tau = 12 / tree.height
    plain, _ = embed_tree(tree, 4, tau)
    import initkit_poincare.numbers as numbers

    threshold, numbers.FLOAT64_RADIUS = numbers.FLOAT64_RADIUS, 0.0
    try:
        exact, used = embed_tree(tree, 4, tau)
    finally:
        numbers.FLOAT64_RADIUS = threshold
    assert used.digits > 0
    assert np.allclose(plain, exact, atol=1e-9)


def test_largest_radii() -> None:
    assert largest_radius(torch.float32, 4e-3) == pytest.approx(6.212606096, abs=1e-3)
    assert largest_radius(torch.float64, 1e-5) == pytest.approx(12.206067645, abs=0.1)
    assert 2 * math.atanh(1 - 4e-3) == pytest.approx(6.212606096, abs=1e-9)
    assert 2 * math.atanh(1 - 1e-5) == pytest.approx(12.206067645, abs=1e-9)
    assert largest_radius(torch.float32, 0.0) == pytest.approx(24 * math.log(2))
    assert largest_radius(torch.float64, 0.0) == pytest.approx(53 * math.log(2))
    assert largest_radius(torch.bfloat16) == largest_radius(torch.float16) == 3.0
    assert largest_scale(Tree.of(SEVEN), torch.float32) == pytest.approx(6.2126 / 2, abs=1e-3)
    assert largest_scale(Tree.of([-1]), torch.float32) == math.inf


# Directions.


def test_directions_are_optimal_where_the_optimum_is_known() -> None:
    for count, dim in ((2, 3), (4, 3), (11, 10), (3, 10)):
        s = simplex(count, dim)
        cosines = (s @ s.T)[~np.eye(count, dtype=bool)]
        assert cosines == pytest.approx(-1 / (count - 1), abs=1e-14)
        assert np.allclose(s.sum(axis=0), 0, atol=1e-14)
    s = sphere(15, 10)
    assert (s @ s.T)[~np.eye(15, dtype=bool)].max() <= 0
    assert least_angle(15, 10) == math.pi / 2
    assert least_angle(1, 4) == math.pi


@pytest.mark.parametrize(("count", "dim", "degrees"), [(12, 3, 60.0), (24, 4, 55.0), (37, 10, 75.0)])
def test_optimised_directions(count: int, dim: int, degrees: float) -> None:
    # The icosahedron has 63.4°, the 24-cell 60°: the search comes near.
    s = sphere(count, dim)
    assert np.allclose(np.linalg.norm(s, axis=1), 1)
    assert math.degrees(least_angle(count, dim)) > degrees
    assert np.array_equal(s, sphere(count, dim))
    before = torch.get_rng_state()
    assert not np.array_equal(s, sphere(count, dim, seed=1))
    assert torch.equal(before, torch.get_rng_state())


def test_thousands_of_directions_are_random() -> None:
    s = sphere(3000, 5)
    assert s.shape == (3000, 5)
    assert np.allclose(np.linalg.norm(s, axis=1), 1)


# Measuring.


def test_distances_in_trees_are_those_of_networkx() -> None:
    parents = random_parents(50, 1)
    lengths = np.random.default_rng(1).uniform(0.5, 2, 50)
    graph = networkx.Graph()
    for i, p in enumerate(parents):
        if p >= 0:
            graph.add_edge(i, p, weight=lengths[i])
    tree = Tree.of(graph)
    order = {node: i for i, node in enumerate(tree.nodes)}
    wanted = dict(networkx.all_pairs_dijkstra_path_length(graph))
    found = tree_distances(tree, np.arange(50))
    for a in range(50):
        for b in range(50):
            assert found[order[a], order[b]] == pytest.approx(wanted[a][b])


def test_average_precision_by_hand() -> None:
    # The path 0-1-2 with points at 0, 0.2 and 0.1: 0 finds 1 behind 2 (1/2), 1 finds 2 and 0 (1), 2 finds 1 at 0.1 as
    # far as 0 in Euclid's terms but, farther out, farther than 0 in the ball's (1/2).
    tree = Tree.of([-1, 0, 1])
    assert tree.nodes == (0, 1, 2)
    points = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.1, 0.0]], dtype=torch.float64)
    found = measured(tree, points)
    assert found.map == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found.nodes == 3
    ratios = [2 * math.atanh(0.2) / 1, 2 * math.atanh(0.1) / 2, (2 * math.atanh(0.2) - 2 * math.atanh(0.1)) / 1]
    assert found.worst == pytest.approx(max(ratios) / min(ratios))
    assert found.average == pytest.approx(sum(abs(r - 1) for r in ratios) / 3)


def test_large_trees_are_measured_from_a_sample() -> None:
    tree = Tree.of(random_parents(3500, 0))
    points, _ = embed_tree(tree, 5, 11 / tree.height)
    one, two = measured(tree, points, 11 / tree.height), measured(tree, points, 11 / tree.height)
    assert one == two
    assert one.nodes == 200
    other = measured(tree, points, 11 / tree.height, seed=1)
    assert other.average == pytest.approx(one.average, rel=0.05)


def test_deep_trees_need_no_recursion() -> None:
    tree = Tree.of([(i, i - 1) for i in range(1, 5000)])
    assert tree.height == 2500  # rooted at the middle
    points, _ = embed_tree(tree, 2, 10 / tree.height)
    assert np.isfinite(points).all()


# Reading.


@pytest.mark.parametrize(
    "given",
    [
        SEVEN,
        np.array(SEVEN),
        torch.tensor(SEVEN),
        [-1, 0, 0, 1, 1, 2, 2],
        np.array([-1, 0, 0, 1, 1, 2, 2]),
        {1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 2, 0: None},
        networkx.Graph(SEVEN),
        sparse.coo_matrix((np.ones(6), np.array(SEVEN).T), shape=(7, 7)),
        torch.tensor(SEVEN).T,
    ],
    ids=["pairs", "array", "tensor", "parents", "parent array", "mapping", "networkx", "sparse", "edge_index"],
)
def test_trees_are_read_from_what_users_have(given: Any) -> None:
    tree = Tree.of(given)
    by_name = {tree.nodes[i]: tree.nodes[p] if p >= 0 else None for i, p in enumerate(tree.parent.tolist())}
    assert by_name == {0: None, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 2}
    assert Tree.of(tree) is tree


def test_names_weights_and_roots() -> None:
    tree = Tree.of([("b", "a", 2.0), ("c", "b", 1.0), ("d", "c", 1.0)])
    assert tree.nodes[tree.root] == "b"  # half way along a-b-c-d of length 4
    assert tree.height == 2
    assert Tree.of(SEVEN, root=3).height == 4
    assert Tree.of(SEVEN, root="first").nodes[Tree.of(SEVEN, root="first").root] == 0
    assert len(Tree.of([-1])) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([(0, 1), (1, 2), (2, 0)], r"edge 2 \(2, 0\) closes a cycle.*first_parent.*bfs_tree"),
        ([("a", "b"), ("c", "d")], r"forest of 2 trees.*virtual_root"),
        ([(0, 1), (2, 3), (3, 4), (4, 2)], "forest"),
        ([(0, 1, 0.0)], r"edge 0 \(0, 1\) has length 0; lengths must be positive"),
        ([(0, 1, float("nan"))], "lengths must be positive"),
        ([(0, 0)], "joins a node to itself"),
        ([(0, 1), (1, 0)], r"is given 2 times"),
        ([(0, -1), (1, 0)], "names a negative node"),
        ([0.5, 1.5], "parent|tree"),
        ([], "no tree"),
        ([5, 0], r"node 0 has the parent 5"),
        ("text", "no tree"),
        (np.zeros((2, 2, 2)), "no tree"),
    ],
)
def test_what_is_no_tree_is_refused(given: Any, words: str) -> None:
    with pytest.raises(NeedError, match=words) as refused:
        Tree.of(given)
    assert "\n" not in str(refused.value)


def test_unknown_roots_are_refused() -> None:
    with pytest.raises(NeedError, match="root 'zebra' is no node"):
        Tree.of(SEVEN, root="zebra")


def test_dags_forests_and_graphs_on_request() -> None:
    dag = Tree.of([("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")], cycles="first_parent")
    assert dag.notes == ("1 edges were dropped: each node keeps its first parent",)
    assert len(dag) == 4
    wood = Tree.of([("b", "a"), ("d", "c"), ("e", "d")], forest="virtual_root", forest_gap=0.5)
    assert wood.virtual == wood.root == 5
    assert "2 trees are joined" in wood.notes[0]
    points, _ = embed_tree(wood, 3, 2.0)
    found = measured(wood, points, 2.0)
    assert found.nodes == 5
    ring = Tree.of([(i, (i + 1) % 6) for i in range(6)], cycles="bfs_tree")
    assert len(ring) == 6
    assert "1 are not embedded" in ring.notes[0]


def test_files(tmp_path: Path) -> None:
    text = "# a comment\nchild,parent,length\nb, a, 2\nc, b, 1\n"
    (tmp_path / "tree.csv").write_text(text)
    assert load_tree(str(tmp_path / "tree.csv")) == [("b", "a", 2.0), ("c", "b", 1.0)]
    (tmp_path / "tree.tsv").write_text("1\t0\n2\t0\n")
    assert load_tree(str(tmp_path / "tree.tsv")) == [(1, 0), (2, 0)]
    (tmp_path / "tree.json").write_text("[-1, 0, 0]")
    assert len(Tree.of(load_tree(str(tmp_path / "tree.json")))) == 3
    np.savez(tmp_path / "tree.npz", parents=np.array([-1, 0, 0]))
    assert len(Tree.of(load_tree(str(tmp_path / "tree.npz")))) == 3
    np.save(tmp_path / "tree.npy", np.array(SEVEN))
    assert len(Tree.of(load_tree(str(tmp_path / "tree.npy")))) == 7
    (tmp_path / "nodes.txt").write_text("a\nb\nc\n")
    assert load_nodes(str(tmp_path / "nodes.txt")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tree.csv", "", "holds no edges"),
        ("tree.csv", "a,b,c,d\n", "line 1 .* has 4 parts"),
        ("tree.csv", "a,b,long\n", "the length 'long' is no number"),
        ("tree.json", "{", "cannot be read"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(NeedError, match=words):
        load_tree(str(tmp_path / name))
