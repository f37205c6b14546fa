"""A skip-gram embedding of the characters of Les Misérables, a real graph that ships with networkx.

initkit apply --plugin gnn --recipe graph_partition examples/node_embedding.py
"""

from __future__ import annotations

import networkx
from torch import Tensor, nn

graph = networkx.les_miserables_graph()  # 77 characters, 254 pairs that appear in a chapter together


class SkipGram(nn.Module):
    """Node vectors and context vectors, trained on pairs of a random walk with negative samples, as in Node2Vec."""

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(nodes, width)
        self.context = nn.Embedding(nodes, width)
        nn.init.uniform_(self.embedding.weight, -0.5 / width, 0.5 / width)  # as word2vec starts
        nn.init.zeros_(self.context.weight)

    def forward(self, node: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss of nodes (B,), their contexts (B,) and negative samples (B, M)."""
        f = self.embedding(node)
        near = (f * self.context(positive)).sum(dim=-1)
        far = (f[:, None] * self.context(negative)).sum(dim=-1)
        return -(nn.functional.logsigmoid(near) + nn.functional.logsigmoid(-far).sum(dim=-1)).mean()


def model(width: int = 32) -> SkipGram:
    """Build the tables; ``--set-model width=8`` makes them narrower."""
    return SkipGram(graph.number_of_nodes(), width)
