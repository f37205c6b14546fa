"""Table and image of words that a real encoder lost and got back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

HIDDEN, SPEED = ("tokenizer", "hidden_words"), ("tokenizer", "neighbour_speed")


def hidden_table(names: Sequence[str] = ()) -> str:
    """Cosine of sentences to what they were, mean ± standard deviation over seeds: a line a recipe, the best first."""
    found = {row["recipe"]: row for row in record.need(*HIDDEN)["rows"]}
    rows = sorted(found.items(), key=lambda one: -one[1]["mean"])
    return table(
        ["recipe", "cosine to the true sentences"],
        [[f"`{name}`", f"{one['mean']:.3f} ± {one['std']:.3f}"] for name, one in rows if not names or name in names],
    )


def hidden_words() -> str:
    """Counts, seeds and versions in a sentence."""
    found: dict[str, Any] = record.need(*HIDDEN)
    versions, seeds = found["versions"], found["seeds"]
    without = sum(found["without the words"]) / len(seeds)
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy", "gensim") if name in versions)
    text = found["text"]
    files = ", ".join(f"{count} files of {package}" for package, count in text["files"].items())
    return (
        f"{found['words']} words, {found['lines']} lines, seeds {seeds[0]}–{seeds[-1]}; with the words cut into pieces "
        f"by the smaller tokenizer the cosine is {without:.3f}. Vectors from {text['bytes']['train'] / 1e6:.1f} MB of "
        f"text: {files}. {named}."
    )


def auto_table() -> str:
    """What the recipe saw for each seed."""
    rows = [
        [str(one["seed"]), f"`{row['recipe']}`" + (" (chosen)" if row.get("chosen") else ""), f"{row['cosine']:.3f}"]
        for one in record.need(*HIDDEN)["auto"]
        for row in sorted(one["table"], key=lambda row: -(row["cosine"] or 0))
    ]
    return table(["seed", "recipe", "cosine to the true rows of hidden tokens"], rows)


def bars() -> Figure:
    """Cosine by recipe; a dot a seed."""
    found = {row["recipe"]: row for row in record.need(*HIDDEN)["rows"]}
    rows = sorted(found.items(), key=lambda one: one[1]["mean"])
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for place, (_, one) in enumerate(rows):
        axes.plot(one["mean"], place, "|", color="#0072B2", markersize=14, markeredgewidth=2)
        axes.plot(one["cosine"], [place] * len(one["cosine"]), ".", color="#0072B2", alpha=0.6)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel("cosine of sentence embeddings to those of the true model")
    return figure


def speed_table() -> str:
    """Seconds of ours and of peers on the same arrays."""
    return table(
        ["work", "ours, s", "peer", "peer, s", "ratio", "largest difference"],
        [
            [
                row["work"],
                f"{row['ours']:.2f}",
                row["peer"],
                f"{row['theirs']:.2f}",
                f"{row['theirs'] / row['ours']:.1f}",
                f"{row['difference']:.1g}",
            ]
            for row in record.need(*SPEED)["rows"]
        ],
    )


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/hidden_words.svg": ((HIDDEN,), bars),
}
