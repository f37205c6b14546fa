"""What was written, kept and left, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from initkit.page.findings import charts_of
from initkit.page.histograms import Histograms
from initkit.page.numbers import real, shape, text_of
from initkit.page.tables import SHOWN, Cell, Column, Sheet, note_sheet
from initkit.probes import Table

OUTPUTS = "outputs/"


@dataclass(frozen=True)
class Row:
    """One written tensor.

    Attributes:
        name: of the tensor.
        shape: with its dtype.
        draw: where its values come from.
        why: the reason, with the numbers.
        recipe: its id; "" where there is but one.
        marks: frozen, tied, resized, refilled.
        numbers: mean, std, min, max.
        picture: its histogram; None where it is not drawn.
    """

    name: str
    shape: str
    draw: str
    why: str
    recipe: str
    marks: tuple[str, ...]
    numbers: tuple[str, ...]
    picture: Markup | None


@dataclass(frozen=True)
class Note:
    """What a job found: rows or words, and drawings."""

    sheet: Sheet | str
    words: str = ""
    charts: Sequence[Markup] = ()


@dataclass(frozen=True)
class Written:
    """The part of the page that a report fills.

    Attributes:
        recipes: id, options and origin of each.
        rows: written tensors, outputs last.
        remark: what is said of histograms that are missing.
        pictures: whether any tensor has a histogram.
        kept: tensors left on purpose, and attributes that were set.
        untouched: names that nobody spoke of.
        notes: by key.
    """

    recipes: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]
    remark: str
    pictures: bool
    kept: Sheet | None
    set: Sheet | None
    untouched: Sequence[str]
    notes: Mapping[str, Note]

    @property
    def open(self) -> Sequence[Row]:
        """The rows that are shown."""
        return self.rows if len(self.rows) <= SHOWN + 5 else self.rows[:SHOWN]

    @property
    def folded(self) -> Sequence[Row]:
        """The rest."""
        return self.rows[len(self.open) :]


def entries_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of all tensors, outputs by their names in files."""
    outputs = {OUTPUTS + name: entry for name, entry in report["outputs"].items()}
    return {**report["tensors"], **outputs}


def written(report: Mapping[str, Any], histograms: Histograms, tables: Mapping[str, Table]) -> Written:
    """Arrange a report.

    Args:
        report: its JSON form.
        histograms: of the tensors.
        tables: notes that say how they are shown and drawn, by key.
    """
    several = len(report["recipes"]) > 1
    rows = [_row(name, entry, histograms, several) for name, entry in entries_of(report).items()]
    kept = [[Cell(name), Cell(why)] for name, why in report["kept"].items()]
    values = [[Cell(one["path"]), Cell(_option(one["value"])), Cell(one["why"])] for one in report["set"]]
    return Written(
        recipes=[recipe_words(one) for one in report["recipes"]],
        rows=rows,
        remark=histograms.words(),
        pictures=bool(histograms.drawn),
        kept=Sheet("Kept as they were, on purpose", [Column("tensor"), Column("why")], kept) if kept else None,
        set=Sheet("Attributes that were set", [Column("attribute"), Column("value"), Column("why")], values)
        if values
        else None,
        untouched=report["untouched"],
        notes={key: _note(i, key, note, tables.get(key)) for i, (key, note) in enumerate(report["notes"].items())},
    )


def _note(index: int, key: str, note: Any, table: Table | None) -> Note:
    if table is None or table.plot is None:
        return Note(note_sheet(note), table.words if table is not None else "")
    charts = charts_of(f"n{index}", key, {"rows": note, "plot": table.drawn()})
    return Note(note_sheet(note), table.words, charts)


def recipe_words(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's id, options as words, and the distribution that it comes from."""
    origin = " ".join(str(part) for part in (recipe.get("distribution"), recipe.get("version")) if part)
    options = {name: _option(value) for name, value in (recipe.get("options") or {}).items()}
    return {"id": recipe["id"], "options": options, "origin": origin}


def _option(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else text_of(value)


def _row(name: str, entry: Mapping[str, Any], histograms: Histograms, several: bool) -> Row:
    drawn = histograms.drawn.get(name)
    numbers = [entry[key] for key in ("mean", "std", "min", "max")]
    return Row(
        name=name,
        shape=f"{shape(entry['shape'])} {entry['dtype']}",
        draw=entry["draw"],
        why=entry["why"],
        recipe=entry["recipe"] if several else "",
        marks=tuple(_marks(entry)),
        numbers=tuple("" if value is None else real(float(value), full=True) for value in numbers),
        picture=drawn.svg() if drawn is not None else None,
    )


def _marks(entry: Mapping[str, Any]) -> list[str]:
    marks = ["frozen"] if entry.get("frozen") else []
    if entry.get("aliases"):
        marks.append(f"tied with {', '.join(entry['aliases'])}")
    if entry.get("resized_from"):
        marks.append(f"resized from {shape(entry['resized_from'])}")
    if entry.get("chain"):
        marks.append(f"after {', '.join(link['recipe'] for link in entry['chain'])}")
    return marks


def parameters_share(covered: float) -> str:
    """``98.4 %``; never 100 % for less than all."""
    percent = 100 * covered
    text = f"{percent:.1f}" if percent < 99.95 or covered >= 1 else "> 99.9"
    return f"{'100' if covered >= 1 else text} %"
