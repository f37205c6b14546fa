"""Figures and tables of the beam sampler."""

from __future__ import annotations

from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

Row = dict[str, Any]
STARTS, SPEED, BATCHED = ("ihmm", "infinite"), ("ihmm", "beam_speed"), ("ihmm", "beam_batched")
EXACT = ("ihmm", "beam_exact")
DATA = {
    "A_sep": "4 apart",
    "B_overlap": "4 overlapping",
    "C_k8": "8 in 3-D",
    "D_t4": "3, heavy tails",
    "E_cov": "3, covariances only",
    "F_rare": "5, one rare",
}
LABELS = {
    "uniform, K": "uniform, K₀ = K",
    "uniform, 10": "uniform, K₀ = 10",
    "uniform, 3": "uniform, K₀ = 3",
    "contig, 10": "contig, K₀ = 10",
    "kmeans, K": "kmeans, K₀ = K",
    "kmeans, 10": "kmeans, K₀ = 10",
    "hierarchical, K": "hierarchical, K₀ = K",
    "windowed, K": "windowed, K₀ = K",
    "jump, K": "jump, K₀ = K",
    "overfit_merge": "overfit_merge",
}
COLOURS = {
    "uniform, 10": "#6b6b6b",
    "uniform, 3": "#b5b5b5",
    "kmeans, K": "#E69F00",
    "kmeans, 10": "#CC79A7",
    "contig, 10": "#56B4E9",
    "overfit_merge": "#0072B2",
}


def starts_table() -> str:
    """Mean ARI of the last draws by data and start, with what the start itself had."""
    found = record.need(*STARTS)
    rows = {(row["data"], row["start"]): row for row in found["rows"]}
    lines = [
        [LABELS[start], *(_ari(rows[data, start], "end") for data in DATA), f"{total['end_ari']:.2f}"]
        for start, total in ((total["start"], total) for total in found["totals"])
    ]
    return table(["start", *DATA.values(), "mean"], lines)


def first_labels_table() -> str:
    """ARI of the labels that chains begin with, how many have K within one, and where the chains end."""
    found = record.need(*STARTS)
    rows = {(row["data"], row["start"]): row for row in found["rows"]}
    lines = [
        [
            LABELS[total["start"]],
            *(_ari(rows[data, total["start"]], "start") for data in DATA),
            f"{total['start_ari']:.2f}",
            f"{total['within_one']}/{total['runs']}",
            f"{total['end_within_one']}/{total['runs']}",
            f"{total['best_mode_at_once']}/{total['runs']}",
            f"{total['best_mode']}/{total['runs']}",
        ]
        for total in found["totals"]
    ]
    header = ["start", *DATA.values(), "mean", "K ± 1", "K ± 1 at the end", "best mode at sweep 1", "at the end"]
    return table(header, lines)


def _ari(row: Row, key: str) -> str:
    return f"{row[f'{key}_mean']:.2f} ± {row[f'{key}_std']:.2f}"


def total(start: str) -> Row:
    """Sums and means over all series of one start."""
    return next(row for row in record.need(*STARTS)["totals"] if row["start"] == start)


def speed_table() -> str:
    """Milliseconds a sweep, beside a Baum-Welch step of hmmlearn, and memory."""
    lines = [
        [
            row["case"],
            _time(row["sweep_ms"]),
            "–" if row.get("em_ms") is None else _time(row["em_ms"]),
            "–" if row.get("em_ms") is None else f"{row['sweep_over_em']:.2f}",
            f"{row['trellis_mb']} MB",
            "–" if row["peak_mb"] is None else f"{row['peak_mb']} MB",
        ]
        for row in record.need(*SPEED)["rows"]
    ]
    return table(["series", "sweep", "EM step of hmmlearn", "ratio", "trellis", "peak memory"], lines)


def exact_table() -> str:
    """How far long chains are from the enumerated posterior."""
    lines = [
        [
            row["case"],
            str(row["partitions"]),
            ", ".join(f"{value:.4f}" for value in row["largest_difference"]),
            f"{row['mean_square_score']:.2f}",
            f"{row['largest_score']:.1f}",
        ]
        for row in record.need(*EXACT)["rows"]
    ]
    return table(["data", "partitions", "largest difference (seeds)", "mean z²", "largest z"], lines)


def exact_sweeps() -> str:
    """How long the chains of the table are."""
    return f"{record.need(*EXACT)['sweeps']:,}"


def _time(ms: float) -> str:
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"


def speed_ratios() -> str:
    """How much faster than the published R code a sweep at T = 1000 is."""
    found = record.need(*SPEED)
    three, ten = found["ratios"].values()
    return (
        f"The published R sampler of the comparison of starts takes {found['published_r_ms']:.0f} ms a sweep at "
        f"T = 1000 (one dimension, known variance; measured once, on another machine): {three} times a sweep with "
        f"three states here, {ten} times one with ten."
    )


def batched_table() -> str:
    """Microseconds a step and chain: compiled, and batches of chains in torch."""
    rows = record.need(*BATCHED)["rows"]
    chains = list(dict.fromkeys(row["chains"] for row in rows if row["way"] == "torch"))
    at = {(row["states"], row["way"], row["chains"]): row["us_per_step_and_chain"] for row in rows}
    lines = [
        [str(k), f"{at[k, 'compiled', 1]:.2f}", *(f"{at[k, 'torch', b]:.2f}" for b in chains)]
        for k in dict.fromkeys(row["states"] for row in rows)
    ]
    return table(["K", "compiled, whole sweep", *(f"torch, {b} chain{'s' * (b > 1)}" for b in chains)], lines, 0)


def traces() -> Figure:
    """Number of states and log joint by sweep, a line for each start."""
    found = record.need(*STARTS)
    data = list(dict.fromkeys(trace["data"] for trace in found["traces"]))
    figure, panels = pyplot.subplots(2, len(data), figsize=(9.6, 5.4), sharex=True, layout="constrained")
    for column, name in enumerate(data):
        best = max(max(trace["log_joint"]) for trace in found["traces"] if trace["data"] == name)
        for trace in found["traces"]:
            if trace["data"] != name or trace["start"] not in COLOURS:
                continue
            colour = COLOURS[trace["start"]]
            sweeps = [1 + found["every"] * n for n in range(len(trace["states"]))]
            strong = trace["start"] == "overfit_merge"
            width = 2.2 if strong else 1.4
            panels[0][column].plot(sweeps, trace["states"], color=colour, linewidth=width, drawstyle="steps-post")
            gap = [best - value + 1 for value in trace["log_joint"]]
            panels[1][column].plot(sweeps, gap, color=colour, linewidth=width)
        row = next(row for row in found["rows"] if row["data"] == name)
        panels[0][column].axhline(row["states"], color="#000000", linewidth=0.8, linestyle=":")
        panels[0][column].set_title(f"{DATA[name]}: number of states (dotted: the truth)", loc="left")
        panels[1][column].set_title("log p(x, z) below the best, + 1", loc="left")
        panels[1][column].set_yscale("log")
        panels[1][column].invert_yaxis()
        panels[1][column].set_xlabel("sweep")
    handles = [
        pyplot.Line2D([], [], color=colour, linewidth=2, label=LABELS[start]) for start, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


DRAWN = {"ihmm/traces.svg": ((STARTS,), traces)}
