"""Figures and tables of gnn/graph_partition."""

from __future__ import annotations

from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import signed, table

Row = dict[str, Any]
QUALITY, SPEED = ("gnn", "graph_partition"), ("gnn", "partition_speed")
DATA = {**record.DATA, "blogcatalog": "BlogCatalog", "ca_astroph": "ca-AstroPh"}
RANDOM, NODES, BOTH = "random", "nodes", "nodes and contexts"
PAPER, PADDED = "nodes, blocks by skip-gram", "nodes, padded"
COLOURS = {RANDOM: "#6b6b6b", NODES: "#56B4E9", BOTH: "#0072B2", PAPER: "#E69F00", PADDED: "#CC79A7"}
LABELS = {
    RANDOM: "random",
    NODES: "nodes' table only",
    BOTH: "nodes and contexts (default)",
    PAPER: "nodes only, blocks by skip-gram, `narrow=pad`",
    PADDED: "nodes only, `narrow=pad`",
}
CLASSES, LINKS = "node classification", "link prediction"


def _percent(row: Row, key: str) -> str:
    return f"{100 * row[f'{key}_mean']:.1f} ± {100 * row[f'{key}_std']:.1f}"


def _budget(budget: list[int]) -> str:
    return f"{budget[0]} x {budget[1]}" if budget[0] else "no training"


def classification_table() -> str:
    """F1 by data, budget and start, with the gain over the random start."""
    lines = []
    for row in _of(CLASSES):
        gain = _gain(row)
        lines.append(
            [
                DATA[row["data"]],
                _budget(row["budget"]),
                LABELS[row["start"]],
                _percent(row, "micro"),
                _percent(row, "macro"),
                "–" if gain is None else f"{signed(gain['micro_mean'])} / {signed(gain['macro_mean'])}",
                f"{row['start_seconds_mean'] + row['training_seconds_mean']:.1f} s",
            ]
        )
    header = ["data", "walks x length", "start", "micro-F1, %", "macro-F1, %", "gain, % (micro / macro)", "time"]
    return table(header, lines, numbers_from=3)


def link_table() -> str:
    """AUC by data, budget and start."""
    lines = [
        [
            DATA[row["data"]],
            _budget(row["budget"]),
            LABELS[row["start"]],
            _percent(row, "auc"),
            f"{row['start_seconds_mean'] + row['training_seconds_mean']:.1f} s",
        ]
        for row in _of(LINKS)
    ]
    return table(["data", "walks x length", "start", "AUC, %", "time"], lines, numbers_from=3)


def time_table() -> str:
    """Processor time to what the random start reaches at the reference budget."""
    lines = []
    for row in record.need(*QUALITY)["times"]:
        there = row["budget"] is not None
        lines.append(
            [
                DATA[row["data"]],
                row["task"],
                f"{100 * row['goal']:.1f} at {_budget(row['reference'])}, {row['random_seconds']:.1f} s",
                LABELS[row["start"]],
                f"{_budget(row['budget'])}, {row['seconds']:.1f} s" if there else "not within the budgets tried",
                f"{100 * row['share']:.0f} %" if there else "–",
            ]
        )
    return table(
        ["data", "task", "random start", "our start", "as good at", "share of the time"], lines, numbers_from=5
    )


def later_table() -> str:
    """Budgets that were added once the other figures were known."""
    lines = []
    for row in record.need(*QUALITY)["later"]:
        key = "auc" if row["task"] == LINKS else "micro"
        words = "AUC" if key == "auc" else "micro-F1"
        lines.append([DATA[row["data"]], _budget(row["budget"]), LABELS[row["start"]], f"{words} {_percent(row, key)}"])
    return table(["data", "walks x length", "start", "score, %"], lines, numbers_from=3)


def expectations_table() -> str:
    """Targets, and what came out."""
    lines = [
        [
            one["what"],
            one["wanted"].replace("-", "−"),
            "not within the budgets tried" if one["found"] is None else f"{one['found']:.1f}".replace("-", "−"),
            "yes" if one["met"] else "**no**",
        ]
        for one in record.need(*QUALITY)["expected"]
    ]
    return table(["", "target", "found", "met"], lines)


def growth_table() -> str:
    """Accuracy on nodes that came later."""
    rows = record.need(*QUALITY)["growth"]
    ways = list(dict.fromkeys(row["new_rows"] for row in rows))
    names = list(dict.fromkeys(row["data"] for row in rows))
    at = {(row["data"], row["new_rows"]): row for row in rows}
    lines = [[way, *[_percent(at[name, way], "micro") for name in names]] for way in ways]
    return table(["new rows", *[DATA[name] for name in names]], lines)


