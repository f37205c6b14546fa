"""hmmlearn's estimators as subjects: which they are, which arrays they fit, and EM with them.

hmmlearn itself is imported only where EM runs. What follows was read in hmmlearn 0.3.3:

* ``init_params`` must be empty, or ``fit`` overwrites what it finds;
* ``covars_`` gives full matrices whatever the type, after a spherical fit of a wrong shape, so ``_covars_`` is read;
* ``n_features`` of Gaussian models appears in ``fit`` alone, but ``covars_`` needs it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit_ihmm.emissions import covariance
from initkit_ihmm.finite import Family, Shape, Start
from initkit_ihmm.labels import Ints
from initkit_ihmm.sequences import EmissionName

KINDS: dict[str, tuple[Family, EmissionName, dict[str, str]]] = {
    "GaussianHMM": ("gaussian", "gaussian", {"m": "means_", "c": "covars_"}),
    "GMMHMM": ("mixture", "gaussian", {"w": "weights_", "m": "means_", "c": "covars_"}),
    "CategoricalHMM": ("categorical", "categorical", {"e": "emissionprob_"}),
    "MultinomialHMM": ("multinomial", "multinomial", {"e": "emissionprob_"}),
    "PoissonHMM": ("poisson", "poisson", {"l": "lambdas_"}),
}
_RIDGE, _PSEUDO = 1e-2, 1e-4
_COMMON = {"s": "startprob_", "t": "transmat_"}


@dataclass(frozen=True)
class Kind:
    """What an estimator is.

    Args:
        name: of hmmlearn's class.
        emission: what its observations are.
        shape: of its start.
        letters: hmmlearn's letter of each array that it fits.
    """

    name: str
    emission: EmissionName
    shape: Shape
    letters: dict[str, str]


def kind_of(model: Any) -> Kind | None:
    """What an estimator is, or None where it is none of hmmlearn's point estimators."""
    for base in type(model).__mro__:
        if base.__module__ == "hmmlearn.hmm" and base.__name__ in KINDS:
            family, emission, letters = KINDS[base.__name__]
            shape = Shape(
                family,
                getattr(model, "covariance_type", "full"),
                getattr(model, "n_mix", 1),
                getattr(model, "n_features", None) if family == "categorical" else None,
            )
            return Kind(base.__name__, emission, shape, {**_COMMON, **letters})
    return None


def features_of(model: Any) -> int:
    """Number of columns (or symbols) that an estimator is known to take; 0 when that is not known yet."""
    known = getattr(model, "n_features", None)
    if known is not None:
        return int(known)
    for attribute in ("means_", "emissionprob_", "lambdas_"):
        if hasattr(model, attribute):
            return int(np.shape(getattr(model, attribute))[-1])
    return 0


def shapes_of(model: Any, kind: Kind) -> dict[str, tuple[int, ...]]:
    """Shape of each array that an estimator fits; features that are not known yet count 0."""
    k, d, m = int(model.n_components), features_of(model), kind.shape.n_mix
    lead = (k,) if kind.shape.family != "mixture" else (k, m)
    covars = {"spherical": lead, "diag": (*lead, d), "full": (*lead, d, d), "tied": (*lead[: len(lead) - 1], d, d)}
    found = {"startprob_": (k,), "transmat_": (k, k)}
    for attribute in kind.letters.values():
        if attribute == "means_":
            found[attribute] = (*lead, d)
        elif attribute == "covars_":
            found[attribute] = covars[kind.shape.covariance_type]
        elif attribute == "weights_":
            found[attribute] = (k, m)
        elif attribute not in found:
            found[attribute] = (k, d)
    return found


def loaded(model: Any, start: Start, **changes: Any) -> Any:
    """An unfitted copy of an estimator that starts where it is told.

    Args:
        model: an estimator; its hyperparameters are copied.
        start: what it is to hold.
        changes: other hyperparameters.
    """
    from sklearn.base import clone

    with quiet():
        made = clone(model).set_params(init_params="", **changes)
    for name, value in start.tensors.items():
        setattr(made, f"{name}_", value.copy())
    return made


