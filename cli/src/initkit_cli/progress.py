"""Bars on stderr for long work, where somebody looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Progress = Callable[[Iterable[Any], str, "int | None"], Iterable[Any]]


@contextlib.contextmanager
def bars() -> Iterator[Progress | None]:
    """What :func:`initkit.apply` takes as ``progress``; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    shown = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        # What the user's code prints belongs to stdout, even while bars are shown on stderr.
        redirect_stdout=sys.stdout.isatty(),
    )

    def follow(iterable: Iterable[Any], words: str, total: int | None = None) -> Iterator[Any]:
        task = shown.add_task(words, total=total)
        try:
            for item in iterable:
                yield item
                shown.advance(task)
        finally:
            shown.remove_task(task)

    with shown:
        yield follow
