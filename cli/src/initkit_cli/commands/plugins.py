"""``initkit plugins``."""

from __future__ import annotations

from typing import Any

import typer

from initkit.plugins import registry
from initkit_cli import render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(**style())


@app.command(
    "plugins",
    cls=Command,
    epilog=_shared.examples(
        "initkit plugins",
        more="INITKIT_PLUGINS=gnn,ssm selects the plugins that are seen; with INITKIT_STRICT=1 a broken one stops "
        "every command; INITKIT_TRACE=1 prints what each is asked, as initkit --trace does.",
    ),
)
def command(
    context: typer.Context,
    as_json: _shared.AsJson = False,
) -> None:
    """List installed plugins; broken ones with the cause."""
    plugins = registry().plugins
    if as_json:
        channel_of(context).json_of({"plugins": [_as_dict(plugin) for plugin in plugins]})
        return
    if not plugins:
        channel_of(context).say("no plugin is installed; initkit list says which there are")
    render.table(
        ("plugin", "distribution", "version", "recipes", "hooks"),
        [
            (
                plugin.name,
                plugin.distribution,
                plugin.version,
                f"BROKEN: {plugin.cause}" if plugin.broken else " ".join(card.name for card in plugin.cards),
                " ".join(plugin.hooks),
            )
            for plugin in plugins
        ],
        firm=3,
    )


def _as_dict(plugin: Any) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "recipes": [card.id for card in plugin.cards],
        "hooks": list(plugin.hooks),
        "broken": plugin.cause,
    }
