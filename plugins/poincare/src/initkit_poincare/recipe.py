"""What the recipes of HNN++-type layers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from initkit import Item, Job, JobContext, PlanError, Recipe
from initkit_poincare.conformal import refuse_old
from initkit_poincare.curvature import curvature_of
from initkit_poincare.layers import GYROPLANE, Kind, Layer, all_layers, find_layers
from initkit_poincare.rules import Rule, fills


@dataclass(frozen=True)
class LayerRecipe(Recipe):
    """A recipe that fills every layer of some kinds by a rule of its shape."""

    kinds: ClassVar[Sequence[Kind]] = GYROPLANE

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Matrices of the layers that are filled."""
        try:
            return [layer.weight for layer in all_layers(model) if layer.kind in cls.kinds]
        except PlanError:
            return []


@dataclass(frozen=True)
class GyroplaneRecipe(LayerRecipe):
    """A recipe of HNN++-type layers, whose matrix Z (n, m) has a rule."""

    def rule(self, layer: Layer) -> Rule:
        """The draw of a layer's Z and why."""
        raise NotImplementedError

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each layer's matrix and offsets.

        Args:
            model: with HNN++-type linear layers or convolutions.
        """
        layers = find_layers(model, self.kinds)
        refuse_old(layers, self.id)
        for layer in layers:
            yield from fills(layer, self.rule(layer))
        yield table(self.id, layers)


def table(recipe: str, layers: Sequence[Layer]) -> Job:
    """A job that adds the layers and the curvatures in force to the report."""

    def note(ctx: JobContext) -> dict[str, torch.Tensor]:
        rows = []
        for layer in layers:
            row: dict[str, Any] = {
                "layer": layer.name,
                "type": type(layer.module).__name__,
                "in": layer.n,
                "out": layer.m,
            }
            if layer.taps:
                row["concatenation"] = round(layer.beta_factor, 7)
            curvature = _curvature(layer)
            if curvature is not None:
                row["curvature"] = curvature
            rows.append(row)
        ctx.note(f"{recipe} layers", rows)
        return {}

    return Job("layers", note, "adds the table of layers and their curvatures to the report")


def _curvature(layer: Layer) -> str | None:
    try:
        return curvature_of(layer.ball, layer.label).words
    except PlanError:
        return None
