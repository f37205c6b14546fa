"""``initkit show RECIPE``."""

from __future__ import annotations

import inspect

import typer

from initkit.plugins import registry
from initkit_cli import describe, render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared
from initkit_cli.commands.list import card_dict
from initkit_cli.selection import find_card

app = typer.Typer(**style())

_BITS = {
    "elementwise": "elementwise: one seed, the same bits on every machine",
    "machine": "machine: the same bits on one machine, thread count and set of versions",
}


@app.command(
    "show",
    cls=Command,
    epilog=_shared.examples("initkit show gnn/virgo", "initkit show --plugin ./mine.py small"),
)
def command(
    context: typer.Context,
    recipe: _shared.RecipeId,
    plugin: _shared.OnePlugin = None,
    as_json: _shared.AsJson = False,
) -> None:
    """Show a recipe: options, data it needs, source."""
    card = find_card(registry(), recipe, plugin)
    recipe_class = card.load()
    origin = registry().plugin(card.plugin)
    options = describe.options_of(recipe_class)
    doc, source = inspect.getdoc(recipe_class) or card.summary, describe.source_of(recipe_class)
    if as_json:
        channel_of(context).json_of(
            {
                **card_dict(card),
                "doc": doc,
                "options": [option.to_dict() for option in options],
                "source": source or None,
                "distribution": origin.distribution,
                "version": origin.version,
            }
        )
        return
    render.lines(card.id, "", doc, "", "options:" if options else "no options")
    render.table(
        ("option", "default", "type", "range"),
        [(f"  {option.name}", option.shown_default, option.type, option.range) for option in options],
        titled=bool(options),
    )
    render.lines("")
    for need in card.needs:
        about = f": {need.help}" if need.help else ""
        render.lines(f"needs {need.name}{' (optional)' if need.optional else ''}{about}")
    render.lines(f"bits {_BITS[card.bits]}", f"from {origin.distribution} {origin.version}")
