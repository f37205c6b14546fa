"""Figures and tables of the starts of hidden Markov models."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

Row = dict[str, Any]
ROWS = ("ihmm", "rows")
OPTIMA, SYMBOLS, REGIMES, SPEED = ("ihmm", "optima"), ("ihmm", "symbols"), ("ihmm", "regimes"), ("ihmm", "recipe_speed")
DATA = {
    "A_sep": "four states apart",
    "B_overlap": "four that overlap",
    "C_k8": "eight in three dimensions",
    "D_t4": "three with heavy tails",
    "E_cov": "three that differ in covariance",
    "F_rare": "five, one of them rare",
    "BasicMotions": "a watch, four activities",
}
STARTS = {
    "hmmlearn": "hmmlearn's own",
    "hmmlearn, best of 10": "hmmlearn's own, best of 10",
    "kmeans": "`ihmm/kmeans`",
    "windowed": "`ihmm/windowed`",
    "jump": "`ihmm/jump`",
    "overfit_merge": "`ihmm/overfit_merge`",
    "portfolio": "`ihmm/portfolio`",
}
# Okabe and Ito's palette; hmmlearn's starts are grey.
COLOURS = {
    "hmmlearn": "#a0a0a0",
    "hmmlearn, best of 10": "#5a5a5a",
    "kmeans": "#E69F00",
    "overfit_merge": "#56B4E9",
    "portfolio": "#0072B2",
}
STATE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def hits_table(starts: Sequence[str] = tuple(STARTS)) -> str:
    """Runs that reach the best optimum, EM steps in all and ARI, a line a start."""
    found = record.need(*OPTIMA)["rows"]
    rows = {(row["data"], row["start"]): row for row in found}
    data = [name for name in DATA if (name, "portfolio") in rows]
    lines = []
    for start in starts:
        mine = [rows[name, start] for name in data]
        steps = [one for row in mine for one in row["steps"]["values"]]
        lines.append(
            [
                STARTS[start],
                *[f"{row['hits']}/{row['runs']}" for row in mine],
                f"**{sum(row['hits'] for row in mine)}/{sum(row['runs'] for row in mine)}**",
                f"{np.mean(steps):.0f} ({min(steps):.0f} – {max(steps):.0f})",
            ]
        )
    return table(["start", *[DATA[name] for name in data], "all", "EM steps in all (range)"], lines)


def quality_table(starts: Sequence[str] = tuple(STARTS)) -> str:
    """Gap to the best log-likelihood and agreement with the true states, mean ± deviation over seeds."""
    rows = {(row["data"], row["start"]): row for row in record.need(*OPTIMA)["rows"]}
    data = [name for name in DATA if (name, "portfolio") in rows]
    lines = [
        [STARTS[start], *[f"{_pm(rows[name, start]['gap'], 0)}; {_pm(rows[name, start]['ari'], 2)}" for name in data]]
        for start in starts
    ]
    return table(["start", *[DATA[name] for name in data]], lines)


def _pm(found: Row, digits: int) -> str:
    mean = found["mean"] + 0.0
    return f"{mean:.{digits}f} ± {found['std']:.{digits}f}"


def symbols_table() -> str:
    """The same of symbols and counts."""
    rows = record.need(*SYMBOLS)["rows"]
    names = list(dict.fromkeys(row["data"] for row in rows))
    found = {(row["data"], row["start"]): row for row in rows}
    starts = [start for start in dict.fromkeys(row["start"] for row in rows) if start in STARTS]
    lines = [
        [
            STARTS[start],
            *[
                f"{found[name, start]['hits']}/{found[name, start]['runs']}; {found[name, start]['steps']['mean']:.0f}"
                for name in names
            ],
        ]
        for start in starts
    ]
    return table(["start", *[f"{name}: hits; EM steps" for name in names]], lines)


def rows_table() -> str:
    """Hits from the same means with other rows and covariances."""
    rows = record.need(*ROWS)["rows"]
    names = list(dict.fromkeys(row["data"] for row in rows))
    found = {(row["data"], row["start"]): row for row in rows}
    lines = []
    for start in dict.fromkeys(row["start"] for row in rows):
        mine = [found[name, start] for name in names]
        total = f"**{sum(row['hits'] for row in mine)}/{sum(row['runs'] for row in mine)}**"
        lines.append([start, *[f"{row['hits']}/{row['runs']}" for row in mine], total])
    return table(["start", *[DATA[name] for name in names], "all"], lines)


def verdicts(benchmark: tuple[str, str]) -> str:
    """What was expected before the run, and what came out."""
    rows = [
        [one["claim"], one["wanted"], f"{one['value']:.4g}", "yes" if one["holds"] else "**no**"]
        for one in record.need(*benchmark)["verdicts"]
    ]
    return table(["expected", "threshold", "found", "met"], rows)


def speed_table() -> str:
    """Seconds of each recipe, and the ratio to the parts that it is built on."""
    rows = record.need(*SPEED)["rows"]
    sizes = list(dict.fromkeys(row["steps"] for row in rows))
    found = {(row["recipe"], row["steps"]): row for row in rows}
    names = list(dict.fromkeys(row["recipe"] for row in rows))
    lines = [[f"`ihmm/{name}`", *[_time(found.get((name, steps))) for steps in sizes]] for name in names]
    return table(["recipe", *[f"{steps:,} steps" for steps in sizes]], lines)


def _time(row: Row | None) -> str:
    if row is None:
        return "–"
    ratio = "" if row["ratio"] is None else f" ({row['ratio']:.2f}×)"
    return f"{row['seconds']:.2g} s{ratio}"


def screening_table() -> str:
    """What the portfolio's report says of the example."""
    rows = [
        [
            row["start"],
            f"{row['log-likelihood']:.1f}",
            f"{row['before']} + {row['EM steps']}",
            "kept" if row["kept"] else "",
        ]
        for row in record.need(*REGIMES)["screening"]
    ]
    return table(["start", "log-likelihood", "EM steps", ""], rows)


