"""``initkit plugin new`` and ``initkit plugin check``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from initkit_cli import completing, render
from initkit_cli.app import Command, Subgroup, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(cls=Subgroup, invoke_without_command=True, **style())


@app.callback()
def plugin(context: typer.Context) -> None:
    """Write a plugin, and check one."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(
    "new",
    cls=Command,
    epilog=_shared.examples(
        "initkit plugin new fixup",
        more="The package has one recipe, its tests, an example and a file for continuous integration, and passes its "
        "checks as it stands.",
    ),
)
def new(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Of the plugin, as in --plugin NAME; the package is initkit-NAME."),
    ],
    folder: Annotated[str, typer.Option(metavar="DIR", help="Where to make the folder initkit-NAME.")] = ".",
    as_json: _shared.AsJson = False,
) -> None:
    """Write a new plugin: a package that installs and passes its checks."""
    from initkit_cli import scaffold

    names = scaffold.names_of(name)
    files = scaffold.write(names, Path(folder))
    made = Path(folder) / names.distribution
    steps = [
        # With a slash in it, or pip would take it for a name of its index.
        f'pip install --editable "{made if os.sep in str(made) else os.path.join(os.curdir, made)}[test]"',
        f"initkit plugin check {names.plugin}",
        f"initkit apply --plugin {names.plugin} model.py",
    ]
    if as_json:
        channel_of(context).json_of(
            {
                "plugin": names.plugin,
                "distribution": names.distribution,
                "folder": str(made),
                "files": [str(file) for file in files],
                "next": steps,
            }
        )
        return
    render.lines(*(f"wrote {file}" for file in files), "", "next:", *(f"  {step}" for step in steps))


@app.command(
    "check",
    cls=Command,
    epilog=_shared.examples(
        "initkit plugin check gnn",
        "initkit plugin check ./mine.py --model model.py",
        more="Each recipe is checked on the first model that it fits: those of --model, else the plugin's own example "
        "(for a file, the model that it defines). A recipe that fits none is told, and not checked.",
    ),
)
def check(
    context: typer.Context,
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN",
            help="An installed plugin, or the path of a file or folder.",
            autocompletion=completing.plugins,
        ),
    ],
    recipe: Annotated[
        list[str] | None, typer.Option(metavar="RECIPE", help="Check this recipe alone. May repeat.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL", help="model.py, as apply takes it, for the recipes to be checked on. May repeat."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show the checks that passed too.")] = False,
    as_json: _shared.AsJson = False,
) -> None:
    """Run the conformance battery on a plugin's recipes; exit with 1 when a check fails."""
    from initkit_cli import checking

    channel = channel_of(context)
    found = checking.checked(plugin, tuple(recipe or ()), tuple(model or ()), channel)
    channel.json_of(found.to_dict()) if as_json else checking.show(found, every=every)
    if not found.ok:
        raise typer.Exit(1)
