"""Time steps from the autocorrelation of the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

from initkit import Constant, Draw, Fill, Item, Job, JobContext, NeedError, PlanError
from initkit.probing.inputs import Inputs
from initkit_ssm.autocorrelation import checked, largest_eigenvalue, second_moments
from initkit_ssm.base import LayerRecipe
from initkit_ssm.capture import layer_input
from initkit_ssm.layers import Layer
from initkit_ssm.ranges import log_uniform


@dataclass(frozen=True)
class AutocorrTimescale(LayerRecipe):
    """Time steps from data: dt log-uniform up to a bound that the autocorrelation of a layer's input sets.

    With r_k the second moments of the input at lag k (biased estimator, r_0 = 1) and λ_max the largest eigenvalue of
    their L×L Toeplitz matrix, d0 = 1/sqrt(L λ_max), and dt ~ logU(1/L, hi d0): then the output at the last step stays
    bounded, E y² <= dt² L λ_max. White noise gives d0 = 1/sqrt(L), a constant input about 1/L. All else is left: apply
    it after another recipe.

    Args:
        source: ``layer``: what enters each layer when the model reads ``inputs``, layer after layer; ``inputs``: the
            data themselves, the same for all layers.
        hi: factor of the upper bound; 1 for targets that need all of L.
        zero_real: whether -Re A is set to 1e-4, so that nothing decays by itself.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: after Liu, Li, Autocorrelation Matters: Understanding the Role of Initialization Schemes for State Space
    Models, ICLR 2025 (arXiv 2411.19455); the rule is derived anew.
    """

    bibtex: ClassVar[str] = """@inproceedings{liu2025autocorrelation,
  title = {Autocorrelation Matters: Understanding the Role of Initialization Schemes for State Space Models},
  author = {Liu, Fusheng and Li, Qianxiao},
  booktitle = {International Conference on Learning Representations},
  year = {2025},
  eprint = {2411.19455},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s4d", "s4_dplr", "s5")
    sets: ClassVar[Sequence[str]] = ("dt",)

    source: Literal["layer", "inputs"] = "layer"
    hi: Annotated[float, Gt(0)] = 3.0
    zero_real: bool = False

    def plan(  # type: ignore[override]
        self, model: nn.Module, *, inputs: Any, mask: Any = None
    ) -> Iterator[Item]:
        """Yield a fill of dt for each layer, in the order of registration.

        Args:
            model: with layers of the recipe's kinds.
            inputs: what the model is called with, a tensor (batch, length[, features]), a tuple or a dict; or a
                function that returns it.
            mask: (batch, length), which steps count; None counts all.
        """
        found = self.layers(model)
        data = inputs() if callable(inputs) and not isinstance(inputs, nn.Module) else inputs
        steps = None if mask is None else torch.as_tensor(mask)
        if self.source == "layer":
            yield from self.items_by(model, found, lambda layer: self._of_layer(layer, data, steps))
            return
        signal = Inputs.of(data, torch.device("cpu")).signal
        if signal is None:
            raise NeedError(f"recipe {self.id}: inputs holds no floating-point tensor to read time scales from")
        scale = Scale.of(checked(signal, "inputs"), steps)
        yield from self.items_by(model, found, lambda layer: self._of_data(layer, scale))

    def _of_data(self, layer: Layer, scale: Scale) -> Iterator[Item]:
        yield from layer.fills(
            {"dt": (self._range(scale), f"dt from 1/L to {self.hi:g} d0: {scale}"), **self._rate(layer)}
        )

    def _of_layer(self, layer: Layer, inputs: Any, mask: Tensor | None) -> Iterator[Item]:
        where = layer.roles["dt"]

        def fit(ctx: JobContext) -> dict[str, Tensor]:
            x = checked(layer_input(ctx, layer, inputs), f"recipe {self.id}, what enters {layer.title}")
            scale = Scale.of(x, mask)
            ctx.note(f"{self.id}: {layer.name or 'the model'}", scale.row(self.hi))
            return {"dt": ctx.sample(where.draw(self._range(scale)), where.tensor)}

        job = Job(
            f"timescale of {layer.name or 'the model'}", fit, "reads the autocorrelation of what enters the layer"
        )
        yield job
        yield Fill(where.tensor, job["dt"], f"dt from 1/L to {self.hi:g}/sqrt(L λ_max) of what enters the layer")
        yield from layer.fills(self._rate(layer))

    def _range(self, scale: Scale) -> Draw:
        return log_uniform(1 / scale.length, max(1 / scale.length, rounded(self.hi * scale.d0)))

    def _rate(self, layer: Layer) -> dict[str, tuple[Draw, str]]:
        if not self.zero_real:
            return {}
        if layer.roles["rate"].part != "whole":
            raise PlanError(
                f"recipe {self.id}, {layer.title}: zero_real=True cannot set -Re A alone, as "
                f"{layer.roles['rate'].tensor} holds Im A as well"
            )
        return {"rate": (Constant(1e-4), "zero_real: nothing decays by itself")}


@dataclass(frozen=True)
class Scale:
    """The time scale of some sequences.

    Attributes:
        length: L.
        top: λ_max of the Toeplitz matrix of normalised second moments.
        d0: 1/sqrt(L λ_max).
    """

    length: int
    top: float

    @classmethod
    def of(cls, x: Tensor, mask: Tensor | None = None) -> Scale:
        """Of real sequences (B, L, F)."""
        if mask is not None and tuple(mask.shape) != tuple(x.shape[:2]):
            raise NeedError(f"mask: shape {tuple(mask.shape)}, expected {tuple(x.shape[:2])}: one entry for each step")
        r = second_moments(x, mask).mean(0)
        return cls(x.shape[1], largest_eigenvalue(r / r[0]))

    @property
    def d0(self) -> float:
        """1/sqrt(L λ_max)."""
        return 1 / math.sqrt(self.length * self.top)

    def row(self, hi: float) -> dict[str, float]:
        """For the report."""
        least, most = 1 / self.length, max(1 / self.length, hi * self.d0)
        return {"length": self.length, "lambda_max": rounded(self.top), "d0": rounded(self.d0)} | {
            "dt_min": rounded(least),
            "dt_max": rounded(most),
        }

    def __str__(self) -> str:
        return f"L = {self.length}, λ_max = {self.top:.4g}, d0 = {self.d0:.4g}"


def rounded(value: float) -> float:
    """Seven significant digits, since the last ones of what is computed from data differ between machines."""
    return float(f"{value:.7g}")
