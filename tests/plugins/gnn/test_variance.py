"""Golden values of section 10 of the gnn spec, and what the variances must not depend on."""

from __future__ import annotations

import itertools
import math

import networkx
import numpy as np
import pytest
import torch

from initkit.errors import InitError, NeedError, OptionError, PlanError
from initkit_gnn.graph import Graph
from initkit_gnn.operators import operator
from initkit_gnn.variance import Layer, log_energies, round_scale, virgo_variances

PATH_EDGES = [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]


def path() -> Graph:
    x = torch.tensor([[1.0, 0], [0, 2], [3, 1], [0, 0]])
    return Graph.of(torch.tensor(PATH_EDGES), x=x)


def karate() -> Graph:
    i = np.arange(34)
    return Graph.of(networkx.karate_club_graph(), x=np.stack([(i + 1) / 34, (i * i % 7) / 7], axis=1))


def star() -> Graph:
    out = torch.tensor([[0] * 5, [1, 2, 3, 4, 5]])
    return Graph.of(torch.cat([out, out.flip(0)], dim=1), x=torch.ones(6, 3))


def stack(*widths: int, operator: str = "gcn", **options: object) -> list[Layer]:
    return [Layer(a, b, operator, options) for a, b in itertools.pairwise(widths)]


def close(values: object, golden: list[float]) -> bool:
    return bool(np.allclose(values, golden, rtol=2e-5, atol=0))


GOLDEN = {
    "G1": (
        path,
        stack(2, 8, 8, 3),
        3,
        {
            "forward": [1, 0.2544476, 0.2501905],
            "backward": [0.250002, 0.2500689, 0.5049595],
            "harmonic": [0.4000025, 0.2522393, 0.3345986],
            "mean": [0.625001, 0.2522583, 0.377575],
        },
    ),
    "G2": (
        karate,
        stack(2, 16, 16, 16, 4),
        4,
        {
            "forward": [1, 0.1297619, 0.1272222, 0.1264048],
            "backward": [0.1250836, 0.1252794, 0.1263028, 0.3583647],
            "harmonic": [0.2223543, 0.1274813, 0.1267608, 0.1868889],
            "mean": [0.5625418, 0.1275207, 0.1267625, 0.2423848],
        },
    ),
    "G3": (
        star,
        stack(3, 8, 8, 2),
        2,
        {"forward": [0.6666667, 0.2514588, 0.2501622], "backward": [0.2501622, 0.2514588, 1.052211]},
    ),
}


@pytest.mark.parametrize(("name", "variant"), [(n, v) for n, case in GOLDEN.items() for v in case[3]])
def test_the_authors_variances(name: str, variant: str) -> None:
    graph, layers, classes, golden = GOLDEN[name]
    found = virgo_variances(graph(), layers, classes, variant=variant, operator="gcn")
    assert close(found.variance, golden[variant])
    assert not found.notes


def test_the_authors_energies_of_a_path() -> None:
    found = virgo_variances(path(), stack(2, 8, 8, 3), 3, variant="mean", operator="gcn")
    assert close(np.exp(found.log_c)[1:], [3.549872, 3.487822, 3.485167])
    assert close(np.exp(found.log_b), [4, 3.960714, 3.959623, 3.959593])
    assert close(np.sqrt(3 * np.array(found.forward)), [1.732051, 0.8736949, 0.8663553])


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [
        ("gcn", [5.54001, 5.336707, 5.243488], [31.62514, 31.29894, 31.22914]),
        ("gat", [6.621827, 5.97927, 5.946773], [60.43715, 45.52339, 50.9572]),
        ("sage", [13.95584, 27.51235, 53.94204], [129.655, 286.4638, 585.3628]),
        ("gin", [268.208, 14758.21, 853397.1], [1558, 89300, 5282844]),
        ("graphconv", [212.3112, 9067.466, 406023.3], [1246, 55173.82, 2515679]),
    ],
)
def test_operator_aware_energies_on_the_karate_club(kind: str, forward: list[float], backward: list[float]) -> None:
    found = virgo_variances(karate(), stack(2, 16, 16, 4, operator=kind), 4, variant="mean")
    assert close(np.exp(found.log_c)[1:], forward)
    assert close(np.exp(found.log_b)[1:], backward)


