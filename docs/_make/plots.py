"""Images of the docs, drawn from the figures of the benchmarks: the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import beam
import causal
import clusterings
import coordinate_networks
import field_references
import from_scratch
import hidden_markov
import hidden_words
import hyperbolic
import inr_meta
import kan_figures
import learned_rows
import measuring
import node_tables
import ofa_coordinates
import random_features
import record
import ssm_gated
import ssm_lti
import token_meanings
import token_starts
import warm_start
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from record import DATA, ROOT

IMAGES = ROOT / "docs" / "images"
STYLE = {
    "svg.hashsalt": "initkit",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}
# Okabe and Ito's palette, which colour-blind readers can tell apart; defaults are grey, variants share a colour.
COLOURS = {
    "pyg_default": "#6b6b6b",
    "xavier": "#a0a0a0",
    "kaiming": "#E69F00",
    "orthogonal": "#CC79A7",
    "virgo forward": "#56B4E9",
    "virgo forward, operator=gcn": "#D55E00",
    "virgo backward": "#0072B2",
    "virgo harmonic": "#56B4E9",
    "virgo mean": "#56B4E9",
    "calibrated": "#009E73",
    "calibrated 0.1": "#009E73",
    "calibrated 1": "#7fcbb3",
    "orthogonal, calibrated 0.1": "#D55E00",
}
NAMES = {
    "pyg_default": "PyG default",
    "virgo forward, operator=gcn": "virgo forward, operator=gcn",
    "orthogonal, calibrated 0.1": "calibrated 0.1,\northogonal start",
}
TITLES = {"signal": "signal: mean z²", "gradient": "gradient: mean (dLoss/dz)²"}
ACCURACY, VARIANCE = ("gnn", "accuracy"), ("gnn", "variance_by_depth")


def name(label: str) -> str:
    """A label as it stands in images."""
    return NAMES.get(label, label)


def depth_on_cora(labels: Sequence[str] = ("pyg_default", "kaiming", "virgo backward", "calibrated 0.1")) -> Figure:
    """Test accuracy by depth on Cora: lines are means, bands one standard deviation."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    _accuracy_by_depth(axes, labels, labels)
    return figure


def _accuracy_by_depth(axes: Axes, labels: Sequence[str], coloured: Sequence[str]) -> None:
    rows = record.need(*ACCURACY)["rows"]
    ends = []
    for label in labels:
        found = sorted((r for r in rows if r["label"] == label and r["data"] == "cora"), key=lambda r: r["layers"])
        x = [r["layers"] for r in found]
        y = [100 * r["test_mean"] for r in found]
        strong = label in coloured
        colour = COLOURS[label] if strong else "#c9c9c9"
        if strong:
            low = [100 * (r["test_mean"] - r["test_std"]) for r in found]
            high = [100 * (r["test_mean"] + r["test_std"]) for r in found]
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=colour, marker="o", markersize=4 if strong else 2.5, linewidth=2 if strong else 1.1)
        if strong:
            ends.append((y[-1], name(label), colour))
    depths = sorted({r["layers"] for r in rows if r["data"] == "cora"})
    axes.set_xticks(depths)
    axes.set_xlim(depths[0] - 0.3, depths[-1] + 0.2)
    axes.set_ylim(0, 100)
    axes.set_xlabel("layers of the GCN")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"{DATA['cora']}, mean and standard deviation of {_seeds(ACCURACY)} seeds", loc="left")
    _end_labels(axes, ends, gap=6.5)


