"""gnn/residual_aggregation: variances, zero starts of residual branches, and the mixed operator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DeepGCNLayer, GATConv, GCNConv, GINConv, JumpingKnowledge, SAGEConv

import initkit
from initkit import NeedError, OptionError, PlanError
from initkit_gnn import mixed_aggregation
from initkit_gnn.graph import Graph
from initkit_gnn.layers import find_layers
from initkit_gnn.trace import trace

WIDTH = 8
ring = torch.arange(6)
graph = Data(
    x=torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0)), edge_index=torch.stack((ring, ring.roll(1)))
)


def gin(a: int, b: int) -> GINConv:
    return GINConv(nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b)))


class Residual(nn.Module):
    """An input layer, residual blocks x + dropout(relu(conv(x))), a head."""

    def __init__(self, conv: Any = GCNConv, blocks: int = 3) -> None:
        super().__init__()
        self.inlet = conv(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(conv(WIDTH, WIDTH) for _ in range(blocks))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.inlet(x, edge_index)
        for conv in self.blocks:
            x = x + nn.functional.dropout(torch.relu(conv(x, edge_index)), 0.5, self.training)
        return self.head(x)


class Two(nn.Module):
    """A branch of two layers from the input through a linear map, then two layers side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = GCNConv(WIDTH, WIDTH), GCNConv(WIDTH, WIDTH)
        self.c, self.d = GCNConv(WIDTH, 2), GCNConv(WIDTH, 2)
        self.lin = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.b(torch.relu(self.a(x, edge_index)), edge_index)
        h = self.lin(x) + h
        return self.c(h, edge_index) + self.d(h, edge_index)


class Jumping(nn.Module):
    """All layers side by side at the end: no sum."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = GCNConv(WIDTH, WIDTH), GCNConv(WIDTH, WIDTH)
        self.jump, self.head = JumpingKnowledge("cat"), nn.Linear(2 * WIDTH, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        a = torch.relu(self.a(x, edge_index))
        return self.head(self.jump([a, self.b(a, edge_index)]))


class Deep(nn.Module):
    """PyG's own residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(
            DeepGCNLayer(SAGEConv(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU(), block="res+") for _ in range(2)
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.inlet(x)
        for block in self.blocks:
            x = block(x, edge_index)
        return x


def zero(**options: Any) -> Any:
    return initkit.recipe("gnn/residual_aggregation", zero_branches=True, **options)


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        (Residual(), ("blocks.0", "blocks.1", "blocks.2")),
        (Two(), ("b",)),
        (Jumping(), ()),
        (Deep(), ("blocks.0.conv", "blocks.1.conv")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_ends_of_residual_branches_are_seen(model: nn.Module, ends: tuple[str, ...]) -> None:
    assert trace(model, find_layers(model), Graph.of(graph), graph).branch_ends == ends


def test_variances_are_c_w_over_fan_in() -> None:
    plan = initkit.plan(Residual(gin), initkit.recipe("gnn/residual_aggregation", c_w=2.2))
    for fill in plan.fills:
        wanted = 0.0 if fill.name.endswith("bias") else (2.2 / WIDTH) ** 0.5
        assert fill.draw.std == pytest.approx(wanted, rel=1e-6)
    assert "fan_in 8" in plan["inlet.nn.0.weight"].why
    wide = GCNConv(64, 256)
    initkit.apply(wide, "gnn/residual_aggregation")
    assert float(wide.lin.weight.detach().var()) == pytest.approx(2 / 64, rel=0.05)
    assert not bool(wide.bias.any())


@pytest.mark.parametrize("conv", [GCNConv, SAGEConv, gin, GATConv], ids=["gcn", "sage", "gin", "gat"])
@pytest.mark.parametrize("needs", [{}, {"graph": graph}], ids=["no graph", "graph"])
def test_with_zero_branches_every_block_starts_as_the_identity(conv: Any, needs: dict[str, Any]) -> None:
    model = Residual(conv)
    report = initkit.apply(model, zero(), **needs)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(graph.x, graph.edge_index), model.head(model.inlet(graph.x, graph.edge_index)))
    zeros = [name for name, entry in report.items() if entry.why == "ends a residual branch, which starts at 0"]
    assert all(name.startswith("blocks.") for name in zeros)
    assert len(zeros) == (6 if conv is SAGEConv else 3)
    if conv is gin:  # the inner network's first map stays random, so that the branch can learn
        assert float(model.blocks[0].nn[0].weight.detach().std()) > 0.1


def test_a_zero_branch_still_gets_a_gradient() -> None:
    model = Residual()
    initkit.apply(model, zero())
    with torch.no_grad():
        model.blocks[0].bias.fill_(1e-3)  # ReLU has no gradient at 0 itself
    model.eval()
    model(graph.x, graph.edge_index).sum().backward()
    assert bool(model.blocks[0].lin.weight.grad.any())


def test_zero_branches_without_a_residual_connection_are_refused() -> None:
    for model in (Jumping(), nn.Sequential(GCNConv(2, 2))):
        with pytest.raises(PlanError, match="zero_branches=True, but no residual connection was seen in") as error:
            initkit.plan(model, zero(), graph=graph)
        assert "\n" not in str(error.value)


def test_bad_input_is_refused() -> None:
    with pytest.raises(OptionError, match="c_w"):
        initkit.recipe("gnn/residual_aggregation", c_w=0.0)
    with pytest.raises(PlanError, match="no message-passing layer"):
        initkit.plan(nn.Linear(2, 2), "gnn/residual_aggregation")
    for t in (-0.1, 1.5):
        with pytest.raises(OptionError, match="needs t from 0 to 1"):
            mixed_aggregation(graph, t)
    with pytest.raises(NeedError, match="graph"):
        mixed_aggregation(3, 0.5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20, unique=True),
    st.floats(0, 1),
)
def test_mixed_aggregation_is_the_mixed_matrix(pairs: list[tuple[int, int]], t: float) -> None:
    edges = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    data = Data(x=graph.x, edge_index=edges, y=torch.arange(6), num_nodes=6)
    dense = torch.zeros(6, 6, dtype=torch.float64)
    dense[edges[1], edges[0]] = 1
    dense.fill_diagonal_(1)
    root = dense.sum(1).rsqrt()
    wanted = (1 - t) * torch.eye(6, dtype=torch.float64) + t * root[:, None] * dense * root
    mixed = mixed_aggregation(data, t)
    found = torch.zeros(6, 6, dtype=torch.float64)
    found.index_put_((mixed.edge_index[1], mixed.edge_index[0]), mixed.edge_weight.double(), accumulate=True)
    assert torch.allclose(found, wanted, atol=1e-6)
    assert torch.equal(mixed.y, data.y)
    conv = GCNConv(WIDTH, 3, normalize=False, add_self_loops=False)
    out = conv(mixed.x, mixed.edge_index, mixed.edge_weight)
    torch.testing.assert_close(out, wanted.float() @ (mixed.x @ conv.lin.weight.T) + conv.bias, atol=1e-5, rtol=1e-5)
