"""What an inspection found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from initkit._table import table
from initkit.errors import InitError
from initkit.probes import Table, Verdict

if TYPE_CHECKING:
    from initkit.report import Report

FORMAT = 1
MEASURING = ("initkit-core", "torch")
"""Distributions that measured numbers depend on."""


class UnhealthyError(InitError, AssertionError):
    """A model that does not start healthily; the message holds the verdicts."""


@dataclass(frozen=True)
class Skipped:
    """A probe that measured nothing, and why."""

    probe: str
    why: str


@dataclass
class Inspection:
    """Tables and verdicts of a model.

    Attributes:
        subject: class name of the model.
        seed: of the inspection.
        versions: of the libraries that the numbers depend on.
        tables: by name; a plugin's bear its name in front.
        verdicts: in the order of the probes.
        skipped: probes that measured nothing, with the reason.
        before: the inspection that this one is laid beside, or None.
        report: of the recipes that were applied in between, or None.
    """

    subject: str
    seed: int
    versions: dict[str, str]
    tables: dict[str, Table] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    before: Inspection | None = None
    report: Report | None = None

    def add(self, found: Table, probe: str) -> None:
        """Add a table; rows of one name from the same plugin are joined."""
        plugin, slash, _ = probe.partition("/")
        name = f"{plugin}/{found.name}" if slash and plugin != "core" else found.name
        rows = [{key: _plain(value) for key, value in row.items()} for row in found.rows]
        known = self.tables.get(name)
        self.tables[name] = replace(found, name=name, rows=[*(known.rows if known else ()), *rows])

    @property
    def healthy(self) -> bool:
        """Whether no verdict is FAIL."""
        return all(verdict.level != "FAIL" for verdict in self.verdicts)

    def number(self, measure: str) -> float | None:
        """The value of a measure of the whole model, by the beginning of its name; None where it was not measured."""
        rows = [row for one in self.tables.values() if "measure" in one.columns for row in one.rows]
        return next((row["value"] for row in rows if str(row["measure"]).startswith(measure)), None)

    def assert_healthy(self, *, warnings: bool = False) -> None:
        """Raise if a verdict is FAIL, for a test or a training script.

        Args:
            warnings: whether WARN counts as well.

        Raises:
            UnhealthyError: with the verdicts, one a line.
        """
        bad = [v for v in self.verdicts if v.level == "FAIL" or (warnings and v.level == "WARN")]
        if bad:
            raise UnhealthyError(f"{self.subject} does not start healthily:\n" + "\n".join(map(str, bad)))

    def to_dict(self) -> dict[str, Any]:
        """The inspection as JSON values; numbers that are not finite are text."""
        found: dict[str, Any] = {
            "format": FORMAT,
            "subject": self.subject,
            "seed": self.seed,
            "versions": self.versions,
            "healthy": self.healthy,
            "verdicts": [{"level": v.level, "words": v.words, "where": v.where or None} for v in self.verdicts],
            "tables": {name: _table_dict(one) for name, one in self.tables.items()},
            "skipped": [{"probe": skip.probe, "why": skip.why} for skip in self.skipped],
        }
        if self.report is not None:
            found["recipes"] = self.report.recipes
        if self.before is not None:
            found["before"] = self.before.to_dict()
        return found

    def to_json(self) -> str:
        """The inspection as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def plot(self) -> Any:
        """Draw every table that says how, before and after, as a Matplotlib figure.

        Raises:
            InitError: Matplotlib is not installed; says how to install it.
        """
        from initkit.drawing import figure_of

        return figure_of(self)

    def shown(self) -> list[tuple[str, str, list[str], list[list[str]]]]:
        """Each table as text: name, words, head and rows; compared columns hold "before → after"."""
        return [(name, one.words, *self._cells(name, one)) for name, one in self.tables.items()]

    def _cells(self, name: str, one: Table) -> tuple[list[str], list[list[str]]]:
        earlier = self.before.tables.get(name) if self.before is not None else None
        if earlier is None:
            return one.columns, [[_text(row.get(column)) for column in one.columns] for row in one.rows]
        first = one.columns[0]
        compared = [column for column in one.columns if column in one.compared]
        old = {row[first]: row for row in earlier.rows}
        rows = []
        for row in one.rows:
            was: Mapping[str, Any] = old.get(row[first], {})
            rows.append([_text(row[first]), *(_pair(was.get(c), row.get(c)) for c in compared)])
        return [first, *compared], rows

    def __str__(self) -> str:
        lines = [f"{self.subject}: {'healthy' if self.healthy else 'not healthy'}"]
        for name, words, head, rows in self.shown():
            lines += ["", f"{name}: {words}" if words else name, table(head, rows)]
        lines += ["", *self.lines()]
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """The verdicts, those of before first where there are any, and what was skipped."""
        found = []
        if self.before is not None:
            found += [f"before: {verdict}" for verdict in self.before.verdicts]
        when = "after:  " if self.before is not None else ""
        found += [f"{when}{verdict}" for verdict in self.verdicts]
        return found + [f"skipped {skip.probe}: {skip.why}" for skip in self.skipped]


def _table_dict(one: Table) -> dict[str, Any]:
    found: dict[str, Any] = {"words": one.words, "rows": [dict(row) for row in one.rows]}
    if one.plot is not None:
        found["plot"] = one.drawn()
    if one.compared:
        found["compare"] = list(one.compared)
    return found


def _plain(value: Any) -> Any:
    """A cell as a JSON value: numbers to 7 significant digits, which is more than they hold."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    return value


def _pair(before: Any, after: Any) -> str:
    return "" if before is None and after is None else f"{_text(before) or '?'} → {_text(after) or '?'}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
