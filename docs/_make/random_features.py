"""Figures and tables of gnn/rni, gnn/rfp and graphs larger than memory."""

from __future__ import annotations

import statistics
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

RNI, RFP, SPEED, STREAMING = ("gnn", "rni"), ("gnn", "rfp"), ("gnn", "rfp_speed"), ("gnn", "streaming")
TASKS = {"cycles": "cycles", "exp": "EXP, fold 0"}
COLOURS = {"half random": "#0072B2", "all random": "#E69F00", "without": "#6b6b6b"}
GRAPHS = {"cora": "#0072B2", "pubmed": "#E69F00"}
Row = dict[str, Any]


def _found(values: list[float], digits: int = 3) -> str:
    return f"{statistics.fmean(values):.{digits}f} ({', '.join(f'{value:.{digits}f}' for value in values)})"


def rni_table() -> str:
    """Test accuracy at the end: a line a task and share of random columns."""
    lines = []
    for row in record.need(*RNI)["rows"]:
        single = [one[-1] for one in row["single"]]
        vote = [one[-1] for one in row["vote"]]
        random = row["ratio"] > 0
        lines.append(
            [
                TASKS[row["data"]],
                row["label"],
                _found(single),
                _found(vote) if random else "–",
                f"{statistics.fmean(row['cpu_seconds']):.0f} s",
            ]
        )
    header = ["task", "features", "one draw: mean (seeds)", "vote of 8: mean (seeds)", "CPU time of a run"]
    return table(header, lines, numbers_from=2)


def rni_expectations() -> str:
    """What was expected, and what came out."""
    found = record.need(*RNI)
    lines = [
        [
            f"{TASKS[one['data']]}, {one['label']}, {'a vote' if one['what'] == 'vote' else 'one draw'}",
            f"{one['at_least']:.2f}",
            ", ".join(f"{value:.3f}" for value in one["found"]),
            f"{one['met_by']} of {len(one['found'])} seeds",
        ]
        for one in found["expected"]
    ]
    return table(["accuracy", "at least", "found", "met by"], lines)


def wl_table() -> str:
    """What the WL check says of the two tasks."""
    lines = [
        [
            TASKS[name],
            str(one["count"]),
            str(one["classes"]),
            f"{one['conflicting_pairs']} of {one['identical_pairs']}",
            f"{one['ceiling']:.3f}",
        ]
        for name, one in record.need(*RNI)["wl_check"].items()
    ]
    header = ["task", "graphs", "classes", "look-alike pairs with unlike labels", "best accuracy without"]
    return table(header, lines, numbers_from=1)


def rfp_table() -> str:
    """Accuracy of logistic regression: a line a kind of features."""
    rows = record.need(*RFP)["rows"]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    names = list(dict.fromkeys(row["data"] for row in rows))
    at = {(row["data"], row["label"]): row for row in rows}
    lines = []
    for label in labels:
        line = [label, str(at[names[0], label]["columns"])]
        for name in names:
            row = at[name, label]
            line += [f"{row['mean']:.3f} ± {row['std']:.3f}", f"{row['cpu_seconds']:.2f} s"]
        lines.append(line)
    header = ["features", "columns"]
    for name in names:
        header += [record.DATA[name], "CPU time"]
    return table(header, lines)


def rfp_expectations() -> str:
    """What was expected, and what came out."""
    lines = [
        [
            f"{record.DATA[one['data']]}: {one['better']} above {one['worse']}",
            f"{one['found'][0]:.3f} against {one['found'][1]:.3f}",
            "yes" if one["met"] else "**no**",
        ]
        for one in record.need(*RFP)["expected"]
    ]
    return table(["expected", "found", "met"], lines)


def speed_table() -> str:
    """Seconds and memory on the graph of a million nodes."""
    lines = [
        [
            row["way"],
            f"{row['seconds']:.2f} s",
            ", ".join(f"{one:.2f}" for one in row["all_seconds"]),
            f"{row['peak_mb']:.0f} MB",
        ]
        for row in record.need(*SPEED)["rows"]
    ]
    return table(["way", "median", "runs", "most memory"], lines)


def ratio_table() -> str:
    """The same as ratios, which load from elsewhere changes less."""
    ratios = record.need(*SPEED)["ratios"]
    return table(["ratio of medians", ""], [[name, f"{value:.2f}"] for name, value in ratios.items()])


