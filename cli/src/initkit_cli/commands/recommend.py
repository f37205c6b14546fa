"""``initkit recommend``."""

from __future__ import annotations

from typing import Any

import typer

from initkit_cli import render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared
from initkit_cli.failures import one_line

app = typer.Typer(**style())


@app.command(
    "recommend",
    cls=Command,
    epilog=_shared.examples(
        "initkit recommend model.py",
        more="A model that a function builds is built on the meta device, where its size costs nothing.",
    ),
)
def command(
    context: typer.Context,
    model: _shared.Model,
    set_model: _shared.SetModel = None,
    as_json: _shared.AsJson = False,
) -> None:
    """Say which recipes fit a model, and what they lack.

    Also which plugins that are not installed would help.
    """
    from initkit_cli.recommending import recommended

    channel = channel_of(context)
    found, absent = recommended(model, tuple(set_model or ()), channel)
    for plugin, cause in found.broken.items():
        channel.say(f"plugin {plugin} is broken: {one_line(cause)}")
    if as_json:
        channel.json_of({**found.to_dict(), "install": [_as_dict(entry, why) for entry, why in absent]})
        return
    render.lines(f"{found.subject}: {found.parameters:,} parameters", "")
    render.table(("recipe", "share", "would fill", "state"), found.rows(), titled=True)
    if not found.useful:
        render.lines("", "no installed recipe claims a tensor of this model")
    if any(offer.default for offer in found.offers):
        render.lines("", "* what its plugin takes when no recipe is named")
    if found.unclaimed and found.useful:
        render.lines(f"no recipe claims {len(found.unclaimed)} tensors, such as {found.unclaimed[0]}")
    for entry, why in absent:
        render.lines(f"{entry.install}  # {why}: {entry.line}")


def _as_dict(entry: Any, why: str) -> dict[str, Any]:
    return {"plugin": entry.name, "distribution": entry.distribution, "install": entry.install, "why": why}
