"""What a check is given: a recipe, a way to build the model, and the data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import initkit
from initkit._recipe import Recipe, recipe
from initkit.cards import Card
from initkit.plugins import registry
from initkit.slots import slots_of


class Skip(Exception):
    """A check does not apply; the message says why."""


@dataclass(frozen=True)
class Case:
    """A recipe with a model that it fits.

    Attributes:
        recipe: an id or a recipe.
        build: makes a new model; the battery copies the first one, so it need not be deterministic.
        needs: the data that the recipe asks for.
        seed: of the runs.
    """

    recipe: str | Recipe
    build: Callable[[], Any]
    needs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7

    @property
    def made(self) -> Recipe:
        """The recipe itself."""
        return recipe(self.recipe) if isinstance(self.recipe, str) else self.recipe

    @property
    def card(self) -> Card | None:
        """The recipe's card, where an installed plugin has one."""
        kind = type(self.made)
        return registry().card_of(f"{kind.__module__}:{kind.__qualname__}")

    def __str__(self) -> str:
        return self.made.id

    def models(self, count: int) -> list[Any]:
        """Equal models, each with tensors of its own."""
        first = self.build()
        return [first, *(copy.deepcopy(first) for _ in range(count - 1))]

    def module(self) -> nn.Module:
        """A model, where it is an ``nn.Module``."""
        model = self.build()
        if not isinstance(model, nn.Module):
            raise Skip(f"{type(model).__name__} is no nn.Module")
        return model

    def apply(self, model: Any, **changes: Any) -> initkit.Report:
        """Apply the recipe."""
        return initkit.apply(model, self.made, seed=changes.pop("seed", self.seed), **self.needs, **changes)

    def plan(self, model: Any) -> initkit.Plan:
        """Plan the recipe."""
        return initkit.plan(model, self.made, **self.needs)

    def elementwise(self) -> None:
        """Skip unless the same bits are promised everywhere."""
        card = self.card
        if card is not None and card.bits == "machine":
            raise Skip("the card promises the same bits on one machine only")
        if self.plan(self.build()).jobs and any(fill.draw.jobs() for fill in self.plan(self.build()).fills):
            raise Skip("values come from a job")


def hollow(model: nn.Module) -> nn.Module:
    """A copy of a module on the meta device, ties kept (which ``Module.to`` does not)."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, memo)


def bits(model: Any) -> dict[str, bytes]:
    """The bytes of every tensor that has values, by name."""
    return {
        name: slot.read().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, slot in slots_of(model).items()
        if slot.present and not slot.originals
    }
