"""Colours and settings that every drawing shares, and what is said where Matplotlib is missing."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from initkit.errors import InitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#3f444d", "#7c828d", "#e3e5e9"
"""Of words, of tick labels, and of the grid."""

BEFORE = "#9aa0aa"
"""Of what a drawing is compared with."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

PANEL = (4.4, 2.75)
"""Width and height of one pair of axes, in inches."""

_SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "initkit",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.which": "major",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "text.parse_math": False,
}


_OF_WINDOWS = ("backend", "interactive", "toolbar", "webagg", "tk.", "macosx", "keymap", "figure.hooks")


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Context in which figures have the house's style; Matplotlib's own settings are restored.

    Raises:
        InitError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise InitError('drawings need Matplotlib: pip install "initkit-core[html]"') from None
    # The user's own settings have no say, so that the same numbers give the same bytes.
    plain = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(_OF_WINDOWS)}
    settings: Any = {**plain, **_SETTINGS}
    with matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def tick_words(low: float, high: float) -> Callable[[float, object], str]:
    """How ticks of a logarithmic axis read: ``0.01`` throughout where that is short, else ``10⁻³``."""
    plain = low >= 10**-2.5 and high <= 10**4.5

    def words(value: float, _: object = None) -> str:
        if not (value > 0 and math.isfinite(value)):
            return ""
        if plain or value in (1.0, 10.0):
            return f"{value:.6g}"
        exponent = math.floor(math.log10(value) + 1e-9)
        factor = value / 10.0**exponent
        power = f"10{raised(exponent)}"
        return power if abs(factor - 1) < 1e-6 else f"{factor:.3g}·{power}"

    return words


def short(name: str, most: int = 18) -> str:
    """A name cut in the middle, where it says least."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


def shortened(names: Sequence[str], most: int = 18) -> list[str]:
    """Names as they stand beside ticks: where some are long, without the beginning that most share, and cut."""
    shared = _shared(names) if max(map(len, names), default=0) > most else ""
    return [short(f"…{name[len(shared) :]}" if shared and name.startswith(shared) else name, most) for name in names]


def _shared(names: Sequence[str]) -> str:
    """The longest beginning up to a dot that at least half of the names have."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            beginning = ".".join(parts[:i]) + "."
            counts[beginning] = counts.get(beginning, 0) + 1
    return max((one for one, n in counts.items() if n > 1 and 2 * n >= len(names)), key=len, default="")


def thinned(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers 0 to count - 1 in equal steps; the last one, if it is not among them, too."""
    if count <= most:
        return list(range(count))
    step = math.ceil((count - 1) / (most - 1))
    found = list(range(0, count, step))
    if found[-1] != count - 1:
        if count - 1 - found[-1] < step:
            found.pop()
        found.append(count - 1)
    return found


def apart(places: Sequence[float], step: float) -> list[float]:
    """Heights near the given ones that are at least ``step`` apart, within 0..1 where they fit."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    heights: list[float] = []
    for i in order:
        heights.append(max(places[i], heights[-1] + step) if heights else places[i])
    top = 1.0
    for back in range(len(heights) - 1, -1, -1):
        heights[back] = min(heights[back], top)
        top = heights[back] - step
    found = [0.0] * len(places)
    for rank, i in enumerate(order):
        found[i] = heights[rank]
    return found


def raised(exponent: int) -> str:
    """An exponent in raised figures."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
