"""What a comparison found, as the page shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from initkit.drawing.curves import Curve, curves_of, draw_curves, is_logarithmic
from initkit.drawing.style import new_figure, styled
from initkit.page.findings import Line, lines
from initkit.page.numbers import between, counted, real, text_of, whole
from initkit.page.svg import inline
from initkit.page.tables import Cell, Column, Sheet
from initkit.page.tensors import recipe_words

_WIDE = (5.2, 3.0)
_MEASURES = {"loss": "final loss", "area": "mean loss"}


@dataclass(frozen=True)
class Training:
    """The part of the page that a comparison fills.

    Attributes:
        words: how it was made.
        starts: name and recipes of each.
        verdicts: what it means.
        chart: training curves; None where no loss is finite.
        caption: how to read them.
        sheets: losses at steps, summary, tests.
    """

    words: str
    starts: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Line]
    chart: Markup | None
    caption: str
    sheets: Sequence[Sheet]


def training(comparison: Mapping[str, Any]) -> Training:
    """Arrange a comparison and draw its curves."""
    curves = curves_of(comparison)
    level = comparison.get("level")
    seeds = comparison["seeds"]
    words = f"{counted(comparison['steps'], 'step')} from each start, {counted(len(seeds), 'seed')}, in pairs: "
    words += "for one seed each start sees the same data in the same order"
    if comparison.get("interrupted"):
        words += ". Interrupted: this is what was finished"
    return Training(
        words=words + ".",
        starts=[
            {"name": start["name"], "recipes": [recipe_words(one) for one in start["recipes"]]}
            for start in comparison["starts"]
        ],
        verdicts=lines(comparison["verdicts"]),
        chart=_chart(curves, level),
        caption=_caption(curves, level),
        sheets=[one for one in (_losses(comparison), _summary(comparison), _tests(comparison)) if one.rows],
    )


def _chart(curves: Sequence[Curve], level: float | None) -> Markup | None:
    if not any(math.isfinite(value) for one in curves for value in one.mean):
        return None
    with styled():
        figure = new_figure(*_WIDE)
        draw_curves(curves, figure.add_subplot(), level)
        words = "Training curves, loss by step. " + "; ".join(one.describe() for one in curves) + "."
        return inline(figure, "training", words)


def _caption(curves: Sequence[Curve], level: float | None) -> str:
    said = ["Mean over the seeds with its 95 % t-interval" + (", logarithmic" if is_logarithmic(curves) else "")]
    if level is not None:
        said.append(f"dotted: loss {real(level)}, the level of the table")
    for one in curves:
        if one.diverged:
            said.append(f"{len(one.diverged)} of {counted(one.runs, 'run')} from {one.start} diverged (×)")
    if any(one.diverged for one in curves):
        said.append("after a run diverges the mean is that of the others")
    return "; ".join(said) + "."


def _losses(comparison: Mapping[str, Any]) -> Sheet:
    starts = [start["name"] for start in comparison["starts"]]
    steps = list(dict.fromkeys(row["step"] for row in comparison["table"]))
    found = {(row["start"], row["step"]): row for row in comparison["table"]}
    rows = [
        [Cell(whole(step), right=False), *(_mean(found.get((start, step)), "mean") for start in starts)]
        for step in sorted(steps)
    ]
    heads = [Column("step"), *(Column(start, right=True) for start in starts)]
    return Sheet("Loss at steps, with the 95 % interval of its mean", heads, rows)


def _summary(comparison: Mapping[str, Any]) -> Sheet:
    rows = comparison["summary"]
    scored = any(row.get("score") is not None for row in rows)
    level = comparison.get("level")
    to_level = f"steps to {real(level)}" if level is not None else "steps to the level"
    heads = ["final loss", "mean loss", to_level, "reached it", "diverged", *(["score"] if scored else [])]
    body = []
    for row in rows:
        cells = [
            Cell(row["start"]),
            _mean(row, "final"),
            Cell(text_of(row["area"]), right=True),
            Cell(text_of(row["steps_to_level"]), right=True),
            Cell(text_of(row["reached"]), right=True),
            Cell(text_of(row["diverged"]), right=True),
        ]
        if scored:
            cells.append(_mean({**row, "low": row.get("score_low"), "high": row.get("score_high")}, "score"))
        body.append(cells)
    return Sheet("In all", [Column("start"), *(Column(head, right=True) for head in heads)], body)


def _tests(comparison: Mapping[str, Any]) -> Sheet:
    body = [
        [
            Cell(row["start"]),
            Cell(row["against"]),
            Cell(_MEASURES.get(row["measure"], str(row["measure"]))),
            _mean(row, "difference"),
            Cell(text_of(None) if row["p"] is None else real(float(f"{row['p']:.2g}")), right=True),
            Cell(f"{row['wins']} of {row['n']}", right=True),
        ]
        for row in comparison["tests"]
    ]
    heads = [
        Column("start"),
        Column("against"),
        Column("measure"),
        *(Column(head, right=True) for head in ("difference", "p", "better in")),
    ]
    return Sheet("Paired t-tests over the seeds", heads, body)


def _mean(row: Mapping[str, Any] | None, key: str) -> Cell:
    if row is None:
        return Cell(text_of(None), right=True)
    return Cell(text_of(row[key]), right=True, note=between(row.get("low"), row.get("high")))
