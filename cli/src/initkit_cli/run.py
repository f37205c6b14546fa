"""What ``initkit apply`` does: all checks that cost nothing first, then the user's file, then the work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit_cli import rewriting, tables
from initkit_cli.channel import Channel
from initkit_cli.failures import Interrupted, UsageError
from initkit_cli.looks import Looks, askers
from initkit_cli.output import Outputs
from initkit_cli.page import check_tools
from initkit_cli.progress import bars
from initkit_cli.subject import Request, Words, Work
from initkit_cli.torchrun import joined

if TYPE_CHECKING:
    from initkit.ranks.group import Ranks


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(Request):
    """The words of the command line."""

    only: Sequence[str] = ()
    exclude: Sequence[str] = ()
    dry_run: bool = False
    output: str | None = None
    checkpoint: str | None = None
    page: str | None = None
    max_shard_size: str = "5GB"
    force: bool = False


def run(request: ApplyRequest, channel: Channel) -> None:
    """Carry out a request.

    Raises:
        UsageError, InitError, UserCodeError, Interrupted: nothing was written.
    """
    if request.checkpoint is not None:
        rewriting.run(request, channel)
        return
    with joined(request.device) as ranks:
        _run(request, channel, ranks)


def _run(request: ApplyRequest, channel: Channel, ranks: Ranks) -> None:
    from initkit.ranks.agreement import facts_of_report
    from initkit.ranks.find import is_spread

    first = ranks.index == 0
    with ranks.together("the command line"):
        words = Words(request, channel, also=askers() if request.page is not None else ())
        outputs = Outputs.of(request.output, words.target.stem, request.page)
        if first and not request.dry_run:
            outputs.check(force=request.force)
            if outputs.page is not None:
                check_tools("--report")
        words.check_device()
    if request.dry_run:
        with ranks.together("plan"):
            work = Work(words, wishes=False)
            with work.users_frames():
                plan = _plan(work, request)
        if first:
            channel.json(plan.to_json()) if request.as_json else tables.show_plan(plan.to_dict())
        return
    with _kept_or_undone(outputs):
        with ranks.together("the model"):
            if first:
                outputs.prepare()
            work = Work(words, wishes=False)
            save = _saver(work, outputs, request)
        looks = Looks(work) if first and outputs.page is not None else None
        with ranks.together("apply"), bars() if first else contextlib.nullcontext() as progress:
            if looks is not None:
                looks.look(progress)
            with work.users_frames():
                report = _apply(work, request, progress)
            if looks is not None:
                looks.look(progress)
        ranks.meet("report", facts_of_report(report))
        with ranks.together("writing"):
            if first:
                _write(work.model, report, outputs, looks, save, force=request.force)
            elif is_spread(work.model):
                save(outputs.model, report)  # hands its parts to the first
        if not first:
            return
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


Save = Callable[[Path, Any], None]


def _saver(work: Work, outputs: Outputs, request: ApplyRequest) -> Save:
    """What writes the subject: its tensors as one file, or a folder.

    Raises:
        UsageError: the subject cannot be written so.
    """
    import initkit
    from initkit.ranks.find import is_spread

    model = work.model
    if is_spread(model) and outputs.page is not None:
        raise UsageError("--report shows a whole model, and this one is spread over processes: leave it out")
    if not outputs.folder:
        return lambda path, report: initkit.save(model, path, report=report)
    own = None if is_spread(model) else initkit.folder_writer(model, work.needs)
    if own is not None:
        return lambda path, report: own(path)
    if not hasattr(model, "named_modules"):
        raise outputs.no_folder(work.words.target.stem)
    size = request.max_shard_size
    return lambda path, report: initkit.save(model, path, report=report, max_shard_size=size)


def _write(
    model: Any,
    report: Any,
    outputs: Outputs,
    looks: Looks | None,
    save: Save,
    *,
    force: bool,
) -> None:
    import initkit

    writers: list[Callable[[Path], None]] = [
        lambda path: save(path, report),
        lambda path: initkit.write_report(report, path),
    ]
    if looks is not None:
        found = looks.found
        writers.append(lambda path: initkit.write_page(path, report=report, model=model, inspection=found))
    outputs.write(*writers, force=force)
