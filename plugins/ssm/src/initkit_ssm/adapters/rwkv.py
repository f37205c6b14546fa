"""RWKV-4 to 7: channel-wise decays, in the layouts of transformers, of the authors and of flash-linear-attention."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from initkit import PlanError
from initkit_ssm.adapters.lookup import check, first, needed, optional, place
from initkit_ssm.layers import Adapter, Layer, Read, Site, Steps, Stored

_SEVEN = ("w0", "w_lora.lora.2.bias")
_MIX = ("time_mix_key", "time_mix_value", "time_mix_receptance")


class Rwkv(Adapter):
    """Versions 4 to 6: factor exp(-exp(w)) a step; version 7: exp(-exp(-1/2) sigmoid(w))."""

    classes = (
        "transformers.models.rwkv.modeling_rwkv.RwkvSelfAttention",
        "fla.layers.rwkv7.RWKV7Attention",
    )
    telltale = ("time_decay",)

    def fits(self, site: Site) -> bool:
        """``time_decay`` with the bonus of its version; or ``w0`` with the bonus ``r_k`` of version 7."""
        bonus = first(site, "time_first", "time_faaaa")
        if site.shape("time_decay") is not None and bonus is not None:
            return True
        return first(site, *_SEVEN) is not None and site.shape("r_k") is not None

    def describe(self, site: Site) -> Layer:
        """Version 4: (d,), 5: (heads, size), 6: (1, 1, d), 7: (1, 1, d) or (d,)."""
        decay = site.shape("time_decay")
        if decay is None:
            return self._seven(site)
        version = {1: 4, 2: 5, 3: 6}.get(len(decay))
        if version is None or (version == 6 and decay[:2] != (1, 1)):
            raise PlanError(f"{site.words()}: time_decay has shape {decay}, expected (d,), (heads, size) or (1, 1, d)")
        width = torch.Size(decay).numel()
        if version == 4:
            check(site, "time_decay", decay, {"time_first": decay})
        roles = {
            "time_decay": Stored(site.full("time_decay"), decay),
            **optional(site, "time_first", "time_first", "time_faaaa"),
        }
        for name in _MIX:
            roles |= optional(site, name, name)
        return Layer(site, "rwkv", roles, self, self._facts(site, version, width))

    def _seven(self, site: Site) -> Layer:
        name, shape = needed(site, *_SEVEN)
        bonus = needed(site, "r_k")
        width = torch.Size(shape).numel()
        if len(bonus[1]) != 2 or bonus[1][0] * bonus[1][1] != width:
            raise PlanError(f"{site.words()}: r_k has shape {bonus[1]}, expected (heads, size) for {width} channels")
        facts = {**self._facts(site, 7, width), "head_size": bonus[1][1]}
        return Layer(site, "rwkv", {"time_decay": Stored(site.full(name), shape)}, self, facts)

    @staticmethod
    def _facts(site: Site, version: int, width: int) -> dict[str, Any]:
        config = getattr(site.module, "config", None)
        layers = getattr(config, "num_hidden_layers", None)
        return {"version": version, "channels": width, "layer": place(site), "layers": layers}

    def steps(self, layer: Layer, read: Read) -> Steps:
        """The decay where nothing is added to w by the input."""
        return Steps(decay_of(layer.read("time_decay", read), layer.facts["version"]), words="at an input of 0")


def decay_of(w: Tensor, version: int) -> Tensor:
    """-log of a channel's factor a step, from what is stored."""
    return math.exp(-0.5) * torch.sigmoid(w) if version == 7 else torch.exp(w)


RWKV: list[Adapter] = [Rwkv()]
