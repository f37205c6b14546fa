"""The conformance battery passes healthy recipes, and each of its checks catches the recipe that breaks its promise."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import faulty_values
import faulty_words
import faulty_writing
from faulty import Fault, Good, GoodWithData, build, tied
from initkit.plugins import registry
from initkit.testing import Case, Outcome, Result, all_checks, check_case, check_recipe

FAULTS = (*faulty_values.FAULTS, *faulty_writing.FAULTS, *faulty_words.FAULTS)
NAMES = [check.__name__.removeprefix("check_") for check in all_checks()]

CAUGHT_AT_THE_DOOR = {"card_names_the_needs", "the_plugin_module_is_light", "the_example_is_a_model_file"}

GOOD_DOOR = """
from initkit import Card, hookimpl

@hookimpl
def initkit_recipes():
    words = "Normal weights."
    return [Card("good", "faulty:Good", words), Card("data", "faulty:GoodWithData", words, NEEDS)]
"""
EXAMPLE = """
@hookimpl
def initkit_example():
    from pathlib import Path
    return Path(__file__).with_name("example.py")
"""
HEAVY_DOOR = "try:\n    import torch\nexcept ImportError:\n    pass\nimport tensorflow\n" + GOOD_DOOR
NEEDS = 'needs=("inputs", "labels?")'


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin of the healthy recipes, installed by a folder on the path; returns its module's file."""
    info = tmp_path / "initkit_good-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: initkit-good\nVersion: 1.5\n")
    module = f"good_door_{tmp_path.name.replace('-', '_')}"
    (info / "entry_points.txt").write_text(f"[initkit]\n{module} = {module}\n")
    file = tmp_path / f"{module}.py"
    file.write_text(GOOD_DOOR.replace("NEEDS", NEEDS) + EXAMPLE)
    (tmp_path / "example.py").write_text("from faulty import build as model")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("INITKIT_PLUGINS", module)
    registry.cache_clear()
    yield file
    monkeypatch.undo()
    registry.cache_clear()


def failed(outcome: Outcome) -> set[str]:
    return {result.check for result in outcome.of("failed")}


@pytest.mark.parametrize("make", [build, tied])
def test_a_healthy_recipe_passes(make: object) -> None:
    outcome = check_recipe(Good(), make)  # type: ignore[arg-type]
    assert outcome.ok, str(outcome)
    assert outcome.ran >= 40


def test_every_check_can_run_on_an_installed_recipe(door: Path) -> None:
    """No check is skipped for ever: of an installed recipe with data and one without, each runs once."""
    ran = set()
    for outcome in (
        check_recipe(f"{door.stem}/good", build),
        check_recipe(f"{door.stem}/data", tied, inputs=torch.zeros(2)),
    ):
        assert outcome.ok, str(outcome)
        ran |= {result.check for result in outcome.results if result.status == "passed"}
    assert set(NAMES) - ran == {"bibtex_parses"}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_exactly_the_right_check_catches_a_fault(fault: Fault) -> None:
    outcome = check_case(Case(fault.recipe, fault.build, fault.needs))
    assert failed(outcome) == {fault.check, *fault.also}, str(outcome)


def test_a_card_that_does_not_name_the_needs_is_caught(door: Path) -> None:
    door.write_text(GOOD_DOOR.replace("NEEDS", 'needs=("inputs", "labels")'))
    outcome = check_recipe(f"{door.stem}/data", build, inputs=torch.zeros(2))
    assert failed(outcome) == {"card_names_the_needs"}, str(outcome)


def test_a_plugin_module_that_is_heavy_is_caught(door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", type(sys)("tensorflow"))
    (door.parent / "tensorflow.py").write_text("")  # stands for the real one, which takes seconds
    door.write_text(HEAVY_DOOR.replace("NEEDS", NEEDS))
    outcome = check_recipe(f"{door.stem}/good", build)
    assert failed(outcome) == {"the_plugin_module_is_light"}, str(outcome)
    assert "imports tensorflow" in outcome.of("failed")[0].words


def test_a_plugin_module_that_needs_torch_is_caught(door: Path) -> None:
    door.write_text("import torch\n" + GOOD_DOOR.replace("NEEDS", NEEDS))
    outcome = check_recipe(f"{door.stem}/good", build)
    assert failed(outcome) == {"the_plugin_module_is_light"}, str(outcome)
    assert "reading the cards fails" in outcome.of("failed")[0].words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "names example.py, which is no file of the package"),
        ("model = (", "example.py, line 1: '(' was never closed"),
        ("net, loss = 1, 2", "example.py defines no name model"),
    ],
)
def test_an_example_that_is_no_model_file_is_caught(door: Path, text: str | None, words: str) -> None:
    example = door.parent / "example.py"
    example.unlink() if text is None else example.write_text(text)
    outcome = check_recipe(f"{door.stem}/good", build)
    assert failed(outcome) == {"the_example_is_a_model_file"}, str(outcome)
    assert words in outcome.of("failed")[0].words


def test_every_check_has_a_faulty_recipe() -> None:
    caught = {fault.check for fault in FAULTS} | CAUGHT_AT_THE_DOOR
    assert caught == set(NAMES)


def test_there_are_enough_checks_with_names_and_promises_of_their_own() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 25
    promises = Counter((check.__doc__ or "").partition("\n")[0] for check in all_checks())
    assert all(promise.endswith(".") and count == 1 for promise, count in promises.items())


def test_what_is_not_repeatable_is_caught() -> None:
    class Unrepeatable(Good):
        """Other values each time."""

        def draw(self, model: object, name: str) -> faulty_values.OnStream:
            return faulty_values.ByPlace(self.std, next(faulty_values.COUNT))

    assert "same_seed_gives_the_same_bits" in failed(check_recipe(Unrepeatable(), build))


def test_the_outcome_counts_and_gives_reasons() -> None:
    outcome = Outcome(
        "me/mine",
        (
            Result("a", "passed", "", "A."),
            Result("b", "failed", "it broke", "B."),
            Result("c", "skipped", "no data", "C."),
        ),
    )
    assert not outcome.ok
    assert str(outcome) == (
        "me/mine: 2 checks ran, 1 failed, 1 were skipped\n  failed   b: it broke\n  skipped  c: no data"
    )
    found = json.loads(outcome.to_json())
    assert [found[key] for key in ("recipe", "ok", "ran", "failed", "skipped")] == ["me/mine", False, 2, 1, 1]
    assert found["results"][1] == {"check": "b", "promise": "B.", "status": "failed", "words": "it broke"}


def test_a_recipe_that_always_fails_is_told_with_the_place() -> None:
    class Broken(GoodWithData):
        """Fails."""

        def plan(self, model: object, *, inputs: object) -> Iterator[object]:  # type: ignore[override]
            raise KeyError("oh")

    outcome = check_recipe(Broken(), build, inputs=1)
    assert "KeyError: 'oh' (in plan, line" in outcome.of("failed")[0].words
