"""Recipes whose values depend on what they must not depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from faulty import COUNT, Fault, Good, alike, job, linears
from initkit import Draw, Fill, Item, Normal, Stream
from initkit.draws.scaled import Elementwise

THREADS = torch.get_num_threads()
SECOND_GLOBAL_SEED = 2  # of the two that the battery tries


class CountsRuns(Good):
    """Its report says how often it ran."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from super().plan(model)
        yield job("count", lambda ctx: ctx.note("runs", next(COUNT)))


class OnStream(Normal):
    """Normal numbers from a stream of its own choice."""

    def choose(self, stream: Stream) -> Stream:
        return stream

    def sample_run(self, shape: Any, dtype: torch.dtype, stream: Stream, *run: Any, **where: Any) -> torch.Tensor:
        return super().sample_run(shape, dtype, self.choose(stream), *run, **where)


class FixedSeed(OnStream):
    def choose(self, stream: Stream) -> Stream:
        return Stream(0, stream.name)


class IgnoresTheSeed(Good):
    """The same numbers whatever the seed."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return FixedSeed(self.std)


class FixedName(OnStream):
    def choose(self, stream: Stream) -> Stream:
        return Stream(stream.seed, "everybody")


class SharesNumbers(Good):
    """The same numbers in every layer."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return FixedName(self.std)


class ReadsTheGlobalSeed(Good):
    """The user's global seed is in its scale."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std * (2 if torch.initial_seed() == SECOND_GLOBAL_SEED else 1))


class DrawsGlobally(Good):
    """Draws from torch's global state, for nothing."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        torch.rand(1)
        yield from super().plan(model)


class CountsParameters(Good):
    """The number of all parameters is in its scale."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(1 / len(list(model.parameters())))


class ByPlace(OnStream):
    def __init__(self, std: float, place: int) -> None:
        super().__init__(std)
        self.place = place

    def choose(self, stream: Stream) -> Stream:
        return Stream(stream.seed, f"layer {self.place}")


class NumbersLayers(Good):
    """Streams that go by the place among the layers a and b."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        layers = [one[0] for one in linears(model) if one[0] in "ab"]
        return ByPlace(self.std, layers.index(name[0]) if name[0] in layers else -1)


class LooksAtThreads(Good):
    """The number of threads is in its scale."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        threads = torch.get_num_threads()
        return Normal(self.std if threads == THREADS else self.std * (1 + threads))


class LooksAtTheProcessor(Good):
    """The processor is in its scale."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        plain = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
        return Normal(self.std * (2 if plain else 1))


class LooksAtStrides(Good):
    """The memory layout is in its scale."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std if model.get_parameter(name).is_contiguous() else 2 * self.std)


class WholeOnly(Elementwise):
    """Values that depend on where a run begins."""

    kind = "normal"

    def shape_block(self, block: Any, scales: Any) -> None:
        block -= block[0]

    def describe(self) -> str:
        return "whole only"


class DependsOnBlocks(Good):
    """A draw that is not element-wise and says it is."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return WholeOnly()


class LooksAtHalf(Good):
    """Another scale in half precision."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std * (2 if model.get_parameter(name).dtype == torch.bfloat16 else 1))


class LooksAtDouble(Good):
    """Another scale in double precision."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return Normal(self.std * (2 if model.get_parameter(name).dtype == torch.float64 else 1))


class WhileMeta(Normal):
    """Other numbers while the parameter is on the meta device."""

    def __init__(self, std: float, parameter: torch.Tensor) -> None:
        super().__init__(std)
        self.parameter = parameter

    def sample(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().sample(*args, **kwargs) * (2 if self.parameter.is_meta else 1)


class LooksAtTheDevice(Good):
    """Tensors made from meta tensors get other values."""

    def draw(self, model: nn.Module, name: str) -> Draw:
        return WhileMeta(self.std, model.get_parameter(name))


class ChildrenAlone(Good):
    """Looks at the types of the model's own children."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name, module in model.named_children():
            if type(module) is nn.Linear:
                yield Fill(f"{name}.weight", Normal(self.std), why="a child")


FAULTS = (
    Fault(CountsRuns(), "same_seed_gives_the_same_bits"),
    Fault(IgnoresTheSeed(), "another_seed_gives_other_bits"),
    Fault(SharesNumbers(), "no_two_tensors_share_their_numbers", alike),
    Fault(ReadsTheGlobalSeed(), "global_seeds_do_not_matter"),
    Fault(DrawsGlobally(), "no_global_random_state_is_touched"),
    Fault(CountsParameters(), "other_parameters_do_not_matter"),
    Fault(NumbersLayers(), "order_of_registration_does_not_matter"),
    Fault(LooksAtThreads(), "threads_do_not_matter"),
    Fault(LooksAtTheProcessor(), "processor_features_do_not_matter"),
    Fault(LooksAtStrides(), "memory_layout_does_not_matter"),
    Fault(DependsOnBlocks(), "a_part_equals_the_whole"),
    Fault(LooksAtHalf(), "half_types_are_float32_rounded"),
    Fault(LooksAtDouble(), "float32_is_float64_rounded_once"),
    Fault(ChildrenAlone(), "wrappers_are_seen_through"),
    Fault(LooksAtTheDevice(), "meta_tensors_get_the_same_bits"),
)
