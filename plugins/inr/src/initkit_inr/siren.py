"""The starts of sine networks: SIREN, FINER, scaled and gradient-preserving."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt
from torch import nn

from initkit import Draw, Fill, Item, Keep, Uniform
from initkit_inr.activations import PERIODIC
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.recipe import FieldRecipe, called_with, folded, torch_bias

Bias = Literal["torch", "keep", "zero", "as_weight"]
Omega = Annotated[float, Gt(0)] | None


@dataclass(frozen=True)
class SineRecipe(FieldRecipe):
    """The common form of sine starts: a bound for the first layer, one for the others, biases."""

    kinds: ClassVar[tuple[str, ...]] = PERIODIC
    least_layers: ClassVar[int] = 2

    omega_hidden: Omega = None
    bias: Bias = "torch"

    def plan(self, model: nn.Module, *, coords: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order.

        Args:
            model: with sines between its linear layers.
            coords: the points, (..., d); where they are given, the report measures sizes on them.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        yield from self.items(layers, called_with(coords, inputs))

    def items(self, layers: LayerPlan, given: Any = None) -> Iterator[Item]:
        """The fills and the report's table for a layer plan."""
        fills: dict[str, Draw] = {}
        for layer in layers:
            for item in self.layer(layers, layer):
                if isinstance(item, Fill):
                    fills[item.name] = item.draw
                yield item
        yield self.table(layers, fills, given)

    def layer(self, layers: LayerPlan, layer: Layer) -> Iterator[Item]:
        """The items of one layer."""
        outer, formula = self.bound(layers, layer)
        fold = 1.0 if layer.activation is None else layer.activation.fold
        bound = outer * fold
        yield Fill(layer.weight, Uniform(-bound, bound), why=f"±{formula}, n_in {layer.n_in}{folded(fold)}")
        choice = self.bias_of(layer)
        if choice != "as_weight":
            yield from torch_bias(layer, choice, fold)
        elif layer.bias is not None:
            yield Fill(layer.bias, Uniform(-bound, bound), why="the same bound as the layer's weights")

    def bound(self, layers: LayerPlan, layer: Layer) -> tuple[float, str]:
        """The bound of a layer's weights where the frequency is outside, sin(ω(Wx + b)), and its formula."""
        if layer.first:
            return 1 / layer.n_in, "1/n_in"
        omega = self.omega(layers, layer)
        return math.sqrt(6 / layer.n_in) / omega, f"√(6/n_in)/ω, ω = {omega:.4g}"

    def bias_of(self, layer: Layer) -> Bias:
        """What a layer's bias gets."""
        return self.bias

    def omega(self, layers: LayerPlan, layer: Layer) -> float:
        """The frequency by which a hidden layer or the read-out is divided."""
        if self.omega_hidden is not None:
            return self.omega_hidden
        activation = layer.activation or layers.previous(layer).activation
        assert activation is not None
        return activation.omega


