"""What a report says of labels: how long each state lasts, what its steps look like, and when it rules."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit import Plot, Table
from initkit_ihmm.sequences import Sequences

_MOST_RUNS, _MOST_COLUMNS, _MOST_STEPS, _WIDTH = 400, 6, 500, 96
_MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def regimes(labels: npt.NDArray[Any], data: Sequences) -> list[dict[str, Any]]:
    """A row for each state: its steps, visits, and the mean and deviation of the first six columns."""
    found = runs(labels, data.spans)
    table = []
    for k in range(int(labels.max()) + 1):
        members = data.x[labels == k]
        own = [end - begin for begin, end, state in found if state == k]
        table.append(
            {
                "state": k,
                "steps": len(members),
                "share": round(len(members) / len(labels), 4),
                "visits": len(own),
                "mean length": round(float(np.mean(own)), 2) if own else 0.0,
                "mean": [float(f"{value:.4g}") for value in members.mean(axis=0)[:_MOST_COLUMNS]],
                "std": [float(f"{value:.4g}") for value in members.std(axis=0)[:_MOST_COLUMNS]],
            }
        )
    return table


def series(labels: npt.NDArray[Any], data: Sequences) -> Table:
    """The first column of the observations over time, each step with its state, drawn in the states' colours.

    A long series is thinned to 500 evenly spaced steps, which the words say.
    """
    steps = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _MOST_STEPS)).round().astype(int))
    rows = [
        {"step": int(t), "value": float(f"{float(data.x[t, 0]):.6g}"), "state": f"state {labels[t]}"} for t in steps
    ]
    thinned = f"; {len(steps)} of {len(labels)} steps" if len(steps) < len(labels) else ""
    words = f"first column of the observations, in the colour of each step's state{thinned}"
    rows.sort(key=lambda row: str(row["state"]))  # stable: series of the plot in the states' order
    return Table("series", rows, words=words, plot=Plot("scatter", "step", ("value",), group="state"))


def timeline(labels: npt.NDArray[Any], data: Sequences) -> dict[str, Any]:
    """When each state rules.

    ``line`` shows the state of each stretch of each sequence, ``|`` between sequences, for the eye; ``runs`` are
    ``[begin, end, state]``, end excluded, in order of time, the first 400 of them; ``changes`` counts all.
    """
    found = runs(labels, data.spans)
    return {"line": _line(labels, data), "changes": len(found) - len(data.spans), "runs": found[:_MOST_RUNS]}


def runs(labels: npt.NDArray[Any], spans: list[tuple[int, int]]) -> list[list[int]]:
    """Stretches of one state, ``[begin, end, state]``; none goes across the border of a sequence."""
    begins = np.zeros(len(labels), dtype=bool)
    begins[1:] = labels[1:] != labels[:-1]
    begins[[begin for begin, _ in spans]] = True
    at = np.flatnonzero(begins)
    ends = np.append(at[1:], len(labels))
    return [[int(begin), int(end), int(labels[begin])] for begin, end in zip(at, ends, strict=True)]


def _line(labels: npt.NDArray[Any], data: Sequences) -> str:
    shown = data.spans[:8]
    parts = []
    for begin, end in shown:
        cuts = np.unique(np.linspace(begin, end, min(max(_WIDTH // len(shown), 4), end - begin) + 1).astype(int))
        ruling = [int(np.bincount(labels[a:b]).argmax()) for a, b in pairwise(cuts.tolist())]
        parts.append("".join(_MARKS[k] if k < len(_MARKS) else "?" for k in ruling))
    return "|".join(parts) + ("|..." if len(data.spans) > len(shown) else "")
