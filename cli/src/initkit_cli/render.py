"""Tables: with rich on a terminal; elsewhere one unwrapped, uncoloured row a line.

Ids, names and paths (*firm* columns) are never cut or broken, at any width.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_LEAST = 18  # of a column whose words may wrap
_LONG = 40  # a word beyond this may be broken there
_GAP = 2


def is_terminal() -> bool:
    """Whether somebody looks at stdout."""
    return sys.stdout.isatty()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, firm: int = 1, titled: bool = False) -> None:
    """Print a table.

    Args:
        head: names of the columns.
        rows: cells by row; line breaks in them become blanks.
        firm: how many columns, from the left, are never broken.
        titled: whether the piped form has the head as its first row.
    """
    clean = [[" ".join(cell.split()) for cell in row] for row in rows]
    if is_terminal():
        _boxes(head, clean, firm)
    else:
        print("\n".join(plain([list(head), *clean] if titled else clean)), end="\n" if clean or titled else "")


def plain(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, in columns two blanks apart; an empty cell within a row is a dash."""
    if not rows:
        return []
    filled = [[cell or "-" for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in filled) for i in range(len(filled[0]))]
    return [
        (" " * _GAP).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in filled
    ]


def _boxes(head: Sequence[str], rows: Sequence[Sequence[str]], firm: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = [max(len(row[i]) for row in [list(head), *rows]) for i in range(len(head))]
    least = [width if i < firm else _least([row[i] for row in rows], width) for i, width in enumerate(widths)]
    console = Console(highlight=False)
    # A terminal that is too narrow folds the lines itself, which loses nothing; rich would cut them.
    console.width = max(console.width, sum(least) + _GAP * len(head))
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0), collapse_padding=True)
    for i, name in enumerate(head):
        made.add_column(
            Text(name), min_width=least[i], no_wrap=i < firm, overflow="fold", style="bold cyan" if i == 0 else ""
        )
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)


def _least(cells: Sequence[str], width: int) -> int:
    """Width of a column that may wrap between words."""
    longest = max((len(word) for cell in cells for word in cell.split()), default=0)
    return min(width, max(_LEAST, min(longest, _LONG)))


def lines(*texts: str) -> None:
    """Print lines as they are: never wrapped, never coloured."""
    for text in texts:
        print(text)
