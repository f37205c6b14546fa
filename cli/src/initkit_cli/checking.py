"""What ``initkit plugin check`` does."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from initkit.errors import InitError
from initkit.plugins import registry
from initkit_cli import needs, render
from initkit_cli.channel import Channel
from initkit_cli.failures import UsageError, one_line
from initkit_cli.plugin_paths import adopted, is_path
from initkit_cli.selection import find_card, find_plugin
from initkit_cli.subject import seed_everything
from initkit_cli.target import BUILDERS, Names, Target, execute, find_builder, parse_target

_STATES = ("failed", "skipped", "passed")


@dataclass
class Found:
    """What was checked.

    Attributes:
        plugin: the plugin.
        outcomes: of the battery, one a recipe.
        unchecked: recipes that fit no model, with the reason.
    """

    plugin: Any
    outcomes: list[Any] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether something was checked, and no check failed."""
        return bool(self.outcomes) and all(outcome.ok for outcome in self.outcomes)

    def count(self, state: str) -> int:
        """How many checks ended so."""
        return sum(len(outcome.of(state)) for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """What was checked as JSON values."""
        return {
            "plugin": self.plugin.name,
            "distribution": self.plugin.distribution,
            "version": self.plugin.version,
            "ok": self.ok,
            "ran": self.count("passed") + self.count("failed"),
            "failed": self.count("failed"),
            "skipped": self.count("skipped"),
            "recipes": [outcome.to_dict() for outcome in self.outcomes],
            "unchecked": [{"recipe": name, "why": why} for name, why in self.unchecked.items()],
        }


@dataclass(frozen=True)
class Place:
    """A user's file with a model in it."""

    names: Names
    build: Callable[[], Any]


def checked(word: str, recipes: Sequence[str], models: Sequence[str], channel: Channel) -> Found:
    """Run the battery on the recipes of a plugin.

    Args:
        word: name or path of the plugin.
        recipes: to check; () checks all.
        models: files to check them on; () takes the plugin's own.
        channel: for talk.

    Raises:
        UsageError: the plugin is not installed, or there is no model to check it on.
        InitError: the plugin is broken.
        UserCodeError: a file with a model fails.
    """
    from initkit.testing import check_case

    if not is_path(word) and os.path.exists(word) and word not in {one.name for one in registry().plugins}:
        word = os.path.join(os.curdir, word)
    plugin = find_plugin(registry(), adopted(word))
    cards = [find_card(registry(), name, plugin.name) for name in recipes] or list(plugin.cards)
    seed_everything(0)
    places = [_place(target, cards) for target in _targets(plugin, models)]
    found = Found(plugin)
    for card in cards:
        try:
            case = _case(card, places)
        except InitError as error:
            found.unchecked[card.id] = one_line(str(error))
            continue
        if render.is_terminal():
            channel.say(f"checking {card.id} on {case.place}")
        found.outcomes.append(check_case(case.case))
    return found


def show(found: Found, *, every: bool) -> None:
    """Print a table of what was checked: recipes with counts, then each check that failed or was skipped, and why."""
    head = ("recipe", "ran", "failed", "skipped")
    rows = [
        (outcome.recipe, str(outcome.ran), str(len(outcome.of("failed"))), str(len(outcome.of("skipped"))))
        for outcome in found.outcomes
    ]
    render.table(head, rows, titled=True)
    results = list(_results(found, _STATES if every else _STATES[:2]))
    if results:
        render.lines("")
        render.table(("recipe", "check", "result", "why"), results, firm=3, titled=True)
    render.lines("")
    for name, why in found.unchecked.items():
        render.lines(f"not checked: {name}: {why}")
    if found.unchecked:
        render.lines("give a model that they fit with --model FILE")
    ran = found.count("passed") + found.count("failed")
    render.lines(
        f"{found.plugin.name}: {len(found.outcomes)} of {len(found.outcomes) + len(found.unchecked)} recipes checked: "
        f"{ran} checks ran, {found.count('failed')} failed, {found.count('skipped')} were skipped"
    )


def _results(found: Found, states: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    for state in states:
        for outcome in found.outcomes:
            for result in outcome.of(state):
                yield outcome.recipe, result.check, state, one_line(result.words or result.promise)


@dataclass(frozen=True)
class _Fitting:
    case: Any
    place: str


def _case(card: Any, places: Sequence[Place]) -> _Fitting:
    """The recipe with the first model that it fits.

    Raises:
        InitError: it fits none; the reason is that of the last one.
    """
    import initkit
    from initkit.testing import Case

    made = initkit.recipe(card.id)
    why = InitError("there is no model")
    for place in places:
        try:
            given = needs.resolve(needs.wanted([card]), {}, place.names)
            model = place.build()
            initkit.plan(model, made, **given)
        except InitError as error:
            why = error
            continue
        return _Fitting(Case(made, functools.partial(_same, model), given), place.names.place)
    raise why


def _same(model: Any) -> Any:
    return model


def _targets(plugin: Any, models: Sequence[str]) -> list[Target]:
    """The files with models: those that were named, else the plugin's own."""
    if models:
        return [parse_target(model) for model in models]
    if "initkit_example" in plugin.hooks:
        example = registry().ask(plugin, "initkit_example")[0]
        return [parse_target(str(example))]
    if plugin.path is not None and _defines_model(plugin.module):
        return [parse_target(plugin.path)]
    raise UsageError(
        f"plugin {plugin.name!r} brings no model to be checked on (its hook initkit_example names one, and a single "
        "file defines the name model): give one with --model model.py"
    )


def _defines_model(module: str) -> bool:
    return any(hasattr(sys.modules[module], name) for name in BUILDERS)


def _place(target: Target, cards: Sequence[Any]) -> Place:
    names = execute(target)
    return Place(names, find_builder(names, target.builder, {}, needs.wanted(cards)))
