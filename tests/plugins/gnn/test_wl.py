"""The WL check: what message passing cannot tell apart, and whether random features would help."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset
from torch_geometric.datasets import KarateClub

from initkit import NeedError, OptionError
from initkit_gnn import Graph, wl_check
from initkit_gnn.refinement import Edges, count_classes, refine, start_colours


def cycle(n: int, first: int = 0) -> Tensor:
    i = torch.arange(n)
    return torch.stack([torch.cat([i, (i + 1) % n]), torch.cat([(i + 1) % n, i])]) + first


def ring(n: int, label: int = 0) -> Data:
    return Data(edge_index=cycle(n), num_nodes=n, y=torch.tensor([label]))


def rings(n: int, label: int = 1) -> Data:
    return Data(edge_index=torch.cat([cycle(n), cycle(n, n)], 1), num_nodes=2 * n, y=torch.tensor([label]))


def of(g: nx.Graph, **more: Any) -> Data:
    pairs = torch.tensor(list(g.edges), dtype=torch.long).reshape(-1, 2).T
    return Data(edge_index=torch.cat([pairs, pairs.flip(0)], 1), num_nodes=len(g), **more)


def test_one_cycle_and_two_need_random_features() -> None:
    found = wl_check([ring(6), rings(3), ring(8), rings(4)])
    assert (found.level, found.count, found.classes, found.rounds, found.stable) == ("graph", 4, 2, 0, True)
    assert (found.identical_pairs, found.conflicting_pairs, found.conflicting_share) == (2, 2, 1.0)
    assert found.ceiling == 0.5
    assert (found.tested, found.separable) == (2, 2)
    assert found.needed is True
    assert "Yes: without random features no message passing gets above 0.500" in str(found)
    json.dumps(found.to_dict())


def test_equal_labels_need_none() -> None:
    found = wl_check([ring(6), rings(3), ring(8)], labels=[0, 0, 1])
    assert (found.identical_pairs, found.conflicting_pairs, found.ceiling, found.needed) == (1, 0, 1.0, False)
    assert "equal labels" in found.verdict


def test_graphs_that_are_the_same_cannot_be_mended() -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    twin = Data(edge_index=order[cycle(6)], num_nodes=6, y=torch.tensor([1]))
    found = wl_check([ring(6), twin])
    assert (found.conflicting_pairs, found.tested, found.separable, found.needed) == (1, 1, 0, None)
    assert "contradicting labels" in found.verdict


def test_graphs_that_refinement_tells_apart() -> None:
    found = wl_check([ring(5), ring(6), of(nx.path_graph(5), y=torch.tensor([1]))])
    assert (found.identical_pairs, found.needed) == (0, False)
    assert "can tell all graphs apart" in str(found)
    assert wl_check([ring(5), ring(6)], labels=[0, 1]).conflicting_share == 0.0


def test_without_labels_it_only_counts() -> None:
    graphs = [Data(edge_index=g.edge_index, num_nodes=g.num_nodes) for g in (ring(6), rings(3))]
    found = wl_check(graphs)
    assert (found.conflicting_pairs, found.ceiling, found.needed, found.conflicting_share) == (None, None, None, None)
    assert "Perhaps" in found.verdict


def test_features_may_tell_graphs_apart() -> None:
    one, two = ring(6), rings(3)
    one.x, two.x = torch.ones(6, 2), torch.ones(6, 2)
    assert wl_check([one, two]).needed is True
    two.x = torch.tensor([[1.0, 1], [1, 1], [1, 0], [1, 1], [1, 1], [1, 1]])
    assert wl_check([one, two]).needed is False
    assert wl_check([one, two], use_features=False).needed is True


def test_weights_may_tell_graphs_apart() -> None:
    one, two = ring(6), rings(3)
    one.edge_weight, two.edge_weight = torch.ones(12), torch.full((12,), 2.0)
    assert wl_check([one, two]).needed is False


def test_rounds_are_layers() -> None:
    # The ends of paths of 9 and 10 nodes are seen from the middle after four rounds.
    graphs = [of(nx.disjoint_union(nx.path_graph(a), nx.cycle_graph(4))) for a in (9, 10)]
    a, b = (Data(edge_index=g.edge_index, num_nodes=14) for g in graphs)
    short = wl_check(Batch.from_data_list([a, b]), labels=[0, 1], rounds=1)
    assert (short.rounds, short.stable) == (1, False)
    assert wl_check([a, b], labels=[0, 1]).needed is False


def test_nodes() -> None:
    # Nodes of a triangle and of a hexagon look the same; in the triangle they have another label.
    edges = torch.cat([cycle(3), cycle(6, 3)], 1)
    y = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 0])
    found = wl_check(Data(edge_index=edges, num_nodes=9, y=y))
    assert (found.level, found.count, found.classes) == ("node", 9, 1)
    assert (found.identical_pairs, found.conflicting_pairs) == (36, 18)
    assert found.ceiling == pytest.approx(6 / 9)
    assert found.tested == 1
    assert found.separable == 1
    assert found.needed is True
    # All nodes of one ring are alike: no features without a meaning of their own can tell them apart.
    alike = wl_check(Data(edge_index=cycle(6), num_nodes=6, y=torch.tensor([0, 1, 0, 0, 0, 0])))
    assert alike.needed is None


def test_unlabelled_nodes_are_left_out() -> None:
    y = torch.tensor([1, -1, -1, 0, -1, -1, -1, -1, -1])
    found = wl_check(Data(edge_index=torch.cat([cycle(3), cycle(6, 3)], 1), num_nodes=9, y=y))
    assert (found.count, found.identical_pairs, found.conflicting_pairs) == (2, 1, 1)
    values = y.double()
    values[values < 0] = torch.nan
    assert wl_check(cycle(9), labels=values).count == 2


def test_a_real_graph() -> None:
    found = wl_check(KarateClub()[0])
    assert found.level == "node"
    assert found.needed is False
    plain = wl_check(KarateClub()[0], use_features=False)
    assert plain.classes == 27
    assert plain.needed is False


class Few(InMemoryDataset):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate([ring(6), rings(3)])


def test_data_sets_batches_and_lists() -> None:
    wanted = wl_check([ring(6), rings(3)])
    assert wl_check(Few()) == wanted
    assert wl_check(Batch.from_data_list([ring(6), rings(3)])) == wanted
    assert wl_check((ring(6), rings(3)), labels=torch.tensor([[0, 1], [1, 1]])) == wanted
    assert wl_check([ring(6), rings(3)], level="node", labels=[0] * 6 + [1] * 6).level == "node"
    assert wl_check([ring(6), rings(3)], labels=[0] * 6 + [1] * 6).level == "node"
    plain = [Data(edge_index=cycle(6), num_nodes=6, y=0), Data(edge_index=rings(3).edge_index, num_nodes=6, y=1)]
    assert wl_check(plain) == wanted


def test_bad_input() -> None:
    with pytest.raises(NeedError, match="3 labels for 2 graphs"):
        wl_check([ring(6), rings(3)], labels=[0, 1, 2])
    with pytest.raises(NeedError, match="single value"):
        wl_check(cycle(4), labels=np.array(1), level="node")
    with pytest.raises(OptionError, match="level"):
        wl_check([ring(6)], level="edge")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="rounds"):
        wl_check([ring(6)], rounds=-1)
    with pytest.raises(NeedError):
        wl_check([])


def naive(g: nx.Graph, colours: list[Any]) -> list[int]:
    """Colour refinement by the book: names of classes."""
    while True:
        seen = [(colours[v], tuple(sorted(colours[u] for u in g.neighbors(v)))) for v in g]
        names = {one: i for i, one in enumerate(sorted(set(seen)))}
        following = [names[one] for one in seen]
        if len(set(following)) == len(set(colours)):
            return following
        colours = following


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.floats(0.05, 0.9), st.integers(0, 2**31), st.integers(1, 3))
def test_refinement_agrees_with_the_book(n: int, chance: float, seed: int, kinds: int) -> None:
    g = nx.gnp_random_graph(n, chance, seed=seed)
    types = np.random.default_rng(seed).integers(kinds, size=n)
    x = torch.from_numpy(np.eye(kinds)[types])
    graph = Graph.of(of(g), x=x)
    found = refine(Edges(graph), start_colours(graph.x, n)).colours
    wanted = naive(g, types.tolist())
    assert [found[i] == found[j] for i in range(n) for j in range(n)] == [
        wanted[i] == wanted[j] for i in range(n) for j in range(n)
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.floats(0.1, 0.9), st.integers(0, 2**31))
def test_isomorphic_graphs_are_never_told_apart(n: int, chance: float, seed: int) -> None:
    g = nx.gnp_random_graph(n, chance, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    twin = nx.relabel_nodes(g, dict(enumerate(order.tolist())))
    twin = nx.Graph(list(twin.edges))
    twin.add_nodes_from(range(n))
    found = wl_check([of(g), of(nx.relabel_nodes(twin, {i: i for i in range(n)}))], labels=[0, 1], level="graph")
    assert found.identical_pairs == 1
    assert found.separable == 0


def test_sparse_and_dense_features_start_alike() -> None:
    x = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, -0.0], [0.0, 2.0, 0.0]])
    dense, sparse = start_colours(x, 3), start_colours(x.to_sparse(), 3)
    assert np.array_equal(dense, sparse)
    assert count_classes(dense) == 2
    assert dense[0] == dense[2]
    assert np.array_equal(start_colours(x.to(torch.bfloat16), 3), dense)


def test_directed_edges_carry_colours_to_their_targets() -> None:
    # 0 -> 1 -> 2: who hears what tells all three apart; 3 hears nothing, as 0.
    edges = torch.tensor([[0, 1], [1, 2]])
    graph = Graph.of(edges, num_nodes=4)
    colours = refine(Edges(graph), start_colours(None, 4)).colours
    assert count_classes(colours) == 3
    assert colours[0] == colours[3]
