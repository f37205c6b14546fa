"""Labels: what every clustering recipe gives, and what every start of a model is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit import InitError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelInit:
    """A state for every step of one or more sequences.

    Args:
        labels: int64 (T,), contiguous 0..K-1 in order of first appearance.
        K: number of states that occur.
        lengths: of the sequences, in order; their sum is T.
        method: the recipe's name.
        params: the recipe's options, and what it settled itself (an eps, a penalty), as JSON values.
        seed: of its random numbers.
        features: float64 (T, F), what was clustered, where that helps a plot; None otherwise.
        resp: float64 (T, K), soft memberships with rows that sum to 1, where the recipe is soft.
        score: the recipe's own objective (larger is better), or None.
        seconds: CPU time that it took; reports leave it out.
    """

    labels: Ints
    K: int
    lengths: tuple[int, ...]
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    features: Floats | None = None
    resp: Floats | None = None
    score: float | None = None
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        labels: npt.ArrayLike,
        *,
        lengths: Sequence[int] | None = None,
        method: str = "given",
        resp: Floats | None = None,
        **rest: Any,
    ) -> LabelInit:
        """Make one of any integer labels: gaps are closed and states renumbered by first appearance.

        Args:
            labels: integers (T,), any numbering.
            lengths: of the sequences; None is a single one.
            method: the recipe's name.
            resp: memberships (T, columns) whose column numbers are the labels before renumbering; columns whose state
                never wins are dropped and the rows divided by their sum.
            rest: the other fields.

        Raises:
            InitError: the labels are no integers (T,), or the lengths do not sum to T.
        """
        given = np.asarray(labels)
        if given.ndim != 1 or not given.size:
            raise InitError(f"labels have shape {given.shape}: give one integer for each step, (T,)")
        whole = given.astype(np.int64)
        if not np.array_equal(whole, given):
            raise InitError("labels are no integers: give the number of a state for each step")
        spans = check_lengths(lengths, len(whole))
        compact, order = compacted(whole)
        if resp is not None:
            resp = np.ascontiguousarray(resp[:, order], dtype=np.float64)
            total = resp.sum(axis=1, keepdims=True)
            alone = np.eye(len(order))[compact]
            resp = np.where(total > 1e-12, resp / np.maximum(total, 1e-12), alone)
        return cls(compact, len(order), spans, method, resp=resp, **rest)

    def counts(self) -> tuple[Floats, Floats]:
        """Steps in each state (K,), and transitions within sequences (K+1, K): row 0 counts the first states.

        Soft memberships are summed, as in ``sum_t r_t r_{t+1}'``.
        """
        found = np.zeros((self.K + 1, self.K))
        starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        inside = np.ones(len(self.labels), dtype=bool)
        inside[starts] = False
        if self.resp is None:
            np.add.at(found[0], self.labels[starts], 1.0)
            later = np.flatnonzero(inside)
            np.add.at(found, (self.labels[later - 1] + 1, self.labels[later]), 1.0)
            return np.bincount(self.labels, minlength=self.K).astype(np.float64), found
        found[0] = self.resp[starts].sum(axis=0)
        later = np.flatnonzero(inside)
        found[1:] = self.resp[later - 1].T @ self.resp[later]
        return self.resp.sum(axis=0), found


def compacted(labels: Ints) -> tuple[Ints, Ints]:
    """Labels renumbered by first appearance, and the old number of each new one."""
    values, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    new = np.empty(len(values), dtype=np.int64)
    new[order] = np.arange(len(values))
    return new[inverse.reshape(-1)], values[order].astype(np.int64)


def check_lengths(lengths: Sequence[int] | npt.NDArray[Any] | None, steps: int) -> tuple[int, ...]:
    """The lengths of the sequences as ints; a single sequence where none are given.

    Raises:
        InitError: a length is no positive integer, or they do not sum to the number of steps.
    """
    if lengths is None:
        return (steps,)
    given = np.asarray(lengths).reshape(-1)
    whole = given.astype(np.int64) if given.dtype.kind in "iuf" else None
    if whole is None or not np.array_equal(whole, given) or (whole < 1).any():
        raise InitError(f"lengths {np.asarray(lengths).tolist()}: give positive integers, one for each sequence")
    if int(whole.sum()) != steps:
        raise InitError(f"lengths sum to {int(whole.sum())}, but there are {steps} steps")
    return tuple(int(one) for one in whole)
