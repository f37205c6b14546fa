"""What recipes have in common that treat each weight matrix by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from initkit import Draw, Fill, Item, Recipe
from initkit_gnn.layers import Matrix, claimed_matrices, find_layers
from initkit_gnn.offsets import offsets


@dataclass(frozen=True)
class MatrixRecipe(Recipe):
    """A draw for each weight matrix of the message-passing layers; a subclass says which."""

    bias: Literal["zero", "keep"] = "zero"

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weight matrices of message-passing layers."""
        return claimed_matrices(model)

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each weight matrix of the message-passing layers, and what happens to the offsets."""
        for layer in find_layers(model):
            for matrix in layer.matrices:
                draw, why = self.draw(matrix)
                yield Fill(layer.full(matrix.name), draw, why=why)
            yield from offsets(layer, self.bias)

    def draw(self, matrix: Matrix) -> tuple[Draw, str]:
        """The draw of a matrix, and why."""
        raise NotImplementedError
