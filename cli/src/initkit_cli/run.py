"""What ``initkit apply`` does: all checks that cost nothing first, then the user's file, then the work."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initkit.errors import OptionError, did_you_mean
from initkit.plugins import registry
from initkit_cli import describe, needs, options, selection, tables
from initkit_cli.channel import Channel
from initkit_cli.device import check_device
from initkit_cli.failures import Interrupted, UsageError
from initkit_cli.output import Outputs
from initkit_cli.progress import bars
from initkit_cli.target import Names, Target, execute, find_model, parse_target
from initkit_cli.usercode import user_code


@dataclass(frozen=True)
class Request:
    """The words of the command line."""

    target: str
    plugins: Sequence[str] = ()
    recipes: Sequence[str] = ()
    settings: Sequence[str] = ()
    data: Sequence[str] = ()
    set_model: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    weights: str | None = None
    only: Sequence[str] = ()
    exclude: Sequence[str] = ()
    dry_run: bool = False
    as_json: bool = False
    output: str | None = None
    force: bool = False


def run(request: Request, channel: Channel) -> None:
    """Carry out a request.

    Raises:
        UsageError, InitError, UserCodeError, Interrupted: nothing was written.
    """
    warnings.showwarning = lambda message, *_, **__: channel.say(f"warning: {' '.join(str(message).split())}")
    words = _Words(request, channel)
    outputs = Outputs.of(request.output, words.target.stem)
    if not request.dry_run:
        outputs.check(force=request.force)
    check_device(request.device)
    if request.dry_run:
        work = _Work(words)
        with work.users_frames():
            plan = work.plan()
        channel.json(plan.to_json()) if request.as_json else tables.show_plan(plan.to_dict())
        return
    with _kept_or_undone(outputs):
        outputs.prepare()
        work = _Work(words)
        with bars() as progress, work.users_frames():
            report = work.apply(progress)
        _write(work.model, report, outputs, force=request.force)
        if request.as_json:
            channel.json(report.to_json())
        else:
            tables.show_report(report.to_dict())
        say = channel.say if request.as_json else print
        say(f"wrote {outputs.model}")
        say(f"wrote {outputs.report}")


@contextlib.contextmanager
def _kept_or_undone(outputs: Outputs) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        # A job that has saved its state says in the interrupt how to go on from it.
        words = [
            f"interrupted; {outputs.fate()}",
            *(str(part) for part in (*stop.args, *getattr(stop, "__notes__", ()))),
        ]
        raise Interrupted("; ".join(words)) from None
    finally:
        outputs.discard()


def _write(model: Any, report: Any, outputs: Outputs, *, force: bool) -> None:
    import initkit

    outputs.write(
        lambda path: initkit.save(model, path, report=report),
        lambda path: initkit.write_report(report, path),
        force=force,
    )


class _Words:
    """The request, read and checked as far as that goes without torch and without the user's file."""

    def __init__(self, request: Request, channel: Channel) -> None:
        self.request, self.channel = request, channel
        if not 0 <= request.seed < 2**64:
            raise UsageError(f"--seed {request.seed}: a seed is a whole number from 0 to 2**64 - 1")
        said = selection.mentions(channel.words, request.plugins, request.recipes)
        self.choices = selection.choose(registry(), said)
        self.target: Target = parse_target(request.target)
        self.settings = [options.parse_setting(text) for text in request.settings]
        self.model_arguments = _arguments(request.set_model)
        self.data = needs.given(request.data)
        candidates = [card for choice in self.choices for card in _cards_of(choice)]
        self.possible_needs = needs.wanted(candidates)
        needs.check_given(self.data, self.possible_needs, [card.id for card in candidates])
        if request.weights is not None and not Path(request.weights).is_file():
            folder = Path(request.weights).parent
            near = did_you_mean(Path(request.weights).name, os.listdir(folder)) if folder.is_dir() else ""
            raise UsageError(f"--weights: there is no file {request.weights}{near}")


class _Work:
    """The model, the recipes and their data."""

    def __init__(self, words: _Words) -> None:
        import initkit

        self._words, request = words, words.request
        certain = all(choice.recipe for choice in words.choices)
        if certain:  # a mistake in an option shows before the user's file runs
            cards = [_cards_of(choice)[0] for choice in words.choices]
            self._recipes = _made(cards, words)
        _seed(request.seed)
        names = execute(words.target)
        self._files = names.files
        self.model = find_model(names, words.target.builder, words.model_arguments, words.possible_needs)
        if not certain:
            with self.users_frames():
                cards = [self._card(choice) for choice in words.choices]
            self._recipes = _made(cards, words)
        asked = needs.wanted(cards)
        needs.check_given(words.data, asked, [card.id for card in cards])
        self._needs = self._resolved(asked, names)
        if request.weights is not None:
            initkit.load(self.model, request.weights)

    def plan(self) -> Any:
        """The plan of the recipes."""
        import initkit

        request = self._words.request
        return initkit.plan(self.model, self._recipes, only=request.only, exclude=request.exclude, **self._needs)

    def apply(self, progress: Any) -> Any:
        """Write the recipes into the model; the report."""
        import initkit

        request = self._words.request
        return initkit.apply(
            self.model,
            self._recipes,
            seed=request.seed,
            device=request.device,
            only=request.only,
            exclude=request.exclude,
            progress=progress,
            **self._needs,
        )

    def users_frames(self) -> contextlib.AbstractContextManager[None]:
        """Errors that pass through the user's file (its forward, its functions) are the user's."""
        return user_code(f"the code of {self._words.target.place}", self._files, always=False)

    def _card(self, choice: selection.Choice) -> Any:
        if choice.recipe:
            return _cards_of(choice)[0]
        card = selection.default_card(registry().plugin(choice.plugin), self.model)
        self._words.channel.say(f"plugin {choice.plugin}: taking its recipe {card.id}")
        return card

    def _resolved(self, asked: dict[str, Any], names: Names) -> dict[str, Any]:
        return needs.resolve(asked, self._words.data, names)


def _cards_of(choice: selection.Choice) -> list[Any]:
    """The card of a choice; for a plugin's default, all that it may be."""
    plugin = selection.find_plugin(registry(), choice.plugin)
    return [card for card in plugin.cards if choice.recipe in ("", card.name)]


def _made(cards: Sequence[Any], words: _Words) -> list[Any]:
    import initkit

    takes = [
        options.Takes(card.id, {option.name: option.takes_function for option in describe.options_of(card.load())})
        for card in cards
    ]
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


def _seed(seed: int) -> None:
    """Seed what the user's file may draw from, so that untouched parameters are the same in every run."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the user's code may use it
    torch.manual_seed(seed)
