"""From tables to panels: what stands in one pair of axes, as numbers and words, before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initkit.drawing.style import BEFORE, SERIES

MOST_LABELS = 6
"""Series that are told apart by words at their ends; more get a legend."""


@dataclass(frozen=True)
class Series:
    """One line, set of points or set of bars.

    Attributes:
        x: numbers, NaN where there is none.
        y: likewise, as many.
        label: its words.
        colour: as #rrggbb.
        earlier: whether it is what the drawing is compared with.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    label: str
    colour: str
    earlier: bool = False


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows.

    Attributes:
        table: name of the table.
        kind: as that of :class:`initkit.Plot`.
        x_label: words of the horizontal axis.
        y_label: words of the vertical axis.
        series: in the order of drawing.
        names: of the places 0, 1, ... where the horizontal axis holds names; () where it holds numbers.
        log: the logarithmic axes.
        equal: whether both axes have one scale.
    """

    table: str
    kind: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    names: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    equal: bool = False

    def describe(self) -> str:
        """The panel in words, for readers who do not see it."""
        parts = []
        for one in self.series:
            y = [value for value in one.y if math.isfinite(value)]
            if not y:
                continue
            if self.kind in ("line", "bars"):
                said = f"from {y[0]:.3g} to {y[-1]:.3g}, at least {min(y):.3g} and at most {max(y):.3g}"
            else:
                said = f"{len(y)} points, {min(y):.3g} to {max(y):.3g}"
            parts.append(f"{one.label or self.y_label}: {said}")
        kinds = {"line": "Lines", "scatter": "Points", "bars": "Bars", "histogram": "Histogram"}
        return f"{kinds[self.kind]}: {self.y_label} by {self.x_label}. {'; '.join(parts)}".rstrip(". ") + "."


def panels_of(tables: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Panel]:
    """The panels of all tables that say how they are drawn.

    Args:
        tables: by name, as in :meth:`initkit.Inspection.to_dict`.
        before: those of the earlier inspection, or None.
    """
    return [panel for name, one in tables.items() for panel in panels(name, one, (before or {}).get(name))]


def panels(name: str, table: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Panel]:
    """The panels of one table: one in all, or one for each column of ``y`` where before and after share the axes.

    A table without a plot, or with nothing finite to draw, has none.
    """
    plot = table.get("plot")
    if not plot or not table["rows"]:
        return []
    earlier = list(before["rows"]) if before else []
    columns = list(plot["y"])
    alone = len(columns) == 1 or (bool(earlier) and plot["kind"] != "scatter")
    shares = [[column] for column in columns] if alone else [columns]
    found = [_panel(name, plot, table["rows"], earlier, share) for share in shares]
    return [panel for panel in found if any(_drawable(one) for one in panel.series)]


def number(value: Any) -> float:
    """A cell as a number; NaN for None, text, and text such as ``"inf"``, which cannot be drawn."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def _panel(
    name: str,
    plot: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    earlier: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
) -> Panel:
    labels: Mapping[str, str] = plot["labels"]
    x = plot["x"]
    names = () if _numeric(x, [*rows, *earlier]) else tuple(dict.fromkeys(str(r.get(x)) for r in [*rows, *earlier]))
    if not any(x in row for row in rows):
        names = ()
    keys = _keys(rows, plot["group"], columns)
    series = []
    for when, source in (("before", earlier), ("after", rows)):
        for i, (group, column) in enumerate(keys):
            own = [row for row in source if not plot["group"] or str(row.get(plot["group"])) == group]
            if not own:
                continue
            several = len(keys) > 1
            words = ", ".join(filter(None, (group, labels.get(column, column) if len(columns) > 1 else "")))
            if several:
                label = f"{words} before" if when == "before" else words
                colour = SERIES[i % len(SERIES)]
            else:
                label = when if earlier else words
                colour = BEFORE if when == "before" else SERIES[0]
            places = _places(own, x, names)
            values = tuple(number(row.get(column)) for row in own)
            series.append(Series(places, values, label, colour, earlier=when == "before"))
    return Panel(
        table=name,
        kind=plot["kind"],
        x_label=labels.get(x, x),
        y_label=", ".join(labels.get(column, column) for column in columns),
        series=tuple(series),
        names=names,
        log=tuple(axis for axis in plot["log"] if _positive(series, axis)),
        equal=bool(plot["equal"]),
    )


def _keys(rows: Sequence[Mapping[str, Any]], group: str | None, columns: Sequence[str]) -> list[tuple[str, str]]:
    groups = list(dict.fromkeys(str(row.get(group)) for row in rows)) if group else [""]
    return [(one, column) for one in groups for column in columns]


def _places(rows: Sequence[Mapping[str, Any]], x: str, names: Sequence[str]) -> tuple[float, ...]:
    if names:
        place = {name: float(i) for i, name in enumerate(names)}
        return tuple(place[str(row.get(x))] for row in rows)
    if not any(x in row for row in rows):
        return tuple(float(i) for i in range(len(rows)))
    return tuple(number(row.get(x)) for row in rows)


def _numeric(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row[column] for row in rows if row.get(column) is not None]
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _positive(series: Sequence[Series], axis: str) -> bool:
    """Whether a logarithmic axis has anything to show."""
    return any(value > 0 for one in series for value in (one.x if axis == "x" else one.y))


def _drawable(one: Series) -> bool:
    return any(_both_finite(one))


def _both_finite(one: Series) -> Iterator[bool]:
    return (math.isfinite(x) and math.isfinite(y) for x, y in zip(one.x, one.y, strict=True))
