"""Isometries of Möbius linear layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from initkit import Constant, Fill, Item, Orthogonal
from initkit_poincare.layers import Kind, find_layers
from initkit_poincare.recipe import LayerRecipe


@dataclass(frozen=True)
class MobiusOrthogonal(LayerRecipe):
    """Orthogonal weights in Möbius linear layers: an exact isometry without the factor one half.

    W ⊗ x = tanh(‖Wx‖/‖x‖ artanh(√c‖x‖)) Wx/(√c‖Wx‖) keeps every radius where ‖Wx‖ = ‖x‖: W (out, in) with orthonormal
    columns where out ≥ in, √(in/out) times orthonormal rows elsewhere (the mean radius of isotropic points, to first
    order). The offset is the origin.

    Source: Ganea, Bécigneul, Hofmann, Hyperbolic Neural Networks, NeurIPS 2018 (arXiv 1805.09112) for the layer; the
    start is ours (geoopt's example takes the identity and uniform noise of 10⁻³).
    """

    bibtex: ClassVar[str] = """@inproceedings{ganea2018hyperbolic,
  title = {Hyperbolic Neural Networks},
  author = {Ganea, Octavian-Eugen and B{\\'e}cigneul, Gary and Hofmann, Thomas},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2018},
  eprint = {1805.09112},
  archivePrefix = {arXiv}
}"""
    kinds: ClassVar[Sequence[Kind]] = ("mobius",)

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each layer's matrix and offset.

        Args:
            model: with Möbius linear layers.
        """
        for layer in find_layers(model, self.kinds):
            exact = layer.m >= layer.n
            gain = 1.0 if exact else math.sqrt(layer.n / layer.m)
            why = (
                "W with orthonormal columns: an exact isometry"
                if exact
                else f"√(in/out) = {gain:.4g} times orthonormal rows"
            )
            yield Fill(layer.weight, Orthogonal(gain), why=why)
            if layer.bias is not None:
                yield Fill(layer.bias, Constant(0.0), why="the origin")