@dataclass(frozen=True, eq=False)
class Fitted:
    """What EM made of a start.

    Args:
        model: the estimator.
        log_likelihood: before the last step; -inf when EM broke down.
        steps: of EM.
    """

    model: Any
    log_likelihood: float
    steps: int


def em(model: Any, start: Start, x: npt.NDArray[Any], lengths: Sequence[int], steps: int, tol: float = 1e-3) -> Fitted:
    """Run EM from a start: with scaling, which is several times faster, and with logarithms where that underflows.

    Args:
        model: whose hyperparameters are used; it is left alone.
        start: where to begin.
        x: observations (T, D).
        lengths: of the sequences.
        steps: at most.
        tol: it stops at a gain below this.
    """
    last = Fitted(None, -np.inf, 0)
    for implementation in ("scaling", "log"):
        made = loaded(model, start, n_iter=steps, tol=tol, verbose=False, implementation=implementation)
        with quiet():
            try:
                made.fit(x, list(lengths))
            except ValueError:  # an underflow, or a state that died
                continue
        history = [float(one) for one in made.monitor_.history]
        value = history[-1] if history else -np.inf
        last = Fitted(made, value if np.isfinite(value) else -np.inf, made.monitor_.iter)
        if np.isfinite(value):
            break
    return last


def decoded(model: Any, x: npt.NDArray[Any], lengths: Sequence[int]) -> Ints:
    """The most probable path (Viterbi), int64 (T,)."""
    with quiet():
        return np.asarray(model.decode(x, list(lengths), algorithm="viterbi")[1], dtype=np.int64)


def start_of(model: Any, kind: Kind) -> Start:
    """What an estimator holds."""
    emissions = {
        attribute[:-1]: raw(model, attribute).copy()
        for attribute in kind.letters.values()
        if attribute not in _COMMON.values()
    }
    return Start(np.array(model.startprob_), np.array(model.transmat_), emissions)


def raw(model: Any, attribute: str) -> npt.NDArray[np.float64]:
    """An array as the setter takes it: ``_covars_`` for covariances, one number a state for spherical ones."""
    value = getattr(model, f"_{attribute}" if attribute == "covars_" and hasattr(model, "_covars_") else attribute)
    found = np.asarray(value, dtype=np.float64)
    if attribute == "covars_" and hasattr(model, "_covars_") and model.covariance_type == "spherical":
        found = found[:, 0] if found.ndim == 2 else found
    return found


def plain(emission: EmissionName, states: int, x: npt.NDArray[Any]) -> tuple[Any, Kind]:
    """An estimator for an emission, as free as there is one, with priors so weak that they only save dying states.

    Without them hmmlearn divides zero by zero where a state loses all its steps, and a scatter of few steps stays
    singular, since it adds its prior number to every entry of the matrix.
    """
    from hmmlearn import hmm

    weak = {"startprob_prior": 1 + _PSEUDO, "transmat_prior": 1 + _PSEUDO}
    with quiet():
        if emission == "gaussian":
            model = hmm.GaussianHMM(
                states,
                covariance_type="full",
                means_prior=x.mean(axis=0),
                means_weight=_PSEUDO,
                covars_prior=_RIDGE * np.diag(np.diag(covariance(x))),
                covars_weight=x.shape[1] + 1,
                **weak,
            )
        elif emission == "categorical":
            model = hmm.CategoricalHMM(states, n_features=int(x.max()) + 1, emissionprob_prior=1 + _PSEUDO, **weak)
        elif emission == "multinomial":
            model = hmm.MultinomialHMM(states, n_trials=x.sum(axis=1), **weak)
        else:
            model = hmm.PoissonHMM(states, **weak)
    kind = kind_of(model)
    assert kind is not None
    return model, kind


@contextmanager
def quiet() -> Iterator[None]:
    """Keep hmmlearn's talk of models that are only tried from the user."""
    logger = logging.getLogger("hmmlearn")
    before = logger.disabled
    children = [logging.getLogger(name) for name in ("hmmlearn.base", "hmmlearn.hmm")]
    states = [child.disabled for child in children]
    try:
        for one in (logger, *children):
            one.disabled = True
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
        for child, state in zip(children, states, strict=True):
            child.disabled = state
