"""Figures and tables of gnn/mlpinit and gnn/residual_aggregation."""

from __future__ import annotations

import statistics
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import short, table

Row = dict[str, Any]
MLP, DEEP, SEARCH = ("gnn", "mlpinit"), ("gnn", "residual_aggregation"), ("gnn", "scale_search")
DATA = {**record.DATA, "amazon_photo": "Amazon Photo", "coauthor_cs": "Coauthor CS"}
NAMES = {
    "pyg_default": "random start",
    "mlpinit": "`gnn/mlpinit`",
    "mlpinit, lr=0.01": "`gnn/mlpinit`, lr=0.01",
}
COLOURS = {"pyg_default": "#6b6b6b", "mlpinit": "#56B4E9", "mlpinit, lr=0.01": "#0072B2"}
SHAPES = {"plain": "plain GCN", "mixed": "(1-t) I + t P, t = 0.5", "residual": "residual connections"}
STARTS = {
    "pyg_default": "`gnn/pyg_default`",
    "residual_aggregation": "`gnn/residual_aggregation`",
    "residual_aggregation, zero_branches": "`gnn/residual_aggregation`, zero_branches",
    "calibrated": "`gnn/calibrated`",
    "scale search": "scale search",
}


def _rows(benchmark: tuple[str, str]) -> list[Row]:
    return [row for row in record.need(*benchmark)["rows"] if "left_out" not in row]


def _list(values: list[Any]) -> str:
    return ", ".join("never" if value is None else str(value) for value in values)


def _percent(mean: float, std: float) -> str:
    return f"{100 * mean:.1f} ± {100 * std:.1f}"


def mlp_table() -> str:
    """Epochs to the target, accuracy before and after: a line a data set and start."""
    lines = [
        [
            f"{DATA[row['data']]}, {row['layers']} layers",
            NAMES[row["label"]],
            _percent(row["mlp_test_mean"], row["mlp_test_std"]) if "mlp_test_mean" in row else "–",
            _percent(row["test_before_mean"], row["test_before_std"]),
            _list(row["epochs_to_target"]),
            _percent(row["test_mean"], row["test_std"]),
        ]
        for row in _rows(MLP)
    ]
    header = ["data", "start", "MLP alone", "GNN, no epoch", "epochs to the target", "best test accuracy"]
    return table(header, lines, numbers_from=2)


def mlp_time_table() -> str:
    """Both phases together in percent of the random start's time."""
    lines = []
    for row in _rows(MLP):
        if "time_share_pyg" not in row:
            continue
        lines.append(
            [
                f"{DATA[row['data']]}",
                NAMES[row["label"]],
                f"{statistics.median(row['mlp_seconds']):.2g} s, {_list(row['mlp_epochs'])}",
                _shares(row, "pyg"),
                _shares(row, "sparse"),
            ]
        )
    header = ["data", "start", "MLP phase: time, epochs", "PyG's layers", "hand-written products"]
    return table(header, lines, numbers_from=2)


def _shares(row: Row, kind: str) -> str:
    seconds = statistics.median(row[f"{kind}_epoch_seconds"])
    shares = ", ".join(f"{100 * share:.0f}" for share in row[f"time_share_{kind}"])
    return f"{shares} % (epoch {seconds:.2g} s)"


def mlp_memory_table() -> str:
    """Peak memory of the two phases over the data's."""
    found = record.need(*MLP)["memory"]
    lines = [[DATA[one["data"]], f"{one['gnn_peak_mb']:.0f} MB", f"{one['mlp_peak_mb']:.0f} MB"] for one in found]
    return table(["data", "GNN epochs (PyG)", "MLP phase"], lines)


def mlp_expectations() -> str:
    """What was expected before the runs, and what came out."""
    words = {
        "epoch_share": "epochs",
        "time_share_pyg": "time, PyG's layers",
        "time_share_sparse": "time, hand-written products",
    }
    lines = [
        [
            f"{words[one['key']]}, {NAMES[one['label']]}",
            f"at most {100 * one['most']:.0f} %",
            ", ".join(f"{100 * value:.0f}" for value in one["found"]) + " %",
            "yes" if one["met"] else "**no**",
        ]
        for one in record.need(*MLP)["expected"]
    ]
    return table(["Coauthor CS, share of the random start's", "expected", "found", "met"], lines)


