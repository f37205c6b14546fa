"""An element's value depends on the seed, the tensor's name and its index: not on what is around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from initkit.draws.scaled import Elementwise
from initkit.errors import PlanError
from initkit.slots import TensorSlot, slots_of
from initkit.streams import Stream
from initkit.testing import elsewhere
from initkit.testing.case import Case, Skip
from initkit.testing.observed import bits, unequal


def check_other_parameters_do_not_matter(case: Case) -> None:
    """A layer more, before all others, leaves their values as they are."""
    case.elementwise()
    model = case.module()
    if isinstance(model, (nn.Sequential, nn.ModuleList)):
        raise Skip("no module can be added without changing the model's function")
    model.add_module("zz_initkit_extra", nn.Linear(3, 2))
    model._modules = {"zz_initkit_extra": model._modules.pop("zz_initkit_extra"), **model._modules}
    first, second = case.run.report, case.apply(model)
    changed = [name for name in first if first[name].hash != second[name].hash]
    assert not changed, f"{changed} changed when an unrelated layer was added"


def check_order_of_registration_does_not_matter(case: Case) -> None:
    """Layers and parameters that are registered in another order get the same values."""
    case.elementwise()
    model = case.module()
    names = set(slots_of(model))
    for module in model.modules():
        _reverse(module._parameters)
    if type(model) not in (nn.Sequential, nn.ModuleList):
        _reverse(model._modules)
    if set(slots_of(model)) != names:
        raise Skip("tied tensors go by the name that is registered first")
    try:
        plan = case.plan(model)
    except PlanError as error:
        raise Skip(f"in another order the model is another one: {error}") from None
    before = {fill.name: fill.draw.describe() for fill in case.planned.fills}
    moved = unequal(before, {fill.name: fill.draw.describe() for fill in plan.fills})
    if moved:
        raise Skip(f"the plan itself goes by the order of layers: it draws {moved[0]} otherwise")
    case.apply(model)
    after = bits(model)
    assert after == case.run.after.bits, f"{unequal(after, case.run.after.bits)} depend on the order of registration"


def _reverse(registered: dict[str, Any]) -> None:
    items = list(registered.items())[::-1]
    registered.clear()
    registered.update(items)


def check_threads_do_not_matter(case: Case) -> None:
    """One thread and two give the same bits."""
    case.elementwise()
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            model = case.model()
            torch.set_num_threads(count)
            case.apply(model)
            found.append(bits(model))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1], f"{unequal(*found)} depend on the number of threads"


def check_processor_features_do_not_matter(case: Case) -> None:
    """A process that may not use the processor's vector instructions gets the same bits."""
    case.elementwise()
    elsewhere.reason_against()
    there = elsewhere.digests(case.made, case.model(), case.needs, case.seed)
    here = {name: entry.hash for name, entry in case.run.report.items()}
    assert here == there, f"{unequal(here, there)} depend on the processor's instructions"


def check_memory_layout_does_not_matter(case: Case) -> None:
    """Parameters that are transposed, channels-last or have gaps get the same values and keep their strides."""
    case.elementwise()
    model = case.module()
    for parameter in model.parameters():
        if not parameter.is_meta:
            parameter.data = _strided(parameter.data)
    strides = [parameter.stride() for parameter in model.parameters()]
    case.apply(model)
    after = bits(model)
    assert after == case.run.after.bits, f"{unequal(after, case.run.after.bits)} depend on the memory layout"
    assert strides == [parameter.stride() for parameter in model.parameters()], "strides changed"


def _strided(value: torch.Tensor) -> torch.Tensor:
    if value.ndim == 2:
        return value.t().contiguous().t()
    if value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    gaps = value.new_zeros((*value.shape, 2))[..., 0]
    return gaps.copy_(value)


def check_a_part_equals_the_whole(case: Case) -> None:
    """Any run of elements, drawn alone, equals that part of the whole tensor (what a sharded model draws)."""
    case.elementwise()
    checked = 0
    for fill in case.planned.fills:
        count = math.prod(fill.shape or ())
        if not isinstance(fill.draw, Elementwise) or count < 2:
            continue
        stream = Stream(case.seed, fill.name)
        whole = fill.draw.sample(fill.shape or (), torch.float32, stream).reshape(-1)
        for start in {1, count // 3, count // 2}:
            part = fill.draw.sample_run(fill.shape or (), torch.float32, stream, start, count - start)
            assert torch.equal(whole[start:], part), f"{fill.name}: elements from {start} differ when drawn alone"
        checked += 1
    if not checked:
        raise Skip("no element-wise draw fills a whole tensor")


def check_half_types_are_float32_rounded(case: Case) -> None:
    """A bfloat16 model gets the float32 model's values, rounded."""
    _rounded(case, torch.bfloat16, torch.float32)


def check_float32_is_float64_rounded_once(case: Case) -> None:
    """A float32 model gets the float64 model's values, rounded once."""
    _rounded(case, torch.float32, torch.float64)


def _rounded(case: Case, low: torch.dtype, high: torch.dtype) -> None:
    case.elementwise()
    one, two = case.module().to(high), case.module().to(low)
    case.apply(one)
    report = case.apply(two)
    mine, theirs = slots_of(one), slots_of(two)
    for name in report:
        if theirs[name].dtype == low:
            assert torch.equal(mine[name].read().to(low), theirs[name].read()), (
                f"{name} is not the {high} value rounded"
            )


def check_wrappers_are_seen_through(case: Case) -> None:
    """A wrapper around the model or around its layers, such as that of activation checkpointing, is no matter."""
    wrap: Callable[[nn.Module], nn.Module] = checkpoint_wrapper
    models = {"around the model": wrap(case.module())}
    if not case.planned.jobs:  # such a wrapper runs its layer in a way of its own
        models["around its layers"] = inside = case.module()
        for name, child in list(inside.named_children()):
            inside._modules[name] = wrap(child)
    for where, model in models.items():
        report = case.apply(model)
        assert list(report) == list(case.run.report), f"names differ with a wrapper {where}"
        changed = [name for name, entry in report.items() if entry.hash != case.run.report[name].hash]
        assert not changed, f"{changed} differ with a wrapper {where}"


def check_meta_tensors_get_the_same_bits(case: Case) -> None:
    """Tensors on the meta device are made and get the values that real ones get."""
    case.elementwise()
    _ = case.plan_on_meta  # skips where it cannot be
    model = case.module()
    filled = {fill.name for fill in case.planned.fills}
    slots = slots_of(model)
    own = {id(slot.tensor) for name in filled if isinstance(slot := slots[name], TensorSlot)}
    if len(own) < len(filled):
        raise Skip("a tensor that it fills is no object of its own")
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        registered: list[dict[str, Any]] = [module._parameters, module._buffers]
        for held in registered:
            for key, value in held.items():
                if id(value) in own:
                    held[key] = made.setdefault(id(value), _emptied(value))
    case.apply(model, device="cpu")
    after = bits(model)
    assert after == case.run.after.bits, f"{unequal(after, case.run.after.bits)} differ when made from meta tensors"


def _emptied(value: torch.Tensor) -> torch.Tensor:
    empty = value.detach().to("meta")
    return nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty
