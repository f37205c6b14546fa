"""Figures and tables of the recipes for time-invariant state space layers."""

from __future__ import annotations

import math
import statistics
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import table

SPECTRA, KERNELS, DELAY = ("ssm", "spectra"), ("ssm", "kernel_convergence"), ("ssm", "delay")
FROZEN, TRAINED = ("ssm", "frozen_probe"), ("ssm", "trained")
TIMESCALE, SIZES, LAYERS = ("ssm", "timescale"), ("ssm", "output_size"), ("ssm", "hippo_layers")
PTD = ("ssm", "ptd")
Row = dict[str, Any]
COLOURS = {
    "legs": "#0072B2",
    "inv": "#56B4E9",
    "lin": "#009E73",
    "dfout": "#CC79A7",
    "real": "#a0a0a0",
    "rand": "#6b6b6b",
    "naive": "#333333",
    "LRU 0-1": "#F0C27B",
    "LRU .9-.999": "#E69F00",
    "LRU .99-.9999 π/10": "#D55E00",
    "LRU .99-.9999 π/4": "#D55E00",
}
NAMES = {
    "LRU 0-1": "LRU ring, standard",
    "LRU .9-.999": "LRU ring, long",
    "LRU .99-.9999 π/10": "LRU ring, very_long",
    "LRU .99-.9999 π/4": "LRU ring, very_long, phase π/4",
    "uniform": "Re, Im uniform",
    "legs, B/2": "legs, legs_b=half",
    "naive": "naive: Re = -exp(z), Im = z', dt = 1",
}


def name(label: str) -> str:
    """A start's name in tables and images."""
    return NAMES.get(label, label)


def made_with(benchmark: tuple[str, str]) -> str:
    """Seeds and versions of a benchmark."""
    found = record.need(*benchmark)
    words = ", ".join(
        f"{library} {found['versions'][library]}"
        for library in ("python", "torch", "numpy", "scipy", "scikit-learn")
        if library in found["versions"]
    )
    seeds = found["seeds"]
    begin = "No random numbers" if not seeds else f"Seeds {seeds[0]}–{seeds[-1]}" if len(seeds) > 1 else "Seed 0"
    return f"{begin}; {words}; one thread of {found['machine']['cpu']}."


def verdicts(benchmark: tuple[str, str]) -> str:
    """What was asked of a benchmark beforehand, and what was found."""
    lines = []
    for one in record.need(*benchmark)["verdicts"]:
        wanted = f"≤ {one['at_most']:g}" if "at_most" in one else f"≥ {one['at_least']:g}" if "at_least" in one else "–"
        lines.append([one["what"], wanted, f"{one['found']:.3g}", "yes" if one["holds"] else "**no**"])
    return table(["asked", "bound", "found", "holds"], lines)


def spectra_table() -> str:
    """Time and error of each way by size."""
    rows = record.need(*SPECTRA)["rows"]
    ways = list(dict.fromkeys(row["way"] for row in rows))
    at = {(row["n"], row["way"]): row for row in rows}
    lines = []
    for n in dict.fromkeys(row["n"] for row in rows):
        cells = []
        for way in ways:
            row = at.get((n, way))
            cells.append(f"{_seconds(row['seconds'])}, {_power(row['error'])}" if row else "–")
        lines.append([f"{n:,}", *cells])
    return table(["N", *ways], lines)


def convergence_table() -> str:
    """Errors of S4D-LegS's kernel by step and size, for states 0 and 7."""
    rows = record.need(*KERNELS)["rows"]
    sizes = list(dict.fromkeys(row["n"] for row in rows))
    at = {(row["dt"], row["n"], row["state"]): row["error"] for row in rows}
    lines = [
        [f"{dt:g}", *(f"{at[dt, n, 0]:.3g} / {at[dt, n, 7]:.3g}" for n in sizes)]
        for dt in dict.fromkeys(row["dt"] for row in rows)
    ]
    return table(["dt", *(f"N = {n}" for n in sizes)], lines)


