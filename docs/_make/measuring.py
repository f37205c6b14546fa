"""What inspect, compare and recommend printed and cost: blocks, tables and the plot of the tutorial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

TUTORIAL = ("core", "tutorial")
COLOURS = {"default": "#6b6b6b", "gnn/virgo": "#0072B2"}


def said(key: str, *beginnings: str) -> str:
    """A command of the tutorial and what it printed, or only the paragraphs that begin with one of some words."""
    row = next(row for row in record.need(*TUTORIAL)["rows"] if row["key"] == key)
    paragraphs = "\n".join(row["out"]).split("\n\n")
    kept = [p for p in paragraphs if not beginnings or p.startswith(beginnings)]
    cut = "" if len(kept) == len(paragraphs) else "\n..."
    return f"```text\n$ {row['command']}\n" + "\n\n".join(kept) + f"{cut}\n```"


def test_of(which: int, measure: str) -> dict[str, Any]:
    """The paired test of a comparison of the tutorial: 0 the deep network, 1 the shallow one."""
    tests = record.need(*TUTORIAL)["curves"][which]["tests"]
    found: dict[str, Any] = next(row for row in tests if row["measure"] == measure)
    return found


def curves() -> Figure:
    """Mean training loss of both comparisons, by step."""
    figure, panels = pyplot.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained", sharey=True)
    for axes, found, title in zip(
        panels, record.need(*TUTORIAL)["curves"], ("eight layers", "two layers"), strict=True
    ):
        for name, values in found["mean"].items():
            axes.plot(range(1, len(values) + 1), values, color=COLOURS[name], linewidth=2)
            if axes is panels[-1]:  # the ends are too near each other elsewhere
                end = (len(values), values[-1])
                axes.annotate(name, end, xytext=(4, 0), textcoords="offset points", va="center", color=COLOURS[name])
        axes.set_xlim(1, found["steps"])
        axes.set_title(title, loc="left")
        axes.set_xlabel("step")
    panels[0].set_ylabel("training loss, mean of five seeds")
    return figure


def cost_table() -> str:
    """An inspection's cost in forward and backward passes."""
    rows = record.need("core", "inspect_cost")["rows"]
    return table(
        ["model", "parameters", "pass, ms", "recorded pass", "least to most", "with ranks"],
        [
            [
                row["model"],
                f"{row['parameters']:,}",
                f"{row['plain_ms']:.0f}",
                f"{row['recorded']:.2f}",
                f"{row['recorded_least']:.2f} to {row['recorded_most']:.2f}",
                f"{row['with_ranks']:.2f}",
            ]
            for row in rows
        ],
    )


def recommend_sentence() -> str:
    """How long recommend takes on a large model."""
    found = record.need("core", "recommend")
    row = found["rows"][0]
    size, spent = row["parameters"] / 1e9, f"{row['beyond_s']:.2f} s"
    spread = f"{row['beyond_least_s']:.2f} to {row['beyond_most_s']:.2f} s over {found['runs']} runs"
    return (
        f"On a model of {size:.2f} billion parameters `initkit recommend` asks {row['recipes_asked']} recipes in "
        f"{spent} of CPU time ({spread}) beyond the import of torch, which takes {row['torch_s']:.2f} s."
    )


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "core/tutorial.svg": ((TUTORIAL,), curves),
}
