"""``--set`` and ``--set-model``: reading values, and finding the recipe that an option belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initkit.errors import did_you_mean, listed
from initkit_cli.failures import UsageError

_IN_A_FILE = re.compile(r".+\.py:[A-Za-z_]\w*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Setting:
    """One ``--set``: ``scope.name=text``.

    Args:
        scope: the recipe, by short name or id; "" when there is none.
        name: of the option.
        text: the value, not yet read.
    """

    scope: str
    name: str
    text: str


@dataclass(frozen=True)
class Takes:
    """What a recipe accepts.

    Args:
        recipe: its id.
        options: by name, and whether each may be a callable.
        also: those callable options that may be another value as well; ``file.py:fn`` is a function there.
    """

    recipe: str
    options: Mapping[str, bool]
    also: frozenset[str] = frozenset()

    def function(self, name: str, text: str) -> bool:
        """Whether a text names a function for an option."""
        return self.options[name] and (name not in self.also or _IN_A_FILE.fullmatch(text) is not None)


def parse_pair(text: str, flag: str) -> tuple[str, str]:
    """Split ``name=value``.

    Raises:
        UsageError: there is no name or no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{flag} {text!r}: write {flag} NAME=VALUE")
    return name.strip(), value


def parse_setting(text: str) -> Setting:
    """Read ``r_min=.9``, ``lru.r_min=.9`` or ``ssm/lru.r_min=.9``."""
    key, value = parse_pair(text, "--set")
    scope, _, name = key.rpartition(".")
    return Setting(scope, name, value)


def parse_value(text: str) -> Any:
    """JSON if it parses, else the text. A number may be written as Python has it (``.9``, ``1.``)."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return float(text) if _NUMBER.fullmatch(text) else text


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def assign(
    settings: Sequence[Setting], recipes: Sequence[Takes], function: Callable[[str], Any]
) -> list[dict[str, Any]]:
    """Give each setting to the recipe that has the option.

    Args:
        settings: in the order of the command line.
        recipes: what the chosen recipes accept, in order.
        function: loads the value of a callable option from ``file.py:fn``.

    Returns:
        The options of each recipe.

    Raises:
        UsageError: no recipe has the option, or several have and none is named, or it is set twice.
    """
    found: list[dict[str, Any]] = [{} for _ in recipes]
    for setting in settings:
        for index in _owners(setting, recipes):
            if setting.name in found[index]:
                raise UsageError(f"--set {setting.name}: the option is set twice for {recipes[index].recipe}")
            named = recipes[index].function(setting.name, setting.text)
            found[index][setting.name] = function(setting.text) if named else parse_value(setting.text)
    return found


def _owners(setting: Setting, recipes: Sequence[Takes]) -> list[int]:
    named = list(range(len(recipes)))
    if setting.scope:
        named = [i for i in named if setting.scope in (recipes[i].recipe, recipes[i].recipe.partition("/")[2])]
        if not named:
            words = [word for one in recipes for word in (one.recipe.partition("/")[2], one.recipe)]
            raise UsageError(
                f"--set {setting.scope}.{setting.name}: no recipe {setting.scope!r} is chosen"
                f"{did_you_mean(setting.scope, words)}; chosen are {listed(one.recipe for one in recipes)}"
            )
    owners = [i for i in named if setting.name in recipes[i].options]
    if not owners:
        known = list(dict.fromkeys(name for i in named for name in recipes[i].options))
        who = listed(dict.fromkeys(recipes[i].recipe for i in named))
        has = f"there are {listed(known, 30)}" if known else "there are none"
        raise UsageError(f"{who} has no option {setting.name!r}{did_you_mean(setting.name, known)}; {has}")
    ids = list(dict.fromkeys(recipes[i].recipe for i in owners))
    if len(ids) > 1:
        forms = " or ".join(f"--set {_scope(one, ids)}.{setting.name}=..." for one in ids)
        raise UsageError(f"several recipes have an option {setting.name!r}: write {forms}")
    return owners


def _scope(recipe: str, rivals: Sequence[str]) -> str:
    short = recipe.partition("/")[2]
    return short if sum(other.partition("/")[2] == short for other in rivals) == 1 else recipe


def python_words(text: str) -> str:
    """A hint where a value is Python's word and not JSON's; "" elsewhere."""
    words = {"True": "true", "False": "false", "None": "null"}
    return f"; write {words[text]} for {text}" if text in words else ""
