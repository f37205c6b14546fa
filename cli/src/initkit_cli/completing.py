"""What the shell may complete: names of plugins and recipes, from their cards alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from initkit.errors import InitError
from initkit.plugins import registry
from initkit_cli.known import KNOWN

Found = list[tuple[str, str]]


def plugins(incomplete: str) -> Found:
    """Names of installed plugins, and what they are for."""
    lines = {entry.name: entry.line for entry in KNOWN}
    names = [(plugin.name, lines.get(plugin.name, plugin.distribution)) for plugin in _plugins()]
    return [(name, words) for name, words in names if name.startswith(incomplete)]


def recipes(context: typer.Context, incomplete: str) -> Found:
    """Ids of recipes; beside ``--plugin gnn`` short names of its recipes too."""
    named = context.params.get("plugin") or ()
    return [(name, words) for name, words in _recipes(set(named)) if name.startswith(incomplete)]


def recipe_ids(incomplete: str) -> Found:
    """Ids of recipes."""
    return [(name, words) for name, words in _recipes(set()) if name.startswith(incomplete)]


def _recipes(plugins: set[str]) -> Iterator[tuple[str, str]]:
    for plugin in _plugins():
        for card in plugin.cards:
            if plugin.name in plugins:
                yield card.name, card.summary
            yield card.id, card.summary


def _plugins() -> tuple[Any, ...]:
    try:
        return registry().plugins
    except InitError:  # a wrong selection: the command itself will say so
        return ()
