"""Write a plan's items, in order, with a journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from initkit._attributes import attribute_owner
from initkit._check import Narrowing
from initkit._guard import random_state
from initkit._journal import Journal, Undo
from initkit._plan import Section
from initkit._recipe import Recipe
from initkit._stats import statistics
from initkit.draws.base import Draw
from initkit.errors import CommitError, listed
from initkit.items import Fill, Job, Keep, Output, Set
from initkit.jobs import JobContext, Progress
from initkit.report import Entry, Report, dtype_name
from initkit.slots import Slots
from initkit.streams import Stream


class Commit:
    """One run's writing: sections one after the other, all under one journal.

    Args:
        slots: of the subject.
        report: grows with each write.
        journal: records how to undo each write.
        device: where heavy work runs and meta tensors are made.
        progress: shows how far it is, or None.
        narrowing: what may be written.
    """

    def __init__(
        self,
        slots: Slots,
        report: Report,
        journal: Journal,
        device: torch.device,
        progress: Progress | None,
        narrowing: Narrowing,
    ) -> None:
        self.slots, self.report, self.journal = slots, report, journal
        self.device, self.progress, self.narrowing = device, progress, narrowing
        self.written_by_jobs: dict[str, tuple[Recipe, Job]] = {}
        self.kept_by_jobs: dict[str, tuple[Job, str]] = {}

    def write(self, section: Section) -> None:
        """Run the section's jobs and write its items, in order."""
        writer = _SectionWriter(self, section)
        items = list(section.items)
        for item in items if self.progress is None else self.progress(items, section.recipe.id, len(items)):
            if isinstance(item, Fill):
                writer.fill(item)
            elif isinstance(item, Keep):
                self.report.reasons.setdefault(item.name, item.why)
            elif isinstance(item, Set):
                self._set(item)
            elif isinstance(item, Output):
                writer.output(item)
            else:
                writer.run(item)

    def finish(self) -> None:
        """Enter what jobs wrote and no later fill replaced, and close the report."""
        for name, (recipe, job) in self.written_by_jobs.items():
            slot = self.slots[name]
            self.report.enter(slot, slot.read(), f"written by {job.name}", job.words, recipe.id, tuple(slot.shape))
        self.report.close(self.slots)

    def _set(self, item: Set) -> None:
        owner, name = attribute_owner(self.slots.subject, item.path, "set")

        def snapshot() -> Undo:
            # An attribute may live in the class: then undoing means to remove the instance's own.
            own = vars(owner) if hasattr(owner, "__dict__") else {}
            if name not in own and not isinstance(getattr(type(owner), name, None), property):
                return lambda: delattr(owner, name)
            before = getattr(owner, name)
            return lambda: setattr(owner, name, before)

        self.journal.write(snapshot, lambda: setattr(owner, name, item.value))
        self.report.sets.append(item)


class _SectionWriter:
    """The writing of one recipe's items; holds the results of its jobs."""

    def __init__(self, commit: Commit, section: Section) -> None:
        self._commit, self._recipe = commit, section.recipe
        self._results: dict[str, Mapping[str, torch.Tensor]] = {}

    def run(self, job: Job) -> None:
        context = JobContext(self._commit, self._recipe, job)
        # Libraries that draw from global random state inside a job are fed from the job's own stream.
        with random_state(context.stream("global").integer_seed()):
            results = job.fn(context)
        if not isinstance(results, Mapping) or not all(isinstance(v, torch.Tensor) for v in results.values()):
            raise CommitError(f"recipe {self._recipe.id}, job {job.name!r}: it must return tensors by key")
        self._results[job.name] = results

    def fill(self, fill: Fill) -> None:
        commit, slot = self._commit, self._commit.slots[fill.name]
        job, why_kept = commit.kept_by_jobs.get(slot.name, (None, ""))
        if job is not None and job in fill.draw.jobs():
            commit.report.reasons.setdefault(slot.name, why_kept)
            return
        shape = fill.resize or fill.shape or slot.shape
        where = f"recipe {self._recipe.id}, {slot.name} {tuple(shape)}"
        current = slot.read() if fill.draw.reads_current and slot.present else None
        value = self._sample(fill.draw, shape, slot.dtype, slot.name, current, where)
        before = tuple(slot.shape)
        commit.journal.write(slot.snapshot, lambda: slot.write(value, commit.device))
        commit.written_by_jobs.pop(slot.name, None)
        commit.report.enter(slot, value, fill.draw.describe(), fill.why, self._recipe.id, before)

    def output(self, output: Output) -> None:
        where = f"recipe {self._recipe.id}, output {output.name!r}"
        report = self._commit.report
        if output.name in report.outputs:
            raise CommitError(f"{where}: an earlier recipe of this run has made an output of that name")
        shape = None if output.shape is None else tuple(output.shape)
        value = self._sample(output.draw, shape, output.dtype, f"outputs/{output.name}", None, where)
        report.outputs[output.name] = value
        report.output_entries[output.name] = Entry(
            name=output.name,
            shape=tuple(value.shape),
            dtype=dtype_name(value.dtype),
            draw=output.draw.describe(),
            why=output.why,
            recipe=self._recipe.id,
            statistics=statistics(value),
        )

    def _sample(
        self,
        draw: Draw,
        shape: tuple[int, ...] | Any,
        dtype: torch.dtype,
        name: str,
        current: torch.Tensor | None,
        where: str,
    ) -> torch.Tensor:
        ready = draw.resolve(lambda job, key: self._result(job, key, where))
        if shape is None:
            shape = tuple(ready.tensor.shape)  # type: ignore[attr-defined]
        if ready is not draw:
            problem = ready.problem(shape, dtype)
            if problem:
                raise CommitError(f"{where}: {problem}")
        stream = Stream(self._commit.report.seed, name)
        value = ready.sample(shape, dtype, stream, current=current, device=self._commit.device)
        if tuple(value.shape) != tuple(shape) or value.dtype != dtype:
            raise CommitError(f"{where}: {draw.describe()} gave shape {tuple(value.shape)} and {value.dtype}")
        if not bool(torch.isfinite(value).all()):
            count = int((~torch.isfinite(value)).sum())
            raise CommitError(f"{where}: {draw.describe()} holds {count} NaN or infinite values; nothing was changed")
        return value

    def _result(self, job: Job, key: str, where: str) -> torch.Tensor:
        results = self._results[job.name]
        if key not in results:
            raise CommitError(f"{where}: job {job.name!r} gave no {key!r}; it gave {listed(results) or 'nothing'}")
        return results[key].detach()
