"""epsinas: how much the outputs' pattern depends on the value of one shared weight."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from initkit._functional import call_with
from initkit.probes import Table, Verdict
from initkit.probing.inputs import output_of, real
from initkit.probing.scene import NotMeasured, Scene
from initkit.slots import trained_tensors

WEIGHTS = (1e-3, 1.0)
_NOISE = 1e-5  # what float32 leaves of 0


def epsinas(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the score mean|p₁ - p₂|/mean(p) of the outputs with all weights 10⁻³ and with all weights 1.

    Biases are 0 and p is the output mapped onto [0, 1]. It judges the architecture, not the start, and is 0 where the
    network is positively homogeneous (ReLU without normalisation). Gracheva, Array 2022 (arXiv 2302.04406).
    """
    score = epsinas_score(scene, *WEIGHTS)
    if score is None:
        raise NotMeasured("outputs overflow, or do not vary, with constant weights")
    if score < _NOISE:
        raise NotMeasured("not informative: the network is positively homogeneous")
    yield Table("model", [{"measure": "epsinas: mean change over mean output", "value": score}], compare=("value",))


def epsinas_score(scene: Scene, first: float, second: float) -> float | None:
    """The score of two shared weights; None where it is not defined."""
    found = torch.stack([_pattern(_with_constant(scene, value)) for value in (first, second)])
    found = found[:, ~found.isnan().any(0)]  # entries that count for both weights
    score = (found[0] - found[1]).abs().mean() / found.mean()
    return float(score) if math.isfinite(float(score)) else None


def _with_constant(scene: Scene, value: float) -> Tensor:
    inputs = scene.given_inputs()
    plain = {id(parameter) for parameter in scene.module.parameters()}
    if any(id(tensor) not in plain for tensor in trained_tensors(scene.module)):
        raise NotMeasured("parameters that wrap their tensors cannot be replaced by constants")
    state = {
        name: torch.tensor(
            0.0 if name.rpartition(".")[2].startswith("bias") else value, dtype=p.dtype, device=p.device
        ).expand(p.shape)
        for name, p in scene.module.named_parameters()
    }
    with scene.undisturbed() as model:
        out = output_of(call_with(model, state, *inputs.args, **inputs.kwargs))
    return real(out).double().reshape(-1)


def _pattern(out: Tensor) -> Tensor:
    low, high = out.min(), out.max()
    scaled = (out - low) / (high - low)
    return torch.where(scaled == 0, torch.nan, scaled)
