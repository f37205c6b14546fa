"""A run changes what it declared, and nothing else; a run that fails or is stopped changes nothing."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

import initkit
from initkit._recipe import Recipe
from initkit.errors import CommitError
from initkit.items import Fill, Item, Job
from initkit.slots import slots_of
from initkit.testing.case import Case, Skip
from initkit.testing.observed import attributes, bits, unequal


def check_touches_only_what_it_declared(case: Case) -> None:
    """No other tensor changes, buffers included."""
    run = case.run
    declared = {fill.name for fill in case.planned.fills} | set(run.report)
    declared |= {original for name in run.report for original in slots_of(run.model)[name].originals}
    changed = set(unequal(run.before.bits, run.after.bits)) - declared
    assert not changed, f"{sorted(changed)} changed without being declared"


def check_attributes_change_by_set_alone(case: Case) -> None:
    """No plain attribute of the model changes but those that a ``Set`` names."""
    run = case.run
    declared = {item.path for item in run.report.sets}
    resized = {name for name, entry in run.report.items() if entry.resized_from is not None}
    changed = set(unequal(run.before.attributes, run.after.attributes)) - declared
    # A layer's own sizes follow the tensors that are resized.
    changed = {path for path in changed if not any(_beside(path, name) for name in resized)}
    assert not changed, f"{sorted(changed)} changed without a Set"


def _beside(path: str, tensor: str) -> bool:
    return path.rpartition(".")[0] == tensor.rpartition(".")[0]


def check_keeps_identity_dtype_device_and_grad_flags(case: Case) -> None:
    """Parameters stay the same objects with the same dtype, device, ``requires_grad`` and strides."""
    case.module()
    run, resized = case.run, _resized(case)
    changed = [name for name in unequal(run.before.parameters, run.after.parameters) if name not in resized]
    assert not changed, f"{changed} changed identity, dtype, device, requires_grad or strides"


def _resized(case: Case) -> set[str]:
    return {name for name, entry in case.run.report.items() if entry.resized_from is not None}


def check_frozen_parameters_are_filled_and_stay_frozen(case: Case) -> None:
    """Freezing changes no value, and the report marks it."""
    model = case.module().requires_grad_(False)
    report = case.apply(model)
    after = bits(model)
    assert after == case.run.after.bits, "frozen parameters got other values"
    assert not any(p.requires_grad for p in model.parameters()), "a frozen parameter was unfrozen"
    slots = slots_of(model)
    assert all(entry.frozen for name, entry in report.items() if slots[name].parameter), "frozen is not marked"


def check_tied_tensors_stay_tied(case: Case) -> None:
    """Two names of one tensor still are."""
    case.module()
    run = case.run
    if not any(run.before.aliases.values()):
        raise Skip("the model has no tied tensors")
    assert run.before.aliases == run.after.aliases, "ties changed"


def check_no_autograd_graph_is_left(case: Case) -> None:
    """No graph hangs on a parameter, and gradients are as they were."""
    case.module()
    run, resized = case.run, _resized(case)
    for name, parameter in run.model.named_parameters():
        assert parameter.is_leaf, f"{name} is no leaf any more"
        assert parameter.grad is run.before.gradients.get(name) or name in resized, f"the gradient of {name} changed"


def check_modes_are_left(case: Case) -> None:
    """Training and eval modes are as they were."""
    case.module()
    assert case.run.before.modes == case.run.after.modes, "modes changed"


def check_values_are_finite(case: Case) -> None:
    """No NaN, no infinity."""
    slots = slots_of(case.run.model)
    bad = [name for name in case.run.report if not bool(torch.isfinite(slots[name].read()).all())]
    assert not bad, f"{bad} hold NaN or infinite values"


def check_data_is_left_as_it_was(case: Case) -> None:
    """The data that the recipe asks for is not written to."""
    if not case.needs:
        raise Skip("the recipe is given no data")
    try:
        before = pickle.dumps(dict(case.needs))
    except Exception as error:  # noqa: BLE001 - objects say in many ways that they cannot be pickled
        raise Skip(f"the data cannot be compared: {type(error).__name__}: {error}") from None
    needs = pickle.loads(before)
    first = pickle.dumps(needs)
    initkit.apply(case.model(), case.made, seed=case.seed, **needs)
    assert pickle.dumps(needs) == first, "the data changed"


def check_applying_twice_changes_nothing(case: Case) -> None:
    """The second run writes what the first did."""
    if case.made.reads_values:
        raise Skip("the recipe reads present values, and says so")
    model = case.model()
    case.apply(model)
    first = bits(model)
    case.apply(model)
    assert bits(model) == first, f"{unequal(first, bits(model))} changed when applied again"


def check_a_later_failure_restores_everything(case: Case) -> None:
    """When a later recipe fails, every bit and attribute is as it was."""
    model = case.model()
    before, plain = bits(model), attributes(model)
    try:
        initkit.apply(model, [case.made, _Fails()], seed=case.seed, **case.needs)
    except CommitError:
        pass
    else:
        raise AssertionError("the failing recipe did not fail")
    _restored(model, before, plain)


def check_an_interrupt_restores_everything(case: Case) -> None:
    """Ctrl-C half-way through leaves every bit and attribute as it was."""
    model = case.model()
    before, plain = bits(model), attributes(model)
    items = len(list(case.planned))
    try:
        case.apply(model, progress=lambda every, words, total: _half(every, words == case.made.id, items))
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the recipe went on after Ctrl-C")
    _restored(model, before, plain)


def _half(every: Iterable[Any], stop: bool, count: int) -> Iterator[Any]:
    for done, item in enumerate(every):
        if stop and done == count // 2:
            raise KeyboardInterrupt
        yield item


def _restored(model: Any, before: dict[str, bytes], plain: dict[str, Any]) -> None:
    after = bits(model)
    assert after == before, f"{unequal(before, after)} were not restored"
    changed = unequal(plain, attributes(model))
    assert not changed, f"the attributes {changed} were not restored"


@dataclass(frozen=True)
class _Fails(Recipe):
    """Fails in its job, after everything before it was written."""

    def plan(self, model: Any) -> Iterator[Item]:
        name = next(iter(slots_of(model)))

        def fail(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
            raise CommitError("on purpose")

        job = Job("fails", fail, "fails on purpose")
        yield job
        yield Fill(name, job["never"], why="never written")
