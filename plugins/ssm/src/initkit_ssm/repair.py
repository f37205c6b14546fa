"""Repair: the matching recipe for every layer that fails the audit, and for no other."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from torch import Tensor, nn

from initkit import CommitError, Fill, Item, Job, JobContext, Keep
from initkit.slots import slots_of
from initkit_ssm.auditing import DYNAMIC_ROLES, LayerAudit, audited, dynamics
from initkit_ssm.base import LayerRecipe
from initkit_ssm.layers import Found, Layer
from initkit_ssm.stack import numbered

MATCHING = {
    "mamba": "initkit_ssm.mamba:Mamba",
    "mamba2": "initkit_ssm.mamba:Mamba",
    "mamba3": "initkit_ssm.mamba:Mamba",
    "gated_delta": "initkit_ssm.mamba:Mamba",
    "rg_lru": "initkit_ssm.rg_lru:RgLru",
    "gate": "initkit_ssm.gate_decay:GateDecay",
    "rwkv": "initkit_ssm.gate_decay:GateDecay",
    "s4d": "initkit_ssm.s4d:S4D",
    "s4_dplr": "initkit_ssm.s4_dplr:S4Dplr",
    "s5": "initkit_ssm.s5:S5",
    "lru": "initkit_ssm.lru:Lru",
}
"""The recipe that sets a kind of layer as its authors do."""

COLUMNS = ("tau min", "tau median", "tau max", "≥ 4")


@dataclass(frozen=True)
class Repair(LayerRecipe):
    """Repair layers whose memory is broken from the start, and leave all others.

    Each layer with a linear recurrence is judged by its time constants -1/log|λ|, as ``initkit inspect --plugin ssm``
    does. A layer that fails gets the start of its authors: ssm/mamba's dynamics (A, dt, D; no other weight), the decay
    of ssm/rg_lru, ssm/gate_decay's gates, or the default of ssm/s4d, ssm/s4_dplr, ssm/s5, ssm/lru. A layer without
    values (on the meta device) is set as well. The report holds each layer's figures before and after; a layer that
    would still fail makes the whole run fail, and nothing is changed.

    Args:
        level: ``fail`` repairs what fails; ``warn`` what is warned of as well.
        length: of the sequences, in steps, for the audit's rule on long ones; None leaves it out.
        strict: whether a module with a state space layer's names that no adapter can describe is an error; if not, it
            is left and reported.

    Source: the authors' starts are those of the recipes named above; the rules are ours.
    """

    reads_values: ClassVar[bool] = True
    kinds: ClassVar[Sequence[str]] = tuple(MATCHING)
    sets: ClassVar[Sequence[str]] = DYNAMIC_ROLES

    level: Literal["fail", "warn"] = "fail"
    length: Annotated[int, Ge(1)] | None = None

    def items(self, model: nn.Module, found: Found) -> Iterator[Item]:
        """The fills of failing layers, keeps for the others, and the audit before and after."""
        slots = slots_of(model)
        for kinds in (("mamba", "mamba2", "mamba3", "gated_delta"), ("gate", "rwkv")):
            found = numbered(found, kinds)
        before = {layer.name: audited(layer, slots, self.length) for layer in found.of(self.kinds)}
        others = [audited(layer, slots, self.length) for layer in found.layers if layer.kind not in self.kinds]
        left = tuple(
            f"{seen.layer.title} is of kind {seen.layer.kind}, for which there is no recipe: {seen.words}"
            for seen in others
            if self._broken(seen)
        )
        judged = tuple(_judged(layer, before) for layer in found.layers)
        found = replace(found, layers=judged, unknown=(*found.unknown, *left))
        yield from super().items(model, found)
        names = [name for name, seen in before.items() if self._broken(seen)]
        words = f"judges {len(before)} layers again, {len(names)} of them repaired"
        yield Job("audit", lambda ctx: self._note(ctx, found, before, names), words)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """The matching recipe's items, or keeps."""
        seen: LayerAudit = layer.facts["audit"]
        if self._broken(seen):
            for item in _matching(layer, seen).layer_items(layer):
                yield replace(item, why=f"{item.why} ({_was(seen)})") if isinstance(item, Fill) else item
            return
        for name in dynamics(layer):
            yield Keep(name, _was(seen))

    def _broken(self, seen: LayerAudit) -> bool:
        if not seen.level:
            return bool(seen.layer.roles)  # no values yet
        return seen.level == "FAIL" or (self.level == "warn" and seen.level == "WARN")

    def _note(
        self, ctx: JobContext, found: Found, before: dict[str, LayerAudit], repaired: Sequence[str]
    ) -> dict[str, Tensor]:
        slots = slots_of(ctx.model)
        rows = []
        for layer in found.of(self.kinds):
            was, now = before[layer.name], audited(layer, slots, self.length)
            if now.level == "FAIL" and layer.name in repaired:
                raise CommitError(f"recipe {self.id}: {layer.title} would still fail: {now.words}")
            rows.append(
                {
                    "layer": layer.name or type(layer.site.module).__name__,
                    "repaired": "yes" if layer.name in repaired else "no",
                    **_side("before", was),
                    **_side("after", now),
                }
            )
        ctx.note(f"{self.id} layers", rows)
        return {}


def _judged(layer: Layer, before: dict[str, LayerAudit]) -> Layer:
    return replace(layer, facts={**layer.facts, "audit": before[layer.name]}) if layer.name in before else layer


def _matching(layer: Layer, seen: LayerAudit) -> LayerRecipe:
    module, _, name = MATCHING[layer.kind].partition(":")
    recipe_class: Any = getattr(importlib.import_module(module), name)
    # Weights that hold sound values are not a repair's business.
    keep = layer.kind == "rg_lru" and seen.level != "" and not seen.row.get("not finite")
    made: LayerRecipe = recipe_class(gates="keep") if keep else recipe_class()
    return made


def _was(seen: LayerAudit) -> str:
    if not seen.level:
        return "not judged: " + seen.words
    word = {"FAIL": "failed", "WARN": "warned of", "PASS": "passes"}[seen.level]
    low, high = (seen.row.get(f"tau {end}") for end in ("min", "max"))
    return f"{word} with time constants of {low:.3g} to {high:.3g} steps"


def _side(when: str, seen: LayerAudit) -> dict[str, Any]:
    figures: dict[str, Any] = {f"verdict {when}": seen.level or "not judged"}
    for column in COLUMNS:
        value = seen.row.get(column)
        finite = isinstance(value, float) and abs(value) != float("inf") and value == value
        figures[f"{column} {when}"] = float(f"{value:.4g}") if finite else None
    return figures
