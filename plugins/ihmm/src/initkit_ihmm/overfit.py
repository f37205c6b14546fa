"""The overfit-and-merge start: too many windowed clusters, a few EM steps, then states merged while it pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from initkit_ihmm.emissions import emission_of
from initkit_ihmm.features import point_features, window_features
from initkit_ihmm.finite import params_from_labels
from initkit_ihmm.hmmlearn_models import decoded, em, plain
from initkit_ihmm.jump import jump_model
from initkit_ihmm.labels import Ints, LabelInit
from initkit_ihmm.merging import label_score, merged
from initkit_ihmm.partitions import kmeans_labels
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.resizing import split_to
from initkit_ihmm.sequences import Sequences

Begin = Literal["windowed", "kmeans", "jump", "contig"]


@dataclass(frozen=True)
class OverfitMerge(Labelling):
    """Too many clusters, a few EM steps, then states merged while the marginal likelihood gains: chooses K itself.

    The EM steps matter: clusters of single steps that overlap would be merged into one. Given a number of states, it
    merges to exactly that many after one round.

    Args:
        n_states: number of states; None or ``"auto"`` keeps what merging leaves, a finite model has its own.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        begin: what the first labels come from.
        over: clusters to begin with; at least twice the number of states asked for.
        rounds: of EM and merging, where the number of states is free.
        em_steps: of Baum and Welch in a round, with full covariances.

    Source: derived here: greedy merging by the collapsed likelihood of a Bayesian HMM, conjugate emissions, symmetric
    Dirichlet rows with alpha = 1.
    """

    begin: Begin = "windowed"
    over: Annotated[int, Ge(2)] = 20
    rounds: Annotated[int, Ge(1)] = 2
    em_steps: Annotated[int, Ge(1)] = 15

    chooses_states = True
    exact = False

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Rounds of EM, decoding and merging."""
        made = overfit_merge(
            data, states, work, begin=self.begin, over=self.over, rounds=self.rounds, em_steps=self.em_steps
        )
        work.note("merging", made.rounds)
        return Found(made.labels, score=made.score, settled={"em_steps_run": made.em_steps})


@dataclass(frozen=True, eq=False)
class Merged:
    """What overfitting and merging found.

    Args:
        labels: int64 (T,), contiguous.
        score: ``sum log m + log p(z)`` of them.
        em_steps: that were run.
        rounds: for the report: clusters before and after EM and merging, and the first and last gain.
    """

    labels: Ints
    score: float
    em_steps: int
    rounds: list[dict[str, Any]]


def overfit_merge(
    data: Sequences,
    states: int | None,
    work: Work,
    *,
    begin: Begin = "windowed",
    over: int = 20,
    rounds: int = 2,
    em_steps: int = 15,
) -> Merged:
    """The labels of :class:`OverfitMerge`.

    Args:
        data: the sequences.
        states: how many to end with, or None.
        work: random numbers.
        begin: first labels.
        over: how many clusters they have.
        rounds: where ``states`` is None.
        em_steps: of each round.
    """
    emission = emission_of(data.emission, data.x)
    labels = beginning(data, begin, _affordable(data, max(over, 2 * (states or 1))), work)
    init = LabelInit.of(labels, lengths=data.lengths, seed=work.seed())
    steps, told = 0, []
    for _ in range(rounds if states is None else 1):
        before = init.K
        init, ran = _refined(init, data, em_steps)
        refined = init.K
        found, gains = merged(init, data.x, emission, states)
        init = LabelInit.of(found, lengths=data.lengths, seed=init.seed)
        steps += ran
        told.append(
            {
                "clusters": before,
                "after EM": refined,
                "after merging": init.K,
                "first gain": float(f"{gains[0]:.7g}") if gains else None,
                "last gain": float(f"{gains[-1]:.7g}") if gains else None,
            }
        )
    if states is not None and states > init.K:
        split = split_to(init.labels, window_features(data), states, init.seed)
        init = LabelInit.of(split, lengths=data.lengths, seed=init.seed)
    return Merged(init.labels, label_score(init, data.x, emission), steps, told)


def beginning(data: Sequences, begin: Begin, clusters: int, work: Work) -> Ints:
    """First labels of more clusters than are wanted in the end."""
    if begin == "contig":
        return np.concatenate([np.arange(long, dtype=np.int64) * clusters // long for long in data.lengths])
    if begin == "jump":
        return jump_model(point_features(data), data.spans, clusters, work.rng)[0]
    features = window_features(data) if begin == "windowed" else point_features(data)
    return kmeans_labels(features, clusters, work)


def _affordable(data: Sequences, clusters: int) -> int:
    """No more clusters than there are different rows, or than leave a few steps to each."""
    distinct = len(np.unique(data.x, axis=0)) if data.steps <= 20_000 else clusters
    return max(1, min(clusters, data.steps // 5 or 1, distinct))


def _refined(init: LabelInit, data: Sequences, em_steps: int) -> tuple[LabelInit, int]:
    """Labels decoded after a few EM steps from the parameters of these; the same ones where EM breaks down."""
    model, kind = plain(data.emission, init.K, data.x)
    fitted = em(model, params_from_labels(init, data.x, kind.shape), data.x, data.lengths, em_steps, tol=1e-3)
    if not np.isfinite(fitted.log_likelihood):
        return init, fitted.steps
    labels = decoded(fitted.model, data.x, data.lengths)
    return LabelInit.of(labels, lengths=data.lengths, seed=init.seed), fitted.steps
