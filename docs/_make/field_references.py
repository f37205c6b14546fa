"""FINER and WIRE as their authors start them, beside torch's own weights: table and plots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

FOUND = ("inr", "references")
BLUE, GREY = "#0072B2", "#6b6b6b"


def _rows(network: str) -> list[dict[str, Any]]:
    return [row for row in record.need(*FOUND)["rows"] if network in row["label"].lower()]


def references_table(network: str) -> str:
    """PSNR of a picture by start and step, mean ± deviation over seeds."""
    rows = _rows(network)
    marks = sorted(rows[0]["psnr"], key=int)
    lines = [
        [row["label"].partition(", torch")[0] if "torch" not in row["label"] else "torch's own weights"]
        + [f"{row['psnr'][mark]['mean']:.1f} ± {row['psnr'][mark]['std']:.1f}" for mark in marks]
        for row in rows
    ]
    return table(["start", *[f"{mark} steps" for mark in marks]], lines)


def steps(network: str) -> Figure:
    """PSNR by step: a line a start, a dot a seed."""
    figure, axes = pyplot.subplots(figsize=(7.6, 3.2), layout="constrained")
    rows = _rows(network)
    shades = pyplot.get_cmap("viridis")
    for k, row in enumerate(rows):
        marks = sorted(row["psnr"], key=int)
        at = [int(mark) for mark in marks]
        plain = "torch" in row["label"]
        colour = GREY if plain else shades(0.1 + 0.75 * k / len(rows))
        axes.plot(
            at,
            [row["psnr"][mark]["mean"] for mark in marks],
            color=colour,
            dashes=(4, 2) if plain else (),
            label=row["label"],
        )
        for mark, x in zip(marks, at, strict=True):
            axes.plot([x] * len(row["psnr"][mark]["values"]), row["psnr"][mark]["values"], ".", color=colour, ms=4)
    axes.set_xlabel("steps")
    axes.set_ylabel("PSNR, dB")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    f"inr/{network}.svg": ((FOUND,), partial(steps, network)) for network in ("finer", "wire")
}
