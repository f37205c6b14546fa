"""The starts of Gaussian and wavelet networks as their authors leave them: torch's default."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from initkit import Draw, Fill, Item, Uniform
from initkit_inr.recipe import FieldRecipe, called_with, torch_bias


@dataclass(frozen=True)
class TorchDefault(FieldRecipe):
    """Torch's default in every linear layer."""

    bias: Literal["torch", "keep", "zero"] = "torch"

    def plan(self, model: nn.Module, *, coords: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order.

        Args:
            model: with the recipe's activation between its linear layers.
            coords: the points, (..., d); where they are given, the report measures sizes on them.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        fills: dict[str, Draw] = {}
        for layer in layers:
            bound = 1 / math.sqrt(layer.n_in)
            parts = " for real and imaginary part each" if layer.dtype.is_complex else ""
            weight = Fill(layer.weight, Uniform(-bound, bound), why=f"±1/√n_in, n_in {layer.n_in}{parts}")
            for item in (weight, *torch_bias(layer, self.bias)):
                if isinstance(item, Fill):
                    fills[item.name] = item.draw
                yield item
        yield self.table(layers, fills, called_with(coords, inputs))


@dataclass(frozen=True)
class Gauss(TorchDefault):
    """Gaussian networks as their authors start them: torch's default, whatever the width of the Gaussian.

    For exp(-(sz)²), all weights and biases ~ U(-1/√n_in, 1/√n_in). A reference: deep ones do not learn from it, which
    inr/vi3nr puts right.

    Args:
        activation: what follows the layers, where the model does not show it: ``gauss:30``, a list.
        bias: ``torch`` draws torch's default anew, ``zero``, or ``keep``.

    Source: Ramasinghe, Lucey, Beyond Periodicity: Towards a Unifying Framework for Activations in Coordinate-MLPs, ECCV
    2022 (arXiv 2111.15135).
    """

    bibtex: ClassVar[str] = """@inproceedings{ramasinghe2022beyond,
  title = {Beyond Periodicity: Towards a Unifying Framework for Activations in Coordinate-{MLPs}},
  author = {Ramasinghe, Sameera and Lucey, Simon},
  booktitle = {European Conference on Computer Vision},
  year = {2022},
  eprint = {2111.15135},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[tuple[str, ...]] = ("gauss",)


@dataclass(frozen=True)
class Wire(TorchDefault):
    """Wavelet networks (WIRE) as their authors start them: torch's default, for complex layers too.

    For exp(iωz - |sz|²): weights and biases ~ U(-1/√n_in, 1/√n_in); real and imaginary part of a complex layer each, so
    that E|w|² = 2/(3 n_in).

    Args:
        activation: what follows the layers, where the model does not show it: ``wire:20:10`` (ω, then s), a list.
        bias: ``torch`` draws torch's default anew, ``zero``, or ``keep``.

    Source: Saragadam, LeJeune, Tan, Balakrishnan, Veeraraghavan, Baraniuk, WIRE: Wavelet Implicit Neural
    Representations, CVPR 2023 (arXiv 2301.05187).
    """

    bibtex: ClassVar[str] = """@inproceedings{saragadam2023wire,
  title = {{WIRE}: Wavelet Implicit Neural Representations},
  author = {Saragadam, Vishwanath and LeJeune, Daniel and Tan, Jasper and Balakrishnan, Guha and
            Veeraraghavan, Ashok and Baraniuk, Richard G.},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2023},
  eprint = {2301.05187},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[tuple[str, ...]] = ("wire",)
