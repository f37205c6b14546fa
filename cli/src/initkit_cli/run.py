"""What ``initkit apply`` does: all checks that cost nothing first, then the user's file, then the work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initkit_cli import rewriting, tables
from initkit_cli.channel import Channel
from initkit_cli.failures import Interrupted
from initkit_cli.looks import Looks, askers
from initkit_cli.output import Outputs
from initkit_cli.page import check_tools
from initkit_cli.progress import bars
from initkit_cli.subject import Request, Words, Work


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(Request):
    """The words of the command line."""

    only: Sequence[str] = ()
    exclude: Sequence[str] = ()
    dry_run: bool = False
    output: str | None = None
    checkpoint: str | None = None
    page: str | None = None
    force: bool = False


def run(request: ApplyRequest, channel: Channel) -> None:
    """Carry out a request.

    Raises:
        UsageError, InitError, UserCodeError, Interrupted: nothing was written.
    """
    if request.checkpoint is not None:
        rewriting.run(request, channel)
        return
    words = Words(request, channel, also=askers() if request.page is not None else ())
    outputs = Outputs.of(request.output, words.target.stem, request.page)
    if not request.dry_run:
        outputs.check(force=request.force)
        if outputs.page is not None:
            check_tools("--report")
    words.check_device()
    if request.dry_run:
        work = Work(words, wishes=False)
        with work.users_frames():
            plan = _plan(work, request)
        channel.json(plan.to_json()) if request.as_json else tables.show_plan(plan.to_dict())
        return
    with _kept_or_undone(outputs):
        outputs.prepare()
        work = Work(words, wishes=False)
        save = _saver(work, outputs)
        looks = Looks(work) if outputs.page is not None else None
        with bars() as progress:
            if looks is not None:
                looks.look(progress)
            with work.users_frames():
                report = _apply(work, request, progress)
            if looks is not None:
                looks.look(progress)
        _write(work.model, report, outputs, looks, save, force=request.force)
        if request.as_json:
            channel.json(report.to_json())
        else:
            tables.show_report(report.to_dict())
        say = channel.say if request.as_json else print
        for path in outputs.paths:
            say(f"wrote {path}")


def _plan(work: Work, request: ApplyRequest) -> Any:
    import initkit

    return initkit.plan(work.model, work.recipes, only=request.only, exclude=request.exclude, **work.needs)


def _apply(work: Work, request: ApplyRequest, progress: Any) -> Any:
    import initkit

    return initkit.apply(
        work.model,
        work.recipes,
        seed=request.seed,
        device=request.device,
        only=request.only,
        exclude=request.exclude,
        progress=progress,
        **work.needs,
    )


@contextlib.contextmanager
def _kept_or_undone(outputs: Outputs) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        # A job that has saved its state says in the interrupt how to go on from it.
        words = [
            f"interrupted; {outputs.fate()}",
            *(str(part) for part in (*stop.args, *getattr(stop, "__notes__", ()))),
        ]
        raise Interrupted("; ".join(words)) from None
    finally:
        outputs.discard()


def _saver(work: Work, outputs: Outputs) -> Callable[[Path], None] | None:
    """What writes the subject as a folder, where that is asked for.

    Raises:
        UsageError: no plugin knows how.
    """
    import initkit

    if not outputs.folder:
        return None
    save = initkit.folder_writer(work.model, work.needs)
    if save is None:
        raise outputs.no_folder(work.words.target.stem)
    return save


def _write(
    model: Any,
    report: Any,
    outputs: Outputs,
    looks: Looks | None,
    save: Callable[[Path], None] | None,
    *,
    force: bool,
) -> None:
    import initkit

    writers: list[Callable[[Path], None]] = [
        save if save is not None else lambda path: initkit.save(model, path, report=report),
        lambda path: initkit.write_report(report, path),
    ]
    if looks is not None:
        found = looks.found
        writers.append(lambda path: initkit.write_page(path, report=report, model=model, inspection=found))
    outputs.write(*writers, force=force)
