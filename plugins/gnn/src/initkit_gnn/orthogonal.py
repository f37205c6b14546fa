"""Semi-orthogonal weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Gt
from torch import nn

import initkit
from initkit import Fill, Item, Recipe
from initkit_gnn.layers import claimed_matrices, find_layers
from initkit_gnn.offsets import offsets


@dataclass(frozen=True)
class Orthogonal(Recipe):
    """Semi-orthogonal weights with gain sqrt(2) in message-passing layers.

    W is uniform over all matrices with W Wᵀ = gain² I (or Wᵀ W, whichever fits). Sizes are kept layer by layer, so
    it starts ``gnn/calibrated`` well; alone it knows nothing of the graph.

    Args:
        gain: the singular values of every weight.
        bias: ``zero`` or ``keep``.

    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks, ICLR 2014; for graphs compare Guo et al., Orthogonal Graph Neural Networks, AAAI 2022.
    """

    gain: Annotated[float, Gt(0)] = math.sqrt(2)
    bias: Literal["zero", "keep"] = "zero"

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weight matrices of message-passing layers."""
        return claimed_matrices(model)

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each weight matrix of the message-passing layers."""
        for layer in find_layers(model):
            for matrix in layer.matrices:
                why = f"semi-orthogonal {matrix.fan_out}×{matrix.fan_in}"
                yield Fill(layer.full(matrix.name), initkit.Orthogonal(self.gain), why=why)
            yield from offsets(layer, self.bias)
