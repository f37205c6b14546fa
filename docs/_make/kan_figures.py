"""Figures and tables of the recipes for Kolmogorov-Arnold layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from tables import short, table

Row = dict[str, Any]
DEPTH, FITTING, FIT, SPEED = ("kan", "variance_by_depth"), ("kan", "fitting"), ("kan", "kat_fit"), ("kan", "speed")
SHAPES = ("kan", "activations")
NAMES = {
    "default": "`kan/default`",
    "baseline": "`kan/default`, baseline",
    "lecun": "`kan/lecun`",
    "glorot": "`kan/glorot`",
    "glorot_fine": "`kan/glorot_fine`",
    "power": "`kan/power`",
    "iso": "`kan/iso`",
    "iso 0.1": "`kan/iso`, share=0.1",
    "repo std 0.02, swish": "std 0.02 (the authors' models), swish",
    "kat, swish": "`kan/kat`, swish",
    "kat, gelu": "`kan/kat`, gelu",
    "released gelu, released gain": "released gelu, released gain",
}
COLOURS = {
    "default": "#6b6b6b",
    "baseline": "#a0a0a0",
    "lecun": "#CC79A7",
    "glorot": "#56B4E9",
    "glorot_fine": "#0072B2",
    "power": "#009E73",
    "iso": "#D55E00",
    "iso 0.1": "#E69F00",
    "repo std 0.02, swish": "#6b6b6b",
    "kat, swish": "#009E73",
    "kat, gelu": "#0072B2",
    "released gelu, released gain": "#D55E00",
}


def _rows(benchmark: tuple[str, str]) -> list[Row]:
    found: list[Row] = record.need(*benchmark)["rows"]
    return found


def _of(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _labels(rows: Sequence[Row], chosen: Sequence[str]) -> list[str]:
    return list(chosen) or list(dict.fromkeys(row["label"] for row in rows))


def depth_table(kind: str, labels: Sequence[str] = ()) -> str:
    """Signal after the last layer and gradient at the input: a line a start, columns by setting."""
    rows = _of(_rows(DEPTH), kind=kind)
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    header = ["start"]
    for setting in settings:
        header += [f"signal, {setting}", f"gradient, {setting}"]
    lines = []
    for label in _labels(rows, labels):
        line = [NAMES[label]]
        for setting in settings:
            (row,) = _of(rows, setting=setting, label=label)
            line += [_spread(row["across"][-1]), _spread(row["gradient"][0])]
        lines.append(line)
    return table(header, lines)


def fitting_table(size: str, labels: Sequence[str] = ()) -> str:
    """Relative error on held-out points: median with the smallest and the largest of the seeds."""
    rows = _of(_rows(FITTING), size=size)
    functions = list(dict.fromkeys(row["function"] for row in rows))
    lines = []
    for label in _labels(rows, labels):
        line = [NAMES[label]]
        for function in functions:
            (row,) = _of(rows, function=function, label=label)
            error = row["error"]
            best = min(r["error"]["median"] for r in _of(rows, function=function))
            middle = short(error["median"])
            middle = f"**{middle}**" if error["median"] == best else middle
            line.append(f"{middle} ({short(error['low'])} – {short(error['high'])})")
        lines.append(line)
    return table(["start", *functions], lines)


def fit_table() -> str:
    """Largest errors of coefficients on [-3, 3] and [-10, 10], in both forms."""
    lines = [
        [
            row["set"],
            row["activation"],
            *(short(row[form][key]) for form in ("kernel", "fallback") for key in ("largest", "beyond")),
        ]
        for row in sorted(_rows(FIT), key=lambda row: (row["activation"], row["set"] == "ours"))
    ]
    header = ["coefficients", "activation", "kernel, to 3", "kernel, to 10", "fallback, to 3", "fallback, to 10"]
    return table(header, lines, numbers_from=2)


def conversion_table() -> str:
    """Error of a converted MLP's output."""
    lines = [
        [row["set"], row["activation"], f"{short(row['median'])} ({short(row['low'])} – {short(row['high'])})"]
        for row in record.need(*FIT)["conversions"]
    ]
    return table(["coefficients", "activation", "relative error of the output"], lines, numbers_from=2)


