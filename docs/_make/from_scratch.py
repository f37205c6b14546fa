"""Table and image of a small causal model from scratch, by the rows it starts from."""

from __future__ import annotations

from collections.abc import Callable

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

SCRATCH = ("tokenizer", "from_scratch")
COLOURS = ("#a0a0a0", "#56B4E9", "#0072B2")


def scratch_table() -> str:
    """Bits per byte by steps, mean ± standard deviation over seeds: a line a start, the best in the end first."""
    found = record.need(*SCRATCH)
    steps = found["steps"]
    rows = sorted(found["rows"], key=lambda row: row[f"after {steps[-1]}"]["mean"])
    return table(
        ["start", *("untrained" if not step else f"after {step} steps" for step in steps)],
        [
            [_name(row["start"]), *("{mean:.3f} ± {std:.3f}".format(**row[f"after {step}"]) for step in steps)]
            for row in rows
        ],
    )


def _name(label: str) -> str:
    return f"`{label}`" if label.startswith("eigennoise") else label


def scratch_words() -> str:
    """Sizes, seeds and versions in a sentence."""
    found = record.need(*SCRATCH)
    seeds, versions = found["seeds"], found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "tokenizers"))
    return f"{found['size']:,} tokens of Python's documentation. Seeds {seeds[0]}–{seeds[-1]}; {named}."


def bars() -> Figure:
    """Bits per byte by start, a colour a number of steps; a dot a seed, a bar the mean."""
    found = record.need(*SCRATCH)
    rows = sorted(found["rows"], key=lambda row: -row[f"after {found['steps'][-1]}"]["mean"])
    figure, axes = pyplot.subplots(figsize=(6.8, 2.8), layout="constrained")
    for place, row in enumerate(rows):
        for step, colour in zip(found["steps"], COLOURS, strict=True):
            one = row[f"after {step}"]
            axes.plot(one["mean"], place, "|", color=colour, markersize=14, markeredgewidth=2)
            axes.plot(one["bits"], [place] * len(one["bits"]), ".", color=colour, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xticks([2, 3, 5, 10, 20, 50], ["2", "3", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [row["start"] for row in rows])
    first, early, last = found["steps"]
    axes.set_xlabel(f"bits per byte: grey {first}, light blue {early}, blue {last} steps")
    return figure


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/from_scratch.svg": ((SCRATCH,), bars),
}
