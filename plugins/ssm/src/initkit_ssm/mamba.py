"""The authors' start of selective state spaces: rates, steps and, on request, projections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import nn

from initkit import Constant, Draw, Fill, Item, LogUniform, Normal, OptionError, PlanError, Uniform, Values
from initkit_ssm.base import LayerRecipe
from initkit_ssm.layers import Found, Layer
from initkit_ssm.stack import numbered


@dataclass(frozen=True)
class Mamba(LayerRecipe):
    """Mamba, Mamba-2, Mamba-3 and gated delta nets as their authors start them: time constants from one step to 1,000.

    With u uniform on (0, 1), for every channel (Mamba, KDA) or head (the others):

        dt = max(dt_min (dt_max/dt_min)^u, dt_floor),   bias of dt = softplus⁻¹(dt) = dt + log(1 - exp(-dt))

        Mamba                A = -(1..N) in each channel
        Mamba-2              A ~ -U(1, 16)
        gated delta nets     A ~ -U(0.01, 16); one step a channel (KDA): -U(1, 16)
        Mamba-3              A comes from the input; biases of B and C are 1, mimo_x = mimo_o = 1/r, mimo_z = 1

    and D = 1. A mode with rate A then forgets by 1/e in 1/(|A| dt) steps where the input adds nothing to dt. The
    default writes these alone, so that any model's weights are left; projections are the rest of the authors' start.

    Args:
        which: ``dynamics`` (A, dt, D), ``projections`` (the layer's linear maps and convolutions, and embeddings), or
            ``all``.
        dt_min: shortest step.
        dt_max: longest step.
        dt_floor: steps below it become it.
        a_min: smallest rate |A| of a head; None is 1 for Mamba-2 and KDA, 0.01 for gated delta nets. Mamba's rates
            are 1..N whatever it says.
        a_max: largest rate |A| of a head.
        dt_weight: of Mamba's low-rank projection of dt: ``random`` is uniform within ±dt_scale/√R, R its rank,
            ``constant`` is dt_scale/√R.
        dt_scale: see ``dt_weight``.
        residuals: residual branches a block, 2 with an MLP; output projections shrink by √(layers · residuals).
        strict: whether a module with a state space layer's names that no adapter can describe is an error; if not, it
            is left and reported.

    Source: Gu, Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023 (arXiv 2312.00752), and
    Dao, Gu, Transformers are SSMs, ICML 2024 (arXiv 2405.21060); values as in the authors' code, and in that of gated
    delta nets (Yang, Kautz, Hatamizadeh, Gated Delta Networks, ICLR 2025).
    """

    kinds: ClassVar[Sequence[str]] = ("mamba", "mamba2", "mamba3", "gated_delta")
    sets: ClassVar[Sequence[str]] = (
        *("rate", "dt", "D", "rate_b", "dt_b", "D_b"),
        *("B_bias", "C_bias", "mimo_x", "mimo_z", "mimo_o"),
    )
    bibtex: ClassVar[str] = """@article{gu2023mamba,
  title = {Mamba: Linear-Time Sequence Modeling with Selective State Spaces},
  author = {Gu, Albert and Dao, Tri},
  journal = {arXiv preprint arXiv:2312.00752},
  year = {2023}
}
@inproceedings{dao2024transformers,
  title = {Transformers are {SSM}s: Generalized Models and Efficient Algorithms Through Structured State Space Duality},
  author = {Dao, Tri and Gu, Albert},
  booktitle = {International Conference on Machine Learning},
  year = {2024}
}"""

    which: Literal["dynamics", "projections", "all"] = "dynamics"
    dt_min: Annotated[float, Gt(0)] = 1e-3
    dt_max: Annotated[float, Gt(0)] = 0.1
    dt_floor: Annotated[float, Ge(0)] = 1e-4
    a_min: Annotated[float, Gt(0)] | None = None
    a_max: Annotated[float, Gt(0)] = 16.0
    dt_weight: Literal["random", "constant"] = "random"
    dt_scale: Annotated[float, Gt(0)] = 1.0
    residuals: Annotated[int, Ge(1)] = 1

    def check(self) -> None:
        """Relate the bounds."""
        super().check()
        if self.dt_max < self.dt_min:
            raise OptionError(f"recipe {self.id}: dt_max={self.dt_max} is below dt_min={self.dt_min}")
        if self.a_min is not None and self.a_max < self.a_min:
            raise OptionError(f"recipe {self.id}: a_max={self.a_max} is below a_min={self.a_min}")

    def layers(self, model: nn.Module) -> Found:
        """The layers, each with its place in the stack."""
        return numbered(super().layers(model), self.kinds)

    def items(self, model: nn.Module, found: Found) -> Iterator[Item]:
        """The layers' items, and embeddings where projections are asked for."""
        yield from super().items(model, found)
        if self.which != "dynamics":
            yield from _embeddings(model)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """The layer's fills."""
        values: dict[str, tuple[Draw, str]] = {}
        if self.which != "projections":
            values |= self._dynamics(layer)
        if self.which != "dynamics":
            values |= self._projections(layer)
        values |= {f"{role}_b": value for role, value in values.items() if f"{role}_b" not in values}
        yield from layer.fills({role: value for role, value in values.items() if role in layer.roles})

    def _dynamics(self, layer: Layer) -> dict[str, tuple[Draw, str]]:
        one = Constant(1.0)
        values: dict[str, tuple[Draw, str]] = {
            "dt": (self._dt(), f"step between {self.dt_min:.4g} and {self.dt_max:.4g} where the input adds nothing"),
            "D": (one, "skip of 1"),
        }
        if layer.kind == "mamba3":
            rank = layer.facts["rank"]
            inverse = Constant(1 / rank)
            values |= {"B_bias": (one, "bias of 1 on B"), "C_bias": (one, "bias of 1 on C")}
            values |= {"mimo_x": (inverse, f"1/r, r = {rank}"), "mimo_o": (inverse, f"1/r, r = {rank}")}
            return values | {"mimo_z": (one, "gate of 1")}
        return values | {"rate": self._rate(layer)}

    def _dt(self) -> Draw:
        if self.dt_min == self.dt_max:
            return Constant(max(self.dt_min, self.dt_floor))
        draw = LogUniform(self.dt_min, self.dt_max)
        if self.dt_floor <= self.dt_min:
            return draw
        floor = self.dt_floor
        return draw.map(lambda dt: dt.clamp(min=floor), f"max({floor:.4g}, ·)")

    def _rate(self, layer: Layer) -> tuple[Draw, str]:
        shape = layer.roles["rate"].shape
        if layer.kind == "mamba":
            rates = torch.arange(1, shape[-1] + 1, dtype=torch.float64).expand(shape)
            return Values(rates, f"1..{shape[-1]}"), f"rates |A| = 1..{shape[-1]} in each channel"
        if layer.facts.get("bound") is not None:
            return Constant(1.0), "a gate with a lower bound: |A| = 1, so that its decay is about bound · dt"
        gated = layer.kind == "gated_delta" and not layer.facts["per_channel"]
        low = self.a_min if self.a_min is not None else min(0.01 if gated else 1.0, self.a_max)
        draw = Constant(low) if low == self.a_max else Uniform(low, self.a_max)
        return draw, f"rate |A| between {low:.4g} and {self.a_max:.4g}, one a head"

    def _projections(self, layer: Layer) -> dict[str, tuple[Draw, str]]:
        values: dict[str, tuple[Draw, str]] = {}
        for name in layer.facts["maps"]:
            shape = layer.roles[name].shape
            fan_in = shape[-1] if len(shape) == 2 or name == "x_proj" else shape[1] * shape[2]
            if not fan_in:
                raise PlanError(f"{layer.roles[name].tensor} {tuple(shape)}: it has no inputs")
            bound, why = 1 / math.sqrt(fan_in), f"torch's own start: ±1/√fan_in, fan_in {fan_in}"
            if name == "out_proj":
                depth = layer.facts["of"] * self.residuals
                bound, why = bound / math.sqrt(depth), f"{why}, over √{depth} residual branches"
            values[name] = (Uniform(-bound, bound), why)
            convolution = len(shape) == 3 and name != "x_proj"
            offset = Uniform(-bound, bound) if convolution else Constant(0.0)
            values[f"{name}_bias"] = (offset, why if convolution else "no offset")
        if "dt_weight" in layer.roles:
            scale = self.dt_scale / math.sqrt(layer.facts["dt_rank"])
            draw = Constant(scale) if self.dt_weight == "constant" else Uniform(-scale, scale)
            values["dt_weight"] = (draw, f"keeps the variance of dt's projection: {scale:.4g} = dt_scale/√R")
        return values


def _embeddings(model: nn.Module) -> Iterator[Item]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            yield Fill(f"{name}.weight" if name else "weight", Normal(0.02), why="embeddings: N(0, 0.02²)")
