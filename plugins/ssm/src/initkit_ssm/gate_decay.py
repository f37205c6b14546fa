"""The start of real gates: forget gates of xLSTM, decays of RWKV, and time constants of one's own choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

from initkit import Blocks, Constant, Draw, Fill, Item, LogUniform, Normal, OptionError, PlanError, Uniform, Values
from initkit_ssm.adapters.gates import longest, uncapped
from initkit_ssm.base import LayerRecipe
from initkit_ssm.codes import inverse_softplus, log, logit, softplus
from initkit_ssm.formula import Formula, Part
from initkit_ssm.layers import Found, Layer
from initkit_ssm.published import rwkv_values, slstm_biases
from initkit_ssm.stack import numbered


@dataclass(frozen=True)
class GateDecay(LayerRecipe):
    """Gates that remember: published starts of mLSTM, sLSTM and RWKV, or log-uniform time constants.

    ``published``, with l the layer's place from 0, r = l/(layers - 1), c a channel of d, h = c/(d - 1), j a unit of
    the n in a head:

        mLSTM      forget gate's bias: linspace(3, 6, heads), its weight 0; input gate: weight 0, bias N(0, 0.1²)
                   (-10 in the large models, whose gates are softly capped)
        sLSTM      forget gate's bias 5 - 12 (j/(n - 1))^(0.3 + 1.3 r), other gates' 0
        RWKV-4     w = -5 + 8 h^(0.7 + 1.3 r), bonus log 0.3 + ((c + 1) mod 3 - 1)/2, time mixing (c/d)^(1 - l/layers)
        RWKV-5, 6  w = -6 + 5 h^(0.7 + 1.3 r)
        RWKV-7     w = -6 + 6 h^(1 + r^0.3) + 1/2 + 2.5 z|z|, z the place in the head, from -1 to 1

    ``log_uniform`` draws a time constant τ for every head, unit or channel, log-uniform between ``tau_min`` and
    ``tau_max`` steps, and writes the bias under which a state decays by exp(-1/τ) a step: -softplus⁻¹(1/τ) for sigmoid
    gates, log(1/τ) for RWKV-4 to 6, logit(√e/τ) for RWKV-7, softplus⁻¹(1/(|A| τ)) with the authors' A for Mamba-2 and
    gated delta nets.

    Args:
        variant: see above.
        tau_min: shortest time constant, in steps.
        tau_max: longest time constant, in steps.
        input_gate: of the mLSTM's published start: ``open`` is a bias N(0, 0.1²), ``closed`` one of -10; None takes
            what the layer's own authors do.
        strict: whether a gate without a bias, or a module with a state space layer's names that no adapter can
            describe, is an error; if not, it is left and reported.

    Source: Beck et al., xLSTM: Extended Long Short-Term Memory, NeurIPS 2024 (arXiv 2405.04517); Peng et al., RWKV:
    Reinventing RNNs for the Transformer Era, EMNLP 2023 (arXiv 2305.13048); values as in the authors' code.
    """

    kinds: ClassVar[Sequence[str]] = ("gate", "rwkv")
    bibtex: ClassVar[str] = """@inproceedings{beck2024xlstm,
  title = {x{LSTM}: Extended Long Short-Term Memory},
  author = {Beck, Maximilian and P{\\"o}ppel, Korbinian and Spanring, Markus and others},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2024}
}
@inproceedings{peng2023rwkv,
  title = {{RWKV}: Reinventing {RNN}s for the Transformer Era},
  author = {Peng, Bo and Alcaide, Eric and Anthony, Quentin and others},
  booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2023},
  year = {2023}
}"""

    variant: Literal["published", "log_uniform"] = "published"
    tau_min: Annotated[float, Gt(0)] = 1.0
    tau_max: Annotated[float, Gt(0)] = 1000.0
    input_gate: Literal["open", "closed"] | None = None

    def check(self) -> None:
        """Relate the time constants."""
        super().check()
        if self.tau_max < self.tau_min:
            raise OptionError(f"recipe {self.id}: tau_max={self.tau_max} is below tau_min={self.tau_min}")

    def wanted(self, found: Found) -> Sequence[str]:
        """Time constants of one's own suit Mamba-2 and gated delta nets as well."""
        return (*self.kinds, "mamba2", "gated_delta") if self.variant == "log_uniform" else self.kinds

    def layers(self, model: nn.Module) -> Found:
        """Layers that the variant can set, each with its place in the stack; gates without a bias are an error."""
        found = super().layers(model)
        bare = [layer for layer in found.of(self.kinds) if not layer.roles]
        if bare and (self.strict or len(bare) == len(found.of(self.wanted(found)))):
            advice = "give it one, or give strict=False to leave it" if self.strict else "give it one"
            raise PlanError(f"recipe {self.id}: {_no_place(bare[0])}: {advice}")
        kept = tuple(layer for layer in found.layers if layer not in bare)
        found = replace(found, layers=kept, unknown=(*found.unknown, *map(_no_place, bare)))
        return numbered(found, self.kinds)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """The layer's fills."""
        if self.variant == "log_uniform":
            yield from self._log_uniform(layer)
        elif layer.kind == "rwkv":
            values = rwkv_values(layer)
            yield from layer.fills({role: value for role, value in values.items() if role in layer.roles})
        elif layer.facts["cell"] == "slstm":
            yield from layer.fills({"bias": slstm_biases(layer)})
        elif layer.facts["cell"] == "mlstm":
            yield from self._mlstm(layer)
        else:
            raise PlanError(
                f"recipe {self.id}: {layer.title} has no published start of its gate; give variant=log_uniform"
            )

    def _mlstm(self, layer: Layer) -> Iterator[Item]:
        heads, zero = layer.facts["heads"], Constant(0.0)
        closed = self.input_gate == "closed" or (self.input_gate is None and layer.facts["cap"] is not None)
        spaced = Values(torch.linspace(3, 6, heads, dtype=torch.float64), f"linspace(3, 6, {heads})")
        yield from layer.fills(
            {
                "forget_bias": (spaced, "forget gates of 0.953 to 0.998: memories of 20 to 400 steps"),
                "forget_weight": (zero, "the gate starts independent of the input"),
                "input_bias": (Constant(-10.0), "closed") if closed else (Normal(0.1), "half open"),
                "input_weight": (zero, "the gate starts independent of the input"),
            }
        )

    def _log_uniform(self, layer: Layer) -> Iterator[Item]:
        why = f"time constants between {self.tau_min:.4g} and {self.tau_max:.4g} steps"
        if layer.kind == "rwkv":
            yield from layer.fills({"time_decay": (self._rwkv(layer), why)})
        elif layer.kind in ("mamba2", "gated_delta"):
            yield from self._selective(layer, why)
        elif layer.facts["cell"] == "slstm":
            yield _slstm(layer, self._bias(None), why)
        else:
            cap = layer.facts["cap"]
            if self.tau_max > longest(cap):
                raise OptionError(
                    f"recipe {self.id}: {layer.title} caps its gate at {cap:g}: tau_max={self.tau_max} must be at most "
                    f"{longest(cap):.4g}"
                )
            values: dict[str, tuple[Draw, str]] = {"forget_bias": (self._bias(cap), why)}
            if "forget_weight" in layer.roles:
                values["forget_weight"] = (Constant(0.0), "the gate starts independent of the input")
            yield from layer.fills(values)

    def _bias(self, cap: float | None) -> Draw:
        def bias(decay: Tensor) -> Tensor:
            return uncapped(-inverse_softplus(decay), cap)

        if self.tau_min == self.tau_max:
            return Constant(float(bias(torch.tensor(1 / self.tau_min, dtype=torch.float64))))
        return LogUniform(1 / self.tau_max, 1 / self.tau_min).map(bias, "-softplus⁻¹")

    def _rwkv(self, layer: Layer) -> Draw:
        seven = layer.facts["version"] == 7
        if seven and self.tau_min <= math.exp(0.5):
            raise OptionError(
                f"recipe {self.id}: {layer.title} is RWKV-7, which forgets by at most exp(-exp(-1/2)) a step: "
                f"tau_min={self.tau_min} must be above 1.6488"
            )

        def w(decay: Tensor) -> Tensor:
            return logit(math.exp(0.5) * decay) if seven else log(decay)

        if self.tau_min == self.tau_max:
            return Constant(float(w(torch.tensor(1 / self.tau_min, dtype=torch.float64))))
        return LogUniform(1 / self.tau_max, 1 / self.tau_min).map(w, "logit √e ·" if seven else "log")

    def _selective(self, layer: Layer, why: str) -> Iterator[Item]:
        where, steps = layer.roles["rate"], layer.roles["dt"].shape
        heads, bound = layer.facts["heads"], layer.facts.get("bound")
        low = 1.0 if layer.kind == "mamba2" or layer.facts["per_channel"] else 0.01
        rate = Constant(1.0) if bound is not None else Uniform(low, 16.0)

        def step(rates: Tensor, decay: Tensor) -> Tensor:
            if bound is not None:
                return softplus(logit(decay / bound))
            return decay / rates.reshape(-1).repeat_interleave(steps[0] // heads)

        low_decay, high_decay = 1 / self.tau_max, 1 / self.tau_min
        if bound is not None and high_decay >= bound:
            raise OptionError(f"recipe {self.id}: {layer.title} decays by at most exp(-{bound:g}): raise tau_min")
        decay = Constant(low_decay) if low_decay == high_decay else LogUniform(low_decay, high_decay)
        parts = (Part(rate, where.shape, where.tensor), Part(decay, steps, "#tau"))
        values = {"rate": (rate, "rate |A| of the authors' start"), "dt": (Formula(step, parts, "1/(|A| τ)"), why)}
        yield from layer.fills(values)


def _slstm(layer: Layer, forget: Draw, why: str) -> Fill:
    """One fill of the biases of all gates: the forget gates' as given, 0 for the others."""
    where = layer.roles["bias"]
    heads, width = layer.facts["heads"], layer.facts["head_dim"]
    zero = Constant(0.0)
    if len(where.shape) != 1:
        axis = 0 if layer.facts["gates_first"] else 1
        pick = [(*[slice(None)] * axis, part) for part in (slice(0, 1), slice(1, 2), slice(2, 4))]
        return Fill(where.tensor, Blocks(list(zip(pick, (zero, forget, zero), strict=True))), why)
    if layer.facts["gates_first"]:
        n = heads * width
        blocks = [(slice(0, n), zero), (slice(n, 2 * n), forget), (slice(2 * n, 4 * n), zero)]
    else:
        blocks = []
        for head in range(heads):
            at = 4 * head * width
            ends = [at, at + width, at + 2 * width, at + 4 * width]
            spans = [slice(a, b) for a, b in itertools.pairwise(ends)]
            blocks += list(zip(spans, (zero, forget, zero), strict=True))
    return Fill(where.tensor, Blocks(blocks), why)


def _no_place(layer: Layer) -> str:
    where = layer.facts["projection"]
    return f"{layer.title}: its gate comes from {where} without a bias, so there is no place for a time constant"