def test_the_first_layer_knows_its_operator_only_in_a_model() -> None:
    layers = stack(2, 8, 8, 3)
    authors = virgo_variances(path(), layers, 3, variant="forward", operator="gcn")
    model = virgo_variances(path(), layers, 3, variant="forward")
    assert authors.variance[0] == 1
    assert model.variance[0] == pytest.approx(5.25 / 3.549872, rel=1e-6)
    assert model.variance[1:] == authors.variance[1:]
    assert model.forward_factors is not None
    assert model.variance[0] == pytest.approx(1 / model.forward_factors[0], rel=1e-6)


def test_one_layer() -> None:
    graph = karate()
    b_1 = 31.62514
    assert virgo_variances(graph, [Layer(2, 4)], 4, variant="forward", operator="gcn").variance == (1.0,)
    assert close(virgo_variances(graph, [Layer(2, 4)], 4).variance, [34 / (3 * b_1)])


def test_one_class_counts_as_two_and_says_so() -> None:
    one = virgo_variances(karate(), stack(2, 8, 1), 1)
    assert one.variance == virgo_variances(karate(), stack(2, 8, 1), 2).variance
    assert "C - 1" in one.notes[0]


def test_the_gain_takes_the_place_of_2() -> None:
    tanh = virgo_variances(path(), stack(2, 8, 8, 3), 3, variant="mean", gain=5 / 3)
    relu = virgo_variances(path(), stack(2, 8, 8, 3), 3, variant="mean")
    assert np.allclose(np.array(tanh.forward) / np.array(relu.forward), 25 / 18, rtol=1e-6)
    assert np.allclose(np.array(tanh.backward)[:-1] / np.array(relu.backward)[:-1], 25 / 18, rtol=1e-6)
    assert tanh.backward[-1] == relu.backward[-1]


def test_layers_with_different_operators() -> None:
    graph = karate()
    kinds = ["sage", "gcn", "gin"]
    found = virgo_variances(graph, [Layer(4, 4, kind) for kind in kinds], 3, variant="mean")
    a = graph.feature_rows()[0]
    z = torch.ones(34, dtype=torch.float64)
    for k, kind in enumerate(kinds):
        a = operator(graph, kind).step(a)
        z = operator(graph, kinds[2 - k]).step(z, transposed=True)
        assert math.exp(found.log_c[k + 1]) == pytest.approx(float(a.square().sum()), rel=1e-12)
        assert math.exp(found.log_b[k + 1]) == pytest.approx(float(z.square().sum()), rel=1e-12)
    assert found.backward_factors[2] == pytest.approx(math.exp(found.log_b[1] - found.log_b[0]))


def test_independent_neighbours_give_the_frobenius_norm() -> None:
    graph = karate()
    found = virgo_variances(graph, stack(2, 16, 4), 4, variant="forward", signal="ones", neighbour_correlation=0)
    norm = operator(graph, "gcn").frobenius_squared()
    assert norm / 34 == pytest.approx(0.17281594, rel=1e-7)
    assert found.variance[0] == pytest.approx(2 * 34 / (2 * norm), rel=1e-6)


def test_the_knob_between_independent_and_correlated_is_monotone() -> None:
    first = [
        virgo_variances(karate(), stack(2, 4), 2, variant="forward", neighbour_correlation=r).variance[0]
        for r in (0, 0.25, 0.5, 1)
    ]
    assert first == sorted(first, reverse=True)


@pytest.mark.parametrize("kind", ["gcn", "gat", "sage", "gin", "graphconv"])
@pytest.mark.parametrize("operators", ["model", "gcn"])
def test_the_numbering_of_nodes_and_the_order_of_edges_do_not_matter(kind: str, operators: str) -> None:
    generator = np.random.default_rng(7)
    edges = generator.integers(0, 40, (2, 200))
    weight, x = generator.random(200), generator.random((40, 3))
    layers = stack(3, 8, 8, 5, operator=kind)
    here = virgo_variances(Graph.of((edges, weight), x=x), layers, 5, variant="harmonic", operator=operators)
    new, order = generator.permutation(40), generator.permutation(200)
    # GCN keeps the last of several self-loops at one node, so those stay in order.
    loops = np.flatnonzero(edges[0] == edges[1])
    order[np.isin(order, loops)] = loops
    moved_x = np.empty_like(x)
    moved_x[new] = x
    there = Graph.of((new[edges][:, order], weight[order]), x=moved_x)
    found = virgo_variances(there, layers, 5, variant="harmonic", operator=operators)
    assert np.allclose(found.variance, here.variance, rtol=3e-7, atol=0)


