"""A job that finds, once it has run, that its result would do no good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import initkit
from initkit import CommitError, Fill, Item, Job, JobContext, Keep, Recipe


@dataclass(frozen=True)
class Undecided(Recipe):
    """Writes the bias, and keeps the weight after all."""

    def plan(self, model: Any) -> Iterator[Item]:
        def run(ctx: JobContext) -> dict[str, torch.Tensor]:
            ctx.keep("weight", "no better than chance")
            return {"weight": torch.ones(2, 3), "bias": torch.ones(2)}

        yield (job := Job("decide", run, "decides"))
        yield Fill("weight", job["weight"], why="ones")
        yield Fill("bias", job["bias"], why="ones")


def test_a_fill_of_a_job_that_keeps_becomes_a_keep() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    report = initkit.apply(model, Undecided())
    assert torch.equal(model.weight, before)
    assert torch.equal(model.bias, torch.ones(2))
    assert report.kept == ["weight"]
    assert report.reasons == {"weight": "no better than chance"}
    assert list(report) == ["bias"]


def test_what_an_earlier_recipe_wrote_stays_its_own() -> None:
    model = nn.Linear(3, 2)
    report = initkit.apply(model, [_Zeros(), Undecided()])
    assert torch.equal(model.weight, torch.zeros(2, 3))
    assert report.kept == []
    assert report["weight"].draw == "0"


def test_a_tensor_without_values_cannot_be_kept() -> None:
    with pytest.raises(CommitError, match="weight: it has no values yet"):
        initkit.apply(nn.Linear(3, 2, device="meta"), Undecided(), device="cpu")


@dataclass(frozen=True)
class _Zeros(Recipe):
    def plan(self, model: Any) -> Iterator[Item]:
        yield Fill("weight", initkit.Constant(0.0), why="zeros")


def test_a_job_alone_is_a_plan() -> None:
    """A recipe that looked and found all well says so instead of failing."""

    @dataclass(frozen=True)
    class Looks(Recipe):
        def plan(self, model: Any) -> Iterator[Item]:
            def note(ctx: JobContext) -> dict[str, torch.Tensor]:
                ctx.note("found", [{"layer": "all", "verdict": "well"}])
                return {}

            yield Keep("weight", why="well as it is")
            yield Job("look", note, "says what was found")

    model = nn.Linear(3, 2)
    report = initkit.apply(model, Looks())
    assert list(report) == []
    assert report.kept == ["weight"]
    assert report.notes["found"] == [{"layer": "all", "verdict": "well"}]
