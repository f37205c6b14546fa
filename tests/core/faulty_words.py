"""Recipes whose options, data or words are not what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from faulty import Fault, Good
from initkit import Item


@dataclass(frozen=True)
class TakesAFunction(Good):
    """A function that JSON cannot give back.

    Args:
        std: of the weights.
        loud: changes nothing.
        shape: changes nothing.

    Source: this test.
    """

    shape: Callable[[float], float] = math.sqrt


class TakesAnyOption(Good):
    """Swallows misprints."""

    def __init__(self, std: float = 0.1, loud: bool = False, **anything: Any) -> None:
        object.__setattr__(self, "std", std)
        object.__setattr__(self, "loud", loud)
        self.check()


@dataclass(frozen=True)
class TakesAnything(Good):
    """An option of no type.

    Args:
        std: of the weights.
        loud: changes nothing.
        extra: changes nothing.

    Source: this test.
    """

    extra: Any = None


@dataclass(frozen=True)
class NeedsWhatIsOptional(Good):
    """Fails without data that it calls optional."""

    def plan(self, model: nn.Module, *, inputs: Any = None) -> Iterator[Item]:  # type: ignore[override]
        if inputs is None:
            raise TypeError("'NoneType' object is not iterable")
        yield from super().plan(model)


@dataclass(frozen=True)
class SwallowsKeywords(Good):
    """Takes any keyword."""

    def plan(self, model: nn.Module, **anything: Any) -> Iterator[Item]:
        yield from super().plan(model)


@dataclass(frozen=True)
class ForgetsOptions(Good):
    """Comes back from pickle with its defaults."""

    def __reduce__(self) -> Any:
        return (type(self), ())


class SaysNoSource(Good):
    """Does not say where it comes from.

    Args:
        std: of the weights.
        loud: changes nothing.
    """


@dataclass(frozen=True)
class ExplainsNothing(Good):
    """Does not say what its option does.

    Source: this test.
    """

    extra: int = 0


class BadBibtex(Good):
    """A citation that does not parse.

    Args:
        std: of the weights.
        loud: changes nothing.

    Source: this test.
    """

    bibtex: ClassVar[str] = "@article{me2026,\n  title = {A {title},\n  author = {Me},\n  year = {2026}\n}"


FAULTS = (
    Fault(TakesAFunction(), "options_round_trip_through_json", words=True),
    Fault(TakesAnyOption(), "unknown_options_are_refused"),
    Fault(TakesAnything(), "options_of_a_wrong_type_are_refused", words=True),
    Fault(NeedsWhatIsOptional(), "missing_data_is_named", needs={"inputs": torch.zeros(2)}),
    Fault(SwallowsKeywords(), "unknown_keywords_are_named"),
    Fault(ForgetsOptions(loud=True), "recipe_pickles"),
    Fault(SaysNoSource(), "docstring_has_summary_and_source", words=True),
    Fault(ExplainsNothing(), "docstring_explains_every_option", words=True),
    Fault(BadBibtex(), "bibtex_parses", words=True),
)
