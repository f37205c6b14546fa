"""Write a plan's items, in order, with a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from initkit._attributes import attribute_owner, set_attribute
from initkit._guard import random_state
from initkit._journal import Journal
from initkit._plan import Section
from initkit._recipe import Recipe
from initkit._stats import all_finite, statistics
from initkit.draws.base import Draw
from initkit.errors import CommitError, listed
from initkit.items import Fill, Job, Keep, Output, Set
from initkit.jobs import JobContext, Progress
from initkit.ranks.group import Ranks
from initkit.ranks.run import in_words, local_part, measured
from initkit.report import Entry, Report, dtype_name
from initkit.slots import Slot, Slots
from initkit.streams import Stream


class Commit:
    """One run's writing: sections one after the other, all under one journal.

    Args:
        slots: of the subject.
        report: grows with each write.
        journal: records how to undo each write.
        device: where heavy work runs and meta tensors are made.
        progress: shows how far it is, or None.
        ranks: the processes that do this together.
    """

    def __init__(
        self,
        slots: Slots,
        report: Report,
        journal: Journal,
        device: torch.device,
        progress: Progress | None,
        ranks: Ranks,
    ) -> None:
        self.report, self.journal = report, journal
        self.device, self.progress, self.ranks = device, progress, ranks
        self.slots = slots
        self.written_by_jobs: dict[str, tuple[Recipe, Job]] = {}
        self.kept_by_jobs: dict[str, tuple[Job, str]] = {}

    def write(self, section: Section) -> None:
        """Run the section's jobs and write its items, in order."""
        writer = self.writer(section)
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

    def writer(self, section: Section) -> SectionWriter:
        """What writes one recipe's items."""
        return SectionWriter(self, section)

    def finish(self) -> None:
        """Enter what jobs wrote and no later fill replaced, and close the report."""
        for name, (recipe, job) in self.written_by_jobs.items():
            slot = self.slots[name]
            self.report.enter(slot, slot.held(), f"written by {job.name}", job.words, recipe.id, tuple(slot.shape))
        for name, found in measured(self.slots, self.report.unmeasured).items():
            self.report.measured(name, found)
        self.report.close(self.slots)

    def _set(self, item: Set) -> None:
        owner, name = attribute_owner(self.slots.subject, item.path, "set")
        set_attribute(self.journal, owner, name, item.value)
        self.report.sets.append(item)


class SectionWriter:
    """The writing of one recipe's items; holds the results of its jobs."""

    def __init__(self, commit: Commit, section: Section) -> None:
        self._commit, self._recipe = commit, section.recipe
        self._results: dict[str, Mapping[str, torch.Tensor]] = {}

    def run(self, job: Job) -> None:
        context = self.context(job)
        where = f"recipe {self._recipe.id}, job {job.name!r}"
        # Libraries that draw from global random state inside a job are fed from the job's own stream.
        with self._commit.ranks.together(where), random_state(context.stream("global").integer_seed()):
            try:
                results = in_words(where, lambda: job.fn(context))
            finally:
                context.end()
        if not isinstance(results, Mapping) or not all(isinstance(v, torch.Tensor) for v in results.values()):
            raise CommitError(f"{where}: it must return tensors by key")
        self._results[job.name] = results

    def context(self, job: Job) -> JobContext:
        """What a job is given."""
        return JobContext(self._commit, self._recipe, job)

    def kept(self, slot: Slot, draw: Draw) -> bool:
        """Whether a job whose result the draw uses has decided that the tensor stays as it is."""
        job, why = self._commit.kept_by_jobs.get(slot.name, (None, ""))
        if job is None or job not in draw.jobs():
            return False
        self._commit.report.reasons.setdefault(slot.name, why)
        return True

    def fill(self, fill: Fill) -> None:
        """Write a tensor."""
        commit, slot = self._commit, self._commit.slots[fill.name]
        if self.kept(slot, fill.draw):
            return
        shape = fill.resize or fill.shape or slot.shape
        where = f"recipe {self._recipe.id}, {slot.name} {tuple(shape)}"
        draw = self.ready(fill.draw, shape, slot.dtype, where)
        value = slot.sample(draw, tuple(shape), self._stream(slot.name), commit.device)
        _check_sample(value, shape, slot.dtype, f"{where}: {fill.draw.describe()}")
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
        draw = self.ready(output.draw, shape, output.dtype, where)
        if shape is None:
            shape = tuple(draw.tensor.shape)  # type: ignore[attr-defined]
        value = draw.sample(shape, output.dtype, self._stream(f"outputs/{output.name}"), device=self._commit.device)
        _check_sample(value, shape, output.dtype, f"{where}: {output.draw.describe()}")
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

    def ready(self, draw: Draw, shape: Sequence[int] | None, dtype: torch.dtype, where: str) -> Draw:
        """The draw with jobs' results put in; those are checked now that they are known."""
        ready = draw.resolve(lambda job, key: self._result(job, key, where))
        if ready is not draw and shape is not None:
            problem = ready.problem(shape, dtype)
            if problem:
                raise CommitError(f"{where}: {problem}")
        return ready

    def _stream(self, name: str) -> Stream:
        return Stream(self._commit.report.seed, name)

    def _result(self, job: Job, key: str, where: str) -> torch.Tensor:
        results = self._results[job.name]
        if key not in results:
            raise CommitError(f"{where}: job {job.name!r} gave no {key!r}; it gave {listed(results) or 'nothing'}")
        return results[key].detach()


def _check_sample(value: torch.Tensor, shape: Sequence[int], dtype: torch.dtype, where: str) -> None:
    if tuple(value.shape) != tuple(shape) or value.dtype != dtype:
        raise CommitError(f"{where} gave shape {tuple(value.shape)} and {value.dtype}")
    part = local_part(value)
    if not all_finite(part):
        count = int((~torch.isfinite(part)).sum())
        raise CommitError(f"{where} holds {count} NaN or infinite values; nothing was changed")
