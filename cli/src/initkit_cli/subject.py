"""What most commands share: the user's file, the model in it, the recipes that were named, and their data."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initkit import Need
from initkit.errors import InitError, OptionError, did_you_mean
from initkit.plugins import registry
from initkit_cli import describe, needs, options, selection
from initkit_cli.channel import Channel
from initkit_cli.device import check_device
from initkit_cli.failures import UsageError
from initkit_cli.target import Names, Target, execute, find_builder, find_model, parse_target
from initkit_cli.usercode import user_code


@dataclass(frozen=True, kw_only=True)
class Request:
    """The words that most commands take."""

    target: str
    plugins: Sequence[str] = ()
    recipes: Sequence[str] = ()
    settings: Sequence[str] = ()
    data: Sequence[str] = ()
    set_model: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    weights: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Asker:
    """Somebody beside the recipes who can use data: a probe, a training run."""

    id: str
    needs: tuple[Need, ...]

    @classmethod
    def wishes(cls, name: str, asked: Sequence[Need | str]) -> Asker:
        """One that can do without."""
        return cls(name, tuple(replace(Need.of(need), optional=True) for need in asked))


class Words:
    """A request, read and checked as far as that goes without torch and without the user's file.

    Args:
        request: the words.
        channel: for talk.
        choices: the recipes in order; None finds them in the words.
        also: who else can use data.

    Raises:
        UsageError: the mistake stands in the command line.
        InitError: a plugin that is asked for is broken.
    """

    def __init__(
        self,
        request: Request,
        channel: Channel,
        *,
        choices: Sequence[selection.Choice] | None = None,
        also: Sequence[Asker] = (),
    ) -> None:
        warnings.showwarning = lambda message, *_, **__: channel.say(f"warning: {' '.join(str(message).split())}")
        self.request, self.channel, self.also = request, channel, also
        if not 0 <= request.seed < 2**64:
            raise UsageError(f"--seed {request.seed}: a seed is a whole number from 0 to 2**64 - 1")
        if choices is None:
            said = selection.mentions(channel.words, request.plugins, request.recipes)
            choices = selection.choose(registry(), said)
        self.choices = choices
        self.target: Target = parse_target(request.target) if request.target else Target("", "", None)
        self.settings = [options.parse_setting(text) for text in request.settings]
        self.model_arguments = _arguments(request.set_model)
        self.data = needs.given(request.data)
        candidates = [card for choice in self.choices for card in cards_of(choice)]
        self.possible_needs = needs.wanted([*candidates, *also])
        needs.check_given(self.data, self.possible_needs, [one.id for one in (*candidates, *also)])
        if request.weights is not None and not Path(request.weights).exists():
            folder = Path(request.weights).parent
            near = did_you_mean(Path(request.weights).name, os.listdir(folder)) if folder.is_dir() else ""
            raise UsageError(f"--weights: there is no file {request.weights}{near}")

    def check_device(self) -> None:
        """Refuse a device that is not there.

        Raises:
            UsageError: there is none of that name.
        """
        check_device(self.request.device)


class Work:
    """The executed file, the model, the recipes and their data.

    Args:
        words: the request.
        wishes: whether the data of those beside the recipes is looked for too; else :meth:`wished` does it.

    Attributes:
        names: of the user's file.
        model: the model.
        recipes: made, in order.
        needs: data by name.
    """

    def __init__(self, words: Words, *, wishes: bool = True) -> None:
        import initkit

        self.words, request = words, words.request
        certain = all(choice.recipe for choice in words.choices)
        if certain:  # a mistake in an option shows before the user's file runs
            cards = [cards_of(choice)[0] for choice in words.choices]
            self.recipes = _made(cards, words)
        seed_everything(request.seed)
        self.names: Names = execute(words.target) if request.target else Names.none()
        self.model = self._model(self.names)
        if not certain:
            with self.users_frames():
                cards = [self._card(choice) for choice in words.choices]
            self.recipes = _made(cards, words)
        asked = needs.wanted([*cards, *words.also])
        needs.check_given(words.data, asked, [one.id for one in (*cards, *words.also)])
        looked_for = asked if wishes else needs.wanted(cards)
        self.needs = needs.resolve(looked_for, words.data, self.names, self._at_hand())
        if request.weights is not None:
            initkit.load(self.model, request.weights)

    def _model(self, names: Names) -> Any:
        """The model of the user's file."""
        words = self.words
        return find_model(names, words.target.builder, words.model_arguments, words.possible_needs)

    def _at_hand(self) -> dict[str, Any]:
        """Data, or paths of them, that are there without anybody giving them."""
        return {}

    def wished(self) -> dict[str, Any]:
        """The data of recipes and of those beside them.

        Raises:
            InitError, UserCodeError: it cannot be had.
        """
        asked = {name: need for name, need in needs.wanted(self.words.also).items() if name not in self.needs}
        return {**needs.resolve(asked, self.words.data, self.names), **self.needs}

    def users_frames(self) -> contextlib.AbstractContextManager[None]:
        """Errors that pass through the user's file (its forward, its functions) are the user's."""
        return user_code(f"the code of {self.words.target.place}", self.names.files, always=False)

    def builder(self) -> Callable[[], Any]:
        """A function that makes the model anew: the user's own, else one that copies the value."""
        words = self.words
        return find_builder(self.names, words.target.builder, words.model_arguments, words.possible_needs)

    def function(self, name: str, *, why: str = "") -> Any:
        """A function of the user's file; None where there is none and no reason to ask for it.

        Raises:
            InitError: the name is no function; or it is missing and ``why`` says what it is for.
        """
        found = self.names.get(name)
        if found is None and why:
            raise InitError(f"{self.names.place} defines no {name}(model): {why}")
        if found is not None and not callable(found):
            raise InitError(
                f"{name} of {self.names.place} is {type(found).__name__}; it must be a function {name}(model)"
            )
        return found

    def _card(self, choice: selection.Choice) -> Any:
        if choice.recipe:
            return cards_of(choice)[0]
        card = selection.default_card(registry().plugin(choice.plugin), self.model)
        self.words.channel.say(f"plugin {choice.plugin}: taking its recipe {card.id}")
        return card