def verdict_table(name: str, about: Sequence[str] = ("",)) -> str:
    """What was expected and what came out, of those that begin with one of some words."""
    lines = [
        [one["what"], short(one["found"]), "yes" if one["holds"] else "**no**"]
        for one in record.need("kan", name)["verdicts"]
        if one["what"].startswith(tuple(about))
    ]
    return table(["expected", "found", "met"], lines)


def speed_table() -> str:
    """Time of planning and writing."""
    lines = [
        [
            row["way"],
            f"{short(1000 * row['seconds'])} ({short(1000 * row['low'])} – {short(1000 * row['high'])})",
            f"{row['over the stream']:.2f}" if "over the stream" in row else "–",
        ]
        for row in _rows(SPEED)
    ]
    return table(["what", "ms", "times the stream alone"], lines)


def made_with(name: str) -> str:
    """One line: seeds, versions and machine of a benchmark."""
    found = record.need("kan", name)
    words = ", ".join(f"{key} {found['versions'][key]}" for key in ("python", "torch"))
    seeds = found["seeds"]
    front = f"Seeds {seeds[0]}–{seeds[-1]}; " if len(seeds) > 1 else ""
    return f"{front}{words}; one thread of {found['machine']['cpu']}."


def _spread(sizes: dict[str, float | None]) -> str:
    low, high, middle = sizes["low"], sizes["high"], sizes["middle"]
    if middle is None or low is None or high is None:
        return "0 or not finite"
    return f"{short(middle)} ({short(low)} – {short(high)})"


def spline_page(*labels: str) -> Figure:
    """Activations before and after, and signal and gradient over twelve layers at two grids."""
    figure, panels = pyplot.subplots(1, 4, figsize=(12.2, 3.3), layout="constrained", width_ratios=[1, 1, 1.15, 1.15])
    found = record.need(*SHAPES)
    after = labels[-1] if labels[-1] != "default" else "baseline"
    for axes, label, title in ((panels[0], "default", "before"), (panels[1], after, "after")):
        (row,) = _of(found["rows"], label=label)
        for curve in row["curves"]:
            axes.plot(found["x"], curve, color=COLOURS[label], linewidth=1.3, alpha=0.85)
        axes.axvspan(-1, 1, color="#f2f2f2", zorder=0)
        axes.set_title(f"activations {title}: {_plain(label)}", loc="left")
        axes.set_xlabel("x (shaded: the grid)")
    edges = [axes.get_ylim() for axes in panels[:2]]
    for axes in panels[:2]:
        axes.set_ylim(min(low for low, _ in edges), max(high for _, high in edges))
    for axes, key in ((panels[2], "across"), (panels[3], "gradient")):
        _depth(axes, "splines", key, list(dict.fromkeys(["default", *labels])))
    figure.legend(*panels[2].get_legend_handles_labels(), loc="outside lower right", ncols=6, frameon=False, fontsize=8)
    return figure


def _depth(axes: Axes, kind: str, key: str, labels: Sequence[str]) -> None:
    rows = _of(_rows(DEPTH), kind=kind)
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    for setting, dash in zip(settings, ("-", (0, (4, 2))), strict=False):
        for label in labels:
            (row,) = _of(rows, setting=setting, label=label)
            sizes = row[key]
            x = range(len(sizes))
            middle = [s["middle"] for s in sizes]
            colour = COLOURS[label]
            name = f"{_plain(label)}, {setting}" if len(settings) > 1 else _plain(label)
            axes.plot(x, middle, color=colour, linestyle=dash, label=name, linewidth=1.6)
            axes.fill_between(x, [s["low"] for s in sizes], [s["high"] for s in sizes], color=colour, alpha=0.15)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.set_xlabel("layers passed" if key == "across" else "layer whose input it is")
    axes.set_title("std over samples" if key == "across" else "std of the gradient", loc="left")


