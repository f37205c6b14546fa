"""Running chains: in turn or in threads, with progress, and with an interrupt that loses nothing."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from initkit_ihmm.beam.chain import Chain

Progress = bool | Callable[[int, int, Sequence[Chain]], None]
_SECONDS = 0.5  # between two looks at the progress; the draws do not depend on it


def run_chains(
    chains: Sequence[Chain],
    sweeps: int,
    *,
    n_jobs: int = 1,
    progress: Progress = False,
    save: Callable[[], None] | None = None,
    every: float = 60.0,
) -> bool:
    """Bring every chain to a number of sweeps; False where Ctrl-C stopped them, after the sweep in progress.

    Args:
        chains: each with random numbers of its own.
        sweeps: to be reached, those already done included.
        n_jobs: threads (compiled sweeps run beside each other); -1 is one for each core.
        progress: True writes a line to stderr; or a function of sweeps done, sweeps to do (over all chains) and chains.
        save: called now and then, and at the end.
        every: seconds between calls of ``save``.
    """
    show = _line if progress is True else progress or None
    stop = threading.Event()
    block, saved = 1, time.monotonic()
    with _deferred_interrupt(stop):
        while not stop.is_set() and any(len(chain.traces) < sweeps for chain in chains):
            begin = time.monotonic()
            _block(chains, sweeps, block, n_jobs, stop)
            now = time.monotonic()
            block = max(1, min(1000, int(block * _SECONDS / max(now - begin, 1e-3))))
            if show is not None:
                show(sum(len(chain.traces) for chain in chains), sweeps * len(chains), chains)
            if save is not None and now - saved > every:
                save()
                saved = now
    if progress is True:
        sys.stderr.write("\n")
    if save is not None:
        save()
    return not stop.is_set()


@contextlib.contextmanager
def _deferred_interrupt(stop: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into the event, so that no sweep is cut in two; the second acts at once.

    A KeyboardInterrupt that comes another way (from a progress function, say) counts as the first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    except KeyboardInterrupt:
        if stop.is_set():
            raise
        stop.set()
    finally:
        signal.signal(signal.SIGINT, before)


def _block(chains: Sequence[Chain], sweeps: int, block: int, n_jobs: int, stop: threading.Event) -> None:
    todo = [(chain, min(block, sweeps - len(chain.traces))) for chain in chains if len(chain.traces) < sweeps]
    if n_jobs == 1 or len(todo) == 1:
        for chain, count in todo:
            chain.run(count, stop)
        return
    from joblib import Parallel, delayed

    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(chain.run)(count, stop) for chain, count in todo)


def _line(done: int, total: int, chains: Sequence[Chain]) -> None:
    states = " ".join(str(chain.states) for chain in chains)
    best = max(chain.traces[-1][0] for chain in chains if chain.traces)
    sys.stderr.write(f"\rsweep {done}/{total}, states {states}, log p(x, z) {best:.1f}   ")
    sys.stderr.flush()