def delay_table() -> str:
    """Error of the delay readout by start and step."""
    rows = record.need(*DELAY)["rows"]
    steps = [step for step in dict.fromkeys(row["step"] for row in rows) if step and not step.startswith("ξ")]
    lines = []
    for label in dict.fromkeys(row["label"] for row in rows):
        own = [row for row in rows if row["label"] == label]
        by_step = {row["step"]: row for row in own}
        if len(own) == 1:
            lines.append([name(label), *["–"] * len(steps), _spread(own[0]["errors"])])
        else:
            best = min(own, key=lambda row: row["mean"])
            lines.append([name(label), *(f"{by_step[s]['mean']:.3f}" for s in steps), _spread(best["errors"])])
    return table(["start", *(f"dt = {step}" for step in steps), "best (range over seeds)"], lines)


def frozen_table() -> str:
    """Accuracy of the frozen readout by start and length."""
    rows = record.need(*FROZEN)["rows"]
    lengths = list(dict.fromkeys(row["length"] for row in rows))
    at = {(row["label"], row["length"]): row for row in rows}
    lines = [
        [name(label), *(_percent(at[label, length]["accuracy"]) for length in lengths)]
        for label in dict.fromkeys(row["label"] for row in rows)
    ]
    return table(["start", *(f"{length:,} steps" for length in lengths)], lines)


def trained_table() -> str:
    """Accuracy after four epochs by start."""
    rows = record.need(*TRAINED)["rows"]
    lines = [[name(row["label"]), _percent(row["accuracy"]), _list(row["accuracy"])] for row in rows]
    return table(["start", "accuracy, %", "by seed"], lines)


def timescale_table() -> str:
    """Geometric mean of the error over delays and coefficients by rule."""
    rows = record.need(*TIMESCALE)["overall"]
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    at = {(row["variant"], row["rule"]): row["error"] for row in rows}
    names = {"default": "dt from 0.001 to 0.1"}
    lines = [[v, *(f"{at[v, rule]:.3f}" for rule in rules)] for v in dict.fromkeys(row["variant"] for row in rows)]
    return table(["variant", *(names.get(rule, rule) for rule in rules)], lines)


def sizes_table() -> str:
    """Output sizes of two layers by data."""
    lines = [
        [
            row["data"],
            f"`{row['label']}`" if "/" in row["label"] else row["label"],
            *map(_span, (row["first"], row["second"])),
        ]
        for row in record.need(*SIZES)["rows"]
    ]
    return table(["data", "start", "first layer", "second layer"], lines, numbers_from=2)


def low_rank_table() -> str:
    """Error of S4's kernels by measure."""
    rows = [row for row in record.need(*LAYERS)["rows"] if row["layer"] == "S4"]
    at = {(row["measure"], row["b_clip"]): row["error"] for row in rows}
    lines = [[m, _power(at[m, None]), _power(at[m, 2.0])] for m in dict.fromkeys(row["measure"] for row in rows)]
    return table(["measure", "HiPPO's own B (`b_clip` null)", "B clipped at 2"], lines)


def s5_table() -> str:
    """S5's own start beside s5-pytorch's."""
    lines = [
        [f"{row['states']}", row["label"], _power(row["error"]), "yes" if row["pairs"] else "no", f"{row['c']:g}"]
        for row in record.need(*LAYERS)["rows"]
        if row["layer"] == "S5"
    ]
    return table(["P", "start", "eigenvalues, relative error", "exact pairs", "P · mean of C²"], lines, numbers_from=2)


