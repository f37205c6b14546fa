"""Published starts of sLSTM and RWKV as functions of the place in the stack and of the channel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from initkit import Draw, Values
from initkit_ssm.codes import exp, log
from initkit_ssm.layers import Layer


def slstm_biases(layer: Layer) -> tuple[Draw, str]:
    """Biases of all gates: 5 - 12 (j/(n - 1))^(0.3 + 1.3 r) for the forget gates, 0 for the others."""
    heads, n = layer.facts["heads"], layer.facts["head_dim"]
    power = 0.3 + 1.3 * depth(layer)
    bias = torch.zeros(4, heads, n, dtype=torch.float64)
    bias[1] = 5 - 12 * raised(line(n), power)
    if not layer.facts["gates_first"]:
        bias = bias.transpose(0, 1)
    values = Values(bias.reshape(layer.roles["bias"].shape).contiguous(), f"5 - 12 x^{power:.4g}, others 0")
    return values, f"forget gates from 5 to -7 with power {power:.4g}: memories of all lengths"


def rwkv_values(layer: Layer) -> dict[str, tuple[Draw, str]]:
    """Values by role of a layer of RWKV-4 to 7."""
    version, d, r = layer.facts["version"], layer.facts["channels"], depth(layer)
    h = line(d)
    if version == 7:
        n = layer.facts["head_size"]
        z = (torch.arange(d, dtype=torch.float64) % n - (n - 1) / 2) / max((n - 1) / 2, 0.5)
        w = -6 + 6 * raised(h, 1 + r**0.3) + 0.5 + 2.5 * z * z.abs()
    elif version == 4:
        w = -5 + 8 * raised(h, 0.7 + 1.3 * r)
    else:
        w = -6 + 5 * raised(h, 0.7 + 1.3 * r)
    why = f"RWKV-{version}: from slow to fast over the channels, place {r:.4g} in the stack"
    shape = layer.roles["time_decay"].shape
    values: dict[str, tuple[Draw, str]] = {"time_decay": (Values(w.reshape(shape), f"RWKV-{version}'s decays"), why)}
    if version == 4:
        values |= _four(layer, d, r)
    return values


def _four(layer: Layer, d: int, r: float) -> dict[str, tuple[Draw, str]]:
    zigzag = (torch.arange(1, d + 1, dtype=torch.float64) % 3 - 1) / 2
    bonus = Values(math.log(0.3) + zigzag, "log 0.3 + zigzag")
    values: dict[str, tuple[Draw, str]] = {"time_first": (bonus, "bonus of the present token: 0.3, times e^±1/2")}
    rest = 1 - layer.facts["at"] / layer.facts["of"]
    for role, power, offset in (
        ("time_mix_key", rest, 0.0),
        ("time_mix_value", rest, 0.3 * r),
        ("time_mix_receptance", 0.5 * rest, 0.0),
    ):
        if role in layer.roles:
            shape = layer.roles[role].shape
            width = shape[-1]
            share = raised(torch.arange(width, dtype=torch.float64) / width, power) + offset
            values[role] = (Values(share.reshape(shape), f"(c/{width})^{power:.4g}"), "share of the present token")
    return values


def depth(layer: Layer) -> float:
    """The place in the stack from 0 to 1; 0 for a single layer."""
    of: int = layer.facts["of"]
    at: int = layer.facts["at"]
    return at / (of - 1) if of > 1 else 0.0


def line(n: int) -> Tensor:
    """0 to 1 over n places, 0 for a single one."""
    return torch.arange(n, dtype=torch.float64) / max(n - 1, 1)


def raised(x: Tensor, power: float) -> Tensor:
    """x^power for x >= 0 and power > 0, with the same bits on every processor."""
    return torch.where(x > 0, exp(power * log(x.clamp(min=1e-300))), torch.zeros_like(x))
