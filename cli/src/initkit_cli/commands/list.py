"""``initkit list``."""

from __future__ import annotations

from typing import Any

import typer

from initkit.plugins import registry
from initkit_cli import render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared
from initkit_cli.known import KNOWN
from initkit_cli.selection import find_plugin

app = typer.Typer(**style())


@app.command("list", cls=Command, epilog=_shared.examples("initkit list", "initkit list --plugin gnn"))
def command(
    context: typer.Context,
    plugin: _shared.OnePlugin = None,
    as_json: _shared.AsJson = False,
) -> None:
    """List recipes, and plugins that are not installed."""
    channel = channel_of(context)
    found = registry()
    if plugin is not None:
        find_plugin(found, plugin)
    installed = {plugin.name for plugin in found.plugins}
    absent = [entry for entry in KNOWN if entry.name not in installed and plugin is None]
    cards = [card for card in found.cards() if plugin in (None, card.plugin)]
    if as_json:
        channel.json_of(
            {
                "recipes": [card_dict(card) for card in cards],
                "not_installed": [
                    {"plugin": e.name, "distribution": e.distribution, "summary": e.line, "install": e.install}
                    for e in absent
                ],
            }
        )
    else:
        render.table(
            ("recipe", "needs", "what it does"), [(card.id, needs_words(card), card.summary) for card in cards], firm=2
        )
        if absent:
            if render.is_terminal():
                render.lines("")
            render.table(
                ("not installed", "install with", "what it is for"),
                [(e.name, e.install, e.line) for e in absent],
                firm=2,
            )
    for one in found.plugins:
        if one.broken:
            channel.say(f"plugin {one.name} is broken: {one.cause}")


def card_dict(card: Any) -> dict[str, Any]:
    """A card as JSON values."""
    return {
        "id": card.id,
        "summary": card.summary,
        "needs": [
            {"name": need.name, "required": not need.optional, "loader": need.loader, "help": need.help}
            for need in card.needs
        ],
        "bits": card.bits,
    }


def needs_words(card: Any) -> str:
    """The names of a card's needs; optional ones with a question mark."""
    return ",".join(f"{need.name}{'?' if need.optional else ''}" for need in card.needs) or "-"
