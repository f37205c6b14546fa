"""The audit: can the model's recurrent layers remember, as they start? Reads parameters alone; writes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from initkit import OptionError
from initkit.errors import listed
from initkit.slots import Slots, slots_of
from initkit_ssm.codes import time_constant
from initkit_ssm.layers import Layer, Steps, find_layers

REACH = 4.0
"""Steps that a mode has to remember to count as a memory at all."""
SHARE = 0.05
"""Share of the modes that should reach that."""
ALIASED = 0.25
"""Share of modes that may turn by more than π a step."""
THRESHOLDS = (1, 4, 16, 64, 256, 1024)
DYNAMIC_ROLES = (
    *("rate", "freq", "dt", "rate_b", "dt_b", "nu", "theta", "decay"),
    *("forget_bias", "bias", "time_decay"),
)
"""Roles that time constants come from."""
LOW = (torch.bfloat16, torch.float16)

Level = Literal["PASS", "WARN", "FAIL", ""]


@dataclass(frozen=True)
class LayerAudit:
    """What was found of one layer.

    Attributes:
        layer: the layer.
        level: ``FAIL``, ``WARN``, ``PASS``, or "" where nothing that is stored can be judged.
        words: the finding in plain words, with the numbers.
        tau: time constants of the modes in steps, float64; empty where there are none.
        row: the figures, by column.
    """

    layer: Layer
    level: Level
    words: str
    tau: Tensor
    row: dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """Findings on a model's recurrent layers.

    Attributes:
        layers: in registration order.
        unknown: sentences on modules that look like such layers but that no adapter could describe.
    """

    layers: Sequence[LayerAudit]
    unknown: Sequence[str] = field(default=())

    @property
    def failed(self) -> list[LayerAudit]:
        """The layers that fail."""
        return [found for found in self.layers if found.level == "FAIL"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row of figures for each layer."""
        return [found.row for found in self.layers]

    def to_json(self) -> str:
        """Rows and findings as JSON text; numbers that are not finite are text."""
        rows = [{**_finite(found.row), "words": found.words} for found in self.layers]
        return json.dumps({"layers": rows, "unknown": list(self.unknown)}, indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        lines = [f"{found.level or 'not judged'}  {found.layer.title}: {found.words}" for found in self.layers]
        return "\n".join([*lines, *(f"unknown  {words}" for words in self.unknown)])


def audit(model: nn.Module, length: int | None = None, strict: bool = False) -> Audit:
    """Judge every layer with a linear recurrence by its time constants.

    A time constant is -1/log|λ| steps, λ a mode's factor in one step; where λ depends on the input it is taken at a
    projection of 0. FAIL: fewer than 5 % of a layer's modes have a time constant of at least 4 steps, a stored value is
    not finite, or a mode does not decay. WARN: all steps are equal, more than a quarter of the modes turn by more than
    π a step, or no time constant reaches an eighth of ``length``.

    Args:
        model: any model; nothing is written.
        length: of the sequences that it will read, in steps; None leaves out the rule that needs it.
        strict: whether a module that looks like such a layer but that no adapter can describe is an error.

    Raises:
        OptionError: the length is no whole number above 0.
        PlanError: with ``strict``, such a module.
    """
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        raise OptionError(f"length={length!r}: give the number of steps of a sequence, a whole number above 0")
    found = find_layers(model, strict)
    slots = slots_of(model)
    return Audit([audited(layer, slots, length) for layer in found.layers], found.unknown)


def audited(layer: Layer, slots: Slots, length: int | None = None) -> LayerAudit:
    """Judge one layer.

    Args:
        layer: as an adapter describes it.
        slots: of the model.
        length: of the sequences, or None.
    """
    names = sorted({name for where in layer.roles.values() for name in where.tensors})
    hollow = [name for name in dynamics(layer) or names if not slots[name].present]
    if hollow:
        return _unjudged(layer, f"no values yet in {listed(hollow)} (meta device): apply a recipe first")
    steps = layer.steps(lambda name: slots[name].read())
    broken = _not_finite(slots, names)
    if steps is None:
        words = "nothing that is stored decides how long it remembers"
        if layer.facts.get("no_bias"):
            words = f"its gate comes from {layer.facts['projection']}, which has no bias: {words}"
        return _unjudged(layer, words)
    decay = steps.decay.reshape(-1)
    tau = time_constant(decay)
    figures = _figures(steps, tau, length)
    low = sorted({str(slots[n].dtype).removeprefix("torch.") for n in dynamics(layer) if slots[n].dtype in LOW})
    level, words = _judged(steps, tau, broken, length)
    unset = [name for name in dynamics(layer) if not bool(slots[name].read().any())]
    if level != "PASS" and unset:
        words += f"; {listed(unset)} {'is' if len(unset) == 1 else 'are'} 0 everywhere, as if never set"
    if low:
        words += f"; stored in {', '.join(low)}, which shifts time constants by up to 1.6 %"
    row = {
        "layer": layer.name or type(layer.site.module).__name__,
        "verdict": level,
        "kind": layer.kind,
        "modes": decay.numel(),
        **figures,
        "output variance": _output_variance(layer, slots, length, level),
        "stored": ", ".join(low) or "full precision",
        "not finite": sum(broken.values()),
    }
    return LayerAudit(layer, level, words, tau, row)


def _output_variance(layer: Layer, slots: Slots, length: int | None, level: Level) -> float | None:
    """Mean variance of the output channels for white input of variance 1; None where the input decides it too."""
    if layer.kind not in ("s4d", "s5", "lru") or level == "FAIL" or layer.facts.get("directions", 1) > 1:
        return None
    from initkit_ssm.responses import Response

    return float(Response(layer, lambda name: slots[name].read(), length or 1024).white_variance().mean())


def _not_finite(slots: Slots, names: Sequence[str]) -> dict[str, int]:
    """How many values of each tensor are NaN or infinite, where there are any."""
    present = [name for name in names if slots[name].present]
    counts = {name: int((~torch.isfinite(slots[name].read())).sum()) for name in present}
    return {name: count for name, count in counts.items() if count}


def _judged(steps: Steps, tau: Tensor, broken: dict[str, int], length: int | None) -> tuple[Level, str]:
    if broken:
        where = listed(f"{name} ({count})" for name, count in broken.items())
        return "FAIL", f"values that are NaN or infinite: {where}"
    still = int((steps.decay <= 0).sum())
    if still:
        return "FAIL", f"{still} of {tau.numel()} modes never decay: their factor is 1 or more a step"
    reach = float((tau >= REACH).double().mean())
    span = f"time constants of {_range(tau)} steps"
    if reach < SHARE:
        share = "none" if reach == 0 else f"{reach:.1%}"
        words = f"forgets at once: {span}, and {share} of {tau.numel()} modes reach {REACH:g} (5 % should)"
        return "FAIL", words + _cause(steps)
    warnings = list(_warnings(steps, tau, length))
    told = f"{span}, median {_number(tau.median())}; {reach:.0%} of {tau.numel()} modes reach {REACH:g}"
    return ("WARN", f"{'; '.join(warnings)} ({told})") if warnings else ("PASS", told)


def _cause(steps: Steps) -> str:
    if steps.dt is None or steps.rate is None:
        return ""
    return f"; dt is {_range(steps.dt)} and |A| {_range(steps.rate)}: a time constant is 1/(|A| dt)"


def _warnings(steps: Steps, tau: Tensor, length: int | None) -> list[str]:
    found = []
    if steps.dt is not None and steps.dt.numel() > 1 and bool((steps.dt == steps.dt.reshape(-1)[0]).all()):
        found.append(f"all {steps.dt.numel()} steps dt are equal ({_number(steps.dt.max())}): no spread of time scales")
    if steps.angle is not None:
        turning = float((steps.angle > math.pi).double().mean())
        if turning > ALIASED:
            found.append(f"{turning:.0%} of the modes turn by more than π a step, so that their frequencies alias")
    if length is not None and float(tau.max()) < length / 8:
        found.append(
            f"the longest time constant is {_number(tau.max())} steps, less than an eighth of the {length} to read"
        )
    return found


def _figures(steps: Steps, tau: Tensor, length: int | None) -> dict[str, Any]:
    finite = tau[torch.isfinite(tau)]
    held = finite if finite.numel() else tau
    factor = torch.exp(-steps.decay)
    figures: dict[str, Any] = {
        "tau min": float(held.min()),
        "tau median": float(held.median()),
        "tau max": float(held.max()),
    }
    limits = [*THRESHOLDS, *([length] if length is not None and length not in THRESHOLDS else [])]
    figures |= {f"≥ {limit}": float((tau >= limit).double().mean()) for limit in sorted(limits)}
    figures |= {"|λ| min": float(factor.min()), "|λ| max": float(factor.max())}
    for name, value in (("dt", steps.dt), ("|A|", steps.rate)):
        figures |= {
            f"{name} min": None if value is None else float(value.min()),
            f"{name} max": None if value is None else float(value.max()),
        }
    turning = None if steps.angle is None else float((steps.angle > math.pi).double().mean())
    return {**figures, "aliased": turning}


def _unjudged(layer: Layer, words: str) -> LayerAudit:
    row = {"layer": layer.name or type(layer.site.module).__name__, "verdict": "", "kind": layer.kind}
    return LayerAudit(layer, "", words, torch.empty(0, dtype=torch.float64), row)


def dynamics(layer: Layer) -> list[str]:
    """Names of the tensors that time constants come from."""
    return sorted({name for role in DYNAMIC_ROLES if role in layer.roles for name in layer.roles[role].tensors})


def _range(values: Tensor) -> str:
    low, high = _number(values.min()), _number(values.max())
    return low if low == high else f"{low} to {high}"


def _number(value: Tensor) -> str:
    return f"{float(value):.3g}" if float(value) < 1000 else f"{float(value):,.0f}"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return {key: plain(value) for key, value in row.items()}


def histogram(tau: Tensor, low: int = -4, high: int = 12, per_octave: int = 1) -> list[tuple[float, int]]:
    """Counts of time constants by powers of two: left edges in steps and counts; what lies outside is clipped.

    Args:
        tau: time constants in steps.
        low: log2 of the first edge.
        high: log2 of the last edge.
        per_octave: bins to a factor of two.
    """
    bins = round((high - low) * per_octave)
    place = torch.log2(tau.clamp(2**low, 2**high)).sub(low).mul(per_octave).floor().clamp(0, bins - 1)
    counts = torch.bincount(place.long(), minlength=bins)
    return [(2 ** (low + i / per_octave), int(counts[i])) for i in range(bins)]
