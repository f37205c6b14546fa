"""``initkit compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of

app = typer.Typer(**style())

_MORE = (
    "MODEL is a Python file, and it is executed. It defines model (best a function, so that each run builds anew), "
    "loss(model) or loss(model, step), and if it likes score(model) (higher is better) and optimizer(model) (else Adam "
    "with rate 0.001). A loss that draws its batches from torch's, numpy's or Python's global generator sees the same "
    "data from every start.\n\n"
    "Example: initkit compare model.py --recipe default --recipe gnn/virgo --steps 200 --seeds 5"
)


@app.command("compare", cls=Command, epilog=_MORE)
def command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="model.py, model.py:build or package.module:build.", show_default=False),
    ],
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A plugin; alone, its default recipe. May repeat.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="START", help="A start: default, a recipe, or recipes joined by + in order. The first is the base."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="INT", help="Steps of training in each run.")] = 200,
    seeds: Annotated[int, typer.Option(metavar="INT", help="How many seeds, from --seed on.")] = 5,
    level: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Tell when this loss is reached; else the base's final one.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A recipe's option; RECIPE.NAME=VALUE if several have it."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NEED=FILE", help="Data for the recipes: a file, or file.py:name. May repeat."),
    ] = None,
    set_model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An argument of the function that builds the model.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="INT", help="The first seed.")] = 0,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where recipes do heavy work: auto, cpu, cuda or cuda:N.")
    ] = "auto",
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep finished runs in this JSON file, and go on from those it holds."),
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one self-contained page as well.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train from several starts, in pairs over seeds, and say whether it made a difference."""
    from initkit_cli.comparing import CompareRequest, run

    run(
        CompareRequest(
            target=model,
            plugins=tuple(plugin or ()),
            recipes=tuple(recipe or ()),
            settings=tuple(settings or ()),
            data=tuple(data or ()),
            set_model=tuple(set_model or ()),
            seed=seed,
            device=device,
            as_json=as_json,
            steps=steps,
            seeds=seeds,
            level=level,
            out=out,
            html=html,
            force=force,
        ),
        channel_of(context),
    )
