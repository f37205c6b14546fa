"""The checks, one function each: AssertionError where a promise is broken, Skip where it does not apply."""

from __future__ import annotations

import json
import math
import pickle
import random
import tempfile
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import initkit
from initkit._recipe import Recipe, needs_of
from initkit.draws.scaled import Elementwise
from initkit.errors import CommitError, InitError, NeedError, OptionError, PlanError
from initkit.items import Fill, Item, Job
from initkit.slots import slots_of
from initkit.streams import Stream
from initkit.testing.case import Case, Skip, bits, hollow


def check_same_seed_gives_the_same_bits(case: Case) -> None:
    """Two equal models, one seed: equal bits and equal reports."""
    one, two = case.models(2)
    first, second = case.apply(one), case.apply(two)
    assert bits(one) == bits(two), f"{_unequal(bits(one), bits(two))} differ"
    assert first.to_json() == second.to_json(), "the reports differ"


def check_another_seed_gives_other_bits(case: Case) -> None:
    """Random draws follow the seed."""
    one, two = case.models(2)
    plan = case.plan(one)
    drawn = [fill.name for fill in plan.fills if fill.draw.random]
    if not drawn:
        raise Skip("nothing is drawn at random")
    first, second = case.apply(one), case.apply(two, seed=case.seed + 1)
    same = [name for name in drawn if first[name].hash == second[name].hash and first[name].std]
    assert not same, f"{same} do not depend on the seed"


def check_no_two_tensors_share_their_numbers(case: Case) -> None:
    """Tensors of one shape differ, unless a draw says whose numbers it uses."""
    model = case.build()
    report = case.apply(model)
    seen: dict[str, str] = {}
    for fill in case.plan(model).fills:
        if fill.name in report.kept:
            continue  # its job found that it would do no good
        entry = report[fill.name]
        if fill.draw.random and type(fill.draw).__name__ != "Using" and entry.std:
            assert entry.hash not in seen, f"{fill.name} and {seen[entry.hash]} got the same values"
            seen[entry.hash] = fill.name


def check_other_parameters_do_not_matter(case: Case) -> None:
    """A layer more leaves the others' values as they are."""
    case.elementwise()
    one, two = case.models(2)
    if not isinstance(one, nn.Module) or isinstance(one, (nn.Sequential, nn.ModuleList)):
        raise Skip("no module can be added without changing the model's function")
    two.add_module("zz_initkit_extra", nn.Linear(3, 2))
    two._modules = {"zz_initkit_extra": two._modules.pop("zz_initkit_extra"), **two._modules}
    first, second = case.apply(one), case.apply(two)
    changed = [name for name in first if first[name].hash != second[name].hash]
    assert not changed, f"{changed} changed when an unrelated layer was added"


