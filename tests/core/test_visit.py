"""Jobs run the model on the run's device, and it comes back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

import initkit
from initkit import CommitError, Fill, InitError, Item, Job, JobContext, Normal, Recipe
from initkit.slots import slots_of


class Body(nn.Module):
    """With tied weights, a buffer, a frozen parameter and a parametrisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2).requires_grad_(False)
        self.recurrent = nn.RNN(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.recurrent(self.last(self.norm(self.second(self.first(x)))))[0]


def running(work: Callable[[JobContext], Any]) -> Recipe:
    class Running(Recipe):
        """Runs the model.

        Source: this test.
        """

        def plan(self, model: nn.Module) -> Iterator[Item]:
            yield Fill("last.weight", Normal(0.5), why="before")
            yield (job := Job("work", lambda ctx: work(ctx) or {"w": torch.ones(4, device=ctx.device)}, "works"))
            yield Fill("first.bias", job["w"], why="made there")

    return Running()


def test_the_model_runs_there_and_comes_back(emulated: Any) -> None:
    torch.manual_seed(0)
    model = Body()
    before = {name: (id(t), t.clone(), t.stride()) for name, t in model.state_dict(keep_vars=True).items()}
    gradient = model.first.weight.grad = torch.ones(4, 4)
    x = torch.randn(3, 4)
    expected = model.eval()(x)
    model.train()
    seen = []

    def work(ctx: JobContext) -> None:
        assert ctx.device == torch.device("emulated")
        out = ctx.forward(x.to(ctx.device))
        seen.append(out.device.type)
        with ctx.undisturbed(grad=True) as inside:
            inside(x.to(ctx.device)).sum().backward()
            assert inside.second.weight is inside.first.weight
            assert inside.first.weight.grad.device.type == "emulated"
            ctx.write("norm.weight", torch.full((4,), 2.0))
        assert ctx.read("norm.weight").device.type == "emulated"

    report = initkit.apply(model, running(work), device="emulated")
    assert seen == ["emulated"]
    assert emulated.work["addmm"] > 0
    state = model.state_dict(keep_vars=True)
    assert {name: id(t) for name, t in state.items()} == {name: one[0] for name, one in before.items()}
    assert {t.device.type for t in state.values()} == {"cpu"}
    changed = {name for name, t in state.items() if not torch.equal(t, before[name][1])}
    assert changed == {"last.weight", "first.bias", "norm.weight"}
    assert model.first.weight.grad is gradient
    assert model.second.weight is model.first.weight
    assert state["norm.weight"].tolist() == [2.0] * 4
    assert not model.last.weight.requires_grad
    assert {slot.device.type for slot in slots_of(model).values()} == {"cpu"}
    assert model.training
    assert report["last.weight"].std == initkit.apply(Body(), running(lambda ctx: None))["last.weight"].std
    with torch.no_grad():
        for name, t in state.items():
            t.copy_(before[name][1])
    assert torch.equal(model.eval()(x), expected)


@pytest.mark.parametrize("inside", [True, False])
def test_a_failure_brings_everything_back(emulated: Any, inside: bool) -> None:
    model = Body()
    before = {name: (t, t.clone()) for name, t in model.state_dict(keep_vars=True).items()}

    def work(ctx: JobContext) -> Any:
        ctx.forward(torch.ones(3, 4, device=ctx.device))
        ctx.write("norm.weight", torch.full((4,), 2.0))
        if inside:
            raise CommitError("enough")
        return {"w": torch.full((4,), torch.nan)}

    with pytest.raises(InitError, match="enough" if inside else "NaN"):
        initkit.apply(model, running(work), device="emulated")
    for name, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])


def test_a_job_that_does_not_run_the_model_moves_nothing(emulated: Any) -> None:
    with mock.patch("initkit._visit._copy") as copied:
        initkit.apply(Body(), running(lambda ctx: None), device="emulated")
    copied.assert_not_called()


def test_a_model_too_large_for_the_device(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("initkit._visit._copy", full)
    with pytest.raises(CommitError, match=r"the model \(0\.0 GiB\) does not fit on emulated; give device='cpu'"):
        initkit.apply(Body(), running(lambda ctx: ctx.forward(torch.ones(3, 4))), device="emulated")
