"""Run the checks, and say how many ran and why any was skipped."""

from __future__ import annotations

import inspect
import json
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from initkit._recipe import Recipe
from initkit.testing import elsewhere
from initkit.testing.case import Case, Skip
from initkit.testing.checks import MODULES

if TYPE_CHECKING:
    import pytest

Check = Callable[[Case], None]


@dataclass(frozen=True)
class Result:
    """How one check went.

    Attributes:
        check: its name.
        status: how it went.
        words: why it failed or was skipped.
        promise: what is checked, in one sentence.
    """

    check: str
    status: Literal["passed", "failed", "skipped"]
    words: str = ""
    promise: str = ""


@dataclass(frozen=True)
class Outcome:
    """All results for one recipe."""

    recipe: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.of("failed")

    @property
    def ran(self) -> int:
        """How many checks ran, whether they passed or failed."""
        return len(self.results) - len(self.of("skipped"))

    def of(self, status: str) -> list[Result]:
        """The results of one kind."""
        return [result for result in self.results if result.status == status]

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "recipe": self.recipe,
            "ok": self.ok,
            "ran": self.ran,
            "failed": len(self.of("failed")),
            "skipped": len(self.of("skipped")),
            "results": [
                {"check": one.check, "promise": one.promise, "status": one.status, "words": one.words}
                for one in self.results
            ],
        }

    def to_json(self) -> str:
        """The outcome as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        skipped, failed = self.of("skipped"), self.of("failed")
        lines = [f"{self.recipe}: {self.ran} checks ran, {len(failed)} failed, {len(skipped)} were skipped"]
        lines += [f"  failed   {result.check}: {result.words}" for result in failed]
        lines += [f"  skipped  {result.check}: {result.words}" for result in skipped]
        return "\n".join(lines)


def all_checks() -> list[Check]:
    """Every check, in the order in which they run."""
    return [value for module in MODULES for name, value in vars(module).items() if name.startswith("check_")]


def check_recipe(recipe: str | Recipe, build: Callable[[], Any], *, seed: int = 7, **needs: Any) -> Outcome:
    """Run the whole battery on a recipe.

    Args:
        recipe: an id or a recipe.
        build: makes a model that the recipe fits; called once, and what it returns is copied.
        seed: of the runs.
        needs: the data that the recipe asks for.

    Returns:
        What was checked: ``outcome.ok``, ``outcome.ran``, ``outcome.of("failed")``; as text or JSON it gives the
        reason of each check that failed or was skipped.

    Raises:
        InitError: there is no such recipe.
    """
    return check_case(Case(recipe, build, needs, seed))


def check_case(case: Case) -> Outcome:
    """Run the whole battery on a case.

    Raises:
        InitError: there is no such recipe.
    """
    elsewhere.start()
    return Outcome(case.made.id, tuple(result_of(check, case) for check in all_checks()))


def result_of(check: Check, case: Case) -> Result:
    """Run one check on a case; whatever a recipe raises is a failure with the place where it was raised."""
    name = check.__name__.removeprefix("check_")
    promise = (inspect.getdoc(check) or "").partition("\n")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a recipe says to its user is no failure
            check(case)
    except Skip as reason:
        return Result(name, "skipped", str(reason), promise)
    except AssertionError as error:
        return Result(name, "failed", str(error), promise)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's recipe may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__}: {' '.join(str(error).split())} (in {last.name}, line {last.lineno})"
        return Result(name, "failed", words, promise)
    return Result(name, "passed", "", promise)


def parametrize_with_checks(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrise a test function ``test(check, case)`` with every check for every case; skips carry their reason."""
    import pytest

    def as_test(check: Check) -> Check:
        def run(case: Case) -> None:
            result = result_of(check, case)
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
