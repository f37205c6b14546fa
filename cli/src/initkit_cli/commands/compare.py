"""``initkit compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(**style())

_MORE = (
    "MODEL is a Python file, and it is executed. It defines model (best a function, so that each run builds anew), "
    "loss(model) or loss(model, step), and if it likes score(model) (higher is better) and optimizer(model) (else Adam "
    "with rate 0.001). A loss that draws its batches from torch's, numpy's or Python's global generator sees the same "
    "data from every start."
)
_EXAMPLES = (
    "initkit compare model.py --recipe default --recipe gnn/virgo",
    "initkit compare model.py --plugin gnn --steps 500 --seeds 3 --out runs.json",
)


@app.command("compare", cls=Command, epilog=_shared.examples(*_EXAMPLES, more=_MORE))
def command(
    context: typer.Context,
    model: _shared.Model,
    plugin: Annotated[list[str] | None, _shared.PLUGIN] = None,
    recipe: Annotated[list[str] | None, _shared.START] = None,
    steps: Annotated[int, typer.Option(metavar="INT", help="Steps of training in each run.")] = 200,
    seeds: Annotated[int, typer.Option(metavar="INT", help="How many seeds, from --seed on.")] = 5,
    level: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Tell when this loss is reached; else the base's final one.")
    ] = None,
    settings: _shared.Settings = None,
    data: _shared.Data = None,
    set_model: _shared.SetModel = None,
    seed: Annotated[int, typer.Option(metavar="INT", help="The first seed.")] = 0,
    device: _shared.Device = "auto",
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep finished runs in this JSON file, and go on from those it holds."),
    ] = None,
    html: _shared.Html = None,
    force: _shared.ForcePage = False,
    as_json: _shared.AsJson = False,
) -> None:
    """Train from several starts: did it help?

    Runs are paired over seeds, and what is said comes with its interval.
    """
    from initkit_cli.comparing import CompareRequest, run

    run(
        CompareRequest(
            target=model,
            **_shared.some(plugins=plugin, recipes=recipe, settings=settings, data=data, set_model=set_model),
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