def speed_table() -> str:
    """A million nodes: seconds and memory of the whole recipe, and of its stages."""
    found = record.need(*SPEED)
    at = {row["way"]: row for row in found["rows"]}
    stages, plain = at["stages"], at["plain"]
    lines = [
        ["whole recipe, METIS", f"{at['recipe']['seconds']:.1f} s, {at['recipe']['peak_mb'] / 1024:.2f} GB", "–"],
        [
            "whole recipe, label propagation",
            f"{at['fallback']['seconds']:.1f} s, {at['fallback']['peak_mb'] / 1024:.2f} GB",
            "–",
        ],
        ["edge list to matrix", f"{stages['read_seconds']:.2f} s", f"{plain['read_seconds']:.2f} s"],
        ["partition (METIS)", f"{stages['partition_seconds']:.1f} s", "–"],
        ["abstract graph", f"{stages['abstract_seconds']:.2f} s", f"{plain['abstract_seconds']:.2f} s"],
        ["block vectors", f"{stages['embed_seconds']:.2f} s", "–"],
        ["rows in the order of blocks", f"{stages['order_seconds']:.2f} s", "–"],
        ["one step of spreading", f"{stages['spread_seconds']:.3f} s", f"{plain['spread_seconds']:.3f} s"],
    ]
    cuts = f"Cut {at['recipe']['cut']:.3f} by METIS, {at['fallback']['cut']:.3f} by label propagation"
    low, high = found["load_average"]
    words = f"{cuts}; {stages['steps']:.0f} steps. Processor time of one thread, load {low:.1f} to {high:.1f}."
    return table(["stage", "gnn/graph_partition", "plain SciPy"], lines) + f"\n\n{words}"


def made_with(area: str, name: str) -> str:
    """One line: seeds, versions, machine."""
    found = record.need(area, name)
    seeds = found["seeds"]
    words = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if k in ("python", "torch", "numpy", "scipy"))
    many = f"Seeds {seeds[0]}–{seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"
    return f"{many}; {words}; one thread of {found['machine']['cpu'] or 'an unnamed CPU'}."


def quality_by_time() -> Figure:
    """Score by processor time: a panel a data set and task, a line a start, bars one standard deviation."""
    rows = record.need(*QUALITY)["rows"]
    shown = [("cora", CLASSES), ("pubmed", CLASSES), ("blogcatalog", CLASSES), ("ca_astroph", LINKS)]
    shown = [one for one in shown if any((row["data"], row["task"]) == one for row in rows)]
    figure, panels = pyplot.subplots(1, max(1, len(shown)), figsize=(11.5, 3.3), layout="constrained", squeeze=False)
    for axes, (data, task) in zip(panels[0], shown, strict=False):
        key = "auc" if task == LINKS else "micro"
        for start in (RANDOM, NODES, BOTH):
            # Without training the context table plays no part: both starts begin at the same point.
            mine = [
                row
                for row in rows
                if (row["data"], row["task"]) == (data, task)
                and (row["start"] == start or (start == BOTH and not row["budget"][0] and row["start"] == NODES))
            ]
            mine.sort(key=lambda row: row["budget"][0] * row["budget"][1])
            x = [row["start_seconds_mean"] + row["training_seconds_mean"] for row in mine]
            y = [100 * row[f"{key}_mean"] for row in mine]
            bars = [100 * row[f"{key}_std"] for row in mine]
            label = LABELS[start].replace("`", "")
            axes.errorbar(x, y, bars, color=COLOURS[start], marker="o", markersize=3.5, linewidth=1.6, label=label)
        axes.set_xscale("log")
        axes.set_title(f"{DATA[data]}: {'AUC' if task == LINKS else 'micro-F1'}, %", loc="left")
        axes.set_xlabel("processor seconds, start included")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _of(task: str) -> list[Row]:
    return [row for row in record.need(*QUALITY)["rows"] if row["task"] == task]


def _gain(row: Row) -> Row | None:
    keys = ("data", "task", "budget", "start")
    gains = record.need(*QUALITY)["gains"]
    return next((one for one in gains if all(one[key] == row[key] for key in keys)), None)


# file: (benchmarks it shows, how it is drawn)
DRAWN = {"gnn/graph_partition.svg": ((QUALITY,), quality_by_time)}