@dataclass(frozen=True)
class Siren(SineRecipe):
    """SIREN: uniform weights that keep sine layers' distribution from layer to layer.

        first       W ~ U(-1/n_in, 1/n_in)
        others      W ~ U(-√(6/n_in)/ω, √(6/n_in)/ω), the read-out too
        biases      torch's default U(-1/√n_in, 1/√n_in)

    for sin(ω(Wx + b)). Where the weights hold the frequency, sin(Wx + b), bounds of sine layers are multiplied by it.
    The frequencies are the model's own. The first layer's bound has no root, as in the authors' code and not as first
    printed; the read-out is divided by ω although no sine follows it.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, ``sine:30:folded``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes the bound of the layer's weights (what the
            package siren-pytorch does), ``zero``, or ``keep``.

    Source: Sitzmann, Martel, Bergman, Lindell, Wetzstein, Implicit Neural Representations with Periodic Activation
    Functions, NeurIPS 2020 (arXiv 2006.09661).
    """

    bibtex: ClassVar[str] = """@inproceedings{sitzmann2020implicit,
  title = {Implicit Neural Representations with Periodic Activation Functions},
  author = {Sitzmann, Vincent and Martel, Julien N. P. and Bergman, Alexander W. and Lindell, David B. and
            Wetzstein, Gordon},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2020},
  eprint = {2006.09661},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class Finer(SineRecipe):
    """FINER: SIREN's weights, and a wide first bias that chooses among growing frequencies.

    For sin(ω(|z| + 1)z): weights as in SIREN; with ``first_bias_scale=k`` the first layer's bias is U(-k, k), and a
    larger k begins with higher frequencies. FINER++ networks use k = 5; without k the authors' code leaves torch's.

    Args:
        activation: what follows the layers, where the model does not show it: ``finer:30``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes the bound of the layer's weights, ``zero``, or
            ``keep``.
        first_bias_scale: k; None treats the first bias like the others.

    Source: Liu, Zhu, Zhang, Fu, Deng, Ma, Guo, Cao, FINER: Flexible Spectral-bias Tuning in Implicit Neural
    Representation by Variable-periodic Activation Functions, CVPR 2024 (arXiv 2312.02434).
    """

    bibtex: ClassVar[str] = """@inproceedings{liu2024finer,
  title = {{FINER}: Flexible Spectral-bias Tuning in Implicit Neural Representation by Variable-periodic Activation
           Functions},
  author = {Liu, Zhen and Zhu, Hao and Zhang, Qi and Fu, Jingde and Deng, Weibing and Ma, Zhan and Guo, Yanwen and
            Cao, Xun},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2024},
  eprint = {2312.02434},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[tuple[str, ...]] = ("finer",)
    first_bias_scale: Annotated[float, Gt(0)] | None = None

    def layer(self, layers: LayerPlan, layer: Layer) -> Iterator[Item]:
        """The items of one layer, the first bias its own."""
        for item in super().layer(layers, layer):
            k = self.first_bias_scale
            if k is not None and layer.first and isinstance(item, (Fill, Keep)) and item.name == layer.bias:
                yield Fill(item.name, Uniform(-k, k), why=f"±k, k = {k:.4g}: which frequencies it begins with")
            else:
                yield item


@dataclass(frozen=True)
class SineGradient(SineRecipe):
    """Gradient-preserving sine start: the Jacobian's gain is 1 at every hidden layer.

        first       W ~ U(-1/n_in, 1/n_in), as SIREN
        others      W ~ U(-√(3/n_in)/ω, √(3/n_in)/ω), hidden biases 0

    The limit of small preactivations of inr/vi3nr for sines, where cond = t coth t, t = ω²s², goes to 1: gradients keep
    their size through any depth, and the sines are nearly linear at the start.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: of the first layer and the read-out: ``torch`` draws torch's default anew, ``as_weight`` takes the bound
            of the layer's weights, ``zero``, or ``keep``.

    Source: Combette, Venaille, Pustelnik, A new initialisation to Control Gradients in Sinusoidal Neural network, ICLR
    2026 (arXiv 2512.06427); the constants are derived from its two conditions.
    """

    bibtex: ClassVar[str] = """@inproceedings{combette2026new,
  title = {A new initialisation to Control Gradients in Sinusoidal Neural network},
  author = {Combette and Venaille and Pustelnik},
  booktitle = {International Conference on Learning Representations},
  year = {2026},
  eprint = {2512.06427},
  archivePrefix = {arXiv}
}"""

    def bound(self, layers: LayerPlan, layer: Layer) -> tuple[float, str]:
        """SIREN's bound, over √2 but in the first layer."""
        if layer.first:
            return super().bound(layers, layer)
        omega = self.omega(layers, layer)
        return math.sqrt(3 / layer.n_in) / omega, f"√(3/n_in)/ω, ω = {omega:.4g}"

    def bias_of(self, layer: Layer) -> Bias:
        """0 in hidden layers."""
        return self.bias if layer.first or layer.last else "zero"
