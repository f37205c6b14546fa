"""Gated recurrences: the RG-LRU of Griffin, the forget gates of xLSTM and of minimal recurrent networks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from initkit import PlanError
from initkit_ssm.adapters.lookup import check, first, needed, optional
from initkit_ssm.codes import NEGATIVE, SOFTPLUS, log, softplus
from initkit_ssm.layers import Adapter, Layer, Read, Site, Steps, Stored

POWER = 8.0
"""c in a_t = a^(c · gate)."""
GATED = ("recurrent", "input")


class RgLru(Adapter):
    """log a_t = -8 sigmoid(gate) softplus(a_param); the layouts of recurrentgemma and of transformers."""

    classes = (
        "recurrentgemma.torch.layers.RGLRU",
        "transformers.models.recurrent_gemma.modeling_recurrent_gemma.RecurrentGemmaRglru",
    )
    telltale = ("a_param", "recurrent_param")

    def fits(self, site: Site) -> bool:
        """``a_param`` or ``recurrent_param``, and a gate of its own."""
        gates = ("a_gate.w", "recurrent_gate_weight")
        return first(site, "a_param", "recurrent_param") is not None and first(site, *gates) is not None

    def describe(self, site: Site) -> Layer:
        """Parameter (W,); gates' weights (blocks, W/blocks, W/blocks), biases (blocks, W/blocks)."""
        a = needed(site, "a_param", "recurrent_param")
        weight = needed(site, "a_gate.w", "recurrent_gate_weight")
        bias = needed(site, "a_gate.b", "recurrent_gate_bias")
        if len(weight[1]) != 3:
            raise PlanError(f"{site.words()}: {weight[0]} has shape {weight[1]}, expected (blocks, width, width)")
        blocks, width, _ = weight[1]
        gates = dict.fromkeys((weight[0], "input_gate.w", "input_gate_weight"), (blocks, width, width))
        biases = dict.fromkeys((bias[0], "input_gate.b", "input_gate_bias"), (blocks, width))
        check(site, weight[0], weight[1], {a[0]: (blocks * width,), **gates, **biases})
        roles = {
            "decay": Stored(site.full(a[0]), a[1], SOFTPLUS),
            "recurrent_weight": Stored(site.full(weight[0]), weight[1]),
            "recurrent_bias": Stored(site.full(bias[0]), bias[1]),
            **optional(site, "input_weight", "input_gate.w", "input_gate_weight"),
            **optional(site, "input_bias", "input_gate.b", "input_gate_bias"),
        }
        if site.parent is not None:
            roles |= optional(site.parent, "conv", "conv_1d.weight", "conv_1d.w")
            roles |= optional(site.parent, "conv_bias", "conv_1d.bias", "conv_1d.b")
        return Layer(site, "rg_lru", roles, self, {"block_width": width, "channels": blocks * width, "power": POWER})

    def steps(self, layer: Layer, read: Read) -> Steps:
        """The decay where the gate's projection is 0: with a bias of 0, a to the power of 4."""
        gate = torch.sigmoid(layer.read("recurrent_bias", read)).reshape(-1)
        return Steps(POWER * gate * layer.read("decay", read), words=_AT_ZERO)


class DenseRgLru(Adapter):
    """log a_t = c sigmoid(gate) log a with dense gates, lrnnx's layout: ``a_log`` (W, 1) holds log a itself."""

    classes = ("lrnnx.models.ltv.rglru.RGLRU",)
    telltale = ("a_log",)

    def fits(self, site: Site) -> bool:
        """``a_log`` and the projection of its gate."""
        return all(site.shape(name) is not None for name in ("a_log", "recurrent_gate_proj.bias"))

    def describe(self, site: Site) -> Layer:
        """``a_log`` (W, 1), gates' weights (W, W), biases (W,)."""
        a, weight = needed(site, "a_log"), needed(site, "recurrent_gate_proj.weight")
        width = a[1][0]
        gates = {f"{gate}_gate_proj.{part}": (width,) * n for gate in GATED for part, n in (("weight", 2), ("bias", 1))}
        check(site, "a_log", a[1], gates)
        roles = {"decay": Stored(site.full("a_log"), a[1], NEGATIVE)}
        for gate in GATED:
            for part in ("weight", "bias"):
                roles |= optional(site, f"{gate}_{part}", f"{gate}_gate_proj.{part}")
        roles |= {**optional(site, "conv", "conv1d.weight"), **optional(site, "conv_bias", "conv1d.bias")}
        facts = {"block_width": weight[1][-1], "channels": width, "power": float(getattr(site.module, "c", 8.0))}
        return Layer(site, "rg_lru", roles, self, facts)

    def steps(self, layer: Layer, read: Read) -> Steps:
        """The decay where the gate's projection is 0."""
        gate = torch.sigmoid(layer.read("recurrent_bias", read))
        return Steps(layer.facts["power"] * gate * layer.read("decay", read).reshape(-1), words=_AT_ZERO)


