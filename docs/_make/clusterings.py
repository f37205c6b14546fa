"""What single clusterings are worth as starts of hidden Markov models: a table and a plot for each recipe."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

import record
import tables
from hidden_markov import DATA
from matplotlib import pyplot
from matplotlib.figure import Figure

Row = dict[str, Any]
FOUND = ("ihmm", "clusterings")
BLUE, GREY, LIGHT = "#0072B2", "#6b6b6b", "#c4c4c4"
RECIPES = (
    "contig",
    "dp_means",
    "gmm",
    "hdbscan",
    "hierarchical",
    "jump",
    "kmeans",
    "kmedoids",
    "overfit_merge",
    "random_blocks",
    "segment",
    "single",
    "spectral",
    "uniform",
    "windowed",
)


def _rows() -> dict[tuple[str, str], Row]:
    return {(row["data"], row["start"]): row for row in record.need(*FOUND)["rows"]}


def _data() -> list[str]:
    rows = _rows()
    return [name for name in DATA if (name, "portfolio") in rows]


def clustering_table(recipe: str) -> str:
    """Agreement of a recipe's labels with the true states, and hits of EM from them, beside other starts."""
    rows = _rows()
    lines = []
    for start in dict.fromkeys((recipe, "kmeans", "portfolio")):
        cells = [_cell(rows[name, start]) for name in _data()]
        lines.append([f"`ihmm/{start}`", *cells, _total(start)])
    own = [f"– ; {row['hits']}/{row['runs']}" for row in (rows[name, "hmmlearn"] for name in _data())]
    lines.append(["hmmlearn's own", *own, _total("hmmlearn")])
    return tables.table(["start", *[DATA[name] for name in _data()], "all"], lines)


def _cell(row: Row) -> str:
    if row["labels_ari"] is None:
        return f"refused; {row['hits']}/{row['runs']}"
    return f"{row['labels_ari']['mean'] + 0.0:.2f} ± {row['labels_ari']['std']:.2f}; {row['hits']}/{row['runs']}"


def _total(start: str) -> str:
    mine = [row for (_, one), row in _rows().items() if one == start]
    return f"**{sum(row['hits'] for row in mine)}/{sum(row['runs'] for row in mine)}**"


def all_table() -> str:
    """Every start: mean agreement of its labels over the series, hits, and series that it refused."""
    rows = _rows()
    lines = []
    for start in (*RECIPES, "portfolio"):
        mine = [rows[name, start] for name in _data()]
        found = [row["labels_ari"]["mean"] for row in mine if row["labels_ari"] is not None]
        refused = sum(row["refused"] for row in mine)
        lines.append([f"`ihmm/{start}`", f"{sum(found) / len(found) + 0.0:.2f}", _total(start), str(refused or "–")])
    lines.sort(key=lambda line: -int(line[2].strip("*").partition("/")[0]))
    return tables.table(
        ["start", "agreement of labels, mean", "hits", "runs refused"],
        [*lines, ["hmmlearn's own", "–", _total("hmmlearn"), "–"]],
    )


def evidence(recipe: str) -> str:
    """The words, the plot, the table and what it was made with, for the recipe's page."""
    return "\n\n".join(
        [
            "Labels against the true states, before any EM (adjusted Rand index, mean ± standard deviation over the "
            "seeds; 1 is perfect, 0 is chance), and hits: of the fits with full covariances, those that end within one "
            "nat of the best known optimum. A finite model merges or halves labels until it has its number of states. "
            "What refuses a series (no dense region) has no hit there. The series are those on the page of "
            "[ihmm/portfolio](portfolio.md#evidence).",
            f"![Agreement of the labels of ihmm/{recipe} with the true states, and hits of EM from them]"
            f"(../../images/ihmm/{recipe}.svg)",
            clustering_table(recipe),
            tables.made_with(*FOUND),
        ]
    )


def plot(recipe: str) -> Figure:
    """Left: the labels' agreement, a dot a seed, other recipes' means in grey. Right: hits beside hmmlearn's own."""
    rows, data = _rows(), _data()
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.3), layout="constrained", sharey=True)
    for i, name in enumerate(data):
        others = [
            row["labels_ari"]["mean"] for one in RECIPES if one != recipe and (row := rows[name, one])["labels_ari"]
        ]
        left.plot(others, [i] * len(others), "|", color=LIGHT, markersize=9)
        mine = rows[name, recipe]
        if mine["labels_ari"] is not None:
            seeds = mine["labels_ari"]["values"]
            left.plot(seeds, [i] * len(seeds), "o", color=BLUE, alpha=0.5, markersize=5, mew=0)
            left.plot(mine["labels_ari"]["mean"], i, "|", color=BLUE, markersize=14, mew=2.2)
        for shift, start, colour in ((-0.2, recipe, BLUE), (0.2, "hmmlearn", GREY)):
            row = rows[name, start]
            right.barh(i + shift, row["hits"] / row["runs"], height=0.36, color=colour)
    left.set_yticks(range(len(data)), [textwrap.fill(DATA[name], 24) for name in data], fontsize=8)
    left.set_ylim(len(data) - 0.5, -0.5)
    left.set_xlim(-0.1, 1.05)
    left.set_title(f"labels' agreement, ihmm/{recipe} (grey: others)", loc="left")
    left.set_xlabel("adjusted Rand index")
    right.set_xlim(0, 1.02)
    right.set_xticks([0, 0.5, 1], ["none", "half", "all"])
    right.set_title(f"hits: ihmm/{recipe} (blue), hmmlearn's own (grey)", loc="left")
    right.set_xlabel("runs that reach the best optimum")
    return figure


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    f"ihmm/{recipe}.svg": ((FOUND,), partial(plot, recipe)) for recipe in RECIPES
}
