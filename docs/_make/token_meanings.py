"""Tables and images of rows from descriptions and of rows for tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

DESCRIBED, TOOLS = ("tokenizer", "described"), ("tokenizer", "tools")
WHEN = {"before": "before training", "after": "after", "after, regularised": "after, regularised"}
COLOURS = {"before": "#a0a0a0", "after": "#0072B2", "after, regularised": "#D55E00"}


def described_table() -> str:
    """Cosine and rank of made rows, mean ± standard deviation over seeds: a line a recipe."""
    return table(
        ["recipe", "cosine to the true row", "mean reciprocal rank", "nearest is the true one"],
        [
            [f"`{row['recipe']}`", *(_spread(row, key) for key in ("cosine", "reciprocal_rank", "first"))]
            for row in record.need(*DESCRIBED)["rows"]
        ],
    )


def described_words() -> str:
    """Counts, seeds and versions in sentences."""
    found = record.need(*DESCRIBED)
    names = ", ".join(f"{character} “{name}”" for character, name in list(found["examples"].items())[:4])
    return (
        f"{found['hidden']} of {found['characters']} characters a seed ({names}, …). {_made(found, ('torch', 'numpy'))}"
    )


def tools_table() -> str:
    """Ranks of the right tool before and after training, mean ± standard deviation over seeds: a line a start."""
    found = record.need(*TOOLS)
    header = ["start", "mean reciprocal rank", "first", f"rank after {found['more']} steps", "the same, regularised"]
    rows = [
        [
            f"`{row['start']}`",
            _spread(row, "before, reciprocal_rank"),
            _spread(row, "before, first"),
            _spread(row, "after, reciprocal_rank"),
            _spread(row, "after, regularised, reciprocal_rank"),
        ]
        for row in found["rows"]
    ]
    for key, words in (("chance", "chance"), ("by frequency", "the most frequent first")):
        rows.append([words, f"{found[key]['reciprocal_rank']:.3f}", f"{found[key]['first']:.3f}", "–", "–"])
    return table(header, rows)


def tools_words() -> str:
    """Counts, seeds and versions in sentences."""
    found = record.need(*TOOLS)
    places, names = found["places"], ", ".join(f"`{name}`" for name in found["tools"][:5])
    return (
        f"{len(found['tools'])} words as tools ({names}, …) of {found['pieces']:.1f} old tokens in the mean; "
        f"{places['held out']} held-out places, {places['training']:,} to train on. "
        f"{_made(found, ('torch', 'transformers', 'tokenizers'))}"
    )


def described_bars() -> Figure:
    """Cosine and rank by recipe; a dot a seed."""
    rows = record.need(*DESCRIBED)["rows"][::-1]
    figure, both = pyplot.subplots(1, 2, figsize=(7.2, 2.4), layout="constrained", sharey=True)
    titles = {"cosine": "cosine to the true row", "reciprocal_rank": "mean reciprocal rank of the true row"}
    for axes, (key, words) in zip(both, titles.items(), strict=True):
        for place, row in enumerate(rows):
            axes.plot(row[f"{key}_mean"], place, "|", color="#0072B2", markersize=14, markeredgewidth=2)
            axes.plot(row[key], [place] * len(row[key]), ".", color="#0072B2", alpha=0.6)
        axes.set_yticks(range(len(rows)), [row["recipe"] for row in rows])
        axes.set_xlabel(words)
        axes.margins(y=0.12)
    return figure


def tools_bars() -> Figure:
    """Mean reciprocal rank by start, before and after training; a dot a seed."""
    found = record.need(*TOOLS)
    rows = found["rows"][::-1]
    figure, axes = pyplot.subplots(figsize=(6.4, 2.8), layout="constrained")
    for shift, (when, words) in zip((0.18, 0.0, -0.18), WHEN.items(), strict=True):
        key = f"{when}, reciprocal_rank"
        for place, row in enumerate(rows):
            label = words if not place else None
            axes.plot(row[f"{key}_mean"], place + shift, "|", color=COLOURS[when], markersize=10, markeredgewidth=2)
            axes.plot(row[key], [place + shift] * len(row[key]), ".", color=COLOURS[when], alpha=0.6, label=label)
    axes.axvline(found["chance"]["reciprocal_rank"], color="#6b6b6b", linewidth=0.9, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["start"] for row in rows])
    axes.set_xlabel("mean reciprocal rank of the right tool (dotted: chance)")
    axes.margins(y=0.08)
    axes.legend(frameon=False)
    return figure


def _spread(row: Mapping[str, Any], key: str) -> str:
    mean = round(row[f"{key}_mean"], 3) + 0.0  # no minus before zeros
    return f"{mean:.3f} ± {row[f'{key}_std']:.3f}".replace("-", "−")


def _made(found: Mapping[str, Any], packages: tuple[str, ...]) -> str:
    seeds, versions = found["seeds"], found["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", *packages) if name in versions)
    return f"Seeds {seeds[0]}–{seeds[-1]}; {named}."


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/described.svg": ((DESCRIBED,), described_bars),
    "tokenizer/tools.svg": ((TOOLS,), tools_bars),
}