def streaming_table() -> str:
    """Time and memory with the edges on disk and in memory."""
    found = record.need(*STREAMING)
    lines = [
        [row["way"], f"{row['virgo_seconds']:.0f} s", f"{row['rfp_seconds']:.0f} s", f"{row['peak_mb']} MB"]
        for row in found["rows"]
    ]
    return table(["edges", "Virgo, 3 layers", f"{found['steps']} propagation steps", "most memory"], lines)


def streaming_words() -> str:
    """The graph and the limit, in a sentence."""
    found = record.need(*STREAMING)
    limited = next(row for row in found["rows"] if row["way"] == "streamed")
    same = "the same" if found["same_variances"] else "**not** the same"
    return (
        f"{found['nodes'] / 1e6:.1f} million nodes and {found['stored_edges'] / 1e6:.0f} million edges, a file of "
        f"{found['file_mb']} MB; the process may allocate {found['room_mb']} MB. Loading the graph under that limit "
        f"ends with `{limited['in_memory_under_the_limit']}`. The variances are {same} to the last digit, features "
        f"differ by at most {found['largest_difference_of_features']:.0e}."
    )


def made_with(area: str, name: str) -> str:
    """Seeds and versions of a benchmark."""
    import tables

    return tables.made_with(area, name)


def draw_rni() -> Figure:
    """Test accuracy by epoch: a thin line for each seed, one draw dashed, the vote solid."""
    rows = record.need(*RNI)["rows"]
    names = list(dict.fromkeys(row["data"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(4.8 * len(names), 3.4), sharey=True, layout="constrained")
    for axes, name in zip(panels if len(names) > 1 else [panels], names, strict=True):
        for row in (one for one in rows if one["data"] == name):
            colour = COLOURS[row["label"]]
            if row["ratio"] == 0:
                axes.plot(row["epochs"], [100 * value for value in row["vote"][0]], color=colour, linewidth=1.6)
                continue
            for key, style in (("vote", "-"), ("single", (0, (3, 2)))):
                for one in row[key]:
                    axes.plot(row["epochs"], [100 * v for v in one], color=colour, linewidth=0.8, alpha=0.4, ls=style)
                mean = [100 * statistics.fmean(values) for values in zip(*row[key], strict=True)]
                axes.plot(row["epochs"], mean, color=colour, linewidth=2, ls=style)
        axes.set_title(TASKS[name], loc="left")
        axes.set_xlabel("epoch")
        axes.set_ylim(45, 101)
    first = panels[0] if len(names) > 1 else panels
    first.set_ylabel("test accuracy, %")
    handles = [
        pyplot.Line2D([], [], color=COLOURS[label], linestyle=style, linewidth=2, label=text)
        for label, style, text in (
            ("half random", "-", "half random, vote of 8"),
            ("half random", (0, (3, 2)), "half random, one draw"),
            ("all random", "-", "all random, vote of 8"),
            ("all random", (0, (3, 2)), "all random, one draw"),
            ("without", "-", "without"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_rfp() -> Figure:
    """Accuracy of each kind of features: a dot for each seed, a bar at the mean."""
    rows = record.need(*RFP)["rows"]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure, axes = pyplot.subplots(figsize=(7.2, 3.8), layout="constrained")
    for name, colour in GRAPHS.items():
        shift = -0.12 if name == "cora" else 0.12
        for i, label in enumerate(labels):
            row = next(r for r in rows if (r["data"], r["label"]) == (name, label))
            seeds = [100 * value for value in row["accuracy"]]
            axes.plot(seeds, [i + shift] * len(seeds), "o", color=colour, alpha=0.5, markersize=4, markeredgewidth=0)
            axes.plot([100 * row["mean"]], [i + shift], "|", color=colour, markersize=11, markeredgewidth=2.4)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("accuracy of logistic regression, %   (dots: seeds; bars: means)")
    handles = [
        pyplot.Line2D([], [], color=colour, marker="o", linestyle="", label=record.DATA[name])
        for name, colour in GRAPHS.items()
    ]
    axes.legend(handles=handles, loc="lower left", frameon=False)
    return figure


DRAWN = {
    "gnn/rni.svg": ((RNI,), draw_rni),
    "gnn/rfp.svg": ((RFP,), draw_rfp),
}
