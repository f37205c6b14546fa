"""Reads what the benchmarks wrote."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DATA = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}


def path_of(area: str, name: str) -> Path:
    """Where the figures of a benchmark are."""
    return RESULTS / area / f"{name}.json"


@functools.cache
def load(area: str, name: str) -> Any:
    """The figures of a benchmark, or None where it has not been run."""
    path = path_of(area, name)
    return json.loads(path.read_text()) if path.is_file() else None


def need(area: str, name: str) -> Any:
    """The figures of a benchmark.

    Raises:
        FileNotFoundError: it has not been run.
    """
    found = load(area, name)
    if found is None:
        raise FileNotFoundError(f"no figures of {area}/{name}: run python -m benchmarks {area} {name}")
    return found


def digest(*benchmarks: tuple[str, str]) -> str:
    """A hash of the rows of some benchmarks; images carry it, so that a stale one is found."""
    rows = [need(*one)["rows"] for one in benchmarks]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
