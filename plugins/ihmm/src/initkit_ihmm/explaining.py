"""Why is a fitted HMM stuck? What its arrays say: dead states, doubles, rows that let nothing out, floors."""

from __future__ import annotations

from typing import Any

import numpy as np

from initkit import PlanError
from initkit_ihmm.adapters import dead_states
from initkit_ihmm.hmmlearn_models import Kind, kind_of, raw
from initkit_ihmm.labels import Floats

_ALMOST_ONE, _ALIKE, _NARROW = 1 - 1e-6, 0.05, 1e-4


def explain(model: Any) -> list[dict[str, Any]]:
    """Signs of a poor optimum in a fitted hmmlearn estimator, worst first; [] where there are none.

    * ``dead``: NaN or a row of zeros; :func:`~initkit_ihmm.repair` brings it back.
    * ``unreachable``: no other state leads to it, and no sequence begins in it.
    * ``absorbing``: its row is one-hot on itself, although there are other states.
    * ``one-hot row``: its row is one-hot on another state, which EM can never undo.
    * ``double``: emissions like another state's: symmetric Kullback-Leibler divergence below 0.05 nats.
    * ``narrow``: a variance below 1e-4 of the widest state's in that column: a state of a few equal steps.

    Args:
        model: a fitted estimator.

    Returns:
        a row for each finding: ``state``, ``sign``, ``value`` and what to do.

    Raises:
        PlanError: it is no estimator that this plugin knows, or it is not fitted.
    """
    kind = kind_of(model)
    if kind is None:
        raise PlanError(f"{type(model).__name__} is no estimator of hmmlearn that initkit_ihmm knows")
    if not hasattr(model, "transmat_"):
        raise PlanError(f"{type(model).__name__} is not fitted, and has no start: there is nothing to explain")
    dead = dead_states(model)
    found = [_row(k, "dead", None, "initkit_ihmm.repair(model, sequences), then fit again") for k in dead]
    alive = [k for k in range(int(model.n_components)) if k not in dead]
    found += _of_rows(model, alive)
    found += _doubles(model, kind, alive)
    found += _narrow(model, kind, alive)
    return found


def _row(state: int, sign: str, value: float | None, todo: str) -> dict[str, Any]:
    return {"state": state, "sign": sign, "value": None if value is None else float(f"{value:.4g}"), "do": todo}


_ANEW = "start anew: initkit.apply(model, 'ihmm/portfolio', ...) holds no zeros"


def _of_rows(model: Any, alive: list[int]) -> list[dict[str, Any]]:
    found = []
    rows, first = np.asarray(model.transmat_), np.asarray(model.startprob_)
    for k in alive:
        others = [j for j in alive if j != k]
        if not others:
            continue
        into = float(rows[others, k].max())
        if into < 1 - _ALMOST_ONE and first[k] < 1 - _ALMOST_ONE:
            found.append(_row(k, "unreachable", into, _ANEW))
        target = int(rows[k].argmax())
        if rows[k, target] > _ALMOST_ONE:
            found.append(_row(k, "absorbing" if target == k else "one-hot row", float(rows[k, target]), _ANEW))
    return found


def _doubles(model: Any, kind: Kind, alive: list[int]) -> list[dict[str, Any]]:
    if kind.shape.family == "mixture":
        return []  # mixtures have no closed divergence
    found = []
    for i, a in enumerate(alive):
        for b in alive[i + 1 :]:
            apart = _divergence(model, kind, a, b)
            if apart < _ALIKE:
                todo = f"one state with {a}: fit {model.n_components - 1} states, or start anew"
                found.append(_row(b, "double", apart, todo))
    return found


def _divergence(model: Any, kind: Kind, a: int, b: int) -> float:
    """Symmetric Kullback-Leibler divergence of two states' emissions, in nats."""
    if kind.shape.family == "gaussian":
        means = raw(model, "means_")
        one, two = (_full(model, kind, k) for k in (a, b))
        apart = means[a] - means[b]
        inverse_one, inverse_two = np.linalg.inv(one), np.linalg.inv(two)
        traces = np.trace(inverse_two @ one) + np.trace(inverse_one @ two) - 2 * len(apart)
        return float(0.5 * (traces + apart @ (inverse_one + inverse_two) @ apart))
    if kind.shape.family == "poisson":
        p, q = raw(model, "lambdas_")[[a, b]]
        return float(((p - q) * np.log((p + 1e-300) / (q + 1e-300))).sum())
    p, q = raw(model, "emissionprob_")[[a, b]] + 1e-12
    return float(((p - q) * np.log(p / q)).sum())


def _full(model: Any, kind: Kind, k: int) -> Floats:
    covars, dims = raw(model, "covars_"), np.shape(model.means_)[1]
    shape = kind.shape.covariance_type
    if shape == "tied":
        return covars
    if shape == "full":
        return np.asarray(covars[k])
    return np.asarray(np.diag(covars[k] if shape == "diag" else np.full(dims, covars[k])))


def _narrow(model: Any, kind: Kind, alive: list[int]) -> list[dict[str, Any]]:
    if kind.shape.family != "gaussian" or kind.shape.covariance_type == "tied" or len(alive) < 2:
        return []
    variances = np.stack([np.diag(_full(model, kind, k)) for k in alive])
    ratio = (variances / variances.max(axis=0)).min(axis=1)
    todo = "a state of a few equal steps: raise covars_prior, or ask for fewer states"
    return [_row(k, "narrow", float(one), todo) for k, one in zip(alive, ratio, strict=True) if one < _NARROW]