class MLstm(Adapter):
    """One forget gate a head: sigmoid of a projection with a bias, softly capped in the large models."""

    classes = (
        "xlstm.blocks.mlstm.cell.mLSTMCell",
        "xlstm.xlstm_large.model.mLSTMLayer",
        "transformers.models.xlstm.modeling_xlstm.xLSTMLayer",
    )

    def fits(self, site: Site) -> bool:
        """Projections of an input and a forget gate, together or apart, one row a head."""
        apart = first(site, "fgate.bias", "fgate_preact.bias"), first(site, "igate.bias", "igate_preact.bias")
        return all(part is not None and len(part[1]) == 1 for part in apart) or _fused(site)

    def describe(self, site: Site) -> Layer:
        """Gates' weights (heads, inputs) and biases (heads,); fused: the input gate's rows come first."""
        cap = getattr(getattr(site.module, "config", None), "gate_soft_cap", None)
        facts: dict[str, Any] = {"cell": "mlstm", "cap": None if cap is None else float(cap)}
        if _fused(site):
            weight, bias = needed(site, "ifgate_preact.weight"), needed(site, "ifgate_preact.bias")
            heads = bias[1][0] // 2
            check(site, bias[0], bias[1], {weight[0]: (2 * heads, weight[1][-1])})
            parts = {"input": slice(0, heads), "forget": slice(heads, 2 * heads)}
            roles = {
                role: stored
                for gate, rows in parts.items()
                for role, stored in {
                    f"{gate}_bias": Stored(site.full(bias[0]), (heads,), index=(rows,)),
                    f"{gate}_weight": Stored(site.full(weight[0]), (heads, weight[1][-1]), index=(rows,)),
                }.items()
            }
            return Layer(site, "gate", roles, self, {**facts, "heads": heads})
        roles = {}
        for gate, names in (("forget", ("fgate", "fgate_preact")), ("input", ("igate", "igate_preact"))):
            for part in ("weight", "bias"):
                found = needed(site, *(f"{name}.{part}" for name in names))
                roles[f"{gate}_{part}"] = Stored(site.full(found[0]), found[1])
        heads = roles["forget_bias"].shape[0]
        for role, stored in roles.items():
            if stored.shape[0] != heads:
                raise PlanError(f"{site.words()}: {role} has shape {stored.shape}, expected {heads} rows, one a head")
        return Layer(site, "gate", roles, self, {**facts, "heads": heads})

    def steps(self, layer: Layer, read: Read) -> Steps:
        """-log sigmoid(bias) = softplus(-bias)."""
        return Steps(softplus(-capped(layer.read("forget_bias", read), layer.facts["cap"])), words=_AT_ZERO)


