"""Is the sampler exact? Long chains on tiny data against the enumeration of all partitions.

Off are the chain's P(K = k) and its co-clustering of the first step with the others from the enumerated ones; in units
of standard errors (means of 100 batches) that is what a z score would be. Values that the chain visits too rarely for a
standard error (a probability below 1e-3) are left out of the scores.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from initkit_ihmm import (
    Categorical,
    Concentrations,
    Gaussian,
    KnownVariance,
    LabelInit,
    Poisson,
    exact_posterior,
    problem_of,
    to_beam_state,
)
from initkit_ihmm.beam.chain import Chain

SEEDS, SWEEPS, BATCHES = (0, 1, 2), 200_000, 100
SYMBOLS = np.array([0, 0, 1, 1, 2, 0])[:, None]
NORMALS = np.array([0.1, -0.2, 2.1, 1.8, -3, 0.3])[:, None]
PLANE = np.array([(0, 0), (0.2, -0.1), (3, 3), (2.8, 3.1), (0.1, 0.1)])
COUNTS = np.array([0, 1, 0, 7, 9, 1])[:, None]
GAPS = np.where(np.arange(6)[:, None] == 3, np.nan, NORMALS)
KNOWN, THREE = KnownVariance(1, 0.0, 4.0, 0.5), Categorical(np.full(3, 0.3))
CASES: dict[str, tuple[Any, Any, dict[str, float], tuple[int, ...]]] = {
    "categorical": (SYMBOLS, THREE, {"alpha": 1.5, "gamma": 1.2}, (6,)),
    "categorical, sticky": (SYMBOLS, THREE, {"alpha": 1.5, "gamma": 1.2, "kappa": 4.0}, (6,)),
    "normal, known variance": (NORMALS, KNOWN, {"alpha": 1.0, "gamma": 1.0}, (6,)),
    "normal in two dimensions": (
        PLANE,
        Gaussian(np.zeros(2), 0.1, 4.0, 0.5 * np.eye(2)),
        {"alpha": 1.0, "gamma": 1.0},
        (5,),
    ),
    "Poisson": (COUNTS, Poisson(1.0, np.array([0.5])), {"alpha": 1.0, "gamma": 1.0}, (6,)),
    "two sequences, a gap, sticky": (GAPS, KNOWN, {"alpha": 1.0, "gamma": 1.0, "kappa": 1.5}, (4, 2)),
}


def run() -> dict[str, Any]:
    rows = []
    for name, (x, emission, concentrations, lengths) in CASES.items():
        exact = exact_posterior(x, emission, lengths=lengths, **concentrations)
        wanted = np.concatenate([exact.states, exact.coclustering[0, 1:]])
        problem = problem_of(x, lengths, emission, Concentrations(**{"kappa": 0.0, **concentrations}))
        off, scores, begin = [], [], time.process_time()
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            chain = Chain(problem, to_beam_state(LabelInit.of(np.zeros(len(x), int)), problem, "sample", rng), rng)
            seen = np.zeros((SWEEPS, len(wanted)))
            for n in range(SWEEPS):
                chain.sweep()
                seen[n, chain.states - 1] = 1.0
                seen[n, len(x) :] = chain.labels[1:] == chain.labels[0]
            means = seen.reshape(BATCHES, -1, len(wanted)).mean(axis=1)
            error = means.std(axis=0, ddof=1) / math.sqrt(BATCHES)
            apart = seen.mean(axis=0) - wanted
            often = wanted * (1 - wanted) > 1e-3
            off.append(round(float(np.abs(apart).max()), 5))
            scores.extend((apart[often] / error[often]).tolist())
        rows.append(
            {
                "case": name,
                "partitions": len(exact.partitions),
                "log_evidence": round(exact.log_evidence, 10),
                "largest_difference": off,
                "values": len(scores),
                "mean_square_score": round(float(np.mean(np.square(scores))), 3),
                "largest_score": round(float(np.abs(scores).max()), 3),
                "us_a_sweep": round(1e6 * (time.process_time() - begin) / (len(SEEDS) * SWEEPS), 1),
            }
        )
        print(rows[-1], flush=True)
    return {"seeds": list(SEEDS), "sweeps": SWEEPS, "rows": rows}
