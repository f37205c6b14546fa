"""Tables as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initkit.page.numbers import is_number, text_of

SHOWN = 20
"""Rows that stand open; the rest of a longer table is folded away."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: its words.
        right: whether it stands right, as numbers do.
        note: smaller words beside it.
    """

    text: str
    right: bool = False
    note: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a column; ``parts`` are the heads below it, of columns that belong together."""

    text: str
    right: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        words: what it holds, for its heading; "" where that is said elsewhere.
        columns: the heads.
        rows: cells by row; the first one names the row.
    """

    words: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(len(column.parts) or 1 for column in self.columns)

    @property
    def open(self) -> Sequence[Sequence[Cell]]:
        """The rows that are shown."""
        return self.rows if len(self.rows) <= SHOWN + 5 else self.rows[:SHOWN]

    @property
    def folded(self) -> Sequence[Sequence[Cell]]:
        """The rest."""
        return self.rows[len(self.open) :]


def cell(value: Any, *, note: str = "") -> Cell:
    """A JSON value as a cell."""
    return Cell(text_of(value), is_number(value) or value in ("inf", "-inf", "nan"), note)


def sheet_of(rows: Sequence[Mapping[str, Any]], words: str = "") -> Sheet:
    """Rows with equal keys, all columns."""
    columns = columns_of(rows)
    right = {column: _numeric(row.get(column) for row in rows) for column in columns}
    return Sheet(
        words,
        [Column(column, right[column]) for column in columns],
        [[_aligned(row.get(column), right[column]) for column in columns] for row in rows],
    )


def compared_sheet(
    rows: Sequence[Mapping[str, Any]],
    earlier: Sequence[Mapping[str, Any]],
    compared: Sequence[str],
    labels: Mapping[str, str],
    words: str = "",
) -> Sheet:
    """Rows with the compared columns before and after, side by side."""
    first, *_ = columns = columns_of(rows)
    shared = [column for column in columns if column in compared and column != first]
    right = {column: _numeric(row.get(column) for row in [*rows, *earlier]) for column in shared}
    old: dict[str, Mapping[str, Any]] = {text_of(row.get(first)): row for row in earlier}
    if shared == ["value"]:  # the rows say what it is the value of
        heads = [Column(first), *(Column(when, right["value"]) for when in ("before", "after"))]
    else:
        heads = [Column(first), *(Column(labels.get(c, c), right[c], ("before", "after")) for c in shared)]
    body = [
        [
            Cell(text_of(row.get(first))),
            *(_aligned(r.get(c), right[c]) for c in shared for r in (old.get(text_of(row.get(first)), {}), row)),
        ]
        for row in rows
    ]
    return Sheet(words, heads, body)


def note_sheet(note: Any) -> Sheet | str:
    """A note as a table, or as words where it is none."""
    if isinstance(note, Mapping):
        return Sheet("", [], [[Cell(str(key)), cell(value)] for key, value in note.items()])
    if isinstance(note, Sequence) and not isinstance(note, str) and note and all(isinstance(r, Mapping) for r in note):
        return sheet_of(note)
    return text_of(note)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the columns, in the order of the first row that has them."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _aligned(value: Any, right: bool) -> Cell:
    return Cell(text_of(value), right)


def _numeric(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(is_number(value) or value in ("inf", "-inf", "nan") for value in known)
