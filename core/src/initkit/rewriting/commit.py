"""The writing of recipes' items into a checkpoint's files, with what a job may ask there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from initkit._commit import Commit, SectionWriter
from initkit._plan import Section
from initkit._stats import CHUNK, Measure
from initkit.draws.base import Draw
from initkit.errors import CommitError, InitError
from initkit.items import Fill, Job
from initkit.jobs import JobContext
from initkit.rewriting.slots import StoredSlot
from initkit.streams import Stream

NOT_IN_MEMORY = "a checkpoint is not in memory; load the model and apply the recipe to it"


class StoredCommit(Commit):
    """One run's writing, tensor by tensor and part by part."""

    def writer(self, section: Section) -> SectionWriter:
        """What writes one recipe's items."""
        return _StoredWriter(self, section)


class _StoredWriter(SectionWriter):
    def run(self, job: Job) -> None:
        with values_asked_for(f"recipe {self._recipe.id}, job {job.name!r}"):
            super().run(job)

    def context(self, job: Job) -> JobContext:
        return _StoredContext(self._commit, self._recipe, job)

    def fill(self, fill: Fill) -> None:
        commit, slot = self._commit, self._commit.slots[fill.name]
        assert isinstance(slot, StoredSlot)
        if not slot.saved:
            commit.report.reasons.setdefault(slot.name, "no file holds it: the model makes it anew")
            return
        if self.kept(slot, fill.draw):
            return
        shape = tuple(fill.resize or fill.shape or slot.shape)
        where = f"recipe {self._recipe.id}, {slot.name} {shape}"
        draw = self.ready(fill.draw, shape, slot.dtype, where)
        stream, before = Stream(commit.report.seed, slot.name), tuple(slot.shape)
        parts = draw.pieces(shape, slot.dtype, stream, current=slot.current(draw), device=commit.device)
        measure = Measure()
        commit.journal.write(slot.snapshot, lambda: None)
        with values_asked_for(where):
            slot.fill(shape, _measured(parts, measure, fill.draw, where))
        slot.measured = measure.result()
        commit.written_by_jobs.pop(slot.name, None)
        written = torch.empty(shape, dtype=slot.dtype, device="meta")
        commit.report.enter(slot, written, fill.draw.describe(), fill.why, self._recipe.id, before)


def _measured(parts: Iterable[torch.Tensor], measure: Measure, draw: Draw, where: str) -> Iterator[torch.Tensor]:
    """Pass parts on, in blocks of whole chunks so that the statistics are those of the tensor at once.

    Raises:
        CommitError: one holds NaN or infinity.
    """
    for block in _blocks(parts):
        if not bool(torch.isfinite(block).all()):
            count = int((~torch.isfinite(block)).sum())
            raise CommitError(f"{where}: {draw.describe()} holds {count} NaN or infinite values; nothing was changed")
        measure.add(block)
        yield block


def _blocks(parts: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    left: torch.Tensor | None = None
    for part in parts:
        flat = part.detach().cpu().reshape(-1)
        flat = flat if left is None else torch.cat([left, flat])
        whole = len(flat) // CHUNK * CHUNK
        if whole:
            yield flat[:whole]
        left = flat[whole:].clone() if whole < len(flat) else None
    if left is not None:
        yield left


class _StoredContext(JobContext):
    """A job's view of a run on a checkpoint: what needs the model's values at work is refused."""

    def undisturbed(self, *, train: bool = False, grad: bool = False) -> contextlib.AbstractContextManager[Any]:
        raise CommitError(f"recipe {self._recipe.id}, job {self._job.name!r} runs the model, and {NOT_IN_MEMORY}")

    def read(self, name: str) -> torch.Tensor:
        return self._commit.slots.find(name, f"job {self._job.name!r}").read()


@contextlib.contextmanager
def values_asked_for(who: str) -> Iterator[None]:
    """Context in which torch's complaints about tensors without values are told in our words.

    Raises:
        CommitError: somebody asked for values.
    """
    try:
        yield
    except InitError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        if "meta" not in str(error).lower():
            raise
        raise CommitError(f"{who} uses values of the model itself, and {NOT_IN_MEMORY}") from error
