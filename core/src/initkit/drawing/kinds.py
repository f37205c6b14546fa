"""How each kind of panel is drawn into its axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from initkit.drawing.panels import MOST_LABELS, Panel, Series
from initkit.drawing.style import FAINT, apart, short, shortened, thinned, tick_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = 9  # tick labels that stand side by side
_NAMES_BELOW = 16  # or one below the other
_DOTS = 40  # points of a line that are marked


def draw(panel: Panel, axes: Axes) -> None:
    """Draw a panel; axes are labelled, and series told apart by words beside them."""
    axes.set_title(panel.y_label)
    if panel.kind == "bars" and panel.names:
        _bars_across(panel, axes)
        return
    {"line": _lines, "scatter": _points, "bars": _bars, "histogram": _histogram}[panel.kind](panel, axes)
    axes.set_xlabel(panel.x_label)
    if panel.names:
        chosen = thinned(len(panel.names), _NAMES)
        words = shortened(panel.names)
        axes.set_xticks(chosen, [words[i] for i in chosen], rotation=32, ha="right", rotation_mode="anchor")
    _scales(panel, axes)
    if panel.kind != "line":
        _legend(panel, axes)


def _lines(panel: Panel, axes: Axes) -> None:
    for one in panel.series:
        x, y = _shown(panel, one)
        mark = "o" if len(x) <= _DOTS else None
        alone = not _many(panel)
        axes.plot(
            x,
            y,
            color=one.colour,
            marker=mark,
            markersize=3,
            linestyle="--" if one.earlier and not alone else "-",
            alpha=0.55 if one.earlier and not alone else 1.0,
            linewidth=1.3 if one.earlier else 1.8,
        )
    _scales(panel, axes)
    if len(panel.series) > MOST_LABELS:
        _legend(panel, axes)
    else:
        end_labels(axes, [(*_last(panel, one), one.label, one.colour) for one in panel.series if one.label])


def _points(panel: Panel, axes: Axes) -> None:
    for one in panel.series:
        x, y = _shown(panel, one)
        hollow = one.earlier
        axes.scatter(
            x,
            y,
            s=13,
            facecolors="none" if hollow else one.colour,
            edgecolors=one.colour,
            linewidths=0.9 if hollow else 0,
            alpha=0.85,
            label=one.label or None,
        )
    if panel.equal:
        axes.set_aspect("equal", adjustable="datalim")
        axes.axhline(0, color=FAINT, linewidth=0.6)
        axes.axvline(0, color=FAINT, linewidth=0.6)
    axes.set_title("")
    axes.set_ylabel(panel.y_label)


def _bars(panel: Panel, axes: Axes) -> None:
    places = sorted({x for one in panel.series for x in one.x if math.isfinite(x)})
    gap = min((b - a for a, b in itertools.pairwise(places)), default=1.0)
    width = 0.8 * gap / len(panel.series)
    for i, one in enumerate(panel.series):
        x, y = _shown(panel, one)
        shift = (i - (len(panel.series) - 1) / 2) * width
        axes.bar([value + shift for value in x], y, width, color=one.colour, alpha=_veil(panel, one), label=one.label)
    axes.grid(visible=False, axis="x")


def _bars_across(panel: Panel, axes: Axes) -> None:
    """Bars that bear names lie down, so that the names can be read."""
    height = 0.8 / len(panel.series)
    for i, one in enumerate(panel.series):
        x, y = _shown(panel, one)
        shift = (i - (len(panel.series) - 1) / 2) * height
        axes.barh([value + shift for value in x], y, height, color=one.colour, alpha=_veil(panel, one), label=one.label)
    chosen = thinned(len(panel.names), _NAMES_BELOW)
    words = shortened(panel.names, 24)
    axes.set_yticks(chosen, [words[i] for i in chosen])
    axes.set_ylim(len(panel.names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    if "y" in panel.log:
        logarithmic(axes, "x")
    _legend(panel, axes)


def _histogram(panel: Panel, axes: Axes) -> None:
    for one in panel.series:
        pairs = [(x, y) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(x)]
        edges = [x for x, _ in pairs]
        width = edges[1] - edges[0] if len(edges) > 1 else 1.0
        counts = [0.0 if math.isnan(y) else y for _, y in pairs]
        edges.append(edges[-1] + width)
        if one.earlier:
            axes.stairs(counts, edges, color=one.colour, linewidth=1.3, label=one.label or None)
        else:
            axes.stairs(counts, edges, color=one.colour, fill=True, alpha=0.75, label=one.label or None)
    axes.grid(visible=False, axis="x")


def _many(panel: Panel) -> bool:
    return len({one.colour for one in panel.series if not one.earlier}) > 1


def _veil(panel: Panel, one: Series) -> float:
    return 0.4 if one.earlier and _many(panel) else 1.0


def _shown(panel: Panel, one: Series) -> tuple[list[float], list[float]]:
    """The numbers; what a logarithmic axis cannot show is left out of the line, which breaks there."""
    x = [math.nan if "x" in panel.log and not value > 0 else value for value in one.x]
    y = [math.nan if "y" in panel.log and not value > 0 else value for value in one.y]
    return x, y


def _last(panel: Panel, one: Series) -> tuple[float, float]:
    pairs = [(x, y) for x, y in zip(*_shown(panel, one), strict=True) if math.isfinite(x) and math.isfinite(y)]
    return pairs[-1] if pairs else (math.nan, math.nan)


def _scales(panel: Panel, axes: Axes) -> None:
    for axis in panel.log:
        logarithmic(axes, axis)


def logarithmic(axes: Axes, axis: str) -> None:
    """Make the axis ``x`` or ``y`` logarithmic, with few labels that can be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    along = axes.xaxis if axis == "x" else axes.yaxis
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    narrow = high / low < 100
    along.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=7))
    along.set_major_formatter(FuncFormatter(tick_words(low, high)))
    along.set_minor_formatter(NullFormatter())


def _legend(panel: Panel, axes: Axes) -> None:
    """Name the series above the axes; what they measure moves from there to the axis."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    labelled = [one for one in panel.series if one.label]
    if len(labelled) < 2:
        return
    if panel.kind == "line":
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=one.colour, linestyle="--" if one.earlier else "-", label=one.label)
            for one in labelled
        ]
    else:
        handles = [Patch(color=one.colour, alpha=_veil(panel, one), label=one.label) for one in labelled]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        borderaxespad=0.2,
        ncols=3 if len(handles) > MOST_LABELS else len(handles),
        handlelength=1.0,
        columnspacing=1.2,
    )
    axes.set_title("")
    if panel.kind == "bars" and panel.names:
        axes.set_xlabel(panel.y_label)
    else:
        axes.set_ylabel(panel.y_label)


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write words at the right ends of lines, moved apart where they would meet.

    Args:
        axes: with its scales set.
        ends: x, y, words and colour of each line's last point.
    """
    axes.get_xlim()  # asking settles the limits
    axes.get_ylim()
    to = axes.transData + axes.transAxes.inverted()
    placed = [(float(to.transform((x, y))[1]), words, colour) for x, y, words, colour in ends if math.isfinite(y)]
    heights = apart([place for place, _, _ in placed], 0.085)
    for height, (_, words, colour) in zip(heights, placed, strict=True):
        axes.annotate(
            short(words, 26),
            (1.0, height),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            ha="left",
            fontsize=8.5,
            annotation_clip=False,
        )
