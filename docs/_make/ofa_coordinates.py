"""Table and image of OFA with few coordinates, and of memory of borrowed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

COORDINATES, MEMORY = ("tokenizer", "ofa_coordinates"), ("tokenizer", "borrowed_memory")


def _spread(pair: Sequence[float]) -> str:
    return f"{pair[0]:.3f} ± {pair[1]:.3f}" if pair else "–"


def coordinates_table() -> str:
    """Cosine of sentences to what they were, mean ± standard deviation over seeds: a line a start."""
    found = []
    for row in record.need(*COORDINATES)["rows"]:
        share = f"{100 * row['numbers']:.0f} %" if "numbers" in row else "100 %"
        kept, factors = (_spread(row[f"{kind}, mean and std"]) for kind in ("kept rows", "factors"))
        found.append([f"`{row['start']}`", share, kept, factors])
    header = ["start", "numbers of the factors", "true rows for kept tokens", "the model keeps the factors"]
    return table(header, found)


def coordinates_words() -> str:
    """Counts, seeds and versions in a sentence."""
    found: dict[str, Any] = record.need(*COORDINATES)
    versions, seeds = found["versions"], found["seeds"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy", "gensim") if name in versions)
    return f"{found['words']} words, {found['lines']} lines, seeds {seeds[0]}–{seeds[-1]}; {named}."


def curve() -> Figure:
    """Cosine over the share of numbers that the factors hold; a dot a seed."""
    rows = [row for row in record.need(*COORDINATES)["rows"] if row["start"] == "ofa" or "dim" in row["start"]]
    rows.sort(key=lambda row: row.get("numbers", 1.0))
    figure, axes = pyplot.subplots(figsize=(5.4, 3.2), layout="constrained")
    kinds = {
        "kept rows": ("#0072B2", "true rows for kept tokens"),
        "factors": ("#D55E00", "the model keeps the factors"),
    }
    for kind, (colour, words) in kinds.items():
        shown = [row for row in rows if row[kind]]
        shares = [row.get("numbers", 1.0) for row in shown]
        axes.plot(shares, [row[f"{kind}, mean and std"][0] for row in shown], color=colour, label=words)
        for share, row in zip(shares, shown, strict=True):
            axes.plot([share] * len(row[kind]), row[kind], ".", color=colour, alpha=0.6)
    axes.set_xlabel("numbers of the factors, as a share of the table's")
    axes.set_ylabel("cosine to the true sentences")
    axes.legend(frameon=False)
    return figure


def memory_table() -> str:
    """Peak memory and processor seconds of each way."""
    return table(
        ["way", "peak memory, MB", "processor seconds", "largest difference"],
        [
            [row["way"], f"{row['peak_mb']:,}", f"{row['cpu_seconds']:.1f}", f"{row['difference']:.1g}"]
            for row in record.need(*MEMORY)["rows"]
        ],
    )


def memory_words() -> str:
    """Sizes in a sentence."""
    found = record.need(*MEMORY)
    sizes, versions = found["sizes"], found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy"))
    return (
        f"{sizes['new']:,} new rows from the {sizes['k']} nearest of {sizes['rows']:,} tokens by vectors of "
        f"{sizes['dim']} numbers; the table of {sizes['rows']:,} x {sizes['width']:,} in bfloat16 takes "
        f"{sizes['table_mb']:,} MB, the vectors {found['vectors_mb']:,} MB. Peak memory beyond what imports take, one "
        f"thread, medians of {len(found['rows'][0]['all'])} runs. {named}."
    )


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/ofa_coordinates.svg": ((COORDINATES,), curve),
}
