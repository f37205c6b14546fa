"""Recipes that plan what they should not, write what they did not declare, or report what they did not do."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from faulty import Fault, Good, Still, job, linears, tied
from initkit import Draw, Fill, Item, JobContext, Normal, Set, Values

SEEN: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class Remembers(Good):
    """Says whether it has seen the model before."""

    def why(self, model: nn.Module, name: str) -> str:
        return "again" if model in SEEN else "small"

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)
        SEEN.add(model)


class MarksThePlan(Still):
    """Planning leaves a mark, which its job wipes off."""

    def before(self, model: nn.Module) -> Iterator[Item]:
        if hasattr(model, "norm"):
            model.norm.eps = 0.5
        yield job("wipe", lambda ctx: setattr(ctx.model.norm, "eps", 1e-5))


class DiffersOnMeta(Good):
    """Another scale where no tensor has values."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std * (2 if all(p.is_meta for p in model.parameters()) else 1))


class MakesSure(Still):
    """Its job fills what is not filled yet, whatever the caller said."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> None:
            for name in linears(ctx.model):
                if not bool((ctx.model.get_parameter(name) == 0.5).all()):
                    ctx.model.get_parameter(name).fill_(0.5)

        yield job("make sure", work)


class ClaimsTooMuch(Good):
    """Claims what is not there."""

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        return ["nowhere.weight"] if super().claims(model) else []


class AcceptsAnything(Good):
    """Finds something in every model."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        if isinstance(model, nn.Identity):
            yield Set("training", True, why="nothing else to do")
        else:
            yield from super().plan(model)


class CountsOnMatrices(Good):
    """Unpacks the shape of a matrix."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        _rows, _columns = model.get_parameter(name).shape
        return Normal(self.std)


class DividesBySize(Good):
    """Divides by the number of elements."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std + 0 / model.get_parameter(name).numel())


class WritesASecret(Still):
    """Its job writes a buffer past the report, but into the journal."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> None:
            slot = ctx._commit.slots["norm.running_mean"]
            ctx._commit.journal.write(slot.snapshot, lambda: slot.write(torch.full((4,), 3.0)))

        yield job("secret", work)


class SetsAnAttribute(Still):
    """Its job sets an attribute past the plan, but into the journal."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> None:
            layer = ctx.model.a
            ctx._commit.journal.write(lambda: lambda: vars(layer).pop("gain"), lambda: setattr(layer, "gain", 2.0))

        yield job("attribute", work)


class ReplacesAParameter(Still):
    """Its job puts an equal parameter in a parameter's place."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> None:
            layer = next(module for module in list(ctx.model.modules())[::-1] if isinstance(module, nn.Linear))
            layer.bias = nn.Parameter(layer.bias.detach(), layer.bias.requires_grad)

        yield job("replace", work)


class SkipsFrozen(Good):
    """Leaves out parameters that are frozen."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for item in super().plan(model):
            if isinstance(item, Fill) and model.get_parameter(item.name).requires_grad:
                yield item


class Unties(Still):
    """Its job puts a copy in the place of a shared buffer."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> None:
            ctx.model.norm.seen = ctx.model.seen.clone()

        yield job("untie", work)


class LeavesAGradient(Still):
    """Its job leaves a gradient."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("gradient", lambda ctx: setattr(ctx.model.a.bias, "grad", torch.zeros_like(ctx.model.a.bias)))


class TurnsToEval(Still):
    """Its job leaves the model in eval mode."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("eval", lambda ctx: ctx.model.eval())


class WritesNan(Still):
    """Its job spoils what was filled."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("spoil", lambda ctx: ctx.model.b.weight.fill_(float("nan")))


@dataclass(frozen=True)
class WritesToData(Good):
    """Counts up the data."""

    def plan(self, model: nn.Module, *, inputs: torch.Tensor) -> Iterator[Item]:  # type: ignore[override]
        inputs.add_(1)
        yield from super().plan(model)


