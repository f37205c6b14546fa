"""Run the checks, and say how many ran and why any was skipped."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from initkit._recipe import Recipe
from initkit.testing import checks
from initkit.testing.case import Case, Skip

if TYPE_CHECKING:
    import pytest

Check = Callable[[Case], None]


@dataclass(frozen=True)
class Result:
    """How one check went; ``words`` says why it failed or was skipped."""

    check: str
    status: Literal["passed", "failed", "skipped"]
    words: str = ""


@dataclass(frozen=True)
class Outcome:
    """All results for one recipe."""

    recipe: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.of("failed")

    def of(self, status: str) -> list[Result]:
        """The results of one kind."""
        return [result for result in self.results if result.status == status]

    def to_json(self) -> str:
        """The outcome as JSON text."""
        rows = [{"check": r.check, "status": r.status, "words": r.words} for r in self.results]
        return json.dumps({"recipe": self.recipe, "ok": self.ok, "results": rows}, indent=2) + "\n"

    def __str__(self) -> str:
        skipped, failed = self.of("skipped"), self.of("failed")
        ran = len(self.results) - len(skipped)
        lines = [f"{self.recipe}: {ran} checks ran, {len(failed)} failed, {len(skipped)} were skipped"]
        lines += [f"  failed   {result.check}: {result.words}" for result in failed]
        lines += [f"  skipped  {result.check}: {result.words}" for result in skipped]
        return "\n".join(lines)


def all_checks() -> list[Check]:
    """Every check, in the order of the file."""
    return [value for name, value in vars(checks).items() if name.startswith("check_")]


def check_recipe(recipe: str | Recipe, build: Callable[[], Any], *, seed: int = 7, **needs: Any) -> Outcome:
    """Run the whole battery on a recipe.

    Args:
        recipe: an id or a recipe.
        build: makes a model that the recipe fits.
        seed: of the runs.
        needs: the data that the recipe asks for.
    """
    case = Case(recipe, build, needs, seed)
    return Outcome(case.made.id, tuple(_result(check, case) for check in all_checks()))


def _result(check: Check, case: Case) -> Result:
    name = check.__name__.removeprefix("check_")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a recipe says to its user is no failure
            check(case)
    except Skip as reason:
        return Result(name, "skipped", str(reason))
    except AssertionError as error:
        return Result(name, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - a stranger's recipe may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Result(name, "failed", f"{type(error).__name__}: {error} (in {last.name}, line {last.lineno})")
    return Result(name, "passed")


def parametrize_with_checks(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrise a test function ``test(check, case)`` with every check for every case; skips carry their reason."""
    import pytest

    def as_test(check: Check) -> Check:
        def run(case: Case) -> None:
            result = _result(check, case)
            if result.status == "skipped":
                pytest.skip(result.words)
            assert result.status == "passed", result.words

        return run

    return pytest.mark.parametrize(
        ("check", "case"),
        [
            pytest.param(as_test(check), case, id=f"{case}-{check.__name__.removeprefix('check_')}")
            for case in cases
            for check in all_checks()
        ],
    )
