"""The journal: how to undo everything written so far, Ctrl-C included."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

Undo = Callable[[], None]


class Journal:
    """Records how to undo each write, and plays it backwards. A context in which Ctrl-C cannot split a write.

    Inside it the first Ctrl-C raises ``KeyboardInterrupt`` between writes; those that follow wait until the context
    is left, so that nothing can break into a rollback.

    Args:
        keep: whether to record at all; without it nothing can be rolled back and no copy is held.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep
        self.wrote = False
        self._steps: list[Undo] = []
        self._interrupts = _Interrupts()

    def __enter__(self) -> Journal:
        self._interrupts.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting = self._interrupts.remove()
        if waiting and kind is None:
            raise KeyboardInterrupt

    def write(self, snapshot: Callable[[], Undo], action: Callable[[], None]) -> None:
        """Take a snapshot, then act; no Ctrl-C comes between."""
        self._interrupts.hold()
        try:
            if self.keep:
                self._steps.append(snapshot())
            self.wrote = True
            action()
        finally:
            self._interrupts.release()

    def rollback(self) -> None:
        """Undo everything, last step first."""
        while self._steps:
            self._steps.pop()()


class _Interrupts:
    """Ctrl-C, delivered once and never inside a held stretch. Does nothing where it cannot act.

    Signals reach the main thread alone, and a handler of the caller's own is left in place.
    """

    def __init__(self) -> None:
        self._installed = self._held = self._fired = self._waiting = False

    def install(self) -> None:
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._installed = True
            signal.signal(signal.SIGINT, self._come)

    def remove(self) -> bool:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False
        return self._waiting

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        if self._waiting and not self._fired:
            self._waiting, self._fired = False, True
            raise KeyboardInterrupt

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self._held or self._fired:
            self._waiting = True
        else:
            self._fired = True
            raise KeyboardInterrupt
