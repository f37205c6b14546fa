"""``initkit inspect``."""

from __future__ import annotations

from typing import Annotated

import typer

from initkit_cli.app import Command, style
from initkit_cli.channel import channel_of
from initkit_cli.commands import _shared

app = typer.Typer(**style())

_MORE = (
    "MODEL is a Python file, and it is executed. Beside the name model it may define inputs (what the model's forward "
    "takes), targets, loss(model), and one name for each kind of data that probes and recipes need."
)
_EXAMPLES = (
    "initkit inspect model.py",
    "initkit inspect --plugin gnn --recipe virgo model.py",
)


@app.command("inspect", cls=Command, epilog=_shared.examples(*_EXAMPLES, more=_MORE))
def command(
    context: typer.Context,
    model: _shared.Model,
    plugin: Annotated[list[str] | None, _shared.PROBING] = None,
    recipe: Annotated[list[str] | None, _shared.AROUND] = None,
    probe: Annotated[
        list[str] | None, typer.Option(metavar="PROBE", help="Take this probe alone, such as core/signal. May repeat.")
    ] = None,
    settings: _shared.Settings = None,
    data: _shared.Data = None,
    set_model: _shared.SetModel = None,
    seed: _shared.Seed = 0,
    device: _shared.Device = "auto",
    weights: _shared.Weights = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a verdict is FAIL.")] = False,
    html: _shared.Html = None,
    force: _shared.ForcePage = False,
    as_json: _shared.AsJson = False,
) -> None:
    """Measure how a model starts: signal and gradient.

    Ranks, dead units and spectra too, before and after a recipe where one is named.
    """
    from initkit_cli.inspecting import InspectRequest, run

    run(
        InspectRequest(
            target=model,
            **_shared.some(plugins=plugin, recipes=recipe, settings=settings, data=data, set_model=set_model),
            seed=seed,
            device=device,
            weights=weights,
            as_json=as_json,
            **_shared.some(probes=probe),
            strict=strict,
            html=html,
            force=force,
        ),
        channel_of(context),
    )
