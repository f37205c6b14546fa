"""How values read on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from initkit.drawing.style import raised

NONE = "–"
_THIN = " "  # a narrow blank that does not break


def text_of(value: Any) -> str:
    """A cell's words: numbers to 4 significant digits, other values as they are."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return real(value, full=True)
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(one) for one in value)
    return {"inf": "∞", "-inf": "−∞", "nan": "NaN"}.get(str(value), str(value))


def whole(value: int) -> str:
    """``1 234 567``."""
    return f"{value:,}".replace(",", _THIN).replace("-", "−")


def real(value: float, *, full: bool = False) -> str:
    """``0.0213``, ``2.85×10⁻⁶``; in full, as in the columns of tables, always 4 digits: ``0.02130``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    digits = (f"{value:#.4g}" if full else f"{value:.4g}").removesuffix(".")
    mantissa, e, exponent = digits.partition("e")
    if e:
        digits = f"{mantissa}×10{raised(int(exponent))}"
    return f"−{digits[1:]}" if digits.startswith("-") else digits


def between(low: float | None, high: float | None) -> str:
    """An interval; "" where there is none."""
    return "" if low is None or high is None else f"{real(low, full=True)} to {real(high, full=True)}"


def shape(sizes: Iterable[int] | None) -> str:
    """``64×7``; ``scalar`` for no dimension."""
    return "" if sizes is None else "×".join(str(size) for size in sizes) or "scalar"


def is_number(value: Any) -> bool:
    """Whether a cell stands right."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def counted(count: int, noun: str) -> str:
    """``1 tensor``, ``2 tensors``."""
    return f"{whole(count)} {noun}{'' if count == 1 else 's'}"
