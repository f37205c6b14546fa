"""Tables and images of a small causal model that gets a new vocabulary: German, or more English."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import record
from matplotlib import pyplot
from matplotlib.figure import Figure
from tables import table

GERMAN, GROWTH, PACKAGES = ("tokenizer", "german"), ("tokenizer", "growth"), ("tokenizer", "packages")
WHEN = ("before", "after")
TITLES = {GERMAN: "English to German", GROWTH: "more English tokens"}


def bits_table(benchmark: tuple[str, str], names: Sequence[str] = ()) -> str:
    """Bits per byte before and after training, mean ± standard deviation over seeds; the best after training first."""
    found = record.need(*benchmark)
    rows = [row for row in found["rows"] if not names or row["start"] in names]
    return table(
        ["start", "before", f"after {found['steps']} steps"],
        [
            [f"`{row['start']}`", *(f"{row[f'{when}_mean']:.3f} ± {row[f'{when}_std']:.3f}" for when in WHEN)]
            for row in sorted(rows, key=lambda row: row["after_mean"])
        ],
    )


def gains(benchmark: tuple[str, str] = GERMAN) -> str:
    """By how much map beats the best omp, and recipes without a donor the better of two rivals; over seeds."""
    found = record.need(*benchmark)
    rows = []
    for one in (found["map against omp"], *found["without a donor"]):
        rivals = "`omp`, any k" if "omp" in one["others"] else ", ".join(f"`{name}`" for name in one["others"])
        rows.append([f"`{one['start']}`", rivals, *(_gain(one[when]) for when in WHEN)])
    return table(["start", "against the best of", "gain before", "gain after"], rows)


def _gain(one: dict[str, Any]) -> str:
    return f"{one['mean']:.3f} ± {one['std']:.3f}".replace("-", "−")


def made_of(benchmark: tuple[str, str]) -> str:
    """Text, models, seeds and versions in sentences."""
    found = record.need(*benchmark)
    seeds, versions = found["seeds"], found["versions"]
    text = "; ".join(
        f"{language}: {facts['bytes']['train'] / 1e6:.1f} MB to train on, {facts['bytes']['test'] / 1e6:.2f} MB held "
        f"out, from {', '.join(facts['files'])}"
        for language, facts in found["text"].items()
    )
    own = ", ".join(
        f"{name} {sum(values) / len(values):.2f}" for name, values in found["bits of the trained models"].items()
    )
    named = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "transformers", "gensim"))
    return (
        f"{found['shared tokens']} tokens are shared. Bits per byte of the trained models in their own vocabularies: "
        f"{own}. Text: {text}. Seeds {seeds[0]}–{seeds[-1]}; {named}."
    )


def cancelling_words(benchmark: tuple[str, str] = GERMAN) -> str:
    """How many rows of the donor ``clp`` cannot use, seed by seed."""
    counts = record.need(*benchmark)["cancelling rows"]
    least, most = min(counts), max(counts)
    return (
        f"`clp` refuses these donors as they are: the cosines of {least} to {most} new tokens cancel. In `clp, "
        f"cancelling rows left out` these tokens' rows are zero in the donor, so that they get the mean row."
    )


def packages_table() -> str:
    """Rows of the packages and ours."""
    rows = []
    for row in record.need(*PACKAGES)["rows"]:
        same = row["rows, compat"]
        rows.append(
            [
                f"{row['package']} {row['version']}",
                f"{same['equal']} of {same['compared']}",
                f"{same['largest difference of equal ones']:.0e}",
                f"{row['bits of the package']:.3f}",
                f"{row['bits, compat']:.3f}",
                f"{row['bits, default']:.3f}",
            ]
        )
    return table(["package", "equal rows", "largest difference", "bits: package", "`compat=authors`", "default"], rows)


def bars(benchmark: tuple[str, str]) -> Figure:
    """Bits per byte of each start, before (grey) and after (blue) training; a dot a seed, a bar the mean.

    What lies beyond twice the middle of all starts is written at the edge, so that the others can be told apart.
    """
    rows = sorted(record.need(*benchmark)["rows"], key=lambda row: -row["after_mean"])
    figure, axes = pyplot.subplots(figsize=(6.4, 0.18 * len(rows) + 0.8), layout="constrained")
    far = 2 * statistics.median(row["before_mean"] for row in rows)
    for place, row in enumerate(rows):
        for when, colour in zip(WHEN, ("#a0a0a0", "#0072B2"), strict=True):
            if row[f"{when}_mean"] > far:
                words = f"{when}: {row[f'{when}_mean']:.1f} →"
                axes.annotate(
                    words, (1, place), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=7
                )
                continue
            axes.plot(row[f"{when}_mean"], place, "|", color=colour, markersize=9, markeredgewidth=2)
            axes.plot(row[when], [place] * len(row[when]), ".", color=colour, alpha=0.6, markersize=4)
    axes.set_yticks(range(len(rows)), [row["start"] for row in rows], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_xlabel(f"bits per byte, {TITLES[benchmark]}: grey before, blue after training", fontsize=8)
    return figure


DRAWN: dict[str, tuple[tuple[tuple[str, str], ...], Callable[[], Figure]]] = {
    "tokenizer/german.svg": ((GERMAN,), lambda: bars(GERMAN)),
    "tokenizer/growth.svg": ((GROWTH,), lambda: bars(GROWTH)),
}
