"""The list of all benchmarks: what each measures, with which seeds, and its file of figures."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import record
from tables import table

BENCHMARKS = record.ROOT / "benchmarks"


def listing(area: str) -> str:
    """A table of an area's benchmarks, from the first lines of their files and the figures that they wrote."""
    rows = []
    for path in sorted((BENCHMARKS / area).glob("[!_]*.py")):
        found = record.load(area, path.stem)
        rows.append([f"`{area} {path.stem}`", _what(path), "not run" if found is None else _seeds(found)])
    return table(["benchmark", "what it measures", "seeds"], rows, numbers_from=3)


def _what(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].replace("``", "`").replace("|", "\\|")


def _seeds(found: dict[str, Any]) -> str:
    seeds = found.get("seeds", [found["seed"]] if "seed" in found else [])
    if not seeds:
        return "none drawn"
    numbers = sorted(int(seed) for seed in seeds)
    together = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}–{numbers[-1]}" if together and len(numbers) > 1 else ", ".join(map(str, numbers))
