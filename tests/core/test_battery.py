"""The conformance battery catches recipes that break their promises, and says how many checks ran."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from initkit import Fill, Item, Job, Normal, PlanError, Recipe, Set, Values
from initkit.draws.scaled import Elementwise
from initkit.testing import Case, all_checks, check_recipe

COUNT = itertools.count()


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"a": nn.Linear(6, 4), "norm": nn.BatchNorm1d(4), "b": nn.Linear(4, 6)})


def linears(model: nn.Module) -> list[str]:
    found = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise PlanError("no Linear layer")
    return found


@dataclass(frozen=True)
class Good(Recipe):
    """Normal weights.

    Source: this test.
    """

    std: float = 0.1

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        return linears(model) if any(isinstance(m, nn.Linear) for m in model.modules()) else []

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, Normal(self.std), why="std")


class SeedsItself(Good):
    """Same numbers whatever the seed."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, _Counting(), why="std")


class _Counting(Elementwise):
    """0, 1, 2... in the guise of a random draw."""

    kind = "normal"

    def __init__(self) -> None:
        super().__init__()

    def shape_block(self, block: Any, scales: Any) -> None:
        block[:] = range(len(block))

    def describe(self) -> str:
        return "counting"


class UsesGlobalState(Good):
    """Draws with torch.randn while planning."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, Values(torch.randn_like(model.get_parameter(name))), why="mine")


class WritesInPlan(Good):
    """Writes while planning."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        with torch.no_grad():
            model.get_parameter("a.bias").add_(1)
        yield from super().plan(model)


class TurnsOff(Good):
    """Leaves the model in eval mode."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        model.eval()
        yield from super().plan(model)


class WritesOutside(Good):
    """Its job writes where it said nothing."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)

        def work(ctx: Any) -> dict[str, torch.Tensor]:
            with torch.no_grad():
                ctx.model.get_buffer("norm.running_mean").add_(1)
            return {}

        yield Job("secret", work, "writes a buffer")


class Replaces(Good):
    """Its job replaces a parameter."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)

        def work(ctx: Any) -> dict[str, torch.Tensor]:
            ctx.model["b"].bias = nn.Parameter(ctx.model["b"].bias.detach().clone())
            return {}

        yield Job("replace", work, "replaces a parameter")


class LeavesGraph(Good):
    """Its job leaves a gradient."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)

        def work(ctx: Any) -> dict[str, torch.Tensor]:
            ctx.model.get_parameter("a.bias").sum().backward()
            return {}

        yield Job("backward", work, "leaves a gradient")


class Unrepeatable(Good):
    """Another plan each time."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, Normal(self.std * (1 + next(COUNT))), why="std")


class ReadsValues(Good):
    """Reads values and does not say so."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, Values(model.get_parameter(name) * 2), why="doubled")


class WholeOnly(Elementwise):
    """Values that depend on where a run begins."""

    kind = "normal"

    def __init__(self) -> None:
        super().__init__()

    def shape_block(self, block: Any, scales: Any) -> None:
        block -= block[0]

    def describe(self) -> str:
        return "whole only"


class DependsOnBlocks(Good):
    """A draw that is not element-wise and says it is."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name in linears(model):
            yield Fill(name, WholeOnly(), why="whole")


class CountsParameters(Good):
    """Depends on the rest of the model."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        count = len(list(model.parameters()))
        for name in linears(model):
            yield Fill(name, Normal(1 / count), why="counts")


class AcceptsAnything(Good):
    """Finds something in every model."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        if isinstance(model, nn.Identity):
            yield Set("training", True, why="nothing else to do")
        else:
            yield from super().plan(model)


class NoSource(Good):
    """Says not where it comes from."""


class Claims(Good):
    """Claims what is not there."""

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        return ["nowhere.weight"]


FAULTY = {
    SeedsItself: "another_seed_gives_other_bits",
    UsesGlobalState: "no_global_random_state_is_touched",
    WritesInPlan: "plan_writes_nothing",
    TurnsOff: "modes_are_left",
    WritesOutside: "touches_only_what_it_declared",
    Replaces: "keeps_identity_dtype_device_and_grad_flags",
    LeavesGraph: "no_autograd_graph_is_left",
    Unrepeatable: "plan_is_repeatable",
    ReadsValues: "applying_twice_changes_nothing",
    DependsOnBlocks: "a_part_equals_the_whole",
    CountsParameters: "other_parameters_do_not_matter",
    AcceptsAnything: "a_model_without_its_layers_is_refused",
    NoSource: "docstring_has_summary_and_source",
    Claims: "claims_by_shapes_alone",
}


def test_a_good_recipe_passes_and_the_outcome_counts() -> None:
    outcome = check_recipe(Good(), build)
    assert outcome.ok, str(outcome)
    ran = len(outcome.results) - len(outcome.of("skipped"))
    assert ran >= 25
    assert str(outcome).startswith(
        f"{Good().id}: {ran} checks ran, 0 failed, {len(outcome.of('skipped'))} were skipped"
    )
    assert all(result.words for result in outcome.of("skipped"))
    assert json.loads(outcome.to_json())["ok"]
    assert len(outcome.results) == len(all_checks())


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda kind: kind.__name__)
def test_a_faulty_recipe_is_caught(faulty: type[Recipe]) -> None:
    failed = {result.check for result in check_recipe(faulty(), build).of("failed")}
    assert FAULTY[faulty] in failed


def test_values_shared_by_two_tensors_are_caught() -> None:
    alike = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    check = next(check for check in all_checks() if check.__name__ == "check_no_two_tensors_share_their_numbers")
    with pytest.raises(AssertionError, match="got the same values"):
        check(Case(SeedsItself(), lambda: alike))
