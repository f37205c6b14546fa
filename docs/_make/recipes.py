"""What recipe pages show of the code: options, needs, source, promise."""

from __future__ import annotations

import inspect
import re
from typing import Any

from tables import table

import initkit
from initkit_cli.describe import options_of, source_of

PROMISE = {
    "elementwise": "the same everywhere for one seed",
    "machine": "the same for one seed on one machine, thread count and set of versions",
}


def card_of(recipe_id: str) -> Any:
    """The card of an installed recipe."""
    return next(card for card in initkit.recipes() if card.id == recipe_id)


def facts(recipe_id: str) -> str:
    """Source, needs and promised bits."""
    card = card_of(recipe_id)
    needs = "; ".join(f"`{need.name}`{' (optional)' if need.optional else ''}: {need.help}" for need in card.needs)
    lines = [
        f"- **Source:** {source_of(card.load()).replace('``', '`')}",
        f"- **Needs:** {needs or 'nothing but the model'}",
        f"- **Bits:** {PROMISE[card.bits]}",
    ]
    return "\n".join(lines)


def options_table(recipe_id: str) -> str:
    """The recipe's options: default, type, range and meaning, all from its class."""
    recipe_class = card_of(recipe_id).load()
    meaning = arguments(recipe_class)
    rows = []
    for option in options_of(recipe_class):
        values = option.type.replace(" | ", ", ") + (f", {option.range}" if option.range else "")
        default = option.shown_default.strip('"')
        rows.append([f"`{option.name}`", f"`{default}`", values, _plain(meaning.get(option.name, ""))])
    if not rows:
        return "It has no options."
    return table(["option", "default", "values", "meaning"], rows, numbers_from=4)


def arguments(recipe_class: type) -> dict[str, str]:
    """The descriptions in the ``Args:`` part of docstrings, by name: the class's own before those of its bases."""
    found: dict[str, str] = {}
    for base in reversed(recipe_class.__mro__):
        found.update(_own_arguments(base))
    return found


def _own_arguments(described: type) -> dict[str, str]:
    lines = inspect.cleandoc(vars(described).get("__doc__") or "").splitlines()
    found: dict[str, str] = {}
    if "Args:" not in lines:
        return found
    name = None
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        begin = re.match(r"    (\w+): (.*)", line)
        if begin:
            name = begin[1]
            found[name] = begin[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def _plain(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
