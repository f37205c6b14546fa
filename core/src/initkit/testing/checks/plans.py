"""Plans look at types and shapes, write nothing, and refuse what does not fit."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator

import torch
from torch import nn

import initkit
from initkit.errors import InitError
from initkit.slots import slots_of
from initkit.testing.case import Case, Skip, hollow
from initkit.testing.observed import attributes, bits, unequal

_MOST = 4  # tensors that are tried with another shape


def check_plan_is_repeatable(case: Case) -> None:
    """Planning twice says the same."""
    model = case.model()
    assert case.plan(model).to_json() == case.plan(model).to_json(), "two plans differ"


def check_plan_writes_nothing(case: Case) -> None:
    """A plan leaves every bit, mode and attribute as it was."""
    model = case.model()
    before, plain = bits(model), (attributes(model), _modes(model))
    case.plan(model)
    assert bits(model) == before, f"the plan changed {unequal(before, bits(model))}"
    assert (attributes(model), _modes(model)) == plain, "the plan changed attributes or modes"


def _modes(model: object) -> list[bool]:
    return [module.training for module in model.modules()] if isinstance(model, nn.Module) else []


def check_plan_on_meta_equals_plan_on_real(case: Case) -> None:
    """Types and shapes alone decide."""
    case.module()
    assert case.plan_on_meta == case.planned.to_json(), "the plan differs on the meta device"


def check_only_and_exclude_are_honoured(case: Case) -> None:
    """What the caller shuts out stays as it was, whatever a job does; the rest is filled."""
    names = [fill.name for fill in case.planned.fills]
    if not names:
        raise Skip("no tensor is filled")
    first, others = names[0], set(names[1:])
    alone = case.plan(case.model(), only=[glob.escape(first)])
    assert [fill.name for fill in alone.fills] == [first], f"only={first!r} would fill others too"
    if not others and not case.planned.jobs:
        return  # nothing would be left to do, which is refused
    model = case.model()
    before = bits(model)
    try:
        report = case.apply(model, exclude=[glob.escape(first)])
    except InitError as error:
        raise Skip(f"without {first} the recipe refuses: {error}") from None
    unchanged = before.get(first) == bits(model).get(first)
    assert unchanged, f"{first} was excluded, and changed"
    assert first not in report, f"{first} was excluded, and is reported as written"
    missing = (others & set(case.run.report)) - set(report) - set(report.kept)
    assert not missing, f"{sorted(missing)} were not filled although they were not excluded"


def check_claims_by_shapes_alone(case: Case) -> None:
    """``claims`` names tensors of the model, also on the meta device, and nothing of a model without tensors."""
    model = case.module()
    kind = type(case.made)
    unknown = [name for name in kind.claims(model) if name not in slots_of(model)]
    assert not unknown, f"claims names {unknown}, which the model does not have"
    assert list(kind.claims(nn.Identity())) == [], "an empty model is claimed"
    assert list(kind.claims(model)) == list(kind.claims(hollow(model))), "claims differ on the meta device"


def check_a_model_without_its_layers_is_refused(case: Case) -> None:
    """A model with nothing to initialise is an error of one line that names the recipe or the model."""
    case.module()
    try:
        initkit.plan(nn.Identity(), case.made, **case.needs)
    except InitError as error:
        message = str(error)
    else:
        raise AssertionError("a model without tensors was accepted")
    assert "\n" not in message, "the message has more than one line"


def check_a_wrong_shape_is_planned_or_refused(case: Case) -> None:
    """A tensor with a dimension more is filled as it is, or refused in one line that names it."""
    _with_other_shapes(case, lambda shape: (*shape, 2))


def check_an_empty_layer_is_planned_or_refused(case: Case) -> None:
    """A tensor with no elements is filled as it is, or refused in one line that names it."""
    _with_other_shapes(case, lambda shape: (*shape[:-1], 0) if shape else (0,))


def _with_other_shapes(case: Case, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> None:
    _ = case.plan_on_meta  # skips where it cannot be
    tried = 0
    for name in [fill.name for fill in case.planned.fills]:
        if tried == _MOST:
            break
        model = hollow(case.module())
        place, _, leaf = name.rpartition(".")
        held = dict(model.named_modules())[place]._parameters if place in dict(model.named_modules()) else {}
        value = held.get(leaf)
        if value is None or slots_of(model)[name].aliases:
            continue
        tried += 1
        shape = change(tuple(value.shape))
        held[leaf] = nn.Parameter(torch.empty(shape, dtype=value.dtype, device="meta"), value.requires_grad)
        _planned_or_refused(case, model, name, shape)
    if not tried:
        raise Skip("it fills no parameter of its own whose shape could be another")


def _planned_or_refused(case: Case, model: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    where = f"{name} of shape {shape}"
    try:
        case.plan(model)
    except InitError as error:
        message = str(error)
        assert "\n" not in message, f"{where}: the message has more than one line"
        assert any(word in message for word in _places(name)), (
            f"{where}: the message names no tensor or layer: {message}"
        )
    except Exception as error:  # noqa: BLE001 - a stranger's recipe may raise anything
        raise AssertionError(f"{where} raises {type(error).__name__}: {error}; raise initkit.PlanError") from None


def _places(name: str) -> Iterator[str]:
    """The tensor's name and those of the layers around it."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])
