"""When random features are drawn anew, and from which stream.

Every draw comes from a named stream, so that a run can be repeated and resumed, and so that processes that work side
by side (ranks of a distributed run, workers of a data loader) never share numbers:

    forward   NAME#train/rank/worker/step, a new step at every call
    epoch     NAME#epoch/number, by node
    fixed     NAME#draw0, by node
    evaluation  NAME#draw0, NAME#draw1, ..., by node

"By node" means that a node reads the row of its global number ``n_id`` where a sampler gives one, else of its place
in its own graph: the same graph gets the same features in whatever batch it comes.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from initkit import NeedError, OptionError, Stream
from initkit_gnn.segments import Segments

Resample = Literal["forward", "epoch", "fixed"]
RNI = "rni"
RFP = "job:rfp"  # the streams of the recipe's job

_SLOTS = 512  # counters: one for the main process and one for each of 511 loader workers


def draw_name(number: int, name: str = RNI) -> str:
    """The name of the stream of a numbered draw, as evaluation uses it and as the recipe writes it to a file."""
    return f"{name}#draw{number}"


class Resampler:
    """Hands out streams; counts calls and epochs.

    The counters are in shared memory, one for each loader worker: a worker that is started anew every epoch goes on
    where its predecessor stopped, and :meth:`set_epoch` reaches workers that stay alive.

    Args:
        name: the root of the streams' names.
        seed: of the streams.
        resample: ``forward``, ``epoch`` or ``fixed``.
    """

    def __init__(self, name: str, seed: int, resample: Resample) -> None:
        if resample not in ("forward", "epoch", "fixed"):
            raise OptionError(f"resample={resample!r} is unknown; choose one of forward, epoch, fixed")
        self.name, self.seed, self.resample = name, Stream(seed, name).seed, resample
        self._rank: int | None = None
        self._state = _shared(torch.zeros(_SLOTS + 1, dtype=torch.int64))

    def __getstate__(self) -> dict[str, Any]:
        # A loader worker that is not forked knows nothing of the process group: it is told the rank on its way there.
        return {**self.__dict__, "_rank": _rank(self._rank)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._state = _shared(self._state)

    @property
    def epoch(self) -> int:
        """The number of the present epoch."""
        return int(self._state[0])

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; also in loader workers that are alive."""
        if epoch < 0:
            raise OptionError(f"epoch={epoch} is negative; epochs are numbered from 0")
        self._state[0] = epoch

    @property
    def state(self) -> Tensor:
        """What resuming needs, int64: epoch and the counters of main process and workers, without trailing zeros."""
        used = int(self._state.nonzero().max()) + 1 if bool(self._state.any()) else 1
        return self._state[: max(2, used)].clone()

    @state.setter
    def state(self, saved: Tensor) -> None:
        saved = torch.as_tensor(saved, dtype=torch.int64).cpu().flatten()
        if not 2 <= len(saved) <= len(self._state) or bool((saved < 0).any()):
            raise OptionError(f"the saved state of {self.name!r} is not one: {len(saved)} numbers")
        self._state.zero_()
        self._state[: len(saved)] = saved

    def training(self, segments: Segments, n_id: Tensor | None = None) -> tuple[Stream, Tensor | None]:
        """Return the next stream and the row that each node reads of it (None: its own number)."""
        if self.resample == "forward":
            worker = get_worker_info()
            number = 0 if worker is None else worker.id + 1
            slot = 1 + number % _SLOTS
            step = int(self._state[slot])
            self._state[slot] = step + 1
            return Stream(self.seed, f"{self.name}#train/{_rank(self._rank) or 0}/{number}/{step}"), None
        if self.resample == "epoch":
            return Stream(self.seed, f"{self.name}#epoch/{self.epoch}"), rows_of(segments, n_id)
        return self.numbered(0, segments, n_id)

    def numbered(self, number: int, segments: Segments, n_id: Tensor | None = None) -> tuple[Stream, Tensor | None]:
        """Return the stream of a numbered draw, which no training call uses unless it is ``fixed``."""
        return Stream(self.seed, draw_name(number, self.name)), rows_of(segments, n_id)


def rows_of(segments: Segments, n_id: Tensor | None) -> Tensor | None:
    """The row of a stream that each node reads: ``n_id`` where there is one, else its place in its graph."""
    if n_id is None:
        return None if segments.batch is None else segments.places
    if tuple(n_id.shape) != (segments.num_nodes,) or n_id.is_floating_point():
        raise NeedError(f"graph: n_id has shape {tuple(n_id.shape)}, expected a number for each node")
    return n_id.long()


def _rank(known: int | None) -> int | None:
    """The rank of this process in a distributed run, else the one it was told or torchrun's, else None."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    if known is not None:
        return known
    said = os.environ.get("RANK", "")
    return int(said) if said.isdigit() else None


def _shared(state: Tensor) -> Tensor:
    """Put counters into shared memory; where a system has none, each process counts for itself."""
    if not state.is_shared():  # type: ignore[no-untyped-call]
        with contextlib.suppress(RuntimeError, OSError):
            state.share_memory_()  # type: ignore[no-untyped-call]
    return state
