"""What ``initkit compare`` does."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from initkit.plugins import registry
from initkit_cli import selection, tables
from initkit_cli.channel import Channel
from initkit_cli.failures import INTERRUPTED, UsageError
from initkit_cli.page import Page
from initkit_cli.progress import bars
from initkit_cli.subject import Request, Words, Work

DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Request):
    """The words of the command line."""

    steps: int = 200
    seeds: int = 5
    level: float | None = None
    out: str | None = None
    html: str | None = None
    force: bool = False


def run(request: CompareRequest, channel: Channel) -> None:
    """Carry out a request.

    Raises:
        UsageError, InitError, UserCodeError: nothing was written but finished runs.
        Exit: with the code of an interrupt, once what was finished has been told.
    """
    if request.steps < 1 or request.seeds < 1:
        raise UsageError("--steps and --seeds must be at least 1")
    groups = _groups(selection.mentions(channel.words, request.plugins, request.recipes))
    words = Words(request, channel, choices=list(itertools.chain(*groups)))
    page = Page.of(request.html, force=request.force)
    _check_out(request.out)
    words.check_device()
    work = Work(words)
    with bars() as progress, work.users_frames():
        found = _compared(work, request, groups, progress)
    page.write(comparison=found)
    channel.json(found.to_json()) if request.as_json else tables.show_comparison(found)
    say = channel.say if request.as_json else print
    for path in filter(None, (request.out, page.path)):
        say(f"wrote {path}")
    if found.interrupted:
        raise typer.Exit(INTERRUPTED.code)


def _compared(work: Work, request: CompareRequest, groups: list[list[selection.Choice]], progress: Any) -> Any:
    import initkit

    loss = work.function("loss", why="define loss(model), which returns a scalar tensor, so that it can be trained")
    made = iter(work.recipes)
    starts = [[next(made) for _ in group] if group else DEFAULT for group in groups]
    return initkit.compare(
        work.builder(),
        starts,
        loss=loss,
        score=work.function("score"),
        optimizer=work.function("optimizer"),
        steps=request.steps,
        seeds=range(request.seed, request.seed + request.seeds),
        level=request.level,
        out=request.out,
        key=_key(work, request),
        device=request.device,
        progress=progress,
        **work.needs,
    )


def _groups(said: list[tuple[str, str]]) -> list[list[selection.Choice]]:
    """The starts, each its recipes in order; [] is the default start, which comes first where it is not named."""
    groups: list[list[selection.Choice]] = []
    plugins = [pair for pair in said if pair[0] == "plugin"]
    with_own: set[str] = set()
    current: list[tuple[str, str]] = []
    for kind, word in said:
        if kind == "plugin":
            current = [(kind, word)]
        elif word == DEFAULT:
            groups.append([])
        else:
            around = current or plugins
            group = [
                choice
                for part in word.split("+")
                for choice in selection.choose(registry(), [*around, ("recipe", part.strip())])
                if choice.recipe
            ]
            with_own |= {choice.plugin for choice in group}
            groups.append(group)
    alone = [name for _, name in plugins if name not in with_own]
    groups += [[selection.Choice(name)] for name in dict.fromkeys(alone) if selection.find_plugin(registry(), name)]
    if not any(groups):
        raise UsageError("say what to compare: --recipe default --recipe PLUGIN/NAME, or --plugin NAME")
    return groups if [] in groups or len(groups) > 1 else [[], *groups]


def _check_out(out: str | None) -> None:
    if out is None:
        return
    path = Path(out)
    if path.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in it: {path / 'runs.json'}")
    if not path.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {path.parent}")


def _key(work: Work, request: CompareRequest) -> str:
    """What must be the same for runs to be taken up again: the user's file, and what builds the model and the data."""
    sources = [Path(file).read_bytes() for file in work.names.files]
    words = json.dumps([request.set_model, request.data, work.words.target.builder]).encode()
    return hashlib.sha256(b"\0".join([*sources, words])).hexdigest()
