"""A job's marks: attributes of tensors that other libraries look for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import initkit
from initkit import CommitError, Constant, Fill, Item, Job, JobContext, Recipe


@dataclass(frozen=True)
class Marks(Recipe):
    """Fills a weight, marks it, and may fail afterwards."""

    fails: bool = False

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield Fill("weight", Constant(2.0), why="a test")

        def fn(ctx: JobContext) -> dict[str, torch.Tensor]:
            ctx.mark("weight", _no_weight_decay=True, _seen=2)
            if self.fails:
                raise CommitError("on purpose")
            return {}

        yield Job("marks", fn, "marks the weight")


def test_marks_stay_on_the_parameter_object() -> None:
    layer = nn.Linear(2, 2)
    initkit.apply(layer, Marks())
    weight: Any = layer.weight
    assert weight._no_weight_decay is True
    assert weight._seen == 2


def test_marks_are_on_the_parameter_that_a_meta_model_gets() -> None:
    layer = nn.Linear(2, 2, bias=False, device="meta")
    weight: Any = layer.weight
    initkit.apply(layer, Marks())
    assert layer.weight is weight
    assert weight._no_weight_decay is True
    assert not weight.is_meta


def test_a_failure_takes_the_marks_back() -> None:
    layer = nn.Linear(2, 2)
    weight: Any = layer.weight
    weight._seen = 1
    with pytest.raises(CommitError, match="on purpose"):
        initkit.apply(layer, Marks(fails=True))
    assert not hasattr(weight, "_no_weight_decay")
    assert weight._seen == 1


def test_a_computed_tensor_has_no_object_to_mark() -> None:
    layer = weight_norm(nn.Linear(2, 2))
    initkit.apply(layer, Marks())
    assert torch.equal(layer.weight, torch.full((2, 2), 2.0))