def ptd_table() -> str:
    """Perturbed matrices by size: condition, size, errors of kernels."""
    lines = []
    for row in record.need(*PTD)["rows"]:
        errors = " / ".join(f"{error:.3f}" for error in row["errors"])
        if "label" in row:
            lines.append([f"{row['n']}", row["label"], errors, "1", "–", "–"])
        else:
            facts = [f"{row['condition']:.3g}", f"{row['size_of_perturbation']:.2g}", f"{row['seconds']:.2g} s"]
            lines.append([f"{row['n']}", f"`ssm/ptd`, seed {row['seed']}", errors, *facts])
    header = ["N", "start", "kernel error of states 0 / 1 / 3 / 7", "condition", "size of E", "time"]
    return table(header, lines, numbers_from=2)


def ptd_errors() -> Figure:
    """Error of the kernel by state: perturbed matrices and S4D-LegS."""
    rows = record.need(*PTD)["rows"]
    sizes_there = list(dict.fromkeys(row["n"] for row in rows))
    figure, panels = pyplot.subplots(1, len(sizes_there), figsize=(8.4, 2.8), sharey=True, layout="constrained")
    for axes, n in zip(panels, sizes_there, strict=True):
        for row in rows:
            if row["n"] == n:
                colour = "#0072B2" if "seed" in row else "#D55E00"
                axes.plot(range(4), row["errors"], "o-", color=colour, alpha=0.7, markersize=4)
        axes.set_yscale("log")
        axes.set_xticks(range(4), ["0", "1", "3", "7"])
        axes.set_xlabel("state")
        axes.set_title(f"N = {n}", loc="left")
    panels[0].set_ylabel("relative error of the kernel")
    words = {"ssm/ptd (three seeds)": "#0072B2", "S4D-LegS": "#D55E00"}
    handles = [pyplot.Line2D([], [], color=colour, marker="o", label=label) for label, colour in words.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def poles() -> Figure:
    """The eigenvalues λ of one step in the unit disk."""
    rows = [row for row in record.need(*DELAY)["rows"] if "poles" in row]
    figure, panels = pyplot.subplots(2, 5, figsize=(9.2, 4.6), layout="constrained", subplot_kw={"aspect": "equal"})
    angle = [2 * math.pi * i / 200 for i in range(201)]
    for axes, row in zip(panels.flat, rows, strict=False):
        axes.plot([math.cos(a) for a in angle], [math.sin(a) for a in angle], color="#bbbbbb", linewidth=0.8)
        x, y = zip(*row["poles"], strict=True)
        axes.plot(x, y, ".", color=COLOURS[row["label"]], markersize=4, alpha=0.8)
        axes.set_title(name(row["label"]).replace("LRU ring, ", "ring ").replace(", phase", "\nphase"), fontsize=8.5)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
        axes.tick_params(labelsize=7)
    for axes in list(panels.flat)[len(rows) :]:
        axes.set_visible(False)
    return figure


def delay() -> Figure:
    """Error of the delay readout over the step."""
    rows = record.need(*DELAY)["rows"]
    values = {"0.001": 1e-3, "2/512": 2 / 512, "2/256": 2 / 256, "3/256": 3 / 256, "1/32": 1 / 32, "0.1": 0.1}
    figure, axes = pyplot.subplots(figsize=(6.8, 3.6), layout="constrained")
    for label in ("legs", "inv", "lin", "rand", "real"):
        own = [row for row in rows if row["label"] == label]
        x, y = [values[row["step"]] for row in own], [row["mean"] for row in own]
        axes.plot(x, y, "o-", color=COLOURS[label], markersize=3.5, label=label)
    for label, style in (("dfout", "--"), ("LRU .9-.999", "--"), ("LRU .99-.9999 π/4", ":")):
        mean = next(row["mean"] for row in rows if row["label"] == label)
        axes.axhline(mean, color=COLOURS[label], linestyle=style, linewidth=1.2, label=name(label))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("dt (dashed lines: no dt)")
    axes.set_ylabel("error of a delay of 256 steps")
    axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def frozen() -> Figure:
    """Accuracy of the frozen readout over the length."""
    rows = record.need(*FROZEN)["rows"]
    shown = ("legs", "inv", "lin", "dfout", "LRU 0-1", "LRU .9-.999", "LRU .99-.9999 π/10", "rand", "real", "naive")
    figure, axes = pyplot.subplots(figsize=(7.4, 3.6), layout="constrained")
    for label in shown:
        own = [row for row in rows if row["label"] == label]
        x, y = [row["length"] for row in own], [100 * row["mean"] for row in own]
        axes.plot(x, y, "o-", color=COLOURS[label], markersize=3.5, label=name(label).partition(":")[0])
    axes.set_xscale("log", base=4)
    axes.set_xticks([64, 1024, 4096], ["64", "1,024", "4,096"])
    axes.set_xlabel("steps")
    axes.set_ylabel("accuracy of the readout, %")
    axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def trained() -> Figure:
    """Accuracy after four epochs: a dot for each seed, a bar at the mean."""
    rows = record.need(*TRAINED)["rows"]
    figure, axes = pyplot.subplots(figsize=(6.4, 3.0), layout="constrained")
    for place, row in enumerate(rows):
        colour = COLOURS.get(row["label"], COLOURS["legs"])
        axes.plot([100 * a for a in row["accuracy"]], [place] * len(row["accuracy"]), "o", color=colour, alpha=0.5)
        axes.plot([100 * row["mean"]], [place], "|", color=colour, markersize=14, markeredgewidth=2.2)
    axes.set_yticks(range(len(rows)), [name(row["label"]).partition(":")[0] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("accuracy after four epochs, %")
    return figure


def kernels() -> Figure:
    """S4D-LegS's kernel beside HiPPO-LegS's own, and how its error falls."""
    found = record.need(*KERNELS)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
    styles = {None: ("#333333", "HiPPO-LegS"), 32: ("#E69F00", "S4D, N = 32"), 256: ("#0072B2", "S4D, N = 256")}
    for one in found["kernels"]:
        colour, label = styles[one["n"]]
        x = [4 * i * 1e-2 for i in range(len(one["k"]))]
        left.plot(
            x,
            one["k"],
            color=colour,
            linewidth=1.8 if one["n"] is None else 0.9,
            label=label,
            zorder=2 - (one["n"] or 0),
        )
    left.set_xlabel("time")
    left.set_ylabel("kernel of state 3")
    left.legend(frameon=False, fontsize=7.5)
    for dt, colour in ((1e-3, "#D55E00"), (1e-2, "#0072B2"), (1e-1, "#009E73")):
        own = [row for row in found["rows"] if row["dt"] == dt and row["state"] == 0]
        right.plot(
            [row["n"] for row in own],
            [row["error"] for row in own],
            "o-",
            color=colour,
            markersize=3.5,
            label=f"dt = {dt:g}",
        )
    right.set_xscale("log", base=4)
    right.set_yscale("log")
    right.set_xticks([16, 64, 256, 1024, 4096], ["16", "64", "256", "1,024", "4,096"])
    right.set_xlabel("N")
    right.set_ylabel("relative error, state 0")
    right.legend(frameon=False, fontsize=7.5)
    return figure


def spectra() -> Figure:
    """Time and error of each way to LegS's spectrum."""
    rows = record.need(*SPECTRA)["rows"]
    colours = dict(
        zip(dict.fromkeys(row["way"] for row in rows), ("#0072B2", "#6b6b6b", "#E69F00", "#D55E00"), strict=True)
    )
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
    for way, colour in colours.items():
        own = [row for row in rows if row["way"] == way]
        x = [row["n"] for row in own]
        left.plot(x, [row["seconds"] for row in own], "o-", color=colour, markersize=3.5, label=way)
        right.plot(x, [row["error"] for row in own], "o-", color=colour, markersize=3.5)
    for axes, words in ((left, "seconds"), (right, "largest relative error")):
        axes.set_xscale("log", base=4)
        axes.set_yscale("log")
        axes.set_xticks([64, 256, 1024, 4096, 65536], ["64", "256", "1,024", "4,096", "65,536"])
        axes.set_xlabel("N")
        axes.set_ylabel(words)
    left.legend(frameon=False, fontsize=7.5)
    return figure


def timescale() -> Figure:
    """Error by delay for slowly varying input, with and without time steps from the data."""
    rows = [row for row in record.need(*TIMESCALE)["rows"] if row["variant"] in ("lin", "legs")]
    figure, panels = pyplot.subplots(1, 3, figsize=(8.8, 2.9), sharey=True, layout="constrained")
    colours = {"default": "#6b6b6b", "hi = 3": "#0072B2", "hi = 1": "#56B4E9"}
    for axes, phi in zip(panels, (0.5, 0.9, 0.99), strict=True):
        for rule, colour in colours.items():
            for variant, dash in (("lin", "-"), ("legs", "--")):
                own = [r for r in rows if r["phi"] == phi and r["rule"] == rule and r["variant"] == variant]
                words = f"{variant}, {'dt 0.001 to 0.1' if rule == 'default' else rule}"
                axes.plot([r["delay"] for r in own], [r["mean"] for r in own], dash, color=colour, label=words)
        axes.set_yscale("log")
        axes.set_title(f"AR(1), {phi:g}", loc="left")
        axes.set_xlabel("delay, steps")
    panels[0].set_ylabel("error of the readout")
    handles, words = panels[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)
    return figure


def sizes() -> Figure:
    """Output sizes of two layers, with and without the recipe."""
    rows = record.need(*SIZES)["rows"]
    figure, panels = pyplot.subplots(1, 3, figsize=(8.8, 2.4), sharey=True, layout="constrained")
    data = list(dict.fromkeys(row["data"] for row in rows))
    colours = {"ssm/s4d": "#6b6b6b", "output_scale, exact": "#0072B2", "output_scale, bound": "#56B4E9"}
    for axes, which in zip(panels, data, strict=True):
        for row in rows:
            if row["data"] == which:
                _dots(axes, row, colours[row["label"]])
        axes.axhspan(0.7, 1.4, color="#eeeeee", zorder=0)
        axes.set_yscale("log")
        axes.set_xticks([0, 1], ["first layer", "second layer"])
        axes.set_xlim(-0.5, 1.5)
        axes.set_title(which, loc="left")
    panels[0].set_ylabel("RMS of the output")
    handles = [pyplot.Line2D([], [], color=c, marker="o", linestyle="", label=label) for label, c in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)
    return figure


def _dots(axes: Axes, row: Row, colour: str) -> None:
    for place, which in enumerate(("first", "second")):
        axes.plot([place] * len(row[which]), row[which], "o", color=colour, alpha=0.6, markersize=4)


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} ({min(values):.3f} – {max(values):.3f})"


def _span(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f} ({min(values):.2f} – {max(values):.2f})"


def _percent(values: list[float]) -> str:
    return f"{100 * statistics.fmean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


def _seconds(value: float) -> str:
    return f"{1000 * value:.2g} ms" if value < 0.1 else f"{value:.2g} s"


def _power(value: float) -> str:
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


DRAWN = {
    "ssm/poles.svg": ((DELAY,), poles),
    "ssm/delay.svg": ((DELAY,), delay),
    "ssm/frozen.svg": ((FROZEN,), frozen),
    "ssm/trained.svg": ((TRAINED,), trained),
    "ssm/kernels.svg": ((KERNELS,), kernels),
    "ssm/spectra.svg": ((SPECTRA,), spectra),
    "ssm/timescale.svg": ((TIMESCALE,), timescale),
    "ssm/sizes.svg": ((SIZES,), sizes),
    "ssm/ptd.svg": ((PTD,), ptd_errors),
}
