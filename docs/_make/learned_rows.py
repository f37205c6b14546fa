"""Tables and images of rows that a model makes from its own states, and of tokens that two vocabularies share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import record
import token_starts
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

ENCODER, CAUSAL = ("tokenizer", "learned_encoder"), ("tokenizer", "learned_causal")
OVERLAP = ("tokenizer", "overlap")


def encoder_table() -> str:
    """Cosine of sentences to what they were, and the length of new rows, mean over seeds."""
    rows = sorted(record.need(*ENCODER)["rows"], key=lambda row: -row["mean"])
    return table(
        ["recipe", "cosine to the true sentences", "length of new rows, as a share of old ones", "seconds"],
        [
            [
                f"`{row['recipe']}`",
                f"{row['mean']:.3f} ± {row['std']:.3f}",
                f"{_mean(row['length']):.2f}",
                f"{_mean(row['seconds']):.0f}",
            ]
            for row in rows
        ],
    )


def encoder_words() -> str:
    """Counts, what was read, and versions, in sentences."""
    found: dict[str, Any] = record.need(*ENCODER)
    learned = found["learned"]
    return (
        f"{found['words']} words, {found['lines']} lines, seeds {found['seeds'][0]}–{found['seeds'][-1]}. Learned from "
        f"at most {found['snippets']} snippets a word: {_mean([one['snippets'] for one in learned]):,.0f} snippets, "
        f"{_mean([one['old tokens a learned row'] for one in learned]):.0f} old tokens a learned row, "
        f"{_mean([one['new tokens learned'] for one in learned]):.0f} rows learned; the loss fell from "
        f"{_mean([one['loss, first'] for one in learned]):.4f} to {_mean([one['loss, last'] for one in learned]):.4f}. "
        f"{_versions(found)}."
    )


def causal_table() -> str:
    """Bits per byte before and after training, mean ± standard deviation over seeds: a line a start."""
    found = record.need(*CAUSAL)
    rows = found["rows"]
    lines = []
    for name in dict.fromkeys(row["start"] for row in rows):
        cells = [f"`{name}`"]
        for case in token_starts.CASES:
            row = next((row for row in rows if (row["case"], row["start"]) == (case, name)), None)
            if row is None:
                cells += ["–"] * 3
                continue
            cells += [f"{row[f'{when}_mean']:.3f} ± {row[f'{when}_std']:.3f}" for when in ("before", "after")]
            cells.append(f"{_mean(row['seconds']):.0f}")
        lines.append(cells)
    header = ["start"]
    for words in token_starts.CASES.values():
        header += [f"{words}: before", f"after {found['more']} steps", "seconds"]
    return table(header, lines)


def causal_words() -> str:
    """Sizes, seeds and versions, in sentences."""
    found: dict[str, Any] = record.need(*CAUSAL)
    sizes = found["sizes"]
    return (
        f"From {sizes['old']:,} tokens to {sizes['grows']:,}, or to {sizes['replaced']:,} others; at most "
        f"{found['snippets']} snippets a token; seeds {found['seeds'][0]}–{found['seeds'][-1]}. Seconds on one thread "
        f"of a shared machine. {_versions(found)}."
    )


def overlap_table() -> str:
    """Tokens found, wrong and missed, for each pair of vocabularies and each tool."""
    found = record.need(*OVERLAP)
    tools = [name for name in ("initkit", "deepfocus", "mergekit") if name in found["rows"][0]]
    lines = []
    for row in found["rows"]:
        cells = [f"{row['old']} → {row['new']}"]
        for tool in tools:
            one = row[tool]
            cells.append(f"{one['found']:,} ({one['wrong']} wrong, {one['missed']:,} missed)")
        lines.append(cells)
    named = [f"{tool} {found['peers'][tool]}" if tool in found["peers"] else tool for tool in tools]
    return table(["old → new", *named], lines)


def pieces_table() -> str:
    """New tokens whose pieces spell other bytes, by way of cutting."""
    found = record.need(*OVERLAP)["pieces"]
    return table(
        ["way", f"wrong, of {found['new tokens']:,} new tokens", f"of {found['not ASCII']:,} that are not ASCII"],
        [[row["way"], f"{row['wrong']:,}", f"{row['wrong, not ASCII']:,}"] for row in found["rows"]],
    )


def overlap_words() -> str:
    """Text and versions."""
    found = record.need(*OVERLAP)
    size = found["text"]["en"]["bytes"]["train"] / 1e6
    return f"Three vocabularies of {found['size']:,} tokens, trained on {size:.1f} MB of English. {_versions(found)}."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _versions(found: dict[str, Any]) -> str:
    versions = found["versions"]
    return ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "tokenizers"))


def encoder_bars() -> Figure:
    """Cosine by recipe; a dot a seed."""
    rows = sorted(record.need(*ENCODER)["rows"], key=lambda row: row["mean"])
    figure, axes = pyplot.subplots(figsize=(6, 2.6), layout="constrained")
    for place, row in enumerate(rows):
        axes.plot(row["mean"], place, "|", color="#0072B2", markersize=14, markeredgewidth=2)
        axes.plot(row["cosine"], [place] * len(row["cosine"]), ".", color="#0072B2", alpha=0.6)
    axes.set_yticks(range(len(rows)), [row["recipe"] for row in rows])
    axes.set_xlabel("cosine of sentence embeddings to those of the true model")
    return figure


def causal_bars() -> Figure:
    """Bits per byte by start, both cases; a dot a seed."""
    return token_starts.bars(CAUSAL, height=2.6)


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/learned_encoder.svg": ((ENCODER,), encoder_bars),
    "tokenizer/learned_causal.svg": ((CAUSAL,), causal_bars),
}