def chebyshev() -> Figure:
    """Signal and gradient of Chebyshev layers by depth."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8.4, 3.3), layout="constrained")
    for axes, key in zip(panels, ("across", "gradient"), strict=True):
        _depth(axes, "chebyshev", key, ["default", "lecun", "glorot", "glorot_fine", "power"])
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8
    )
    return figure


def rational() -> Figure:
    """gelu and what is in its place; signal and gradient over twelve blocks."""
    figure, panels = pyplot.subplots(1, 3, figsize=(11.5, 3.5), layout="constrained")
    curves = record.need(*FIT)["curves"]
    styles = {"gelu": ("#bbbbbb", "-", 4.5), "released": ("#D55E00", "-", 1.6), "ours": ("#0072B2", (0, (4, 2)), 1.6)}
    words = {"gelu": "gelu", "released": "released coefficients, as the kernel computes", "ours": "ours"}
    for name, (colour, dash, width) in styles.items():
        panels[0].plot(curves["x"], curves[name], color=colour, linestyle=dash, linewidth=width, label=words[name])
    panels[0].set_title("what act2 starts as", loc="left")
    panels[0].set_xlabel("x")
    panels[0].legend(frameon=False, fontsize=8)
    labels = list(dict.fromkeys(row["label"] for row in _of(_rows(DEPTH), kind="rational")))
    for axes, key in ((panels[1], "across"), (panels[2], "gradient")):
        _depth(axes, "rational", key, labels)
        axes.set_xlabel("blocks passed" if key == "across" else "block whose input it is")
    figure.legend(*panels[2].get_legend_handles_labels(), loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    return figure


def conversions() -> Figure:
    """Error of converted MLPs: a dot for each, on a logarithmic axis."""
    figure, axes = pyplot.subplots(figsize=(7.0, 2.3), layout="constrained")
    rows = record.need(*FIT)["conversions"]
    for i, row in enumerate(rows):
        colour = COLOURS["kat, gelu"] if row["set"] == "ours" else COLOURS["released gelu, released gain"]
        axes.plot([row["low"], row["high"]], [i, i], color=colour, linewidth=6, alpha=0.35, solid_capstyle="round")
        axes.plot([row["median"]], [i], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(rows)), [f"{row['activation']}, {row['set']}" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlabel("relative error of a converted MLP's output (dot: median; bar: all seeds)")
    return figure


def fitting() -> Figure:
    """Held-out errors of all starts: a panel a task, a dot a seed."""
    rows = _rows(FITTING)
    tasks = list(dict.fromkeys((row["size"], row["function"]) for row in rows))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure, panels = pyplot.subplots(2, 4, figsize=(12.0, 5.4), sharey=True, layout="constrained")
    for axes, (size, function) in zip(panels.flat, tasks, strict=True):
        for i, label in enumerate(labels):
            (row,) = _of(rows, size=size, function=function, label=label)
            axes.plot(row["errors"], [i] * len(row["errors"]), "o", color=COLOURS[label], alpha=0.45, markersize=4)
            axes.plot([row["error"]["median"]], [i], "|", color=COLOURS[label], markersize=14, markeredgewidth=2.4)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(f"{size}: {function}", loc="left")
        axes.set_ylim(len(labels) - 0.4, -0.6)
    panels[0][0].set_yticks(range(len(labels)), [_plain(label) for label in labels])
    figure.supxlabel("relative L2 error on held-out points   (dots: seeds; bars: medians)", fontsize=9)
    return figure


def _plain(label: str) -> str:
    return NAMES[label].replace("`", "").replace("kan/", "")


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "kan/power.svg": ((SHAPES, DEPTH), lambda: spline_page("power")),
    "kan/lecun.svg": ((SHAPES, DEPTH), lambda: spline_page("lecun")),
    "kan/glorot.svg": ((SHAPES, DEPTH), lambda: spline_page("glorot")),
    "kan/glorot_fine.svg": ((SHAPES, DEPTH), lambda: spline_page("glorot_fine")),
    "kan/iso.svg": ((SHAPES, DEPTH), lambda: spline_page("iso 0.1", "iso")),
    "kan/default.svg": ((SHAPES, DEPTH), lambda: spline_page("baseline")),
    "kan/chebyshev.svg": ((DEPTH,), chebyshev),
    "kan/fitting.svg": ((FITTING,), fitting),
    "kan/kat.svg": ((FIT, DEPTH), rational),
    "kan/from_mlp.svg": ((FIT,), conversions),
}
