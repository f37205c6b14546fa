"""What of hmmlearn's own start does the harm? Its k-means means, with other rows of transitions and covariances."""

from __future__ import annotations

from typing import Any

import numpy as np

import initkit
from benchmarks.ihmm import _data
from benchmarks.ihmm.optima import SEEDS, WITHIN, _fitted, _from_truth, _model, _spread
from initkit_ihmm.finite import Start, params_from_labels
from initkit_ihmm.hmmlearn_models import loaded

SERIES = ("A_sep", "B_overlap", "D_t4", "F_rare")
STARTS = (
    "overall covariance, Dirichlet(1/K) rows",
    "overall covariance, uniform rows",
    "overall covariance, counted rows",
    "clusters' covariances, Dirichlet(1/K) rows",
    "clusters' covariances, counted rows",
)


def run() -> dict[str, Any]:
    rows = []
    for name in SERIES:
        states = _data.STATES[name]
        found: dict[str, list[dict[str, Any]]] = {}
        best = []
        for seed in SEEDS:
            x, z = _data.generated(name, seed)
            runs = {label: _fitted(loaded(_model(states), one), x, z, 0.0) for label, one in _starts(x, states, seed)}
            reference = _from_truth(x, z, states)["log_likelihood"]
            best.append(max(reference, *(one["log_likelihood"] for one in runs.values())))
            for label, one in runs.items():
                found.setdefault(label, []).append(one)
        for label, ones in found.items():
            gaps = [high - one["log_likelihood"] for high, one in zip(best, ones, strict=True)]
            rows.append(
                {
                    "data": name,
                    "start": label,
                    "hits": sum(gap <= WITHIN for gap in gaps),
                    "runs": len(ones),
                    "gap": _spread(gaps),
                    "steps": _spread([one["steps"] for one in ones]),
                }
            )
            print(name, label, rows[-1]["hits"], flush=True)
    hits = {label: sum(row["hits"] for row in rows if row["start"] == label) for label in STARTS}
    return {
        "seeds": list(SEEDS),
        "within": WITHIN,
        "rows": rows,
        "verdicts": [
            {
                "claim": "overall covariance: hits with uniform rows over those with Dirichlet rows",
                "wanted": "more",
                "value": hits[STARTS[1]] - hits[STARTS[0]],
                "holds": hits[STARTS[1]] > hits[STARTS[0]],
            },
            {
                "claim": "uniform rows against the clusters' covariances and counted rows: hits",
                "wanted": "no more",
                "value": hits[STARTS[1]] - hits[STARTS[4]],
                "holds": hits[STARTS[1]] <= hits[STARTS[4]],
            },
        ],
    }


def _starts(x: Any, states: int, seed: int) -> list[tuple[str, Start]]:
    recipe: Any = initkit.recipe("ihmm/kmeans", n_states=states)
    ours = params_from_labels(recipe.label(x, seed=seed), x)
    rng = np.random.default_rng(100 + seed)
    sharp = rng.dirichlet(np.full(states, 1 / states)), rng.dirichlet(np.full(states, 1 / states), size=states)
    flat = np.full(states, 1 / states), np.full((states, states), 1 / states)
    counted = ours.startprob, ours.transmat
    wide = np.repeat(np.cov(x.T)[None], states, axis=0)
    chosen = [(wide, sharp), (wide, flat), (wide, counted), (ours.emissions["covars"], sharp)]
    chosen.append((ours.emissions["covars"], counted))
    return [
        (label, Start(first, rows, {"means": ours.emissions["means"], "covars": covars}))
        for label, (covars, (first, rows)) in zip(STARTS, chosen, strict=True)
    ]
