"""Training curves: the mean over seeds with its 95 % band."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initkit._student import quantile
from initkit.drawing.kinds import end_labels, logarithmic
from initkit.drawing.style import BEFORE, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 400
_WIDE = 8.0  # ratio of losses from which on a logarithmic axis shows more


@dataclass(frozen=True)
class Curve:
    """Losses of one start over its seeds, by step.

    Attributes:
        start: its name.
        colour: as #rrggbb.
        steps: 1, 2, ...; at most :data:`MOST_POINTS` of them.
        mean: over the runs that have a finite loss at the step; NaN where none has.
        low: lower end of the 95 % t-interval; the mean for a single run.
        high: upper end.
        diverged: the steps at which runs diverged.
        runs: how many there are.
    """

    start: str
    colour: str
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    diverged: tuple[int, ...]
    runs: int

    def describe(self) -> str:
        """The curve in words."""
        known = [value for value in self.mean if math.isfinite(value)]
        if not known:
            return f"{self.start}: no finite loss"
        return f"{self.start}: from {known[0]:.3g} to {known[-1]:.3g}"


def curves_of(comparison: Mapping[str, Any]) -> list[Curve]:
    """One curve for each start that has runs, in order; the first one, against which the others stand, is grey."""
    found = []
    for i, start in enumerate(comparison["starts"]):
        runs = [run for run in comparison["runs"] if run["start"] == start["name"]]
        if runs:
            colour = BEFORE if i == 0 and len(comparison["starts"]) > 1 else SERIES[(max(i, 1) - 1) % len(SERIES)]
            found.append(_curve(start["name"], colour, runs))
    return found


def draw_curves(curves: Sequence[Curve], axes: Axes, level: float | None = None) -> None:
    """Draw the curves; a cross marks a step at which a run diverged, a dotted line the level to reach."""
    log = is_logarithmic(curves)
    floor = min((v for one in curves for v in (*one.mean, *one.low) if v > 0), default=0.0) if log else -math.inf
    for one in curves:
        low = [max(value, floor) if math.isfinite(value) else math.nan for value in one.low]
        axes.fill_between(one.steps, low, one.high, color=one.colour, alpha=0.16, linewidth=0)
        axes.plot(one.steps, one.mean, color=one.colour, linewidth=1.7)
    if level is not None and not (log and level <= 0):
        axes.axhline(level, color=BEFORE, linewidth=0.9, linestyle=":")
    if log:
        logarithmic(axes, "y")
    for one in curves:
        if one.diverged:
            marks = [(step, _at(one, step)) for step in one.diverged]
            axes.plot(
                [step for step, _ in marks],
                [value for _, value in marks],
                "x",
                color=one.colour,
                markersize=8,
                markeredgewidth=2.2,
                zorder=5,
                clip_on=False,
            )
    axes.set_title("loss")
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    end_labels(axes, [(*_last(one), one.start, one.colour) for one in curves])


def is_logarithmic(curves: Sequence[Curve]) -> bool:
    """Whether all losses are positive and far apart."""
    known = [value for one in curves for value in one.mean if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) >= _WIDE


def _curve(name: str, colour: str, runs: Sequence[Mapping[str, Any]]) -> Curve:
    count = max((len(run["losses"]) for run in runs), default=0)
    chosen = sorted({round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)}) if count else []
    chosen = chosen if count > MOST_POINTS else list(range(count))
    bands = [_band(_finite(run["losses"][step] for run in runs if step < len(run["losses"]))) for step in chosen]
    return Curve(
        start=name,
        colour=colour,
        steps=tuple(step + 1 for step in chosen),
        mean=tuple(mean for mean, _, _ in bands),
        low=tuple(low for _, low, _ in bands),
        high=tuple(high for _, _, high in bands),
        diverged=tuple(sorted(run["diverged_at"] for run in runs if run.get("diverged_at") is not None)),
        runs=len(runs),
    )


def _finite(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)]


def _band(values: Sequence[float]) -> tuple[float, float, float]:
    n = len(values)
    if n == 0:
        return math.nan, math.nan, math.nan
    mean = math.fsum(values) / n
    if n == 1:
        return mean, mean, mean
    half = _t(n - 1) * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return mean, mean - half, mean + half


@functools.lru_cache
def _t(freedom: int) -> float:
    return quantile(freedom)


def _at(curve: Curve, step: int) -> float:
    """The mean at a step, or at the last one before it that has one."""
    known = [(s, v) for s, v in zip(curve.steps, curve.mean, strict=True) if math.isfinite(v)]
    earlier = [value for s, value in known if s <= step]
    return earlier[-1] if earlier else (known[0][1] if known else math.nan)


def _last(curve: Curve) -> tuple[float, float]:
    known = [(s, v) for s, v in zip(curve.steps, curve.mean, strict=True) if math.isfinite(v)]
    return (float(known[-1][0]), known[-1][1]) if known else (math.nan, math.nan)