def accuracy() -> Figure:
    """Test accuracy of all recipes: a panel for each data set and depth, a dot for each seed."""
    rows = record.need(*ACCURACY)["rows"]
    configurations = list(dict.fromkeys((r["data"], r["layers"]) for r in rows))
    labels = list(dict.fromkeys(r["label"] for r in rows))
    figure, panels = pyplot.subplots(
        1, len(configurations), figsize=(10.4, 3.9), sharey=True, layout="constrained", squeeze=False
    )
    for axes, (data, layers) in zip(panels[0], configurations, strict=True):
        here = {r["label"]: r for r in rows if (r["data"], r["layers"]) == (data, layers)}
        for i, label in enumerate(labels):
            seeds = [100 * value for value in here[label]["test"]]
            mean = 100 * here[label]["test_mean"]
            axes.plot(seeds, [i] * len(seeds), "o", color=COLOURS[label], alpha=0.45, markersize=4, markeredgewidth=0)
            axes.plot([mean], [i], "|", color=COLOURS[label], markersize=15, markeredgewidth=2.4)
        axes.axvline(100 * here["pyg_default"]["test_mean"], color=COLOURS["pyg_default"], linewidth=0.9, linestyle=":")
        axes.set_title(f"{DATA[data]}, {layers} layers", loc="left")
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.margins(x=0.08)
    panels[0][0].set_yticks(range(len(labels)), [name(label) for label in labels])
    for tick, label in zip(panels[0][0].get_yticklabels(), labels, strict=True):
        tick.set_color(COLOURS[label])
    figure.supxlabel("test accuracy, %   (dots: seeds; bars: means; dotted: the default's mean)", fontsize=9)
    return figure


