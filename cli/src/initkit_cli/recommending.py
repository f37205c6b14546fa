"""What ``initkit recommend`` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from initkit.plugins import registry
from initkit_cli import needs
from initkit_cli.channel import Channel
from initkit_cli.known import KNOWN, Known
from initkit_cli.selection import Choice
from initkit_cli.subject import Request, Words, cards_of, seed_everything
from initkit_cli.target import Names, execute, find_builder, find_model


def recommended(target: str, set_model: Sequence[str], channel: Channel) -> tuple[Any, list[tuple[Known, str]]]:
    """The offers of the installed recipes, and plugins that are not installed with the layer that speaks for each."""
    import initkit

    every = [Choice(plugin.name) for plugin in registry().plugins if not plugin.broken]
    words = Words(Request(target=target, set_model=set_model), channel, choices=every)
    seed_everything(0)
    names = execute(words.target)
    model = _hollow_model(words, names)
    at_hand = {
        name: found
        for name in needs.wanted([card for choice in every for card in cards_of(choice)])
        if (found := names.get(name)) is not None
    }
    return initkit.recommend(model, **at_hand), _absent(model)


def _hollow_model(words: Words, names: Names) -> Any:
    """The model on the meta device where a function builds it there, else as it is."""
    from initkit_cli.hollow import hollow

    given = (names, words.target.builder, words.model_arguments, words.possible_needs)
    try:
        with hollow():
            return find_builder(*given)()
    except Exception:  # noqa: BLE001 - a builder that reads values cannot work there
        return find_model(*given)


def _absent(model: Any) -> list[tuple[Known, str]]:
    installed = {plugin.name for plugin in registry().plugins}
    kinds = [type(module) for module in model.modules()] if hasattr(model, "modules") else [type(model)]
    found = []
    for entry in KNOWN:
        if entry.name in installed:
            continue
        sign = re.compile(rf"(?:^|[._])(?:{'|'.join(entry.signs)})", re.IGNORECASE)
        kind = next((kind for kind in kinds if sign.search(f"{kind.__module__}.{kind.__qualname__}")), None)
        if kind is not None:
            found.append((entry, f"the model has {kind.__qualname__}"))
    return found
