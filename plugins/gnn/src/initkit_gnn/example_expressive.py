"""Graphs that plain message passing cannot tell apart, and random node features that change that.

One cycle of 2m nodes, or two cycles of m: every node has two neighbours, each of which has two neighbours, and so on.

initkit apply --plugin gnn --recipe rni example_expressive.py    writes features for these graphs
python example_expressive.py                                     trains without and with random features
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GraphConv, global_max_pool

import initkit
from initkit import Stream
from initkit_gnn import WithRandomFeatures, draw_variance, wl_check

WIDTH, RATIO = 32, 0.5  # half of 32 columns are random, beside the one that the graphs have


def cycles(m: int, parts: int, order: Tensor) -> Data:
    """``parts`` cycles (1 or 2) of 2m nodes in all, numbered in a given order; the class is parts - 1."""
    size = 2 * m // parts
    node = torch.arange(2 * m)
    after = node - node % size + (node + 1) % size
    half = order[torch.stack([node, after])]
    return Data(x=torch.ones(2 * m, 1), edge_index=torch.cat([half, half.flip(0)], 1), y=torch.tensor([parts - 1]))


def graphs(count: int, name: str) -> list[Data]:
    """Some such graphs of 6 to 16 nodes, as many of each class."""
    made = []
    for i in range(count):
        m = 3 + (i // 2) % 6
        order = torch.from_numpy(Stream(0, f"{name}#{i}").permutation(2 * m))
        made.append(cycles(m, 1 + i % 2, order))
    return made


graph = Batch.from_data_list(graphs(24, "shown"))


class Net(nn.Module):
    """Four graph convolutions, the greatest value of each column over the nodes, two linear layers."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GraphConv(in_channels if i == 0 else WIDTH, WIDTH, aggr="mean") for i in range(4))
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 2))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Return logits, (graphs, 2)."""
        for conv in self.convs:
            x = torch.tanh(conv(x, edge_index))
        logits: Tensor = self.head(global_max_pool(x, batch))
        return logits


def model(random: int = int(WIDTH * RATIO)) -> Net:
    """Build the network for one column and ``random`` random ones."""
    return Net(1 + random)


def trained(net: Net, random: bool, epochs: int = 200) -> nn.Module:
    """Train on 240 graphs; with random features the network is wrapped."""
    initkit.apply(net, "gnn/pyg_default", seed=0)
    whole = WithRandomFeatures(net, WIDTH, RATIO, draws=8) if random else net
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    data = graphs(240, "train")
    for epoch in range(epochs):
        order = Stream(0, f"order#{epoch}").permutation(len(data))
        for first in range(0, len(order), 20):
            batch = Batch.from_data_list([data[i] for i in order[first : first + 20]])
            logits = whole(batch.x, batch.edge_index, batch.batch)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, batch.y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return whole.eval()


def main() -> None:
    """Show what random features change."""
    torch.set_num_threads(1)
    test = Batch.from_data_list(graphs(240, "test"))
    print(wl_check(test))
    plain = trained(model(random=0), random=False)
    correct = plain(test.x, test.edge_index, test.batch).argmax(1) == test.y
    print(f"\nwithout random features: accuracy {correct.double().mean():.3f}")
    wrapped = trained(model(), random=True)
    assert isinstance(wrapped, WithRandomFeatures)
    print(f"with random features:\n{draw_variance(wrapped, [test])}")


if __name__ == "__main__":
    main()
