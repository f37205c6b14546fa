"""``initkit apply``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(**style())

_MORE = (
    "MODEL is a Python file, and it is executed. It defines the name model (an nn.Module, an estimator, or a function "
    "that returns one) and one name for each kind of data that the recipes need: a value, a function or a path.\n\n"
    "torch, numpy and random are seeded with --seed before it runs, so that what the recipes leave alone is the same "
    "each time as well.\n\n"
    "With --checkpoint the tensors stay on the disk, one at a time goes through memory, and those that no recipe "
    "fills are passed on as they are:\n\n"
    "initkit apply --plugin tokenizer --checkpoint old/ --data tokenizer=new.json -o new/\n\n"
    "initkit apply --plugin gnn --recipe orthogonal --only 'head.*' --checkpoint old/ -o new/ model.py:build"
)


@app.command("apply", cls=Command, epilog=_MORE)
def command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="model.py, model.py:build or package.module:build.", show_default=False),
    ] = "",
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A plugin; alone, its default recipe. May repeat.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPE", help="A recipe of the plugin before it, or PLUGIN/RECIPE. May repeat, in order."
        ),
    ] = None,
    settings: _shared.Settings = None,
    data: _shared.Data = None,
    set_model: _shared.SetModel = None,
    seed: _shared.Seed = 0,
    device: _shared.Device = "auto",
    weights: _shared.Weights = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Rewrite a folder of safetensors (or one file) without loading it. MODEL, for folders that no plugin "
            "knows, is built without values.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Write these tensors alone. May repeat.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Do not write these tensors. May repeat.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; write nothing, run no job.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report (or plan) as one JSON object.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="X.safetensors, or DIR/ for a folder of shards with their index; the report goes to X.report.json. "
            "With --checkpoint the new folder, which holds its report.",
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write one self-contained page as well: X.html, with what it did to signal."),
    ] = None,
    max_shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="With -o DIR/: the most bytes of a file, such as 500MB.")
    ] = "5GB",
    force: Annotated[bool, typer.Option("--force", help="Replace existing output files.")] = False,
) -> None:
    """Initialise a model: all or nothing, with a report."""
    from initkit_cli.run import ApplyRequest, run

    if not model and checkpoint is None:
        context.fail("missing argument 'MODEL'")
    run(
        ApplyRequest(
            target=model,
            **_shared.some(plugins=plugin, recipes=recipe, settings=settings, data=data, set_model=set_model),
            seed=seed,
            device=device,
            weights=weights,
            **_shared.some(only=only, exclude=exclude),
            dry_run=dry_run,
            as_json=as_json,
            output=output,
            checkpoint=checkpoint,
            page=report,
            max_shard_size=max_shard_size,
            force=force,
        ),
        channel_of(context),
    )
