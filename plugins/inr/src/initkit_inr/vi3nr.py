"""VI3NR: variances that hold through any activation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import nn

from initkit import Draw, Fill, Item, Keep, NeedError, Normal, OptionError, PlanError, Stream, Uniform
from initkit_inr.activations import Activation
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.moments import Moments, moments, monte_carlo, theory
from initkit_inr.probing import Candidate, Target, probe
from initkit_inr.recipe import FieldRecipe, called_with, folded, mean_square, significant, torch_bias

# σ_p where no size keeps gradients exactly: the condition is 1 everywhere (ReLU), or only in a limit.
_NO_ROOT = {
    "identity": 1.0,
    "relu": 1.0,
    "leaky_relu": 1.0,
    "tanh": 0.1,
    "gelu": 1.0,
    "silu": 1.0,
    "elu": 1.0,
    "selu": 1.0,
    "softplus": 6.8,
}
_SINE = 0.3  # ωσ_p; cond = t coth t with t = (ωσ_p)² is 1.003 there
FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0)
Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Vi3nr(FieldRecipe):
    """Variance-informed start for any activation: preactivations of one size, gradients that keep theirs.

    With every preactivation taken as N(0, σ_p²), m2 = E[φ(σ_p u)²] and d2 = E[φ'(σ_p u)²], u ~ N(0, 1):

        first       Var[w] = σ_p²/(n_in · E[x²])
        others      Var[w] = σ_p²/(n_in · m2), m2 of the activation before; the read-out too
        σ_p         the root of σ_p² d2/m2 = 1, where gradients keep their variance through depth

    m2 is the second moment, not the variance, and fans are inputs only. The moments are exact to ten digits: closed
    forms, or adaptive quadrature of the model's own activation.

    Args:
        activation: what follows the layers, where the model does not show it: ``gauss:14.14``, a list, a function.
        sigma_p: the size of preactivations: ``theory`` (the root; where there is none: 1 for the ReLU family, tanh 0.1,
            sine 0.3/ω, softplus 6.8), a number, or ``probe`` (trial fits of 0.5, 1, 1.5, 2 and 3 times theory).
        factor: what ``theory`` is multiplied by.
        distribution: of the weights.
        first: the first layer: ``data`` scales it by the inputs, ``siren`` draws U(-1/n_in, 1/n_in), ``keep`` leaves
            it; ``auto`` is ``siren`` for sines, whose first layer carries the bandwidth, and ``data`` for the others.
        last: the read-out: ``same`` rule, or ``keep``.
        bias: ``torch`` draws torch's default anew, ``keep``, ``zero``, or a number r: N(0, (rσ_p)²), with the
            weights' variance times 1 - r² so that preactivations keep their size.
        input_moments: mean and standard deviation of the model's inputs, in place of ``coords``.
        estimator: ``quadrature``, or ``mc``: a million random numbers as in the authors' code.
        complex_ok: allow complex layers: real and imaginary part get half the variance each (our extension).

    Source: Koneputugodage, Ben-Shabat, Ramasinghe, Gould, VI3NR: Variance Informed Initialization for Implicit Neural
    Representations, CVPR 2025 (arXiv 2504.19270); ``bias=r``, ``probe`` and complex layers are our extensions.
    """

    bibtex: ClassVar[str] = """@inproceedings{koneputugodage2025vi3nr,
  title = {{VI3NR}: Variance Informed Initialization for Implicit Neural Representations},
  author = {Koneputugodage, Chamin Hewa and Ben-Shabat, Yizhak and Ramasinghe, Sameera and Gould, Stephen},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2025},
  eprint = {2504.19270},
  archivePrefix = {arXiv}
}"""

    sigma_p: Positive | Literal["theory", "probe"] = "theory"
    factor: Positive = 1.0
    distribution: Literal["uniform", "normal"] = "uniform"
    first: Literal["auto", "data", "siren", "keep"] = "auto"
    last: Literal["same", "keep"] = "same"
    bias: Literal["torch", "keep", "zero"] | Annotated[float, Gt(0)] = "torch"
    input_moments: tuple[float, Annotated[float, Ge(0)]] | None = None
    estimator: Literal["quadrature", "mc"] = "quadrature"
    complex_ok: bool = False

    def check(self) -> None:
        """Check that the options go together."""
        super().check()
        if isinstance(self.bias, float) and self.bias >= 1:
            raise OptionError(f"recipe {self.id}, option bias={self.bias}: it must be below 1, the whole preactivation")
        if self.factor != 1 and self.sigma_p != "theory":
            raise OptionError(f"recipe {self.id}, option factor={self.factor}: it multiplies sigma_p='theory' alone")

    def plan(self, model: nn.Module, *, coords: Any = None, signal: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order.

        Args:
            model: with an elementwise activation after each linear layer.
            coords: the points, (..., d), for the first layer's scale.
            signal: at the points; for ``sigma_p="probe"``.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        given = called_with(coords, inputs)
        for layer in layers:
            if layer.dtype.is_complex and not self.complex_ok:
                raise PlanError(
                    f"{layer.label} is complex, for which the paper has no rule; complex_ok=true splits the variance"
                )
        sizes = self._sizes(layers)
        x2 = self._x2(layers, given)
        if self.sigma_p == "probe":
            target = Target.of(coords, signal, self.id)
            tried = []
            for factor in FACTORS:
                found = list(self._items(layers, [factor * size for size in sizes], x2))
                tried.append(Candidate(factor, {item.name: item.draw for item in found if isinstance(item, Fill)}))
            job = probe("sigma_p", tried, target, self.id)
            yield job
            for item in self._items(layers, sizes, x2):
                if isinstance(item, Fill):
                    yield Fill(item.name, job[item.name], why=f"the best of {len(FACTORS)} sizes in a trial fit")
                else:
                    yield item
            return
        items = list(self._items(layers, sizes, x2))
        yield from items
        fills = {item.name: item.draw for item in items if isinstance(item, Fill)}
        remarks = self._remarks(layers)
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        yield self.table(layers, fills, given, remarks, **self._columns(layers, sizes))

    def _sizes(self, layers: LayerPlan) -> list[float]:
        """σ_p of each layer; the read-out's is that of the layer before."""
        found: list[float] = []
        known: dict[tuple[Activation, bool], float] = {}
        for layer in layers:
            if isinstance(self.sigma_p, float):
                found.append(self.sigma_p)
            elif layer.activation is None:
                found.append(1.0 if layer.first else found[layers.previous(layer).index])
            else:
                key = layer.activation, layer.dtype.is_complex
                if key not in known:
                    known[key] = significant(self.factor * self._theory(layer, layer.activation))
                found.append(known[key])
        return found

    def _theory(self, layer: Layer, activation: Activation) -> float:
        if activation.kind == "sine":
            return _SINE / activation.frequency
        if activation.kind in _NO_ROOT:
            return _NO_ROOT[activation.kind]
        found = theory(activation, complex_input=layer.dtype.is_complex)
        if found is None:
            raise PlanError(
                f"{layer.label}: no size of preactivations keeps the gradient's size through {activation}; give "
                "sigma_p as a number"
            )
        return found

    def _x2(self, layers: LayerPlan, given: Any) -> float | None:
        """E[x²] of the inputs where the first layer asks for it."""
        if not any(self._first(layer) == "data" for layer in layers if layer.first):
            return None
        if self.input_moments is not None:
            mean, std = self.input_moments
            x2 = mean**2 + std**2
        elif given is None:
            raise NeedError(
                f"recipe {self.id} scales the first layer by its inputs: define or give 'coords' (the points at which "
                "the model is called), or set input_moments=[mean, std], first=siren or first=keep"
            )
        else:
            x2 = mean_square(layers, given)
        if not (math.isfinite(x2) and x2 > 0):
            raise NeedError(f"coords: their mean square is {x2:.4g}; the first layer cannot be scaled by it")
        return x2

    def _first(self, layer: Layer) -> str:
        if self.first != "auto":
            return self.first
        return "siren" if layer.activation is not None and layer.activation.periodic else "data"

    def _items(self, layers: LayerPlan, sizes: list[float], x2: float | None) -> Iterator[Item]:
        for layer in layers:
            yield self._weight(layers, layer, sizes, x2)
            yield from self._bias(layer, sizes[layer.index])

    def _weight(self, layers: LayerPlan, layer: Layer, sizes: list[float], x2: float | None) -> Item:
        if layer.last and self.last == "keep":
            return Keep(layer.weight, "the read-out is left as it is")
        size = sizes[layer.index]
        if not layer.first:
            m2 = self._second_moment(layers, layer, sizes)
            words = f"σ_p = {size:.4g}, E[φ²] = {m2:.4g}, n_in {layer.n_in}"
        else:
            rule = self._first(layer)
            if rule == "keep":
                return Keep(layer.weight, "the first layer is left as it is")
            if rule == "siren":
                fold = 1.0 if layer.activation is None else layer.activation.fold
                bound = fold / layer.n_in
                return Fill(layer.weight, Uniform(-bound, bound), why=f"±1/n_in, n_in {layer.n_in}{folded(fold)}")
            assert x2 is not None
            m2 = x2 * layer.sources[0].scale ** 2
            words = f"σ_p = {size:.4g}, E[x²] = {m2:.4g}, n_in {layer.n_in}"
        variance = size**2 / m2 / layer.n_in
        if isinstance(self.bias, float) and layer.bias is not None:
            variance *= 1 - self.bias**2
        std = significant(math.sqrt(variance / (2 if layer.dtype.is_complex else 1)))
        return Fill(layer.weight, self._draw(std), why=f"Var[w] = {std**2:.4g}: {words}")

    def _bias(self, layer: Layer, size: float) -> Iterator[Item]:
        if isinstance(self.bias, float):
            if layer.bias is not None:
                std = significant(self.bias * size / math.sqrt(2 if layer.dtype.is_complex else 1))
                yield Fill(layer.bias, Normal(std), why=f"rσ_p, r = {self.bias:.4g}: its share of the preactivation")
        else:
            yield from torch_bias(layer, self.bias)

    def _draw(self, std: float) -> Draw:
        return Uniform.with_std(std) if self.distribution == "uniform" else Normal(std)

    def _second_moment(self, layers: LayerPlan, layer: Layer, sizes: list[float]) -> float:
        """Mean of the squared inputs of a layer, over all its units."""
        total = 0.0
        for source in layer.sources:
            if source.layer is None:  # concatenated coordinates, taken to fill [-1, 1]
                size = source.scale**2 / 3
            else:
                before = layers[source.layer]
                assert before.activation is not None
                size = source.scale**2 * self._moments(before, before.activation, sizes[source.layer]).m2
            total += source.width / layer.n_in * size
        return total

    def _moments(self, layer: Layer, activation: Activation, size: float) -> Moments:
        try:
            if self.estimator == "mc":
                numbers = Stream(0, "a million normal numbers").normals(0, 1_000_000)
                return Moments(size, *monte_carlo(activation, size, numbers))
            return moments(activation, size, complex_input=layer.dtype.is_complex)
        except PlanError as error:
            raise PlanError(f"{layer.label}: {error}; choose another sigma_p") from error

    def _columns(self, layers: LayerPlan, sizes: list[float]) -> dict[str, list[Any]]:
        """σ_p, the condition of the activation that follows, and what the layer does to the gradient's variance."""
        conditions: list[float | None] = []
        backward: list[float | None] = []
        for layer in layers:
            inner = None
            if layer.activation is not None:
                inner = significant(self._moments(layer, layer.activation, sizes[layer.index]).condition, 5)
            conditions.append(inner)
            before = None if layer.first else conditions[layers.previous(layer).index]
            backward.append(None if before is None else significant(before * layer.n_out / layer.n_in, 5))
        return {"sigma_p": sizes, "condition": conditions, "backward_factor": backward}

    def _remarks(self, layers: LayerPlan) -> list[str]:
        inner = [layer.activation for layer in layers if not layer.last and layer.activation is not None]
        if self.bias != "zero" or not inner:
            return []
        z = torch.linspace(0.05, 2, 40, dtype=torch.float64)
        if all(torch.allclose(one(z), one(-z)) for one in inner[:1]):
            return ["without biases and with an even activation the network begins as an even function of its inputs"]
        if all(torch.allclose(one(z), -one(-z)) for one in inner):
            return ["without biases and with odd activations the network begins as an odd function of its inputs"]
        return []