def by_depth(
    labels: Sequence[str] = ("pyg_default", "kaiming", "virgo forward", "virgo backward", "calibrated"),
) -> Figure:
    """Size of signals and gradients by depth for each kind of layer."""
    rows = record.need(*VARIANCE)["rows"]
    operators = list(dict.fromkeys(r["operator"] for r in rows))
    figure, panels = pyplot.subplots(2, len(operators), figsize=(11.5, 5.2), sharex=True, layout="constrained")
    for column, operator in enumerate(operators):
        for row, key in enumerate(TITLES):
            _sizes(panels[row][column], operator, key, labels)
        panels[0][column].set_title(operator, loc="left")
        panels[1][column].set_xlabel("layer")
    for row, title in enumerate(TITLES.values()):
        panels[row][0].set_ylabel(title)
    handles = [
        pyplot.Line2D([], [], color=COLOURS[label], linewidth=2, linestyle=_dash(label), label=name(label))
        for label in labels
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _sizes(axes: Axes, operator: str, key: str, labels: Sequence[str], ends: list[Any] | None = None) -> None:
    rows = record.need(*VARIANCE)["rows"]
    for label in labels:
        sizes = next(r for r in rows if r["operator"] == operator and r["label"] == label)[key]
        x = range(1, len(sizes) + 1)
        axes.fill_between(
            x, [s["low"] for s in sizes], [s["high"] for s in sizes], color=COLOURS[label], alpha=0.15, linewidth=0
        )
        middle = [s["middle"] for s in sizes]
        axes.plot(x, middle, color=COLOURS[label], linewidth=1.8, linestyle=_dash(label))
        if ends is not None:
            ends.append((middle[-1], name(label), COLOURS[label]))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.set_xticks([1, 4, 7, 10])


def _dash(label: str) -> Any:
    """Virgo's two directions are often on top of each other: one is dashed."""
    return (0, (4, 2)) if label == "virgo forward" else "-"


def on_a_page(labels: Sequence[str], sizes: Sequence[str]) -> Figure:
    """One recipe among the others: accuracy by depth on Cora, and size of signal and gradient in a deep GCN.

    Args:
        labels: what to show in colour of the accuracies; the rest is grey.
        sizes: what to show of the sizes by depth.
    """
    figure, panels = pyplot.subplots(1, 3, figsize=(11.5, 3.5), layout="constrained", width_ratios=[1.25, 1, 1])
    rows = record.need(*ACCURACY)["rows"]
    others = [one for one in dict.fromkeys(r["label"] for r in rows) if one not in labels]
    _accuracy_by_depth(panels[0], [*others, *labels], labels)
    panels[0].set_title(f"accuracy on {DATA['cora']} ± std (grey: others)", loc="left")
    for axes, (key, title) in zip(panels[1:], TITLES.items(), strict=True):
        ends: list[Any] = []
        _sizes(axes, "GCN", key, sizes, ends)
        axes.set_title(f"{title}, GCN", loc="left")
        axes.set_xlabel("layer")
        if key == "signal":  # gradients meet at the last layer: their lines have the signals' colours
            _end_labels(axes, ends, gap=0.085)
    return figure


def _end_labels(axes: Axes, ends: list[tuple[float, str, str]], gap: float) -> None:
    """Write names at the right ends of lines, moved apart; ``gap`` is in units of y, in parts of its range if log."""
    log = axes.get_yscale() == "log"
    if log:
        axes.figure.canvas.draw()
    to = axes.transAxes.inverted()
    places = sorted((to.transform(axes.transData.transform((0, y)))[1], text, colour) for y, text, colour in ends)
    step = gap if log else gap / 100
    heights: list[float] = []
    for place, _, _ in places:
        heights.append(max(place, heights[-1] + step) if heights else place)
    excess = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for height, (_, text, colour) in zip(heights, places, strict=True):
        axes.annotate(
            text,
            (1.0, height - excess),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )


def _seeds(benchmark: tuple[str, str]) -> int:
    return len(record.need(*benchmark)["seeds"])


BASE = ["pyg_default"]
# file: (benchmarks it shows, how it is drawn)
DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "gnn/depth.svg": ((ACCURACY,), depth_on_cora),
    "gnn/accuracy.svg": ((ACCURACY,), accuracy),
    "gnn/by_depth.svg": ((VARIANCE,), by_depth),
    "gnn/virgo.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page(
            [*BASE, "virgo forward", "virgo backward"], [*BASE, "kaiming", "virgo forward", "virgo backward"]
        ),
    ),
    "gnn/calibrated.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page([*BASE, "calibrated 1", "calibrated 0.1"], [*BASE, "virgo backward", "calibrated"]),
    ),
    "gnn/orthogonal.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page([*BASE, "orthogonal", "orthogonal, calibrated 0.1"], [*BASE, "kaiming", "orthogonal"]),
    ),
    "gnn/xavier.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page(["xavier", "virgo backward"], ["xavier", "virgo backward"]),
    ),
    "gnn/kaiming.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page([*BASE, "kaiming", "virgo backward"], [*BASE, "kaiming", "virgo backward"]),
    ),
    "gnn/pyg_default.svg": (
        (ACCURACY, VARIANCE),
        lambda: on_a_page([*BASE, "virgo backward"], [*BASE, "virgo backward"]),
    ),
    **random_features.DRAWN,
    **warm_start.DRAWN,
    **node_tables.DRAWN,
    **ofa_coordinates.DRAWN,
    **hyperbolic.DRAWN,
    **kan_figures.DRAWN,
    **coordinate_networks.DRAWN,
    **field_references.DRAWN,
    **inr_meta.DRAWN,
    **ssm_gated.DRAWN,
    **ssm_lti.DRAWN,
    **hidden_markov.DRAWN,
    **clusterings.DRAWN,
    **beam.DRAWN,
    **measuring.DRAWN,
    **token_starts.DRAWN,
    **token_meanings.DRAWN,
    **hidden_words.DRAWN,
    **learned_rows.DRAWN,
    **from_scratch.DRAWN,
    **causal.DRAWN,
}


def draw(folder: Path = IMAGES, kind: str = "svg") -> None:
    """Draw every image into a folder."""
    with matplotlib.rc_context(STYLE):
        for file, (benchmarks, make) in DRAWN.items():
            path = (folder / file).with_suffix(f".{kind}")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure = make()
            metadata = {"Date": None, "Creator": None, "Description": mark(benchmarks)} if kind == "svg" else None
            figure.savefig(path, dpi=110, metadata=metadata)
            pyplot.close(figure)


def mark(benchmarks: Sequence[tuple[str, str]]) -> str:
    """What an image says of the figures it shows."""
    return f"rows {record.digest(*benchmarks)}"


if __name__ == "__main__":
    draw()
