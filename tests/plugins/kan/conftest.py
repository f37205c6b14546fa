"""Puts this folder's helper modules, whose names begin with ``kan_``, in reach of its tests; nothing is compiled."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

with warnings.catch_warnings(), contextlib.suppress(ImportError):
    warnings.simplefilter("ignore")
    import kan  # noqa: F401 - before an example of that name can stand on the path


@pytest.fixture(autouse=True)
def _eager_on_one_thread() -> Iterator[None]:
    """flashkan compiles its splines; here they run as they are, which gives the same numbers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.compiler.set_stance("force_eager"):
        yield
    torch.set_num_threads(threads)
