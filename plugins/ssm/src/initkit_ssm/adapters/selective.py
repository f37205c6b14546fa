"""Selective state spaces: Mamba, Mamba-2, Mamba-3 and the gated delta nets, whatever library they come from."""

from __future__ import annotations

from typing import Any

import torch

from initkit import PlanError
from initkit_ssm.adapters.lookup import check, first, needed, optional, place, projections
from initkit_ssm.codes import LOG, SOFTPLUS, softplus
from initkit_ssm.layers import Adapter, Layer, Read, Site, Steps, Stored


class Mamba(Adapter):
    """A state of N real modes in each channel; the step comes from a low-rank projection with a bias.

    dt = softplus(dt_proj(·) + bias), A = -exp(A_log). Zamba keeps its heads in a first axis. Vision Mamba has a second
    set of parameters for the way back, ``A_b_log``, ``D_b``, ``dt_proj_b``, whose roles end with ``_b``.
    """

    classes = (
        "mamba_ssm.modules.mamba_simple.Mamba",
        "transformers.models.mamba.modeling_mamba.MambaMixer",
        "transformers.models.falcon_mamba.modeling_falcon_mamba.FalconMambaMixer",
        "transformers.models.jamba.modeling_jamba.JambaMambaMixer",
        "transformers.models.zamba.modeling_zamba.ZambaMambaMixer",
        "fla.layers.mamba.Mamba",
        "mambapy.mamba.MambaBlock",
    )
    telltale = ("A_log",)

    def fits(self, site: Site) -> bool:
        """``A_log`` with a mode axis, beside a projection of dt."""
        a = site.shape("A_log")
        return a is not None and len(a) in (2, 3) and first(site, "dt_proj.bias", "dt_proj_bias") is not None

    def describe(self, site: Site) -> Layer:
        """A_log (d, N) or (heads, d/heads, N); the bias of dt has the leading axes."""
        a = needed(site, "A_log")
        bias = needed(site, "dt_proj.bias", "dt_proj_bias")
        weight = needed(site, "dt_proj.weight", "dt_proj_weight")
        rank = weight[1][-1]
        expected = {bias[0]: a[1][:-1], weight[0]: (*a[1][:-1], rank), "D": a[1][:-1]}
        check(site, "A_log", a[1], expected)
        maps, names = projections(site, leave=("dt_proj", "dt_proj_b"))
        if "x_proj" not in maps:
            maps |= optional(site, "x_proj", "x_proj_weight")
            names = (*names, *(["x_proj"] if "x_proj" in maps else []))
        roles = {
            "rate": Stored(site.full(a[0]), a[1], LOG),
            "dt": Stored(site.full(bias[0]), bias[1], SOFTPLUS),
            **optional(site, "D", "D"),
            "dt_weight": Stored(site.full(weight[0]), weight[1]),
            **self._way_back(site, a[1], rank),
            **maps,
        }
        facts = {"state": a[1][-1], "dt_rank": rank, "maps": names, "layer": place(site)}
        return Layer(site, "mamba", roles, self, facts)

    def _way_back(self, site: Site, shape: tuple[int, ...], rank: int) -> dict[str, Stored]:
        if site.shape("A_b_log") is None:
            return {}
        expected = {"A_b_log": shape, "dt_proj_b.bias": shape[:-1], "dt_proj_b.weight": (*shape[:-1], rank)}
        check(site, "A_log", shape, {**expected, "D_b": shape[:-1]})
        return {
            "rate_b": Stored(site.full("A_b_log"), shape, LOG),
            "dt_b": Stored(site.full(needed(site, "dt_proj_b.bias")[0]), shape[:-1], SOFTPLUS),
            "dt_weight_b": Stored(site.full(needed(site, "dt_proj_b.weight")[0]), (*shape[:-1], rank)),
            **optional(site, "D_b", "D_b"),
        }

    def steps(self, layer: Layer, read: Read) -> Steps:
        """λ = exp(-A dt), with dt at a projection of 0; of both directions where there are two."""
        ways = [way for way in ("", "_b") if f"rate{way}" in layer.roles]
        rates = torch.stack([layer.read(f"rate{way}", read) for way in ways])
        dt = torch.stack([layer.read(f"dt{way}", read) for way in ways])
        return Steps(rates * dt.unsqueeze(-1), None, dt, rates, "at a projection of 0")


