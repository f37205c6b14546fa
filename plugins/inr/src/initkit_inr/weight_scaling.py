"""Sine networks whose weights are larger than SIREN's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt
from torch import nn

from initkit import Draw, Fill, Item
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.probing import Candidate, Target, probe
from initkit_inr.recipe import called_with
from initkit_inr.siren import SineRecipe

ALPHAS = (1.0, 1.25, 1.5, 2.0, 2.5)


@dataclass(frozen=True)
class WeightScaling(SineRecipe):
    """SIREN with larger weights: all but the read-out times α, for faster fits.

        first       W ~ α U(-1/n_in, 1/n_in)
        hidden      W ~ α U(-√(6/n_in)/ω, √(6/n_in)/ω)
        read-out    as SIREN; biases untouched by α

    α = 2.5 is the authors' for 512 units on 512 x 512 pixels; on narrow networks it is dead where 1.5 is the best, so
    1.5 is the default. α = 1 is SIREN; α = 1/√2 in the hidden layers is inr/sine_gradient.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes the bound of the layer's weights, ``zero``, or
            ``keep``.
        alpha: α, or ``probe``: trial fits of 1, 1.25, 1.5, 2 and 2.5.

    Source: Yeom, Lee, Lee, Fast Training of Sinusoidal Neural Fields via Scaling Initialization, ICLR 2025
    (arXiv 2410.04779); ``probe`` is our extension.
    """

    bibtex: ClassVar[str] = """@inproceedings{yeom2025fast,
  title = {Fast Training of Sinusoidal Neural Fields via Scaling Initialization},
  author = {Yeom, Taesun and Lee, Sangyoon and Lee, Jaeho},
  booktitle = {International Conference on Learning Representations},
  year = {2025},
  eprint = {2410.04779},
  archivePrefix = {arXiv}
}"""

    alpha: Annotated[float, Gt(0)] | Literal["probe"] = 1.5

    def plan(self, model: nn.Module, *, coords: Any = None, signal: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order.

        Args:
            model: with sines between its linear layers.
            coords: the points, (..., d); for ``alpha="probe"``, and for measured sizes in the report.
            signal: at the points; for ``alpha="probe"``.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        if self.alpha != "probe":
            if self.alpha > 3:
                warnings.warn(f"{self.id}: alpha = {self.alpha:.4g} is beyond what trains; try 1 to 2.5", stacklevel=2)
            yield from self.items(layers, called_with(coords, inputs))
            return
        target = Target.of(coords, signal, self.id)
        candidates = [replace(self, alpha=alpha) for alpha in ALPHAS]
        job = probe("alpha", [Candidate(one.alpha, one.draws(layers)) for one in candidates], target, self.id)
        yield job
        for layer in layers:
            for item in candidates[0].layer(layers, layer):
                if isinstance(item, Fill):
                    yield Fill(item.name, job[item.name], why=f"the best α of {len(ALPHAS)} in a trial fit")
                else:
                    yield item

    def bound(self, layers: LayerPlan, layer: Layer) -> tuple[float, str]:
        """SIREN's bound times α, but in the read-out."""
        bound, formula = super().bound(layers, layer)
        if layer.last or self.alpha == "probe":
            return bound, formula
        return self.alpha * bound, f"α{formula}, α = {self.alpha:.4g}"

    def draws(self, layers: LayerPlan) -> dict[str, Draw]:
        """The draws of all tensors by name."""
        items = [item for layer in layers for item in self.layer(layers, layer)]
        return {item.name: item.draw for item in items if isinstance(item, Fill)}
