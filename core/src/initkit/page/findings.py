"""What an inspection found, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from initkit.drawing.kinds import draw
from initkit.drawing.panels import Panel, panels
from initkit.drawing.style import PANEL, new_figure, styled
from initkit.page.svg import inline
from initkit.page.tables import Sheet, compared_sheet, sheet_of

SYMBOLS = {"PASS": "✓", "NOTE": "i", "WARN": "!", "FAIL": "✕"}
_ORDER = ("FAIL", "WARN", "NOTE", "PASS")
_TALLER = 0.13  # inches a bar, where bars lie one below the other
_LEAD = {  # what stands first, and under which title
    "layers": "Signal and gradient by layer",
    "depth": "Over depth",
    "model": "Whole model",
}
_COLUMNS = 4  # of a table that takes half the width


@dataclass(frozen=True)
class Line:
    """A verdict."""

    level: str
    symbol: str
    where: str
    words: str


@dataclass(frozen=True)
class Block:
    """One table of an inspection, with its drawings.

    Attributes:
        title: for its heading.
        words: what it shows.
        charts: drawings.
        sheet: the rows.
        fold: whether the rows are folded away, since the drawings show them.
    """

    title: str
    words: str
    charts: Sequence[Markup]
    sheet: Sheet | None
    fold: bool

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width."""
        if self.fold:
            return len(self.charts) > 1
        return len(self.charts) > 1 or (self.sheet is not None and self.sheet.width > _COLUMNS)


@dataclass(frozen=True)
class Findings:
    """The part of the page that an inspection fills.

    Attributes:
        verdicts: of the model as it is now.
        before: of the model as it was; None where there is no earlier inspection.
        blocks: tables, those with the signal over depth first.
        skipped: what was not measured, and why.
    """

    verdicts: Sequence[Line]
    before: Sequence[Line] | None
    blocks: Sequence[Block]
    skipped: Sequence[Mapping[str, str]]


def findings(inspection: Mapping[str, Any]) -> Findings:
    """Arrange an inspection and draw its tables."""
    earlier = inspection.get("before")
    lead = [name for name in _LEAD if name in inspection["tables"]]
    names = [*lead, *(name for name in inspection["tables"] if name not in _LEAD)]
    older: Mapping[str, Any] = earlier["tables"] if earlier else {}
    blocks = [_block(i, name, inspection["tables"][name], older.get(name)) for i, name in enumerate(names)]
    return Findings(
        verdicts=worst_first(lines(inspection["verdicts"])),
        before=worst_first(lines(earlier["verdicts"])) if earlier else None,
        blocks=blocks,
        skipped=inspection["skipped"],
    )


def lines(verdicts: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Verdicts, in their order."""
    return [Line(v["level"], SYMBOLS.get(v["level"], "i"), v.get("where") or "", v["words"]) for v in verdicts]


def worst_first(found: Sequence[Line]) -> list[Line]:
    """Verdicts by level."""
    return sorted(found, key=lambda line: _ORDER.index(line.level) if line.level in _ORDER else len(_ORDER))


def measured(inspection: Mapping[str, Any], measure: str) -> float | None:
    """The value of a measure of the whole model, by the beginning of its name."""
    for table in inspection["tables"].values():
        for row in table["rows"]:
            if str(row.get("measure", "")).startswith(measure) and isinstance(row.get("value"), (int, float)):
                return float(row["value"])
    return None


def _block(index: int, name: str, table: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Block:
    charts = charts_of(f"c{index}", name, table, earlier)
    title = _LEAD.get(name, name.replace("_", " "))
    return Block(title, table["words"], charts, _sheet(table, earlier), fold=bool(charts) and len(table["rows"]) > 6)


def _sheet(table: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Sheet | None:
    rows = table["rows"]
    if not rows:
        return None
    compared = table.get("compare", ())
    if earlier is None or not compared:
        return sheet_of(rows)
    labels = (table.get("plot") or {}).get("labels", {})
    return compared_sheet(rows, earlier["rows"], compared, labels)


def charts_of(
    prefix: str, name: str, table: Mapping[str, Any], earlier: Mapping[str, Any] | None = None
) -> list[Markup]:
    """The drawings of a table, ids on the page beginning with ``prefix``."""
    return [_chart(f"{prefix}-{i}", panel) for i, panel in enumerate(panels(name, table, earlier))]


def _chart(name: str, panel: Panel) -> Markup:
    width, height = PANEL
    if panel.kind == "bars" and panel.names:
        height = max(1.4, 0.7 + _TALLER * min(len(panel.names), 40) * (1 + len(panel.series)) / 2)
    with styled():
        figure = new_figure(width, height)
        draw(panel, figure.add_subplot())
        return inline(figure, name, panel.describe())