class Mamba2(Adapter):
    """One real rate a head: λ = exp(-A dt), dt = softplus(· + dt_bias), clamped where the layer has limits."""

    classes = (
        "mamba_ssm.modules.mamba2.Mamba2",
        "mamba_ssm.modules.mamba2_simple.Mamba2Simple",
        "transformers.models.mamba2.modeling_mamba2.Mamba2Mixer",
        "transformers.models.bamba.modeling_bamba.BambaMixer",
        "transformers.models.zamba2.modeling_zamba2.Zamba2MambaMixer",
        "transformers.models.nemotron_h.modeling_nemotron_h.NemotronHMamba2Mixer",
        "transformers.models.granitemoehybrid.modeling_granitemoehybrid.GraniteMoeHybridMambaLayer",
        "transformers.models.falcon_h1.modeling_falcon_h1.FalconH1Mixer",
        "fla.layers.mamba2.Mamba2",
    )
    telltale = ("dt_bias",)

    def fits(self, site: Site) -> bool:
        """``A_log`` (heads,), ``dt_bias``, ``D`` and one input projection for everything."""
        a = site.shape("A_log")
        names = ("dt_bias", "D", "in_proj.weight")
        return a is not None and len(a) == 1 and all(site.shape(name) is not None for name in names)

    def describe(self, site: Site) -> Layer:
        """A_log and dt_bias (heads,), D (heads,) or (channels,)."""
        a, bias = needed(site, "A_log"), needed(site, "dt_bias")
        check(site, "A_log", a[1], {"dt_bias": a[1]})
        skip = site.shape("D")
        if skip is not None and (len(skip) != 1 or skip[0] % a[1][0]):
            raise PlanError(f"{site.words()}: D has shape {skip}, expected ({a[1][0]},) or one value a channel")
        maps, names = projections(site)
        roles = {
            "rate": Stored(site.full("A_log"), a[1], LOG),
            "dt": Stored(site.full("dt_bias"), bias[1], SOFTPLUS),
            **optional(site, "D", "D"),
            **maps,
        }
        return Layer(site, "mamba2", roles, self, {"heads": a[1][0], "maps": names, "layer": place(site)})

    def steps(self, layer: Layer, read: Read) -> Steps:
        """dt at a projection of 0, within the layer's limits."""
        rate, dt = layer.read("rate", read), layer.read("dt", read)
        low, high = _limits(layer.site.module)
        dt = dt.clamp(low, high)
        return Steps(rate * dt, None, dt, rate, "at a projection of 0")


class Mamba3(Adapter):
    """A comes from the input, so that the start decides dt and the biases of B and C alone."""

    classes = ("mamba_ssm.modules.mamba3.Mamba3", "fla.layers.mamba3.Mamba3")

    def fits(self, site: Site) -> bool:
        """Biases of dt, B and C, and no ``A_log``."""
        names = ("dt_bias", "B_bias", "C_bias")
        return site.shape("A_log") is None and all(site.shape(name) is not None for name in names)

    def describe(self, site: Site) -> Layer:
        """dt_bias (heads,), B_bias and C_bias (heads, rank, N)."""
        bias, b = needed(site, "dt_bias"), needed(site, "B_bias")
        if len(b[1]) != 3:
            raise PlanError(f"{site.words()}: B_bias has shape {b[1]}, expected (heads, rank, state)")
        heads, rank, _ = b[1]
        check(site, "B_bias", b[1], {"dt_bias": (heads,), "C_bias": b[1]})
        roles = {
            "dt": Stored(site.full("dt_bias"), bias[1], SOFTPLUS),
            "B_bias": Stored(site.full("B_bias"), b[1]),
            "C_bias": Stored(site.full("C_bias"), b[1]),
            **optional(site, "D", "D"),
        }
        for name in ("mimo_x", "mimo_z", "mimo_o"):
            roles |= optional(site, name, name)
        maps, names = projections(site)
        facts = {"heads": heads, "rank": rank, "maps": names, "layer": place(site)}
        return Layer(site, "mamba3", {**roles, **maps}, self, facts)

    def steps(self, layer: Layer, read: Read) -> Steps:
        """A = -softplus(0) = -log 2 at a projection of 0."""
        dt = layer.read("dt", read)
        rate = torch.full_like(dt, float(softplus(torch.zeros((), dtype=torch.float64))))
        return Steps(rate * dt, None, dt, rate, "at a projection of 0")