class Doubles(Good):
    """Reads values and does not say so."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Values(model.get_parameter(name) * 2)


class WipesFirst(Still):
    """Its job wipes a tensor past the journal before it is filled."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        *first, last = super().plan(model)
        assert isinstance(last, Fill)
        yield from first
        yield job("wipe", lambda ctx: ctx.model.get_parameter(last.name).zero_())
        yield last


class TurnsOffAndOn(Still):
    """One job changes an attribute, and another puts it back."""

    def before(self, model: nn.Module) -> Iterator[Item]:
        yield job("off", lambda ctx: setattr(ctx.model.norm, "momentum", 0.0))

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("on", lambda ctx: setattr(ctx.model.norm, "momentum", 0.1))


class HidesAnEntry(Still):
    """Its job takes a tensor out of the report."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("hide", lambda ctx: ctx._commit.report.entries.pop("b.weight", None))


class WritesAfterwards(Still):
    """Its job changes what was filled and reported."""

    def after(self, model: nn.Module) -> Iterator[Item]:
        yield job("afterwards", lambda ctx: ctx.model.b.weight.fill_(0.25))


class TellsAPath(Good):
    """Says where it lies."""

    def why(self, model: nn.Module, name: str) -> str:
        return f"see {tempfile.gettempdir()}/notes.txt"


class FillsACache(Good):
    """Fills a buffer that files do not hold."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)
        if hasattr(model, "cache"):
            yield Fill("cache", Normal(self.std), why="a cache")


# A tensor that is tied no longer has a name of its own, which nobody declared, restores or loads.
UNTIED = ("touches_only_what_it_declared", "a_later_failure_restores_everything", "saved_files_load_back")
# NaN is written past the report, and equals nothing.
SPOILT = (
    "the_report_tells_what_the_model_holds",
    "half_types_are_float32_rounded",
    "float32_is_float64_rounded_once",
)

FAULTS = (
    Fault(Remembers(), "plan_is_repeatable"),
    Fault(MarksThePlan(), "plan_writes_nothing"),
    Fault(DiffersOnMeta(), "plan_on_meta_equals_plan_on_real"),
    Fault(MakesSure(), "only_and_exclude_are_honoured"),
    Fault(ClaimsTooMuch(), "claims_by_shapes_alone"),
    Fault(AcceptsAnything(), "a_model_without_its_layers_is_refused"),
    Fault(CountsOnMatrices(), "a_wrong_shape_is_planned_or_refused"),
    Fault(DividesBySize(), "an_empty_layer_is_planned_or_refused"),
    Fault(WritesASecret(), "touches_only_what_it_declared"),
    Fault(SetsAnAttribute(), "attributes_change_by_set_alone"),
    Fault(ReplacesAParameter(), "keeps_identity_dtype_device_and_grad_flags"),
    Fault(SkipsFrozen(), "frozen_parameters_are_filled_and_stay_frozen"),
    Fault(Unties(), "tied_tensors_stay_tied", tied, also=UNTIED),
    Fault(LeavesAGradient(), "no_autograd_graph_is_left"),
    Fault(TurnsToEval(), "modes_are_left"),
    Fault(WritesNan(), "values_are_finite", also=SPOILT),
    Fault(WritesToData(), "data_is_left_as_it_was", needs={"inputs": torch.zeros(2)}),
    Fault(Doubles(), "applying_twice_changes_nothing"),
    Fault(WipesFirst(), "a_later_failure_restores_everything"),
    Fault(TurnsOffAndOn(), "an_interrupt_restores_everything"),
    Fault(HidesAnEntry(), "the_report_covers_the_plan"),
    Fault(WritesAfterwards(), "the_report_tells_what_the_model_holds"),
    Fault(TellsAPath(), "the_report_is_json_without_paths_and_times"),
    Fault(FillsACache(), "saved_files_load_back"),
)
