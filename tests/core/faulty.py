"""A healthy recipe for linear layers, and what its faulty kin is made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from initkit import Constant, Draw, Fill, Item, Job, JobContext, Normal, PlanError, Recipe

COUNT = itertools.count()


class Plain(nn.Module):
    """Two linear layers, a norm with buffers, a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.b = nn.Linear(4, 6)
        self.register_buffer("cache", torch.zeros(3), persistent=False)


def build() -> nn.Module:
    return Plain()


def alike() -> nn.Module:
    """Two layers of one shape."""
    return nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})


def tied() -> nn.Module:
    """Layers that share a weight, and a buffer."""
    model = Plain()
    model.c = nn.Linear(6, 4)
    model.c.weight = model.a.weight
    model.register_buffer("seen", torch.ones(2))
    model.norm.register_buffer("seen", model.seen)
    return model


def linears(model: nn.Module) -> list[str]:
    found = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise PlanError("no Linear layer")
    return found


@dataclass(frozen=True)
class Good(Recipe):
    """Normal weights.

    Args:
        std: of the weights.
        loud: changes nothing.

    Source: this test.
    """

    std: float = 0.1
    loud: bool = False

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        return linears(model) if any(isinstance(m, nn.Linear) for m in model.modules()) else []

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, self.draw(model, name), why=self.why(model, name))

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std)

    def why(self, model: nn.Module, name: str) -> str:
        return "small"


@dataclass(frozen=True)
class GoodWithData(Good):
    """Normal weights.

    Args:
        std: of the weights.
        loud: changes nothing.

    Source: this test.
    """

    def plan(self, model: nn.Module, *, inputs: Any, labels: Any = None) -> Iterator[Item]:
        yield from super().plan(model)


class Still(Good):
    """Constants, and a job before and after them."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from self.before(model)
        for name in linears(model):
            yield Fill(name, Constant(0.5), why="one half")
        yield from self.after(model)

    def before(self, model: nn.Module) -> Iterator[Item]:
        return iter(())

    def after(self, model: nn.Module) -> Iterator[Item]:
        return iter(())


def job(name: str, work: Callable[[JobContext], Any]) -> Job:
    """A job that yields nothing."""

    def run(ctx: JobContext) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            work(ctx)
        return {}

    return Job(name, run, name)


@dataclass(frozen=True)
class Fault:
    """A recipe with one fault.

    Args:
        recipe: the faulty recipe.
        check: that catches it.
        build: a model that shows the fault.
        needs: data.
        also: checks that must fail as well, since one promise follows from the other.
        words: whether the recipe's own docstring is looked at, and not the healthy recipe's.
    """

    recipe: Recipe
    check: str
    build: Callable[[], nn.Module] = build
    needs: dict[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    words: bool = False

    def __post_init__(self) -> None:
        if not self.words:
            type(self.recipe).__doc__ = Good.__doc__

    def __str__(self) -> str:
        return f"{self.check}-{type(self.recipe).__name__}"
