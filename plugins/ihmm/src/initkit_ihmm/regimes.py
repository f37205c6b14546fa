"""What a report says of labels: how long each state lasts, what its steps look like, and when it rules."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit_ihmm.sequences import Sequences

_MOST_RUNS, _MOST_COLUMNS, _WIDTH = 400, 6, 96
_MARKS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def regimes(labels: npt.NDArray[Any], data: Sequences) -> dict[str, Any]:
    """A table of states, the runs of steps in one state, and a line of characters to look at.

    ``runs`` are ``[begin, end, state]``, end excluded, in order of time; of more than 400 the first are given.
    ``line`` shows the state that rules each stretch of each sequence, ``|`` between sequences.
    """
    found = runs(labels, data.spans)
    states = int(labels.max()) + 1
    table = []
    for k in range(states):
        members = data.x[labels == k]
        own = [end - begin for begin, end, state in found if state == k]
        row: dict[str, Any] = {
            "state": k,
            "steps": len(members),
            "share": round(len(members) / len(labels), 4),
            "visits": len(own),
            "mean length": round(float(np.mean(own)), 2) if own else 0.0,
        }
        row["mean"] = [float(f"{value:.5g}") for value in members.mean(axis=0)[:_MOST_COLUMNS]]
        row["std"] = [float(f"{value:.5g}") for value in members.std(axis=0)[:_MOST_COLUMNS]]
        table.append(row)
    return {
        "states": table,
        "changes": len(found) - len(data.spans),
        "runs": found[:_MOST_RUNS],
        "line": _line(labels, data),
    }


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
