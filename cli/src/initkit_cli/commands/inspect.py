"""``initkit inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of

app = typer.Typer(**style())

_MORE = (
    "MODEL is a Python file, and it is executed. Beside the name model it may define inputs (what the model's forward "
    "takes), targets, loss(model), and one name for each kind of data that probes and recipes need.\n\n"
    "Example: initkit inspect --plugin gnn --recipe virgo model.py shows the model before and after the recipe."
)


@app.command("inspect", cls=Command, epilog=_MORE)
def command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="model.py, model.py:build or package.module:build.", show_default=False),
    ],
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take the probes of this plugin too. May repeat.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="RECIPE", help="Show the model before and after this recipe. May repeat, in order."),
    ] = None,
    probe: Annotated[
        list[str] | None, typer.Option(metavar="PROBE", help="Take this probe alone, such as core/signal. May repeat.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A recipe's option.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NEED=FILE", help="inputs, targets or other data: a file, or file.py:name. May repeat."),
    ] = None,
    set_model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An argument of the function that builds the model.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="INT", help="Of every random number: 0 to 2**64 - 1.")] = 0,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where recipes do heavy work: auto, cpu, cuda or cuda:N.")
    ] = "auto",
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Start from the tensors of a safetensors file.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a verdict is FAIL.")] = False,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one self-contained page as well.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how a model starts: signal, gradient, ranks, spectra; before and after a recipe."""
    from initkit_cli.inspecting import InspectRequest, run

    run(
        InspectRequest(
            target=model,
            plugins=tuple(plugin or ()),
            recipes=tuple(recipe or ()),
            settings=tuple(settings or ()),
            data=tuple(data or ()),
            set_model=tuple(set_model or ()),
            seed=seed,
            device=device,
            weights=weights,
            as_json=as_json,
            probes=tuple(probe or ()),
            strict=strict,
            html=html,
            force=force,
        ),
        channel_of(context),
    )
