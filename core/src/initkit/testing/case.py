"""What a check is given: a recipe, a way to build the model, and the data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

import initkit
from initkit._recipe import Recipe, recipe
from initkit.cards import Card
from initkit.errors import PlanError
from initkit.plugins import registry
from initkit.testing.observed import Observed, observed


class Skip(Exception):
    """A check does not apply; the message says why."""


@dataclass(frozen=True, eq=False)
class Case:
    """A recipe with a model that it fits.

    Attributes:
        recipe: an id or a recipe.
        build: makes a model; it is called once and the battery copies what it returns, so it need not be repeatable.
        needs: the data that the recipe asks for.
        seed: of the runs.
    """

    recipe: str | Recipe
    build: Callable[[], Any]
    needs: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 7

    def __str__(self) -> str:
        return self.made.id

    @cached_property
    def made(self) -> Recipe:
        """The recipe itself."""
        return recipe(self.recipe) if isinstance(self.recipe, str) else self.recipe

    @property
    def found_card(self) -> Card | None:
        """The recipe's card, where an installed plugin has one."""
        kind = type(self.made)
        return registry().card_of(f"{kind.__module__}:{kind.__qualname__}")

    @property
    def card(self) -> Card:
        """The recipe's card; skips where there is none."""
        card = self.found_card
        if card is None:
            raise Skip("no installed plugin has a card for it")
        return card

    @cached_property
    def _original(self) -> Any:
        return self.build()

    def model(self) -> Any:
        """A new model with tensors of its own, equal to every other that the case gives."""
        return copy.deepcopy(self._original)

    def module(self) -> nn.Module:
        """A new model, where it is an ``nn.Module``."""
        model = self.model()
        if not isinstance(model, nn.Module):
            raise Skip(f"{type(model).__name__} is no nn.Module")
        return model

    def apply(self, model: Any, **changes: Any) -> initkit.Report:
        """Apply the recipe."""
        return initkit.apply(model, self.made, seed=changes.pop("seed", self.seed), **self.needs, **changes)

    def plan(self, model: Any, **changes: Any) -> initkit.Plan:
        """Plan the recipe."""
        return initkit.plan(model, self.made, **self.needs, **changes)

    @cached_property
    def planned(self) -> initkit.Plan:
        """The plan for a fresh model."""
        return self.plan(self.model())

    @cached_property
    def run(self) -> Observed:
        """One whole run on a fresh model, with what was there before and after; many checks look at it."""
        return observed(self.model(), lambda model: self.apply(model))

    @cached_property
    def plan_on_meta(self) -> str:
        """The plan of a model without values, as JSON; skips where the recipe needs them."""
        if self.made.reads_values:
            raise Skip("the recipe reads present values, and says so")
        try:
            return self.plan(hollow(self.module())).to_json()
        except PlanError as error:
            raise Skip(f"the recipe cannot plan on the meta device: {error}") from None

    def elementwise(self) -> None:
        """Skip unless the same bits are promised everywhere."""
        card = self.found_card
        if card is not None and card.bits == "machine":
            raise Skip("the card promises the same bits on one machine only")
        if any(fill.draw.jobs() for fill in self.planned.fills):
            raise Skip("values come from a job")


def hollow(model: nn.Module) -> nn.Module:
    """A copy of a module on the meta device, ties kept (which ``Module.to`` does not)."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, memo)