def regimes_words() -> str:
    """The example's outcome beside hmmlearn's own starts."""
    found = record.need(*REGIMES)
    others = found["hmmlearn"]
    as_good = sum(one >= found["log_likelihood"] - 1 for one in others)
    return (
        f"From the portfolio's start `fit` reaches {found['log_likelihood']:.1f} in {found['steps']} steps; of "
        f"{len(others)} fits from hmmlearn's own start {as_good} come within one nat of that, the median is "
        f"{np.median(others):.1f} and the worst {min(others):.1f}."
    )


def regimes() -> Figure:
    """The example's four series, shaded by the states of the fitted model."""
    found = record.need(*REGIMES)
    series = np.array([row["values"] for row in found["rows"]])
    years = 1959.25 + np.arange(len(series)) / 4
    figure, panels = pyplot.subplots(4, 1, figsize=(9, 5.4), layout="constrained", sharex=True)
    labels = np.array([row["fitted"] for row in found["rows"]])
    edges = np.flatnonzero(np.diff(labels)) + 1
    for axes, column, name in zip(panels, series.T, found["columns"], strict=True):
        for begin, end in zip([0, *edges], [*edges, len(labels)], strict=True):
            colour = STATE_COLOURS[labels[begin] % len(STATE_COLOURS)]
            axes.axvspan(years[begin] - 0.125, years[end - 1] + 0.125, color=colour, alpha=0.22, linewidth=0)
        axes.plot(years, column, color="#222222", linewidth=0.9)
        axes.set_title(f"{name}, %", loc="left", fontsize=9)
    panels[-1].set_xlim(years[0], years[-1])
    return figure


def hits() -> Figure:
    """Runs that reach the best optimum, by data and start."""
    rows = {(row["data"], row["start"]): row for row in record.need(*OPTIMA)["rows"]}
    data = [name for name in DATA if (name, "portfolio") in rows]
    figure, axes = pyplot.subplots(figsize=(9, 3.4), layout="constrained")
    width = 0.8 / len(COLOURS)
    for k, (start, colour) in enumerate(COLOURS.items()):
        values = [rows[name, start]["hits"] / rows[name, start]["runs"] for name in data]
        at = np.arange(len(data)) + (k - (len(COLOURS) - 1) / 2) * width
        label = start if start.startswith("hmmlearn") else f"ihmm/{start}"
        axes.bar(at, values, width=0.9 * width, color=colour, label=label)
    axes.set_xticks(range(len(data)), [textwrap.fill(DATA[name], 15) for name in data], fontsize=8)
    axes.set_ylabel("runs that reach the best optimum")
    axes.set_yticks([0, 0.5, 1], ["none", "half", "all"])
    axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


DRAWN = {"ihmm/optima.svg": ((OPTIMA,), hits), "ihmm/regimes.svg": ((REGIMES,), regimes)}
