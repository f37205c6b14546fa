"""Tables and the image of starts of new tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

STARTS, SPEED = ("tokenizer", "starts"), ("tokenizer", "sampling_speed")
CASES = {"grows": "the vocabulary grows", "replaced": "it is replaced"}
PEER = "transformers"


def starts_table(names: Sequence[str] = ()) -> str:
    """Bits per byte before and after training, mean ± standard deviation over seeds: a line a start."""
    rows = record.need(*STARTS)["rows"]
    found = []
    for name in dict.fromkeys(row["start"] for row in rows):
        if names and name not in names:
            continue
        cells = [f"`{name}`" if name != PEER else "transformers, `resize_token_embeddings`"]
        for case in CASES:
            row = next((row for row in rows if (row["case"], row["start"]) == (case, name)), None)
            for when in ("before", "after"):
                cells.append("–" if row is None else f"{row[f'{when}_mean']:.3f} ± {row[f'{when}_std']:.3f}")
        found.append(cells)
    more = record.need(*STARTS)["more"]
    header = ["start"]
    for words in CASES.values():
        header += [f"{words}: before", f"after {more} steps"]
    return table(header, found)


def speed_table() -> str:
    """Seconds of each way of drawing rows."""
    found = record.need(*SPEED)
    return table(["way", "seconds"], [[row["way"], f"{row['seconds']:.3g}"] for row in found["rows"]])


def speed_words() -> str:
    """Ratios, agreement and the large table, in sentences."""
    found = record.need(*SPEED)
    ratios, large = found["ratios"], found["large"]
    return (
        f"Sampling takes torch {ratios['sample']:.0f} times as long, and the same random numbers give the same rows to "
        f"{found['largest_difference_in_std']:.1e} standard deviations. The whole resizing takes transformers "
        f"{ratios['resize by 1,000 rows, data']:.1f} times as long for 1,000 rows and "
        f"{ratios['resize by 100 rows']:.1f} times for 100. A table of {large['rows']:,} x {large['width']:,} in "
        f"bfloat16 ({large['table_mb']:,} MB) gets {large['new']:,} rows straight from the data in "
        f"{large['data_seconds']:.0f} processor seconds with {large['data_peak_mb']} MB beside the table, by the "
        f"factor in {large['factor_seconds']:.0f} seconds with {large['factor_peak_mb']} MB."
    )


def made_with(benchmark: tuple[str, str]) -> str:
    """Seeds and versions of a benchmark."""
    found: dict[str, Any] = record.need(*benchmark)
    seeds = found["seeds"]
    versions = found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "tokenizers"))
    words = f"Seeds {seeds[0]}–{seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"
    return f"{words}; {named}."


def bars(benchmark: tuple[str, str] = STARTS, height: float = 3.4) -> Figure:
    """Bits per byte before and after training by start, both cases; the mean of seeds, with each seed as a dot."""
    rows = record.need(*benchmark)["rows"]
    figure, both = pyplot.subplots(1, 2, figsize=(7.2, height), layout="constrained", sharey=True)
    names = list(dict.fromkeys(row["start"] for row in rows))[::-1]
    for axes, (case, words) in zip(both, CASES.items(), strict=True):
        for place, name in enumerate(names):
            row = next((row for row in rows if (row["case"], row["start"]) == (case, name)), None)
            if row is None:
                continue
            for when, colour in (("before", "#a0a0a0"), ("after", "#0072B2")):
                axes.plot(row[f"{when}_mean"], place, "|", color=colour, markersize=12, markeredgewidth=2)
                axes.plot(row[when], [place] * len(row[when]), ".", color=colour, alpha=0.6)
        axes.set_title(words)
        axes.set_yticks(range(len(names)), names)
    figure.supxlabel("bits per byte: grey before, blue after training", fontsize=9)
    return figure


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/starts.svg": ((STARTS,), bars),
}
