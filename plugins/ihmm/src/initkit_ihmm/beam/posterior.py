"""What the draws say together: point estimates, alignment of states, averages, diagnostics."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from initkit import InitError
from initkit_ihmm.beam.chain import TRACES, Chain, Draw
from initkit_ihmm.labels import Floats, Ints, compacted

MOST_DRAWS, MOST_POINTS = 200, 2000
Criterion = Literal["binder", "vi"]


def thinned(draws: Sequence[Draw], most: int = MOST_DRAWS) -> list[Draw]:
    """At most so many draws, evenly spaced."""
    if len(draws) <= most:
        return list(draws)
    return [draws[i] for i in np.linspace(0, len(draws) - 1, most).round().astype(int)]


def points_of(steps: int, most: int = MOST_POINTS, limit: int = 5000) -> Ints:
    """All steps of a short series, else a fixed random choice of them in order."""
    if steps <= limit:
        return np.arange(steps)
    return np.sort(np.random.default_rng(0).choice(steps, most, replace=False))


def coclustering(draws: Sequence[Draw], points: Ints) -> Floats:
    """``P_ij``: the share of draws in which steps i and j are in one state, (n, n)."""
    total = np.zeros((len(points), len(points)))
    for draw in draws:
        member = np.eye(draw.K)[draw.labels[points]]
        total += member @ member.T
    return total / len(draws)


def partition_losses(candidates: Sequence[Draw], draws: Sequence[Draw], points: Ints, criterion: Criterion) -> Floats:
    """The expected loss of each candidate over the draws.

    ``binder`` is ``sum_{i<j} |1[z_i=z_j] - P_ij|``, here as the mean number of pairs on which two partitions disagree
    (the same up to a constant); ``vi`` the mean variation of information, in nats.
    """
    inside = [draw.labels[points].astype(np.int64) for draw in draws]
    sizes = [draw.K for draw in draws]
    found = np.empty(len(candidates))
    for n, candidate in enumerate(candidates):
        own, states = candidate.labels[points].astype(np.int64), candidate.K
        loss = 0.0
        for labels, other in zip(inside, sizes, strict=True):
            table = np.bincount(own * other + labels, minlength=states * other).reshape(states, other).astype(float)
            rows, columns = table.sum(axis=1), table.sum(axis=0)
            if criterion == "binder":
                loss += 0.5 * ((rows**2).sum() + (columns**2).sum()) - (table**2).sum()
            else:
                loss += (2 * _entropy(table) - _entropy(rows) - _entropy(columns)) / len(points)
        found[n] = loss / len(draws)
    return found


def _entropy(counts: Floats) -> float:
    """``-sum n log n`` of counts."""
    filled = counts[counts > 0]
    return -float((filled * np.log(filled)).sum())


def point_estimate(draws: Sequence[Draw], criterion: Criterion = "binder", states: int | None = None) -> Draw:
    """The draw with the least expected loss.

    Args:
        draws: of all chains.
        criterion: see :func:`partition_losses`.
        states: consider draws with this many states only.
    """
    if criterion not in ("binder", "vi"):
        raise InitError(f"criterion {criterion!r}: take 'binder' or 'vi'")
    held = thinned(draws)
    candidates = held if states is None else thinned([draw for draw in draws if states == draw.K])
    points = points_of(len(held[0].labels))
    return candidates[int(partition_losses(candidates, held, points, criterion).argmin())]


def matching(labels: npt.NDArray[Any], reference: npt.NDArray[Any], states: int, wanted: int) -> Ints:
    """The reference's state for each of a draw's, by the largest overlap (Hungarian method).

    States without a partner get numbers from ``wanted`` on.
    """
    overlap = np.bincount(labels.astype(np.int64) * wanted + reference, minlength=states * wanted)
    rows, columns = linear_sum_assignment(-overlap.reshape(states, wanted))
    found = np.full(states, -1, dtype=np.int64)
    found[rows] = columns
    lonely = np.flatnonzero(found < 0)
    found[lonely] = wanted + np.arange(len(lonely))
    return found


def in_best_mode(chains: Sequence[Chain], nats: float = 15.0) -> list[int]:
    """Chains that are where the best one is, by the median log joint of their kept sweeps.

    Within 15 nats of the best chain's median or three of its standard deviations, whichever is more; the deviation is
    that of the median absolute one, so that a burn-in that was too short does not widen it.
    Chains that never meet do not say how much each mode weighs: pooling them would give a stuck chain as much say as
    the one that found the best mode.
    """
    kept = {n: np.array(chain.traces)[chain.burn :, 0] for n, chain in enumerate(chains) if chain.draws}
    best = max(kept.values(), key=lambda values: float(np.median(values)))
    middle = float(np.median(best))
    least = middle - max(nats, 3.0 * 1.4826 * float(np.median(np.abs(best - middle))))
    return [n for n, values in kept.items() if np.median(values) >= least]


def aligned_means(chains: Sequence[Chain], reference: Draw) -> tuple[dict[str, Floats], int]:
    """Means over the draws with as many states as the reference, after alignment to it.

    ``startprob``, ``transmat`` (both without the rest), ``occupancy`` (the share of steps in each state), and the
    emission's parameters; states are numbered by first appearance in the reference. With them comes how many draws were
    averaged.
    """
    target, _ = compacted(reference.labels.astype(np.int64))
    states = reference.K
    sums: dict[str, Floats] = {}
    count = 0
    for chain in chains:
        for draw in chain.draws:
            if states != draw.K:
                continue
            back = np.argsort(matching(draw.labels, target, states, states))
            rows = draw.transitions[:, :states] / draw.transitions[:, :states].sum(axis=1, keepdims=True)
            values = {"startprob": rows[0, back], "transmat": rows[1:][np.ix_(back, back)]}
            values["occupancy"] = np.bincount(draw.labels, minlength=states)[back] / len(draw.labels)
            values.update({name: value[back] for name, value in chain.parameters(draw).items()})
            for name, value in values.items():
                sums[name] = sums.get(name, np.zeros_like(value)) + value
            count += 1
    return {name: value / count for name, value in sums.items()}, count


def after_burn(chains: Sequence[Chain]) -> dict[str, Floats]:
    """Traces after burn-in, (chains, sweeps) each, cut to the shortest chain."""
    least = min(len(chain.traces) - chain.burn for chain in chains)
    if least < 1:
        raise InitError("no sweep after burn-in was kept: fit longer, or with a shorter burn-in")
    block = np.array([np.array(chain.traces[chain.burn : chain.burn + least]) for chain in chains])
    return {name: block[:, :, n] for n, name in enumerate(TRACES)}


def arviz() -> Any:
    """The library, without its announcement.

    Raises:
        InitError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import arviz
    except ImportError:
        raise InitError("R-hat and ESS need ArviZ: pip install 'initkit-ihmm[posterior]'") from None
    return arviz


def diagnostics(chains: Sequence[Chain]) -> dict[str, dict[str, float | None]]:
    """Mean, standard deviation, rank-normalised split R-hat and bulk ESS of the scalars that know no state's number.

    A scalar that never changes has None for both: nothing was tried there.
    """
    az, found = arviz(), {}
    for name, values in after_burn(chains).items():
        constant = bool((values == values.flat[0]).all()) or values.shape[1] < 4
        found[name] = {
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "rhat": None if constant else float(az.rhat(values)),
            "ess": None if constant else float(az.ess(values)),
        }
    return found


def to_arviz(chains: Sequence[Chain]) -> Any:
    """The scalars after burn-in as an ``InferenceData``: posterior, and ``log_joint`` among the sample statistics."""
    values = after_burn(chains)
    joint = values.pop("log_joint")
    return arviz().from_dict(posterior=values, sample_stats={"lp": joint})
