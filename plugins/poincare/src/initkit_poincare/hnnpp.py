"""The published start of HNN++ layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from initkit import Item, Normal
from initkit_poincare.curvature import curvature_of
from initkit_poincare.layers import GYROPLANE, Kind, Layer, find_layers
from initkit_poincare.recipe import GyroplaneRecipe, table
from initkit_poincare.rules import Rule, fills

HNNPP = """@inproceedings{shimizu2021hyperbolic,
  title = {Hyperbolic Neural Networks++},
  author = {Shimizu, Ryohei and Mukuta, Yusuke and Harada, Tatsuya},
  booktitle = {International Conference on Learning Representations},
  year = {2021},
  eprint = {2006.08210},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class HnnPlusPlus(GyroplaneRecipe):
    """The published start of Hyperbolic Neural Networks++: normal weights of variance 1/(2·in·out).

    For comparison. It multiplies the radius by √(2/n) a layer, n the inputs: 0.18 at 64, so that points fall to the
    origin within a few layers. A layer whose output is split into s parts gets variance s/(2·in·out); classifiers get
    standard deviation n^-½/√c.

    Source: Shimizu, Mukuta, Harada, Hyperbolic Neural Networks++, ICLR 2021 (arXiv 2006.08210), as its code has it.
    """

    bibtex: ClassVar[str] = HNNPP
    kinds: ClassVar[Sequence[Kind]] = (*GYROPLANE, "classifier")

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each layer's matrix and offsets.

        Args:
            model: with HNN++-type linear layers, convolutions or classifiers.
        """
        layers = find_layers(model, self.kinds)
        for layer in layers:
            yield from fills(layer, self.rule(layer))
        yield table(self.id, layers)

    def rule(self, layer: Layer) -> Rule:
        """N(0, 1/(2nm)), by kind."""
        if layer.kind == "classifier":
            c = curvature_of(layer.ball, layer.label).c
            std = layer.n**-0.5 / math.sqrt(c)
            return Rule(Normal(std), f"std = n^-½/√c = {std:.4g}: n {layer.n}, c {c:.5g}")
        module: Any = layer.module
        split = int(getattr(module, "out_split", 1))
        std = (2 * layer.n * layer.m / split) ** -0.5
        factor = math.sqrt(2 * split / layer.n)
        parts = f", split into {split}" if split > 1 else ""
        why = f"std = (2·in·out)^-½ = {std:.4g}: radius times {factor:.3g}, in {layer.n}, out {layer.m}{parts}"
        return Rule(Normal(std), why)
