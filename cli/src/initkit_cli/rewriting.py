"""What ``initkit apply --checkpoint`` does: a folder of tensors becomes another, without the model in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit.errors import InitError, did_you_mean
from initkit_cli import tables
from initkit_cli.channel import Channel
from initkit_cli.failures import Interrupted, UsageError
from initkit_cli.progress import bars
from initkit_cli.subject import Words, Work
from initkit_cli.target import Names, find_builder
from initkit_cli.torchrun import launched

if TYPE_CHECKING:
    from initkit_cli.run import ApplyRequest


def run(request: ApplyRequest, channel: Channel) -> None:
    """Carry out a request that names a checkpoint.

    Raises:
        UsageError, InitError, UserCodeError, Interrupted: nothing was written, the checkpoint is as it was.
    """
    words = Words(request, channel)
    source, target = _places(request)
    words.check_device()
    work = _CheckpointWork(words, source)
    with work.users_frames():
        import initkit

        model, only, exclude = work.model, request.only, request.exclude
        if request.dry_run:
            plan = initkit.plan_rewrite(source, work.recipes, model=model, only=only, exclude=exclude, **work.needs)
            channel.json(plan.to_json()) if request.as_json else tables.show_plan(plan.to_dict())
            return
        assert target is not None
        try:
            with bars() as progress:
                report = initkit.rewrite(
                    source,
                    target,
                    work.recipes,
                    model=model,
                    seed=request.seed,
                    device=request.device,
                    only=only,
                    exclude=exclude,
                    force=request.force,
                    progress=progress,
                    **work.needs,
                )
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; nothing was written, {source} is as it was") from None
    channel.json(report.to_json()) if request.as_json else tables.show_report(report.to_dict())
    say = channel.say if request.as_json else print
    say(f"wrote {target}{os.sep if target.is_dir() else ''}")


def _places(request: ApplyRequest) -> tuple[Path, Path | None]:
    """The checkpoint, and where its successor goes; None for a dry run that names no place.

    Raises:
        UsageError: one is missing or in the way, or an option does not go with a checkpoint.
    """
    source = Path(str(request.checkpoint))
    if launched() and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("--checkpoint takes one tensor at a time in one process; run it without torchrun")
    if not source.exists():
        near = did_you_mean(source.name, os.listdir(source.parent)) if source.parent.is_dir() else ""
        raise UsageError(f"--checkpoint: there is no {source}{near}")
    if request.weights is not None:
        raise UsageError(
            "--weights goes into a model in memory; the values of --checkpoint are read from its own files"
        )
    if request.page is not None:
        raise UsageError(
            "--report shows a model at work, and a checkpoint is not in memory; the report stands in --json"
        )
    if request.output is None:
        if request.dry_run:
            return source, None
        raise UsageError(f"say where the new checkpoint goes: --output {source.with_name(source.name + '-new')}")
    target = Path(request.output)
    taken = target.is_file() or (target.is_dir() and any(target.iterdir()))
    if taken and not request.force and not request.dry_run:
        raise UsageError(f"{target} exists; add --force to replace it, or name another place with --output")
    return source, target


class _CheckpointWork(Work):
    """The model of a checkpoint, without values, the recipes and their data."""

    def __init__(self, words: Words, source: Path) -> None:
        from initkit.rewriting.folder import CheckpointFolder, folder_of

        self._folder = folder_of(source) if source.is_dir() else CheckpointFolder(source)
        super().__init__(words)

    def _model(self, names: Names) -> Any:
        """The model that the file builds on the meta device; without a file, the one that a plugin knows."""
        if not self.words.request.target:
            return self._folder.model()
        from initkit_cli.hollow import hollow

        words = self.words
        with hollow():
            model = find_builder(names, words.target.builder, words.model_arguments, words.possible_needs)()
        if any(not parameter.is_meta for parameter in getattr(model, "parameters", tuple)()):
            raise InitError(
                f"the model of {words.target.place} is a value with numbers in memory; make it a function, "
                f"def model(): ..., which is then called where tensors have shapes alone"
            )
        return model

    def _at_hand(self) -> dict[str, Any]:
        return self._folder.needs()