def check_threads_do_not_matter(case: Case) -> None:
    """One thread and two give the same bits."""
    case.elementwise()
    one, two = case.models(2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        case.apply(one)
        torch.set_num_threads(2)
        case.apply(two)
    finally:
        torch.set_num_threads(threads)
    assert bits(one) == bits(two), f"{_unequal(bits(one), bits(two))} depend on the number of threads"


def check_memory_layout_does_not_matter(case: Case) -> None:
    """A parameter stored the other way round gets the same values and keeps its strides."""
    case.elementwise()
    one, two = case.models(2)
    if not isinstance(one, nn.Module):
        raise Skip("no nn.Module")
    for parameter in two.parameters():
        if parameter.ndim == 2 and not parameter.is_meta:
            parameter.data = parameter.data.t().contiguous().t()
    strides = [parameter.stride() for parameter in two.parameters()]
    case.apply(one)
    case.apply(two)
    assert bits(one) == bits(two), f"{_unequal(bits(one), bits(two))} depend on the memory layout"
    assert strides == [parameter.stride() for parameter in two.parameters()], "strides changed"


def check_a_part_equals_the_whole(case: Case) -> None:
    """Any run of elements, drawn alone, equals that part of the whole tensor (what a sharded model draws)."""
    case.elementwise()
    checked = 0
    for fill in case.plan(case.build()).fills:
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
        raise Skip("no element-wise draw")


def check_half_types_are_float32_rounded(case: Case) -> None:
    """A bfloat16 model gets the float32 model's values, rounded."""
    _rounded(case, torch.bfloat16, torch.float32)


def check_float32_is_float64_rounded_once(case: Case) -> None:
    """A float32 model gets the float64 model's values, rounded once."""
    _rounded(case, torch.float32, torch.float64)


def _rounded(case: Case, low: torch.dtype, high: torch.dtype) -> None:
    case.elementwise()
    one, two = case.models(2)
    if not isinstance(one, nn.Module):
        raise Skip("no nn.Module")
    one, two = one.to(high), two.to(low)
    case.apply(one)
    report = case.apply(two)
    mine, theirs = slots_of(one), slots_of(two)
    for name in report:
        if theirs[name].dtype == low:
            assert torch.equal(mine[name].read().to(low), theirs[name].read()), (
                f"{name} is not the {high} value rounded"
            )


def check_plan_is_repeatable(case: Case) -> None:
    """Planning twice says the same."""
    model = case.build()
    assert case.plan(model).to_json() == case.plan(model).to_json(), "two plans differ"


def check_plan_writes_nothing(case: Case) -> None:
    """A plan leaves every bit, mode and attribute as it was."""
    model = case.build()
    before, attributes = bits(model), _attributes(model)
    case.plan(model)
    assert bits(model) == before, f"the plan changed {_unequal(before, bits(model))}"
    assert _attributes(model) == attributes, "the plan changed attributes or modes"


def check_plan_on_meta_equals_plan_on_real(case: Case) -> None:
    """Types and shapes alone decide."""
    model = case.module()
    if case.made.reads_values:
        raise Skip("the recipe reads present values, and says so")
    real = case.plan(model).to_json()
    try:
        on_meta = case.plan(hollow(model)).to_json()
    except PlanError as error:
        raise Skip(f"the recipe cannot plan on the meta device: {error}") from None
    assert real == on_meta, "the plan differs on the meta device"


def check_touches_only_what_it_declared(case: Case) -> None:
    """No other tensor changes, buffers included."""
    model = case.build()
    before = bits(model)
    declared = {fill.name for fill in case.plan(model).fills}
    report = case.apply(model)
    declared |= set(report) | {original for name in report for original in slots_of(model)[name].originals}
    changed = set(_unequal(before, bits(model))) - declared
    assert not changed, f"{sorted(changed)} changed without being declared"


def check_keeps_identity_dtype_device_and_grad_flags(case: Case) -> None:
    """Parameters stay the same objects with the same properties."""
    model = case.module()
    before = {n: (id(p), p.dtype, p.device, p.requires_grad, p.stride()) for n, p in model.named_parameters()}
    resized = {fill.name for fill in case.plan(model).fills if fill.resize}
    case.apply(model)
    after = {n: (id(p), p.dtype, p.device, p.requires_grad, p.stride()) for n, p in model.named_parameters()}
    changed = [n for n in before if before[n] != after.get(n) and n not in resized]
    assert not changed, f"{changed} changed identity, dtype, device, requires_grad or strides"


def check_frozen_parameters_are_filled_and_stay_frozen(case: Case) -> None:
    """Freezing changes no value."""
    one, two = case.models(2)
    if not isinstance(one, nn.Module):
        raise Skip("no nn.Module")
    two.requires_grad_(False)
    case.apply(one)
    report = case.apply(two)
    assert bits(one) == bits(two), "frozen parameters got other values"
    assert not any(p.requires_grad for p in two.parameters()), "a frozen parameter was unfrozen"
    assert all(entry.frozen for name, entry in report.items() if slots_of(two)[name].parameter), "frozen is not marked"


def check_tied_tensors_stay_tied(case: Case) -> None:
    """Two names of one tensor still are."""
    model = case.module()
    before = {name: slot.aliases for name, slot in slots_of(model).items()}
    if not any(before.values()):
        raise Skip("the model has no tied tensors")
    case.apply(model)
    assert before == {name: slot.aliases for name, slot in slots_of(model).items()}, "ties changed"


def check_no_global_random_state_is_touched(case: Case) -> None:
    """torch's, numpy's and Python's random state stay where they were."""
    model = case.build()
    before = _random_state()
    with torch.no_grad():
        list(case.made.plan(model, **case.needs))
    assert _random_state() == before, "the plan drew from global random state"
    case.apply(model)
    assert _random_state() == before, "applying drew from global random state"


def check_global_seeds_do_not_matter(case: Case) -> None:
    """Values depend on the run's seed, not on anybody's global seed."""
    one, two = case.models(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = case.apply(one)
        torch.manual_seed(2)
        second = case.apply(two)
    assert {n: e.hash for n, e in first.items()} == {n: e.hash for n, e in second.items()}, "global seeds matter"


def check_no_autograd_graph_is_left(case: Case) -> None:
    """No graph hangs on a parameter, and gradients are as they were."""
    model = case.module()
    resized = {fill.name for fill in case.plan(model).fills if fill.resize}
    gradients = {n: p.grad for n, p in model.named_parameters()}
    case.apply(model)
    for name, parameter in model.named_parameters():
        assert parameter.is_leaf, f"{name} is no leaf any more"
        assert parameter.grad is gradients[name] or name in resized, f"the gradient of {name} changed"


def check_modes_are_left(case: Case) -> None:
    """Training and eval modes are as they were."""
    model = case.module()
    for i, module in enumerate(model.modules()):
        module.training = i % 2 == 0
    before = [module.training for module in model.modules()]
    case.apply(model)
    assert [module.training for module in model.modules()] == before, "modes changed"


def check_values_are_finite(case: Case) -> None:
    """No NaN, no infinity."""
    model = case.build()
    report = case.apply(model)
    slots = slots_of(model)
    bad = [name for name in report if not bool(torch.isfinite(slots[name].read()).all())]
    assert not bad, f"{bad} hold NaN or infinite values"


def check_applying_twice_changes_nothing(case: Case) -> None:
    """The second run writes what the first did."""
    if case.made.reads_values:
        raise Skip("the recipe reads present values, and says so")
    model = case.build()
    case.apply(model)
    first = bits(model)
    case.apply(model)
    assert bits(model) == first, f"{_unequal(first, bits(model))} changed when applied again"


def check_a_later_failure_restores_everything(case: Case) -> None:
    """When a later recipe fails, every bit and attribute is as it was."""
    model = case.build()
    before, attributes = bits(model), _attributes(model)
    try:
        initkit.apply(model, [case.made, _Fails()], seed=case.seed, **case.needs)
    except CommitError:
        pass
    else:
        raise AssertionError("the failing recipe did not fail")
    assert bits(model) == before, f"{_unequal(before, bits(model))} were not restored"
    assert _attributes(model) == attributes, "attributes were not restored"


def check_wrappers_are_seen_through(case: Case) -> None:
    """A model inside torch.compile's wrapper gets the same names and bits."""
    one, two = case.models(2)
    if not isinstance(one, nn.Module):
        raise Skip("no nn.Module")
    first, second = case.apply(one), case.apply(torch.compile(two, backend="eager"))
    assert list(first) == list(second), "names differ under a wrapper"
    assert bits(one) == bits(two), "values differ under a wrapper"


def check_saved_files_load_back(case: Case) -> None:
    """What was saved and loaded into a fresh model is equal bit for bit."""
    one, two = case.models(2)
    report = case.apply(one)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        initkit.save(one, path, report=report)
        loaded = initkit.load(two, path)
    assert bits(one) == bits(two), f"{_unequal(bits(one), bits(two))} differ after loading"
    assert set(loaded.outputs) == set(report.outputs), "outputs are missing in the file"


def check_the_report_covers_the_plan(case: Case) -> None:
    """Every fill has an entry with statistics, a reason and the recipe's id."""
    model = case.build()
    plan, report = case.plan(model), case.apply(model)
    for fill in plan.fills:
        if fill.name in report.kept:
            assert fill.draw.jobs(), f"{fill.name} is planned but kept, and no job can have found out why"
            continue
        assert fill.name in report, f"{fill.name} is planned but not reported"
        assert report[fill.name].why.strip(), f"{fill.name} has no reason"
        assert report[fill.name].recipe == case.made.id
    json.loads(report.to_json())


def check_options_round_trip_through_json(case: Case) -> None:
    """A recipe made again from its options is equal."""
    made = case.made
    again = type(made)(**json.loads(json.dumps(made.options())))
    assert again == made, f"{made.options()} gives another recipe"


def check_unknown_options_are_refused(case: Case) -> None:
    """A misspelt option is an error that names it."""
    card = case.card
    if card is None:
        raise Skip("no installed plugin has a card for it")
    _refused(lambda: initkit.recipe(card.id, zz_no_such_option=1), OptionError, "zz_no_such_option")


def check_options_of_a_wrong_type_are_refused(case: Case) -> None:
    """An object that is no value is refused for every option, with the option's name."""
    kind = type(case.made)
    options = [
        option for option in fields(kind) if option.default is not MISSING or option.default_factory is not MISSING
    ]
    if not options:
        raise Skip("the recipe has no options")
    for option in options:
        _refused(lambda option=option: kind(**{option.name: _NoValue()}), OptionError, option.name)


def check_missing_data_is_named(case: Case) -> None:
    """Leaving out a need is an error that names the recipe and the need."""
    required = needs_of(case.made).required
    if not required:
        raise Skip("the recipe needs no data")
    for name in required:
        others = {other: value for other, value in case.needs.items() if other != name}
        _refused(lambda others=others: initkit.plan(case.build(), case.made, **others), NeedError, name)


def check_unknown_keywords_are_named(case: Case) -> None:
    """A keyword that the recipe does not ask for is an error that names it."""
    needs = {**case.needs, "zz_no_such_need": 1}
    _refused(lambda: initkit.plan(case.build(), case.made, **needs), NeedError, "zz_no_such_need")


def check_a_model_without_its_layers_is_refused(case: Case) -> None:
    """A model with nothing to initialise is an error, and nothing else."""
    if not isinstance(case.build(), nn.Module):
        raise Skip("no nn.Module")
    try:
        initkit.plan(nn.Identity(), case.made, **case.needs)
    except InitError as error:
        message = str(error)
    else:
        raise AssertionError("a model without tensors was accepted")
    assert "\n" not in message, "the message has more than one line"


def check_recipe_pickles(case: Case) -> None:
    """A recipe goes through pickle and comes back equal."""
    made = case.made
    assert pickle.loads(pickle.dumps(made)) == made, "the unpickled recipe differs"


def check_docstring_has_summary_and_source(case: Case) -> None:
    """The docstring begins with the card's summary and names its source."""
    text = type(case.made).__doc__ or ""
    first = text.strip().partition("\n")[0].strip()
    card = case.card
    if card is not None:
        assert first == card.summary, f"the docstring begins {first!r}, the card says {card.summary!r}"
    assert any(line.strip().startswith("Source:") for line in text.splitlines()), (
        "no line 'Source: ...' names the paper"
    )


def check_card_names_the_needs(case: Case) -> None:
    """The card's needs are the keyword-only arguments of plan."""
    card = case.card
    if card is None:
        raise Skip("no installed plugin has a card for it")
    asked = needs_of(case.made)
    said = {need.name: need.optional for need in card.needs if not isinstance(need, str)}
    wanted = {**dict.fromkeys(asked.required, False), **dict.fromkeys(asked.optional, True)}
    assert said == wanted, f"the card says {said}, plan asks for {wanted} (name: optional)"


def check_claims_by_shapes_alone(case: Case) -> None:
    """Claims names tensors of the model, and nothing of a model without tensors; it works on the meta device."""
    model = case.module()
    kind = type(case.made)
    unknown = [name for name in kind.claims(model) if name not in slots_of(model)]
    assert not unknown, f"claims names {unknown}, which the model does not have"
    assert list(kind.claims(nn.Identity())) == [], "an empty model is claimed"
    assert list(kind.claims(model)) == list(kind.claims(hollow(model))), "claims differ on the meta device"


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


class _NoValue:
    """No value of any option."""


def _refused(call: Any, kind: type[InitError], word: str) -> None:
    try:
        call()
    except kind as error:
        text = str(error)
        assert word in text, f"the message does not name {word!r}: {text}"
        assert "\n" not in text, f"the message has more than one line: {text}"
    else:
        raise AssertionError(f"{word} was accepted")


def _unequal(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]


def _attributes(model: Any) -> dict[str, Any]:
    """Plain attributes of every part of a module, or of an estimator."""
    parts = dict(model.named_modules()) if isinstance(model, nn.Module) else {"": model}
    plain = (bool, int, float, str, type(None))
    return {
        f"{name}.{key}": value
        for name, part in parts.items()
        for key, value in vars(part).items()
        if isinstance(value, plain)
    }


def _random_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - this is what must not move
    numpy_state = (state["state"]["key"].tolist(), state["state"]["pos"], state["has_gauss"])
    return (torch.get_rng_state().tolist(), numpy_state, random.getstate())
