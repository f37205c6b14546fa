"""``initkit cite RECIPE``."""

from __future__ import annotations

import typer

from initkit.errors import InitError
from initkit.plugins import registry
from initkit_cli import describe, render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared
from initkit_cli.selection import find_card

app = typer.Typer(**style())


@app.command("cite", cls=Command, epilog=_shared.examples("initkit cite gnn/virgo"))
def command(
    context: typer.Context,
    recipe: _shared.RecipeId,
    plugin: _shared.OnePlugin = None,
    as_json: _shared.AsJson = False,
) -> None:
    """Print the source of a recipe, as text and as BibTeX."""
    card = find_card(registry(), recipe, plugin)
    recipe_class = card.load()
    source, entries = describe.source_of(recipe_class), describe.bibtex_of(recipe_class)
    if not source and not entries:
        raise InitError(f"recipe {card.id} names no source; ask the authors of its plugin {card.plugin!r}")
    if as_json:
        channel_of(context).json_of({"id": card.id, "source": source or None, "bibtex": entries})
        return
    # BibTeX takes what stands outside of entries for a comment, so the whole may go into a .bib file.
    render.lines(f"{card.id}: {source}" if source else card.id)
    for entry in entries:
        render.lines("", entry)
