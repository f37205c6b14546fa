"""Options and data: what is accepted, what is refused and how."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from typing import Any

import initkit
from initkit._recipe import needs_of
from initkit.errors import InitError, NeedError, OptionError
from initkit.testing.case import Case, Skip


def check_options_round_trip_through_json(case: Case) -> None:
    """A recipe made again from its options is equal."""
    made = case.made
    again = type(made)(**json.loads(json.dumps(made.options())))
    assert again == made, f"{made.options()} gives another recipe"


def check_unknown_options_are_refused(case: Case) -> None:
    """A misspelt option is an error that names it, on the command line and in Python."""
    kind: Any = type(case.made)
    _refused(lambda: kind(zz_no_such_option=1), (TypeError, OptionError), "zz_no_such_option")
    card = case.found_card
    if card is not None:
        _refused(lambda: initkit.recipe(card.id, zz_no_such_option=1), OptionError, "zz_no_such_option")


def check_options_of_a_wrong_type_are_refused(case: Case) -> None:
    """An object that is no value is refused for every option, in one line with the recipe's and the option's name."""
    kind = type(case.made)
    options = [
        option for option in fields(kind) if option.default is not MISSING or option.default_factory is not MISSING
    ]
    if not options:
        raise Skip("the recipe has no options")
    for option in options:
        _refused(partial(kind, **{option.name: _NoValue()}), OptionError, option.name, case.made.id)


def check_missing_data_is_named(case: Case) -> None:
    """Leaving out a need is an error that names recipe and need; without an optional one it plans or says so."""
    needs = needs_of(case.made)
    if not needs.all:
        raise Skip("the recipe needs no data")
    for name in needs.required:
        planned = partial(initkit.plan, case.model(), case.made, **_without(case, name))
        _refused(planned, NeedError, name, case.made.id)
    for name in set(needs.optional) & set(case.needs):
        try:
            initkit.plan(case.model(), case.made, **_without(case, name))
        except InitError as error:
            if name not in str(error):
                raise AssertionError(f"without the optional {name} it fails and does not name it: {error}") from None


def _without(case: Case, name: str) -> dict[str, Any]:
    return {other: value for other, value in case.needs.items() if other != name}


def check_unknown_keywords_are_named(case: Case) -> None:
    """A keyword that the recipe does not ask for is an error that names it: ``plan`` swallows none."""
    kinds = {parameter.kind for parameter in inspect.signature(case.made.plan).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds, "plan takes any keyword; name what it asks for"
    needs = {**case.needs, "zz_no_such_need": 1}
    _refused(lambda: initkit.plan(case.model(), case.made, **needs), NeedError, "zz_no_such_need", case.made.id)


def check_recipe_pickles(case: Case) -> None:
    """A recipe goes through pickle and comes back equal."""
    made = case.made
    assert pickle.loads(pickle.dumps(made)) == made, "the unpickled recipe differs"


class _NoValue:
    """No value of any option."""


def _refused(call: Callable[[], Any], kind: type[Exception] | tuple[type[Exception], ...], *words: str) -> None:
    try:
        call()
    except kind as error:
        text = str(error)
        for word in words:
            assert word in text, f"the message does not name {word!r}: {text}"
        assert "\n" not in text, f"the message has more than one line: {text}"
    else:
        raise AssertionError(f"{words[0]} was accepted")