def cards_of(choice: selection.Choice) -> list[Any]:
    """The card of a choice; for a plugin's default, all that it may be."""
    plugin = selection.find_plugin(registry(), choice.plugin)
    return [card for card in plugin.cards if choice.recipe in ("", card.name)]


def seed_everything(seed: int) -> None:
    """Seed what the user's file may draw from, so that untouched parameters are the same in every run."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the user's code may use it
    torch.manual_seed(seed)


def _made(cards: Sequence[Any], words: Words) -> list[Any]:
    import initkit

    takes = []
    for card in cards:
        known = describe.options_of(card.load())
        also = frozenset(option.name for option in known if "text" in option.type.split(" | "))
        takes.append(options.Takes(card.id, {option.name: option.takes_function for option in known}, also))
    found = []
    for card, chosen in zip(cards, options.assign(words.settings, takes, _function), strict=True):
        try:
            found.append(initkit.recipe(card.id, **chosen))
        except OptionError as error:
            hints = [options.python_words(value) for value in chosen.values() if isinstance(value, str)]
            raise UsageError(f"{error}{next(filter(None, hints), '')}") from None
    return found


def _function(text: str) -> Any:
    target = parse_target(text)
    if not target.builder:
        raise UsageError(f"{text}: a function is given as file.py:name or module:name")
    names = execute(target)
    value = names.get(target.builder)
    if not callable(value):
        why = "is no function" if value is not None else "does not exist"
        raise UsageError(f"{text}: {target.builder} {why}{did_you_mean(target.builder, names.public())}")
    return value


def _arguments(texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, value = options.parse_pair(text, "--set-model")
        if name in found:
            raise UsageError(f"--set-model {name} is given twice")
        found[name] = options.parse_value(value)
    return found
