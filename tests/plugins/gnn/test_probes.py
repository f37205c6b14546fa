"""Probes of the gnn plugin: Dirichlet energy by depth, and what the graph does to variance."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.models import GCN
from torch_geometric.utils import to_dense_adj

import initkit
from initkit.errors import NeedError
from initkit_gnn import Graph
from initkit_gnn.operators import operator
from initkit_gnn.smoothing import energy_share


@pytest.fixture
def ring() -> Data:
    """A ring of twelve with chords and random features."""
    torch.manual_seed(0)
    ends = [(i, (i + 1) % 12) for i in range(12)] + [(0, 5), (2, 9), (3, 7)]
    edges = torch.tensor([*ends, *((b, a) for a, b in ends)]).T
    return Data(x=torch.randn(12, 6), edge_index=edges, num_nodes=12)


class Stack(nn.Module):
    def __init__(self, layers: int = 5, kind: Any = GCNConv) -> None:
        super().__init__()
        self.convs = nn.ModuleList(kind(6, 6) for _ in range(layers))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.relu(conv(x, edge_index))
        return x


def test_energy_is_the_quadratic_form_of_the_laplacian(ring: Data) -> None:
    x = torch.randn(12, 4, dtype=torch.float64)
    index, weight = gcn_norm(ring.edge_index, num_nodes=12, dtype=torch.float64)
    laplacian = torch.eye(12, dtype=torch.float64) - to_dense_adj(index, edge_attr=weight)[0]
    wanted = float(torch.trace(x.T @ laplacian @ x) / x.square().sum())
    assert energy_share(x, operator(Graph.of(ring), "gcn")) == pytest.approx(wanted, rel=1e-10)
    assert energy_share(1e-20 * x, operator(Graph.of(ring), "gcn")) == pytest.approx(wanted, rel=1e-10)


def test_states_that_follow_the_degrees_have_none(ring: Data) -> None:
    degrees = torch.bincount(ring.edge_index[1], minlength=12).double() + 1
    alike = degrees.sqrt()[:, None] * torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    assert energy_share(alike, operator(Graph.of(ring), "gcn")) == pytest.approx(0, abs=1e-12)
    assert energy_share(torch.zeros(12, 2), operator(Graph.of(ring), "gcn")) is None


def test_smoothing_by_depth_names_the_layer_from_which_nodes_are_alike(ring: Data) -> None:
    torch.manual_seed(0)
    found = initkit.inspect(Stack(20), (ring.x, ring.edge_index), probes="gnn/smoothing", graph=ring)
    rows = found.tables["gnn/smoothing"].rows
    assert [row["layer"] for row in rows] == ["features", *(f"convs.{i}" for i in range(20))]
    assert rows[-1]["energy"] < 0.05 < rows[0]["energy"]
    assert found.verdicts[0].level == "WARN"
    assert "over-smoothing" in found.verdicts[0].words


def test_a_graph_alone_says_how_the_model_is_called(ring: Data) -> None:
    found = initkit.inspect(GCN(6, 8, num_layers=2, out_channels=3), probes="gnn", graph=ring)
    assert set(found.tables) == {"gnn/smoothing", "gnn/factors"}


def test_factors_beside_the_weights(ring: Data) -> None:
    model = Stack(4)
    report = initkit.apply(model, initkit.recipe("gnn/virgo", variant="forward"), graph=ring)
    rows = initkit.inspect(model, probes="gnn/factors", graph=ring).tables["gnn/factors"].rows
    for i, row in enumerate(rows):
        drawn = report[f"convs.{i}.lin.weight"].std
        assert drawn is not None
        planned = initkit.plan(model, initkit.recipe("gnn/virgo", variant="forward"), graph=ring)
        assert row["keeps signal"] == pytest.approx(planned[f"convs.{i}.lin.weight"].draw.std ** 2, rel=1e-5)  # type: ignore[attr-defined]
        assert row["Var[w]"] == pytest.approx(drawn**2, rel=0.1)


def test_weights_that_are_far_off_are_told(ring: Data) -> None:
    model = Stack(6)
    for conv in model.convs:
        nn.init.normal_(conv.lin.weight, std=0.01)  # type: ignore[union-attr, arg-type]
    found = initkit.inspect(model, probes="gnn/factors", graph=ring)
    assert found.verdicts[0].level == "WARN"
    assert "gnn/virgo sets them" in found.verdicts[0].words


def test_other_layers_than_gcn(ring: Data) -> None:
    found = initkit.inspect(Stack(3, SAGEConv), (ring.x, ring.edge_index), graph=ring)
    assert len(found.tables["gnn/smoothing"].rows) == 4
    assert all(math.isfinite(row["forward factor"]) for row in found.tables["gnn/factors"].rows)


def test_a_model_without_message_passing_has_nothing_to_say(ring: Data) -> None:
    found = initkit.inspect(nn.Linear(6, 2), ring.x, graph=ring)
    assert not any(name.startswith("gnn/") for name in found.tables)


def test_what_is_lacking_is_told(ring: Data) -> None:
    with pytest.raises(NeedError, match="gnn/smoothing: needs 'graph'"):
        initkit.inspect(Stack(2), probes="gnn")


def test_the_model_is_not_changed(ring: Data) -> None:
    model = Stack(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initkit.inspect(model, (ring.x, ring.edge_index), probes="gnn", graph=ring)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
