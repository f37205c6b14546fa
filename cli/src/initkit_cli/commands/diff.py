"""``initkit diff A B``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli import render
from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(**style())


@app.command("diff", cls=Command, epilog="Example: initkit diff before.safetensors after.safetensors")
def command(
    context: typer.Context,
    first: Annotated[
        str, typer.Argument(metavar="A", help="A safetensors file, or a folder of them.", show_default=False)
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.", show_default=False)],
    as_json: _shared.AsJson = False,
) -> None:
    """Show what moved between two saved models.

    With the recipes, seed and versions of each.
    """
    import initkit

    found = initkit.diff(first, second)
    if as_json:
        channel_of(context).json(found.to_json())
        return
    rows = found.rows()
    if rows:
        head = ("tensor", "change", "shape", "rms", "relative", "largest", "cosine")
        render.table(head, rows, titled=True)
        render.lines("")
    render.lines(*found.lines())