def mlp_curves() -> Figure:
    """Validation accuracy by epoch of the GNN: a panel a data set, a thin line a seed."""
    rows = _rows(MLP)
    names = list(dict.fromkeys(row["data"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(11.5, 3.2), layout="constrained", squeeze=False)
    for axes, name in zip(panels[0], names, strict=True):
        for row in (row for row in rows if row["data"] == name):
            for i, curve in enumerate(row["curve"]):
                label = NAMES[row["label"]].replace("`", "") if i == 0 else None
                colour = COLOURS[row["label"]]
                axes.plot(
                    range(len(curve)), [100 * v for v in curve], color=colour, linewidth=1, alpha=0.8, label=label
                )
            if row["label"] == "pyg_default":
                target = 100 * statistics.fmean(row["target"])
                axes.axhline(target, color="#444444", linewidth=0.8, linestyle=":")
        axes.set_title(DATA[name], loc="left")
        axes.set_xlabel("epoch of the GNN")
        axes.set_xlim(0, 100)
    panels[0][0].set_ylabel("validation accuracy, %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def deep_table() -> str:
    """Sixteen layers on Cora: signal, diversity, accuracy by operator and start."""
    lines = [
        [
            SHAPES[row["shape"]],
            STARTS[row["label"]],
            _range(row["signal"]),
            _range(row["diversity"]),
            _percent(row["test_mean"], row["test_std"]),
        ]
        for row in _rows(DEEP)
    ]
    return table(["network", "start", "signal, last over first", "diversity", "test accuracy"], lines, numbers_from=2)


def _range(values: list[float]) -> str:
    return f"{short(statistics.median(values))} ({short(min(values))} – {short(max(values))})"


def deep_plot() -> Figure:
    """Test accuracy of sixteen layers: a panel a network, a dot a seed."""
    rows = _rows(DEEP)
    figure, panels = pyplot.subplots(1, len(SHAPES), figsize=(10.4, 2.8), sharey=True, layout="constrained")
    labels = list(dict.fromkeys(row["label"] for row in rows))
    for axes, (shape, title) in zip(panels, SHAPES.items(), strict=True):
        for row in (row for row in rows if row["shape"] == shape):
            at = labels.index(row["label"])
            colour = "#0072B2" if "residual" in row["label"] else "#6b6b6b"
            axes.plot(
                [100 * v for v in row["test"]], [at] * len(row["test"]), "o", color=colour, alpha=0.5, markersize=4
            )
            axes.plot([100 * row["test_mean"]], [at], "|", color=colour, markersize=15, markeredgewidth=2.4)
        axes.set_title(title, loc="left")
        axes.set_xlabel("test accuracy, %")
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(labels)), [STARTS[label].replace("`", "").replace("gnn/", "") for label in labels])
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    return figure


def search_table() -> str:
    """The scale search against its alternatives in ten layers on Cora."""
    lines = [
        [
            row["activation"],
            STARTS[row["label"]],
            f"{statistics.median(row['passes']):.0f}",
            f"{statistics.median(row['seconds']):.2g} s",
            *[short(statistics.median(row[f"{term}_term"])) for term in ("forward", "backward", "energy")],
            _percent(row["test_mean"], row["test_std"]),
        ]
        for row in _rows(SEARCH)
    ]
    header = ["activation", "start", "passes", "time", "forward term", "backward term", "energy term", "test accuracy"]
    return table(header, lines, numbers_from=2)


def made_with(area: str, name: str) -> str:
    """One line: how many seeds, and the versions."""
    found = record.need(area, name)
    seeds = found["seeds"]
    words = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if k in ("python", "torch", "torch-geometric"))
    return f"Seeds {seeds[0]}–{seeds[-1]}; {words}; one thread of {found['machine']['cpu'] or 'an unnamed CPU'}."


# file: (benchmarks it shows, how it is drawn)
DRAWN = {
    "gnn/mlpinit.svg": ((MLP,), mlp_curves),
    "gnn/residual_aggregation.svg": ((DEEP,), deep_plot),
}
