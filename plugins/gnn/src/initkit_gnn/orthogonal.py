"""Semi-orthogonal weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

import initkit
from initkit_gnn.layers import Matrix
from initkit_gnn.matrices import MatrixRecipe


@dataclass(frozen=True)
class Orthogonal(MatrixRecipe):
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

    def draw(self, matrix: Matrix) -> tuple[initkit.Draw, str]:
        """A semi-orthogonal matrix."""
        return initkit.Orthogonal(self.gain), f"semi-orthogonal {matrix.fan_out}×{matrix.fan_in}"
