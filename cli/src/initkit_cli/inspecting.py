"""What ``initkit inspect`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from initkit.plugins import registry
from initkit_cli import selection, tables
from initkit_cli.channel import Channel
from initkit_cli.page import Page
from initkit_cli.progress import bars
from initkit_cli.subject import Asker, Request, Words, Work

LOOKING = Asker.wishes("inspect", ("inputs", "targets"))


@dataclass(frozen=True, kw_only=True)
class InspectRequest(Request):
    """The words of the command line."""

    probes: Sequence[str] = ()
    strict: bool = False
    html: str | None = None
    force: bool = False


def run(request: InspectRequest, channel: Channel) -> None:
    """Carry out a request.

    Raises:
        UsageError, InitError, UserCodeError: nothing was written.
        Exit: with 1, for ``--strict`` and a verdict that is FAIL.
    """
    said = selection.mentions(channel.words, request.plugins, request.recipes)
    offered, _ = registry().probes()
    words = Words(
        request,
        channel,
        choices=selection.choose_named(registry(), said),
        also=(LOOKING, *(Asker.wishes(probe.id, probe.needs) for probe in offered)),
    )
    page = Page.of(request.html, force=request.force)
    words.check_device()
    work = Work(words)
    with bars() as progress, work.users_frames():
        found = inspected(work, progress, probes=list(request.probes) or _probes(request, channel))
    page.write(inspection=found)
    channel.json(found.to_json()) if request.as_json else tables.show_inspection(found)
    if page.path is not None:
        (channel.say if request.as_json else print)(f"wrote {page.path}")
    if request.strict and not found.healthy:
        raise typer.Exit(1)


def inspected(work: Work, progress: Any, *, probes: Sequence[str] | None) -> Any:
    """Inspect the model of the user's file, before and after the recipes where there are any."""
    return look(work, progress, work.needs, probes=probes, recipes=work.recipes or None)


def look(work: Work, progress: Any, needs: Mapping[str, Any], **options: Any) -> Any:
    """Inspect the model of the user's file with its data, loss, seed and device; options as :func:`initkit.inspect`."""
    import initkit

    data = dict(needs)
    inputs, targets = data.pop("inputs", None), data.pop("targets", None)
    return initkit.inspect(
        work.model,
        inputs,
        loss=work.function("loss"),
        targets=targets,
        seed=work.words.request.seed,
        device=work.words.request.device,
        progress=progress,
        **options,
        **data,
    )


def _probes(request: InspectRequest, channel: Channel) -> list[str] | None:
    """The core's probes and those of the named plugins; None, which takes what fits, where none is named."""
    if not request.plugins:
        return None
    offered = {probe.plugin for probe in registry().probes()[0]}
    for name in request.plugins:
        if name not in offered:
            channel.say(f"plugin {name} offers no probes")
    return ["core", *(name for name in dict.fromkeys(request.plugins) if name in offered)]