@pytest.mark.parametrize("kind", ["gin", "graphconv", "sage", "gcn"])
def test_a_hundred_layers_do_not_overflow(kind: str) -> None:
    graph = karate()
    found = virgo_variances(graph, stack(2, *[16] * 100, operator=kind), 16, variant="harmonic")
    assert all(math.isfinite(v) and v > 0 for v in found.variance)
    if kind == "gin":  # far in, each layer multiplies energies by the squared top eigenvalue of A + I
        top = np.linalg.eigvalsh(networkx.to_numpy_array(networkx.karate_club_graph(), weight=None) + np.eye(34))[-1]
        assert found.log_c[100] > 300
        assert found.forward_factors[-1] == pytest.approx(top**2, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_heavy_weights_are_carried_as_logarithms(scale: float) -> None:
    edges = torch.tensor(PATH_EDGES)
    light = virgo_variances(Graph.of(edges), stack(2, 4, 4, 4, operator="adjacency"), 3, variant="mean")
    heavy = Graph.of((edges, torch.full((6,), scale, dtype=torch.float64)))
    found = virgo_variances(heavy, stack(2, 4, 4, 4, operator="adjacency"), 3, variant="mean")
    assert found.log_c[3] == pytest.approx(light.log_c[3] + 6 * math.log(scale), rel=1e-12)
    assert found.variance[1] == pytest.approx(light.variance[1] / scale**2, rel=1e-6)


def test_centred_features_fall_back_to_ones() -> None:
    x = torch.tensor([[1.0, -1.0], [2.0, -2.0], [-3.0, 3.0], [0.5, -0.5]])
    found = virgo_variances(Graph.of(torch.tensor(PATH_EDGES), x=x), stack(2, 4, 3), 3, variant="forward")
    plain = virgo_variances(Graph.of(torch.tensor(PATH_EDGES)), stack(2, 4, 3), 3, variant="forward")
    assert found.variance == plain.variance
    assert found.signal == "ones"
    assert "constant signal 1" in found.notes[0]
    rms = virgo_variances(Graph.of(torch.tensor(PATH_EDGES), x=x), stack(2, 4, 3), 3, variant="forward", signal="rms")
    assert rms.signal == "rms"
    assert not rms.notes
    zero = Graph.of(torch.tensor(PATH_EDGES), x=torch.zeros(4, 2))
    assert virgo_variances(zero, stack(2, 4, 3), 3, variant="forward", signal="rms").signal == "ones"


def test_rms_signal() -> None:
    graph = path()
    expected = operator(graph, "gcn").step(torch.tensor([0.5, 2.0, 5.0, 0.0], dtype=torch.float64).sqrt())
    found = virgo_variances(graph, stack(2, 3), 3, variant="forward", signal="rms")
    assert math.exp(found.log_c[0]) == pytest.approx(7.5)
    assert math.exp(found.log_c[1]) == pytest.approx(float(expected.square().sum()))


def test_without_features_both_directions_share_their_energies() -> None:
    graph = Graph.of(networkx.karate_club_graph())
    found = virgo_variances(graph, stack(2, 4, 4), 4, variant="mean")
    assert found.log_c == found.log_b
    assert "no features" in found.notes[0]
    alone = virgo_variances(graph, stack(2, 4, 4), 4, variant="backward")
    assert np.allclose(alone.log_b, found.log_b, rtol=1e-12)
    directed = Graph.of(torch.tensor([[0, 1, 2], [1, 2, 2]]))
    apart = virgo_variances(directed, stack(2, 4, 4), 4, variant="mean")
    assert apart.log_c != apart.log_b


def test_a_directed_graph_sends_gradients_through_the_transpose() -> None:
    edges = np.array([[0, 1, 2, 3, 0], [1, 2, 3, 3, 2]])
    dense = np.zeros((4, 4))
    dense[edges[1], edges[0]] = 1
    dense += np.diag(1 - np.diag(dense))
    scale = dense.sum(axis=1) ** -0.5
    dense = scale[:, None] * dense * scale
    found = virgo_variances(Graph.of(edges), stack(2, 4, 4), 4)
    b = [np.linalg.matrix_power(dense.T, k) @ np.ones(4) for k in range(3)]
    assert np.allclose(np.exp(found.log_b), [v @ v for v in b])


def test_no_edges() -> None:
    graph = Graph.of(torch.empty(2, 0), num_nodes=3)
    found = virgo_variances(graph, stack(2, 4, 4), 4, variant="mean")
    assert found.log_c == found.log_b == pytest.approx([math.log(3)] * 3)
    layers = [Layer(2, 4), Layer(4, 4, "sage", {"root_weight": False})]
    with pytest.raises(NeedError, match=r"no signal gets through message-passing layer 2 \(sage\)"):
        virgo_variances(graph, layers, 4, variant="forward")
    with pytest.raises(NeedError, match=r"no gradient gets through message-passing layer 2 \(sage\)"):
        virgo_variances(graph, layers, 4, variant="backward")


def test_a_chain_runs_dry_in_the_layer_that_is_named() -> None:
    chain = Graph.of(torch.tensor([[0, 1], [1, 2]]), x=torch.ones(3, 1))
    layers = stack(1, 2, 2, 2, operator="adjacency")
    with pytest.raises(NeedError, match="signal gets through message-passing layer 3"):
        virgo_variances(chain, layers, 4, variant="forward")
    with pytest.raises(NeedError, match="gradient gets through message-passing layer 1"):
        virgo_variances(chain, layers, 4, variant="backward")


def test_float64_features_keep_their_values() -> None:
    x = torch.tensor([[1.0, -2.0]] * 4, dtype=torch.float64)
    before = x.clone()
    virgo_variances(Graph.of(torch.tensor(PATH_EDGES), x=x), stack(2, 4), 4, variant="forward")
    assert torch.equal(x, before)


def test_thread_count_changes_no_bit() -> None:
    generator = np.random.default_rng(3)
    edges, x = generator.integers(0, 50_000, (2, 200_000)), generator.random((50_000, 7), dtype=np.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(virgo_variances(Graph.of(edges, x=x), stack(7, 8, 8, 5), 5, variant="mean"))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


def test_scales_have_seven_digits() -> None:
    assert round_scale(0.123456789) == 0.1234568
    assert round_scale(1.0) == 1.0
    for v in virgo_variances(karate(), stack(2, 16, 4), 4, variant="mean").variance:
        assert float(f"{v:.6e}") == v


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "both"}, "variant='both' is unknown"),
        ({"operator": "gat"}, "operator='gat' is unknown"),
        ({"signal": "median", "variant": "forward"}, "signal='median' is unknown"),
        ({"neighbour_correlation": 1.5}, "neighbour_correlation=1.5 is out of range"),
        ({"gain": 0.0}, "gain=0.0 is out of range"),
        ({"gain": math.inf}, "gain=inf is out of range"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        virgo_variances(path(), stack(2, 8, 3), 3, **options)


def test_layers_and_classes_out_of_range() -> None:
    with pytest.raises(OptionError, match="num_classes=0"):
        virgo_variances(path(), stack(2, 8, 3), 0)
    with pytest.raises(OptionError, match="layers is empty"):
        virgo_variances(path(), [], 3)
    with pytest.raises(OptionError, match="layer 2 has fans 8 and 0"):
        virgo_variances(path(), stack(2, 8, 0), 3)
    with pytest.raises(PlanError, match="operator 'gnc' is unknown; there are gcn, gat"):
        virgo_variances(path(), stack(2, 8, operator="gnc"), 3)


def test_values_that_no_logarithm_can_hold() -> None:
    edges = torch.tensor(PATH_EDGES)
    layers = stack(2, 4, operator="adjacency")
    with pytest.raises(NeedError, match="scale the edge weights"):
        virgo_variances(Graph.of((edges, torch.full((6,), 1e200, dtype=torch.float64))), layers, 3)
    broken = (lambda a: a * math.nan, lambda a: a * math.nan)
    with pytest.raises(InitError, match="gives NaN or infinite"):
        virgo_variances(Graph.of(edges), [Layer(2, 4, broken)], 3)


def test_energies_stop_after_zero() -> None:
    chain = operator(Graph.of(torch.tensor([[0], [1]])), "adjacency")
    found = list(log_energies(torch.ones(2, dtype=torch.float64), [chain] * 5))
    assert found == [math.log(2), 0.0, -math.inf]
