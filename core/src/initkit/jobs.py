"""What a job is given when it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from initkit._checkpoint import check_checkpoint as check_checkpoint
from initkit._checkpoint import fingerprint as fingerprint
from initkit._checkpoint import load_checkpoint, save_checkpoint
from initkit._functional import call_with
from initkit._guard import undisturbed
from initkit._stats import all_finite
from initkit._visit import Visit
from initkit.draws.base import Draw
from initkit.errors import CommitError
from initkit.ranks.find import reshard
from initkit.streams import Stream

if TYPE_CHECKING:
    from initkit._commit import Commit
    from initkit._recipe import Recipe
    from initkit.items import Job

_T = TypeVar("_T")
Progress = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


class JobContext:
    """A job's view of the run: the model as filled so far, streams, notes and journalled writes.

    Attributes:
        model: the subject without outer wrappers, as filled so far. Change it through :meth:`write` alone. From the
            first :meth:`forward` or :meth:`undisturbed` on it is on ``device``, until the job ends.
        device: where heavy work belongs.
        seed: of the run.
    """

    def __init__(self, commit: Commit, recipe: Recipe, job: Job) -> None:
        self.model: Any = commit.slots.subject
        self.device = commit.device
        self.seed = commit.report.seed
        self._commit, self._recipe, self._job = commit, recipe, job
        self._visit = Visit(commit.slots, commit.device, commit.journal)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model on ``device``, in eval mode without autograd; buffers and random state are restored.

        All processes that hold the model call it together.
        """
        with self.undisturbed() as model:
            return model(*args, **kwargs)

    def undisturbed(self, *, train: bool = False, grad: bool = False) -> contextlib.AbstractContextManager[Any]:
        """Context in which the model may run, on ``device``; modes, buffers, gradients, random state are restored.

        To train, run a copy of the parameters through :meth:`call` inside it. All processes that hold the model enter
        it together.
        """
        return self._undisturbed(train, grad)

    @contextlib.contextmanager
    def _undisturbed(self, train: bool, grad: bool) -> Iterator[Any]:
        self._meet("a forward pass")
        self._visit.begin()
        try:
            with undisturbed(self.model, train=train, grad=grad) as model:
                yield model
        finally:
            reshard(self.model)

    def call(self, tensors: Mapping[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Call the model with other tensors in place of its own, by name; for use inside :meth:`undisturbed`.

        As ``torch.func.functional_call``, but safe for modules and tensors that bear several names.
        """
        return call_with(self.model, tensors, *args, **kwargs)

    def end(self) -> None:
        """Bring the model back to its own device; the core calls it when the job has run."""
        self._visit.end()

    def stream(self, tag: str) -> Stream:
        """The job's own stream ``job:NAME#tag``."""
        return Stream(self.seed, f"job:{self._job.name}#{tag}")

    def sample(
        self, draw: Draw, name: str, shape: Sequence[int] | None = None, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Sample a draw as a fill of tensor ``name`` would.

        Args:
            draw: what to sample.
            name: names the stream; where a tensor has that name, it gives the defaults below.
            shape: of the sample; None is the tensor's.
            dtype: of the sample; None is the tensor's, or float32.
        """
        slot = self._commit.slots.get(name)
        if shape is None:
            if slot is None:
                raise CommitError(f"job {self._job.name!r} samples {name!r}, which is no tensor: give a shape")
            shape = slot.shape
        wanted = dtype or (slot.dtype if slot is not None else torch.float32)
        problem = draw.problem(shape, wanted)
        if problem:
            raise CommitError(f"job {self._job.name!r}, sample for {name} {tuple(shape)}: {problem}")
        stream = Stream(self.seed, slot.name if slot is not None else name)
        return draw.sample(shape, wanted, stream, device=self.device)

    def read(self, name: str) -> torch.Tensor:
        """A copy of a tensor's present value.

        A tensor that several processes hold in parts is put together on each of them: take one at a time.
        """
        slot = self._commit.slots.find(name, f"job {self._job.name!r}")
        self._meet(f"reading {slot.name}")
        return slot.read().clone()

    def write(self, name: str, value: torch.Tensor) -> None:
        """Write a tensor of the model; rolled back if anything fails later, reported unless a fill follows.

        A tensor that the caller shut out with ``only`` or ``exclude`` stays as it is.

        Raises:
            CommitError: the value holds NaN or infinity.
        """
        slot = self._commit.slots.find(name, f"job {self._job.name!r}")
        self._meet(f"writing {slot.name}")
        shut_out = self._commit.narrowing.why_not((slot.name, *slot.aliases))
        if shut_out is not None:
            self._commit.report.reasons.setdefault(slot.name, shut_out)
            return
        if not all_finite(value):
            raise CommitError(f"job {self._job.name!r} writes NaN or infinite values into {slot.name}")
        part = slot.spread(value)
        self._commit.journal.write(slot.snapshot, lambda: slot.write(part, self.device))
        slot.show(value)
        self._commit.written_by_jobs[slot.name] = (self._recipe, self._job)

    def _meet(self, what: str) -> None:
        self._commit.ranks.meet(f"job {self._job.name!r}: {what}")

    def keep(self, name: str, why: str) -> None:
        """Leave a tensor as it is after all: fills with this job's results become keeps, with this reason.

        For a job that finds, once it has run, that its result would do no good.
        """
        slot = self._commit.slots.find(name, f"job {self._job.name!r}")
        if not slot.present:
            raise CommitError(f"job {self._job.name!r} cannot keep {slot.name}: it has no values yet")
        self._commit.kept_by_jobs[slot.name] = (self._job, why)

    def mark(self, name: str, **flags: Any) -> None:
        """Set attributes of a tensor that other libraries look for, such as ``_no_weight_decay``.

        Undone if anything fails later. A tensor that is no object of its own, such as a parametrised one, is left.
        """
        tensor = getattr(self._commit.slots.find(name, f"job {self._job.name!r}"), "tensor", None)
        if tensor is None:
            return
        held = vars(tensor)

        def snapshot() -> Callable[[], None]:
            before = {flag: held[flag] for flag in flags if flag in held}

            def undo() -> None:
                for flag in flags:
                    held.pop(flag, None)
                held.update(before)

            return undo

        self._commit.journal.write(snapshot, lambda: held.update(flags))

    def progress(self, iterable: Iterable[_T], words: str, total: int | None = None) -> Iterable[_T]:
        """Iterate while showing how far it is, where somebody looks."""
        return iterable if self._commit.progress is None else self._commit.progress(iterable, words, total)

    def save_checkpoint(self, path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], **facts: Any) -> None:
        """Save a long job's last good state, whole or not at all, for :meth:`load_checkpoint`.

        Args:
            path: of the safetensors file.
            tensors: by name.
            facts: JSON values, such as the number of finished steps; as ``origin`` what makes it this run.

        Raises:
            FileError: it cannot be written.
        """
        if self._commit.ranks.index == 0:
            save_checkpoint(path, tensors, facts)

    def load_checkpoint(
        self, path: str | os.PathLike[str], origin: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The tensors and facts of a checkpoint.

        Args:
            path: of the file.
            origin: what the fact ``origin`` must say, so that nobody goes on from another run.

        Raises:
            FileError: there is none, it is broken, or of another run.
        """
        return load_checkpoint(path, origin)

    def note(self, key: str, table: Any, *, saved: bool = False) -> None:
        """Add a table to the report: rows (dicts), an :class:`initkit.Table` with its drawing, or any JSON value.

        Args:
            key: of the table.
            table: what was found.
            saved: whether a file that is saved with the report keeps it too, in its provenance: what whoever loads
                the file must know.
        """
        self._commit.report.notes.add(key, table, saved=saved)
