"""Figures and tables of the audit, ssm/mamba, ssm/repair, ssm/rg_lru and ssm/gate_decay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import table

Row = dict[str, Any]
TIME, COPY, GATED = ("ssm", "time_constants"), ("ssm", "copy_task"), ("ssm", "gated_copy")
BEFORE, AFTER = "#D55E00", "#0072B2"
STARTS = {
    "spoiled": "spoiled: bias of dt 1, A = 1..heads",
    "repaired": "the same, after `ssm/repair`",
    "authors": "authors' formulas, written out",
    "transformers": "`Mamba2Config`'s own",
}
SHORT = {"spoiled": "spoiled", "repaired": "spoiled, then\nssm/repair", "authors": "authors'", "transformers": "own"}
GATED_STARTS = {
    "rg_lru": "`ssm/rg_lru` (what transformers does too)",
    "rg_lru, target=a^c": "`ssm/rg_lru`, target=a^c",
    "rg_lru, r from 0.1 to 0.5": "`ssm/rg_lru`, r from 0.1 to 0.5",
    "biases 0": "biases of the gates 0",
    "gate_decay": "`ssm/gate_decay`",
    "gate_decay, log_uniform": "`ssm/gate_decay`, log_uniform",
    "transformers": "transformers' own",
}
LIBRARIES = ("python", "torch", "transformers")


def made_with(benchmark: tuple[str, str]) -> str:
    """Seeds and versions of a benchmark."""
    found = record.need(*benchmark)
    seeds, versions = found["seeds"], found["versions"]
    words = ", ".join(f"{name} {versions[name]}" for name in LIBRARIES if name in versions)
    return f"Seeds {seeds[0]}–{seeds[-1]}; {words}."


def _classes(broken: bool | None = None) -> list[Row]:
    rows: list[Row] = record.need(*TIME)["rows"]
    return [row for row in rows if broken is None or ("FAIL" in row["verdicts_before"]) == broken]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"


def audit_table() -> str:
    """Every class as it is built: time constants, shares that reach, verdict."""
    lines = []
    for row in sorted(_classes(), key=lambda row: ("FAIL" not in row["verdicts_before"], row["reach_before"]["16"])):
        low, median, high = row["tau_before"]
        reach = row["reach_before"]
        lines.append(
            [
                f"`{row['class']}`",
                f"{low:.3g} / {median:.3g} / {high:.3g}",
                *(_percent(reach[key]) for key in ("1", "4", "16", "64")),
                "**FAIL**" if "FAIL" in row["verdicts_before"] else "PASS",
            ]
        )
    header = ["class", "time constants, steps: least / median / longest", "≥ 1", "≥ 4", "≥ 16", "≥ 64", "audit"]
    return table(header, lines)


def repaired_table() -> str:
    """What the matching recipe makes of the classes that fail, and of those with short memories."""
    rows = [row for row in _classes() if row["kind"] in ("mamba", "mamba2", "gated_delta")]
    lines = [
        [
            f"`{row['class']}`",
            *(_percent(row[f"reach_{when}"][key]) for key in ("4", "16", "64") for when in ("before", "after")),
            "PASS" if set(row["verdicts_after"]) == {"PASS"} else ", ".join(row["verdicts_after"]),
        ]
        for row in rows
    ]
    header = ["class", "≥ 4 before", "after", "≥ 16 before", "after", "≥ 64 before", "after", "audit after"]
    return table(header, lines)


def copy_table() -> str:
    """Accuracy on the copy task from each start: mean, spread and every seed."""
    lines = [
        [
            STARTS[row["start"]],
            _span(row),
            _verdicts(row),
            f"{100 * row['accuracy_mean']:.1f} ± {100 * row['accuracy_std']:.1f}",
            ", ".join(f"{100 * value:.0f}" for value in row["accuracy"]),
        ]
        for row in record.need(*COPY)["rows"]
    ]
    return table(["start", "time constants, steps", "audit", "accuracy, %", "by seed"], lines)


def _span(row: Row) -> str:
    taus = [tau for one in row["time_constants"] for tau in one]
    return f"{min(taus):.3g} to {max(taus):.3g}"


def _verdicts(row: Row) -> str:
    seen = [level for one in row["verdicts"] for level in one]
    return ", ".join(f"{level} {seen.count(level)} of {len(seen)}" for level in dict.fromkeys(sorted(seen)))


def expected_table() -> str:
    """What was expected of the copy task before the runs."""
    lines = []
    for one in record.need(*COPY)["expected"]:
        wanted = f"at least {100 * one['at_least']:.0f} %" if "at_least" in one else f"below {100 * one['below']:.0f} %"
        lines.append([STARTS[one["start"]], wanted, f"{100 * one['found']:.1f} %", "yes" if one["met"] else "**no**"])
    return table(["mean accuracy of the start", "expected", "found", "met"], lines)


def said(model: str, recipe: str | None = None) -> str:
    """The audit's verdicts on a model's file, as the command line prints them; after a recipe where one is given."""
    import runpy

    import initkit

    names = runpy.run_path(str(record.ROOT / model))
    found = initkit.inspect(names["model"](), probes="ssm/time_constants", recipes=recipe, length=names.get("length"))
    return "\n".join(["```text", *map(str, found.verdicts), "```"])


def gated_table(model: str) -> str:
    """Accuracy on the copy task from each start of a gated model."""
    lines = [
        [
            GATED_STARTS[row["start"]],
            _span(row),
            f"{100 * row['accuracy_mean']:.1f} ± {100 * row['accuracy_std']:.1f}",
            ", ".join(f"{100 * value:.0f}" for value in row["accuracy"]),
        ]
        for row in record.need(*GATED)["rows"]
        if row["model"] == model
    ]
    return table(["start", "time constants, steps", "accuracy, %", "by seed"], lines)


def _histogram(axes: Axes, row: Row, whens: Sequence[str]) -> None:
    edges = row["edges"]
    for when in whens:
        colour = BEFORE if when == "before" else AFTER
        shares = [100 * share for share in row[f"histogram_{when}"]]
        axes.stairs(shares, [*edges, 2 * edges[-1]], fill=True, color=colour, alpha=0.45, linewidth=0)
        axes.stairs(shares, [*edges, 2 * edges[-1]], color=colour, linewidth=1.2)
    axes.axvline(4, color="#444444", linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set_xscale("log", base=2)
    axes.set_xlim(2**-6, 2**11)
    axes.set_xticks([2**-4, 1, 16, 256], ["1/16", "1", "16", "256"])
    axes.minorticks_off()


def histograms(names: Sequence[str], whens: Sequence[str] = ("before", "after"), columns: int = 4) -> Figure:
    """Shares of the modes by time constant, as built and after the recipe; the dashed line is at 4 steps."""
    rows = {row["class"]: row for row in _classes()}
    lines = -(-len(names) // columns)
    size = (2.5 * columns + 0.6, 1.75 * lines + 0.8)
    figure, panels = pyplot.subplots(lines, columns, figsize=size, sharex=True, layout="constrained", squeeze=False)
    flat = list(panels.flat)
    for axes, name in zip(flat, names, strict=False):
        _histogram(axes, rows[name], whens)
        axes.set_title(name, loc="left")
    for axes in flat[len(names) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("time constant, steps")
    for line in panels:
        line[0].set_ylabel("modes, %")
    words = {"before": "as the class is built", "after": "after the recipe"}
    colours = {"before": BEFORE, "after": AFTER}
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colours[w], alpha=0.6, label=words[w]) for w in whens]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def copy_dots() -> Figure:
    """Accuracy on the copy task: a dot for each seed, a bar at the mean; time constants of each start beside it."""
    found = record.need(*COPY)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.0), sharey=True, layout="constrained")
    for i, row in enumerate(found["rows"]):
        colour = BEFORE if row["start"] == "spoiled" else AFTER if row["start"] == "repaired" else "#6b6b6b"
        taus = [tau for one in row["time_constants"] for tau in one]
        left.plot(taus, [i] * len(taus), "|", color=colour, markersize=12, alpha=0.6)
        right.plot([100 * a for a in row["accuracy"]], [i] * len(row["accuracy"]), "o", color=colour, alpha=0.5)
        right.plot([100 * row["accuracy_mean"]], [i], "|", color=colour, markersize=16, markeredgewidth=2.4)
    left.set_yticks(range(len(found["rows"])), [SHORT[row["start"]] for row in found["rows"]])
    left.set_ylim(len(found["rows"]) - 0.5, -0.5)
    left.set_xscale("log")
    left.axvline(4, color="#444444", linewidth=0.8, linestyle=(0, (3, 2)))
    left.set_xlabel("time constants of the heads, steps")
    right.axvline(100 * found["chance"], color="#444444", linewidth=0.8, linestyle=(0, (3, 2)))
    right.set_xlim(0, 103)
    right.set_xlabel("accuracy after 350 steps, %   (dashed: chance)")
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    return figure


def gated_dots(model: str) -> Figure:
    """Accuracy and time constants of the starts of a gated model."""
    found = record.need(*GATED)
    rows = [row for row in found["rows"] if row["model"] == model]
    size = (8.4, 0.55 * len(rows) + 1.1)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for i, row in enumerate(rows):
        taus = [tau for one in row["time_constants"] for tau in one]
        left.plot(taus, [i] * len(taus), "|", color=AFTER, markersize=11, alpha=0.5)
        right.plot([100 * a for a in row["accuracy"]], [i] * len(row["accuracy"]), "o", color=AFTER, alpha=0.5)
        right.plot([100 * row["accuracy_mean"]], [i], "|", color=AFTER, markersize=15, markeredgewidth=2.4)
    left.set_yticks(range(len(rows)), [row["start"] for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xscale("log")
    left.set_xlabel("time constants, steps")
    right.axvline(100 * found["chance"], color="#444444", linewidth=0.8, linestyle=(0, (3, 2)))
    right.set_xlim(0, 103)
    right.set_xlabel("accuracy after 200 steps, %   (dashed: chance)")
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    return figure


FAILING = ("Bamba", "GraniteMoeHybrid", "FalconH1", "Jamba", "Qwen3Next")
SELECTIVE = ("Mamba", "FalconMamba", "Zamba", "Jamba", "Mamba2", "Bamba", "NemotronH", "Qwen3Next")
DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "ssm/audit.svg": ((TIME,), lambda: histograms([row["class"] for row in _classes()], ("before",), columns=5)),
    "ssm/mamba.svg": ((TIME,), lambda: histograms(SELECTIVE)),
    "ssm/repair.svg": ((TIME,), lambda: histograms(FAILING, columns=5)),
    "ssm/copy_task.svg": ((COPY,), copy_dots),
    "ssm/rg_lru.svg": ((GATED,), lambda: gated_dots("RG-LRU")),
    "ssm/xlstm.svg": ((GATED,), lambda: gated_dots("xLSTM")),
    "ssm/rwkv.svg": ((GATED,), lambda: gated_dots("RWKV-4")),
}
