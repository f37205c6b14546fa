"""Labels of one's own into an estimator, and dead states brought back to life."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit import InitError, PlanError
from initkit_ihmm.features import point_features
from initkit_ihmm.finite import Start, params_from_labels
from initkit_ihmm.hmm_slots import hmm_slots, labels_attribute
from initkit_ihmm.hmmlearn_models import Kind, kind_of, loaded, quiet, raw, start_of
from initkit_ihmm.labels import LabelInit
from initkit_ihmm.resizing import split_to
from initkit_ihmm.sequences import read_sequences

_WORST = 0.05


def init_from(
    model: Any,
    init: LabelInit | npt.ArrayLike,
    sequences: Any,
    *,
    lengths: Sequence[int] | npt.NDArray[Any] | None = None,
) -> LabelInit:
    """Start an estimator from labels: all its arrays, or none of them when something does not fit.

    Args:
        model: an hmmlearn estimator, or a :class:`~initkit_ihmm.BeamSampler`.
        init: labels, one integer for each step.
        sequences: as :func:`~initkit_ihmm.read_sequences` takes them.
        lengths: of the sequences.

    Raises:
        InitError: the labels have another number of states than the model, or another length than the sequences.
        PlanError: the model is none of those.
    """
    kind, attribute = kind_of(model), labels_attribute(model)
    if kind is None and attribute is None:
        raise PlanError(f"{type(model).__name__} is no HMM that initkit_ihmm knows")
    emission = kind.emission if kind is not None else model.emission
    data = read_sequences(sequences, lengths, emission=emission, symbols=kind.shape.symbols if kind else None)
    given = init if isinstance(init, LabelInit) else LabelInit.of(init, lengths=data.lengths)
    if len(given.labels) != data.steps:
        raise InitError(f"there are {len(given.labels)} labels for {data.steps} steps")
    if kind is None:
        setattr(model, str(attribute), given.labels.copy())
        return given
    if model.n_components != given.K:
        raise InitError(
            f"the labels have {given.K} states, the model n_components={model.n_components}; build it with {given.K}, "
            f"or bring the labels to its number with initkit_ihmm.resizing.merge_to or split_to"
        )
    write(model, params_from_labels(given, data.x, kind.shape))
    return given


def write(model: Any, start: Start) -> None:
    """Set all arrays of an estimator and ``init_params=""``; a failure restores what was there."""
    import torch

    slots = {slot.name: slot for slot in hmm_slots(model) or ()}
    undo = [slot.snapshot() for slot in slots.values()]
    try:
        for name, value in start.tensors.items():
            slots[f"{name}_"].write(torch.from_numpy(np.array(value, order="C")))
    except BaseException:
        for one in undo:
            one()
        raise
    model.init_params = ""


def dead_states(model: Any) -> list[int]:
    """States that EM has lost: NaN in their arrays, or a row of transitions that is all zero."""
    kind = kind_of(model)
    if kind is None:
        raise PlanError(f"{type(model).__name__} is no estimator of hmmlearn that initkit_ihmm knows")
    states = int(model.n_components)
    gone = ~np.isclose(np.nansum(model.transmat_, axis=1), 1.0)
    for attribute in kind.letters.values():
        value = raw(model, attribute)
        if attribute == "startprob_":
            continue  # NaN there says nothing of a single state
        if len(value) == states and not (attribute == "covars_" and kind.shape.covariance_type == "tied"):
            gone |= np.isnan(value.reshape(states, -1)).any(axis=1)
    return [int(k) for k in np.flatnonzero(gone)]


def repair(
    model: Any, sequences: Any, *, lengths: Sequence[int] | npt.NDArray[Any] | None = None, seed: int = 0
) -> list[int]:
    """Give dead states the steps that the living explain worst (5 %), as a start for another ``fit``.

    It saves a model that is nearly done; a start from scratch (``ihmm/portfolio``) often finds a better optimum.

    Args:
        model: an hmmlearn estimator whose fit has lost states.
        sequences: what it was fitted to.
        lengths: of the sequences.
        seed: of the halving where several states are dead.

    Returns:
        the numbers of the states that were dead; [] leaves the model alone.

    Raises:
        InitError: all states are dead.
    """
    dead = dead_states(model)
    if not dead:
        return []
    kind = kind_of(model)
    assert kind is not None
    data = read_sequences(sequences, lengths, emission=kind.emission, symbols=kind.shape.symbols)
    alive = [k for k in range(model.n_components) if k not in dead]
    if not alive:
        raise InitError(f"all {len(dead)} states are dead; start anew with initkit.apply(model, 'ihmm/portfolio', ...)")
    living = loaded(model, _without(start_of(model, kind), dead, alive, kind))
    with quiet():
        living._check()
        density = np.asarray(living._compute_log_likelihood(data.x))
        path = living.decode(data.x, list(data.lengths), algorithm="viterbi")[1]
    labels = np.searchsorted(alive, path).astype(np.int64)
    share = max(int(np.ceil(_WORST * data.steps)), len(dead))
    worst = np.argsort(density[np.arange(data.steps), path], kind="stable")[:share]
    labels[worst] = len(alive)
    if len(dead) > 1:
        features = point_features(data)
        labels[worst] = len(alive) + split_to(np.zeros(share, dtype=np.int64), features[worst], len(dead), seed)
    init = LabelInit.of(labels, lengths=data.lengths, seed=seed)
    if model.n_components > init.K:
        whole = split_to(init.labels, point_features(data), int(model.n_components), seed)
        init = LabelInit.of(whole, lengths=data.lengths, seed=seed)
    write(model, params_from_labels(init, data.x, kind.shape))
    return dead


def _without(start: Start, dead: list[int], alive: list[int], kind: Kind) -> Start:
    """The HMM with its dead states shut out: nothing leads there, and they are copies of a living one."""
    first, rows = np.nan_to_num(start.startprob), np.nan_to_num(start.transmat)
    first[dead], rows[:, dead], rows[dead] = 0.0, 0.0, 0.0
    first[alive] += 1e-12
    rows[:, alive] += 1e-12
    tied = kind.shape.family == "gaussian" and kind.shape.covariance_type == "tied"
    emissions = {}
    for name, value in start.emissions.items():
        emissions[name] = value.copy()
        if not (name == "covars" and tied):
            emissions[name][dead] = value[alive[0]]
    return Start(first / first.sum(), rows / rows.sum(axis=1, keepdims=True), emissions)