class SLstm(Adapter):
    """A forget gate for each unit, biases of all gates in one tensor, gates in the order i, f, z, o."""

    classes = ("xlstm.blocks.slstm.cell.sLSTMCell_vanilla", "xlstm.blocks.slstm.cell.sLSTMCell_cuda")
    telltale = ("_recurrent_kernel_",)

    def fits(self, site: Site) -> bool:
        """xlstm's names."""
        return all(site.shape(name) is not None for name in ("_recurrent_kernel_", "_bias_"))

    def describe(self, site: Site) -> Layer:
        """``_bias_`` of 4·heads·d values: gates first (vanilla), or heads first."""
        bias, kernel = needed(site, "_bias_"), needed(site, "_recurrent_kernel_")
        heads = kernel[1][0]
        count = torch.Size(bias[1]).numel()
        if not heads or count % (4 * heads):
            raise PlanError(f"{site.words()}: _bias_ has {count} values, expected 4 gates for {heads} heads")
        config = getattr(site.module, "config", None)
        facts = {
            "cell": "slstm",
            "heads": heads,
            "head_dim": count // (4 * heads),
            "gates_first": any("vanilla" in kind.__name__ for kind in type(site.module).__mro__),
            "layer": getattr(config, "_block_idx", None),
            "layers": getattr(config, "_num_blocks", None),
        }
        return Layer(site, "gate", {"bias": Stored(site.full("_bias_"), bias[1])}, self, facts)

    def steps(self, layer: Layer, read: Read) -> Steps:
        """-log sigmoid(bias of the forget gate)."""
        stored = layer.read("bias", read)
        heads, width = layer.facts["heads"], layer.facts["head_dim"]
        if layer.facts["gates_first"]:
            return Steps(softplus(-stored.reshape(4, heads, width)[1]), words=_AT_ZERO)
        return Steps(softplus(-stored.reshape(heads, 4, width)[:, 1]), words=_AT_ZERO)


class MinGru(Adapter):
    """minGRU and minLSTM: candidate and gates from one projection, as a rule without a bias."""

    def fits(self, site: Site) -> bool:
        """The projection's name."""
        return first(site, *_PROJECTIONS) is not None

    def describe(self, site: Site) -> Layer:
        """Weight (2d, inputs) for minGRU, (3d, inputs) for minLSTM."""
        name, shape = needed(site, *_PROJECTIONS)
        gates = 2 if name == _PROJECTIONS[0] else 3
        bias = site.shape(name.replace("weight", "bias"))
        facts = {"cell": "mingru" if gates == 2 else "minlstm", "no_bias": bias is None, "projection": name}
        if len(shape) != 2 or shape[0] % gates:
            raise PlanError(f"{site.words()}: {name} has shape {shape}, expected ({gates}·d, inputs)")
        if bias is None:
            return Layer(site, "gate", {}, self, facts)
        if gates == 3:
            raise PlanError(f"{site.words()}: the forget gate of a minLSTM is a quotient of two gates: set it yourself")
        width = shape[0] // 2
        where = site.full(name.replace("weight", "bias"))
        # h = (1 - z) h + z x: remembering means a small gate z, so the forget gate's bias is minus that of z.
        roles = {"forget_bias": Stored(where, (width,), NEGATIVE, index=(slice(width, 2 * width),))}
        return Layer(site, "gate", roles, self, {**facts, "heads": width, "cap": None})

    def steps(self, layer: Layer, read: Read) -> Steps | None:
        """Nothing that is stored decides a gate without a bias."""
        if "forget_bias" not in layer.roles:
            return None
        return Steps(softplus(-layer.read("forget_bias", read)), words=_AT_ZERO)


_AT_ZERO = "at a gate's projection of 0"
_PROJECTIONS = ("to_hidden_and_gate.weight", "to_hidden_and_f_i_gate.weight")


def _fused(site: Site) -> bool:
    bias = site.shape("ifgate_preact.bias")
    return bias is not None and len(bias) == 1 and bias[0] % 2 == 0


def capped(bias: Tensor, cap: float | None) -> Tensor:
    """The gate's preactivation: ``cap · tanh(bias/cap)`` where there is a cap."""
    return bias if cap is None else cap * torch.tanh(bias / cap)


def uncapped(preactivation: Tensor, cap: float | None) -> Tensor:
    """The bias that gives a preactivation; the inverse of :func:`capped`, for values within the cap."""
    if cap is None:
        return preactivation
    share = (preactivation / cap).clamp(-1 + 1e-12, 1 - 1e-12)
    return cap / 2 * log((1 + share) / (1 - share))


def longest(cap: float | None) -> float:
    """The longest time constant that a capped gate can have, in steps."""
    return math.inf if cap is None else 1 / math.log1p(math.exp(-cap))


GATES: list[Adapter] = [RgLru(), DenseRgLru(), MLstm(), SLstm(), MinGru()]
