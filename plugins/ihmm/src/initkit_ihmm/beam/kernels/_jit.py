"""Compiling with numba where it is installed; the same functions run as plain Python elsewhere, to the same bits.

The functions take a ``numpy.random.Generator``, whose streams numba reproduces, and reduce in explicit loops, so that a
seed gives one chain either way. Only the log joint, which is reported and steers nothing, may differ in its last
digits: log Gamma comes from another library.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

try:
    import numba
except ImportError:  # pragma: no cover - numba is a dependency, but the chain does not need it
    njit: Any = None
else:
    njit = numba.njit


def _forget_stale(folder: Path) -> None:
    """Remove compiled functions older than any source: numba looks at a function's own file, not at what it calls."""
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        try:
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)
        except OSError:  # another process was quicker, or the folder cannot be written: numba copes with both
            continue


def jit(function: F) -> F:
    """Compile at the first call; keep the result on disk where a folder for it can be written."""
    if njit is None:
        return function
    try:
        made: F = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder for a cache
        made = njit(nogil=True, error_model="numpy")(function)
    return made


_forget_stale(Path(__file__).parent)
