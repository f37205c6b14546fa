"""Single clusterings as starts: the states that their labels find, and the optimum that EM reaches from them.

Series, models and seeds are those of ``optima``. A run is a hit when it ends within one nat of the best that any run
found on that series, one that starts at the true states included.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

import initkit
from benchmarks.ihmm import _data
from benchmarks.ihmm.optima import SEEDS, WITHIN, fitted_from, from_default, from_truth, model_of, over_seeds, spread

RECIPES = (
    "kmeans",
    "windowed",
    "jump",
    "segment",
    "gmm",
    "hierarchical",
    "kmedoids",
    "spectral",
    "hdbscan",
    "dp_means",
    "contig",
    "random_blocks",
    "uniform",
    "single",
    "overfit_merge",
    "portfolio",
)


def run() -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for name, states in _data.STATES.items():
        found, best = over_seeds(name, states, _runs, left_out)
        for start, ones in found.items():
            gaps = [high - one["log_likelihood"] for high, one in zip(best, ones, strict=True)]
            rows.append(
                {
                    "data": name,
                    "states": states,
                    "start": start,
                    "runs": len(ones),
                    "hits": sum(gap <= WITHIN for gap in gaps),
                    "refused": sum("refused" in one for one in ones),
                    **{key: _over([one[key] for one in ones if key in one]) for key in ("labels_ari", "ari", "steps")},
                }
            )
            print(name, start, rows[-1]["hits"], rows[-1]["labels_ari"], flush=True)
    return {"seeds": list(SEEDS), "within": WITHIN, "rows": rows, "left_out": left_out}


def _over(values: list[float]) -> dict[str, Any] | None:
    return spread(values) if values else None


def _runs(x: Any, z: Any, states: int, seed: int) -> dict[str, dict[str, Any]]:
    found = {
        "truth": {"labels_ari": 1.0, **from_truth(x, z, states)},
        "hmmlearn": {"labels_ari": 0.0, **from_default(x, z, states, seed)},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for recipe in RECIPES:
            start = initkit.recipe(f"ihmm/{recipe}", n_states=states)
            try:
                labels = start.label(np.asarray(x), seed=seed).labels
            except initkit.InitError:  # such as a series without a dense region
                found[recipe] = {"refused": True, "log_likelihood": -1e12}
                continue
            fitted = fitted_from(x, z, model_of(states), seed, recipe)
            found[recipe] = {"labels_ari": adjusted_rand_score(z, labels), **fitted}
    return found
