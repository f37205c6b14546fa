"""Where chains begin: labels that are given, or those of a recipe by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import initkit
from initkit import InitError
from initkit_ihmm.labels import LabelInit
from initkit_ihmm.sequences import EmissionName

Start = str | LabelInit | npt.NDArray[Any]


def starts_for(
    init: Start | Sequence[Start],
    chains: int,
    x: npt.NDArray[Any],
    lengths: tuple[int, ...],
    emission: EmissionName,
    *,
    n_states: int,
    seed: int,
) -> list[LabelInit]:
    """One start for each chain.

    Args:
        init: a recipe's name (``"kmeans"`` or ``"ihmm/kmeans"``), labels (T,), or a list of those that the chains take
            in turn.
        chains: how many.
        x: observations (T, D), NaN where they are missing.
        lengths: of the sequences.
        emission: the kind of observations.
        n_states: for recipes that must be told; those that choose themselves ignore it.
        seed: of the first chain; the next ones count up.

    Raises:
        InitError: no such recipe, or labels that do not fit.
    """
    each: Any = init if _are_several(init) else [init]
    return [
        start_of(each[number % len(each)], x, lengths, emission, n_states=n_states, seed=seed + number)
        for number in range(chains)
    ]


def _are_several(init: Any) -> bool:
    """Whether these are several starts, and not one or labels in a list."""
    return isinstance(init, (list, tuple)) and bool(init) and not isinstance(init[0], (int, np.integer))


def start_of(
    init: Any,
    x: npt.NDArray[Any],
    lengths: tuple[int, ...],
    emission: EmissionName,
    *,
    n_states: int,
    seed: int,
) -> LabelInit:
    """The start of one chain; arguments as in :func:`starts_for`."""
    if isinstance(init, LabelInit):
        return init
    if not isinstance(init, str):
        return LabelInit.of(init, lengths=lengths)
    recipe: Any = initkit.recipe(init if "/" in init else f"ihmm/{init}", missing="skip")
    if not hasattr(recipe, "label") or getattr(recipe, "finite_only", False):
        raise InitError(f"init {init!r} starts no infinite model: take 'overfit_merge', 'kmeans', 'uniform' or another")
    if not recipe.chooses_states:
        recipe = initkit.recipe(recipe.id, missing="skip", n_states=n_states)
    made: LabelInit = recipe.label(x, lengths=lengths, emission=emission, seed=seed)
    return made