class GatedDelta(Adapter):
    """Gated delta nets: log decay = -exp(A_log) softplus(· + dt_bias), one a head, or one a channel (KDA).

    Gates with a lower bound instead have log decay = bound · sigmoid(exp(A_log)(· + dt_bias)).
    """

    classes = (
        "transformers.models.qwen3_next.modeling_qwen3_next.Qwen3NextGatedDeltaNet",
        "transformers.models.qwen3_5.modeling_qwen3_5.Qwen3_5GatedDeltaNet",
        "transformers.models.qwen3_5_moe.modeling_qwen3_5_moe.Qwen3_5MoeGatedDeltaNet",
        "transformers.models.olmo_hybrid.modeling_olmo_hybrid.OlmoHybridGatedDeltaNet",
        "transformers.models.kimi_linear.modeling_kimi_linear.KimiLinearForgetGate",
        "fla.layers.gated_deltanet.GatedDeltaNet",
        "fla.layers.comba.Comba",
        "fla.layers.kda.KimiDeltaAttention",
    )

    def fits(self, site: Site) -> bool:
        """``A_log`` and ``dt_bias``, one rate a head, where Mamba-2 does not fit."""
        a, bias = site.shape("A_log"), site.shape("dt_bias")
        if a is None or bias is None or site.shape("in_proj.weight") is not None:
            return False
        return sum(size > 1 for size in a) <= 1 and len(bias) == 1

    def describe(self, site: Site) -> Layer:
        """A_log (heads,) or (1, 1, heads, 1); dt_bias (heads,) or (heads · channels,)."""
        a, bias = needed(site, "A_log"), needed(site, "dt_bias")
        heads = torch.Size(a[1]).numel()
        if not heads:
            raise PlanError(f"{site.words()}: A_log has shape {a[1]}, which holds no head")
        if len(bias[1]) != 1 or bias[1][0] % heads:
            raise PlanError(
                f"{site.words()}: dt_bias has shape {bias[1]}, expected ({heads},) or a multiple of {heads} values, "
                f"as A_log has {heads} heads"
            )
        maps, names = projections(site)
        roles = {
            "rate": Stored(site.full("A_log"), a[1], LOG),
            "dt": Stored(site.full("dt_bias"), bias[1], SOFTPLUS),
            **optional(site, "D", "D"),
            **maps,
        }
        facts = {
            "heads": heads,
            "per_channel": bias[1][0] != heads,
            "bound": _bound(site.module),
            "maps": names,
            "layer": place(site),
        }
        return Layer(site, "gated_delta", roles, self, facts)

    def steps(self, layer: Layer, read: Read) -> Steps:
        """The decay at a projection of 0."""
        dt = layer.read("dt", read)
        rate = layer.read("rate", read).reshape(-1).repeat_interleave(dt.numel() // layer.facts["heads"])
        bound = layer.facts["bound"]
        if bound is None:
            return Steps(rate * dt, None, dt, rate, "at a projection of 0")
        stored = read(layer.roles["dt"].tensor).detach().to("cpu", torch.float64)
        return Steps(bound * torch.sigmoid(rate * stored), None, None, None, "at a projection of 0")


def _limits(module: Any) -> tuple[float, float]:
    """Bounds that the layer clamps dt to."""
    found = getattr(module, "time_step_limit", None) or getattr(module, "dt_limit", None)
    if isinstance(found, (tuple, list)) and len(found) == 2:
        return float(found[0]), float(found[1])
    return 0.0, float("inf")


def _bound(module: Any) -> float | None:
    """The largest decay of a gate with a lower bound on its logarithm, or None."""
    lower = getattr(module, "safe_gate_lower_bound", None)
    if getattr(module, "safe_gate", False):
        lower = getattr(module, "lower_bound", None)
    return None if lower is None else abs(float(lower))


SELECTIVE: list[Adapter] = [Mamba(), Mamba2(), Mamba3(), GatedDelta()]
