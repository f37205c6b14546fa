"""What the recipes take beside the parts of scikit-learn, ruptures and kmedoids that they are built on.

The jump model stands beside jumpmodels, with as many starts and the same price of a change.

CPU seconds on one thread, the same series and seeds, in turn; the ratio is the median over rounds.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import ruptures
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.metrics import pairwise_distances
from sklearn.mixture import GaussianMixture

import initkit
from benchmarks.ihmm._data import chain, persistent
from initkit_ihmm.features import window_features
from initkit_ihmm.sequences import Sequences

SEED, ROUNDS, STATES, DIMS = 0, 3, 8, 4
SIZES = (1_000, 10_000, 100_000)
SMALL = {"hierarchical", "spectral", "kmedoids"}  # peers that need memory or time in the square of T
Peer = Callable[[Any], Any]


def peers(penalty: float) -> dict[str, Peer]:
    """The parts that a recipe cannot do without, on features that are ready; for the jump model a package of its own.

    Args:
        penalty: the price of a change that ``ihmm/jump`` settles on.
    """
    import kmedoids

    def medoids(z: Any) -> Any:
        return kmedoids.fasterpam(pairwise_distances(z), STATES, init="random", random_state=SEED)

    def windows(z: Any) -> Any:
        return KMeans(STATES, n_init=10, random_state=SEED).fit(window_features(Sequences(z, (len(z),))))

    def segments(z: Any) -> Any:
        return ruptures.Binseg(model="normal", min_size=6, jump=5).fit_predict(z, pen=14 * np.log(len(z)))

    def jumps(z: Any) -> Any:
        from jumpmodels.jump import JumpModel

        # It halves squared distances.
        return JumpModel(STATES, jump_penalty=penalty / 2, n_init=3, random_state=SEED).fit(z)

    return {
        "kmeans": lambda z: KMeans(STATES, n_init=10, random_state=SEED).fit(z),
        "windowed": windows,
        "jump": jumps,
        "gmm": lambda z: GaussianMixture(STATES, n_init=3, random_state=SEED).fit(z),
        "hierarchical": lambda z: AgglomerativeClustering(STATES).fit(z),
        "spectral": lambda z: SpectralClustering(STATES, affinity="nearest_neighbors", random_state=SEED).fit(z),
        "kmedoids": medoids,
        "hdbscan": lambda z: HDBSCAN(min_cluster_size=max(10, len(z) // 50), copy=True).fit(z),
        "segment": segments,
    }


def run() -> dict[str, Any]:
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _ = [_timed(partial(_ours, name, series(1000))) for name in ("jump", "dp_means")]  # compiles
        for steps in SIZES:
            x = series(steps)
            z = (x - x.mean(axis=0)) / x.std(axis=0)
            for name, peer in peers(_ours("jump", x).params["penalty"]).items():
                if (steps > 1_000 and name in SMALL) or (steps > 10_000 and name in ("hdbscan", "segment", "gmm")):
                    continue
                pairs = [(_timed(partial(_ours, name, x)), _timed(partial(peer, z))) for _ in range(ROUNDS)]
                rows.append(_row(name, steps, pairs))
            for name in ("contig", "random_blocks", "uniform", "dp_means", "overfit_merge", "hierarchical"):
                if steps > 10_000 and name == "overfit_merge":
                    continue
                if name == "hierarchical" and steps == 1_000:
                    continue
                alone = [(_timed(partial(_ours, name, x)), None) for _ in range(ROUNDS)]
                rows.append(_row(name, steps, alone))
    worst = max(row["ratio"] for row in rows if row["ratio"] is not None and row["steps"] >= 10_000)
    return {
        "seeds": [SEED],
        "threads": 1,
        "states": STATES,
        "dims": DIMS,
        "rows": rows,
        "verdicts": [
            {
                "claim": "from 10,000 steps: the slowest recipe over its own parts",
                "wanted": "<= 2 times",
                "value": worst,
                "holds": worst <= 2,
            }
        ],
    }


def series(steps: int) -> Any:
    rng = np.random.default_rng(SEED)
    z = chain(rng, steps, persistent(STATES, 0.98))
    return 3 * rng.standard_normal((STATES, DIMS))[z] + rng.standard_normal((steps, DIMS))


def _ours(name: str, x: Any) -> Any:
    recipe: Any = initkit.recipe(f"ihmm/{name}", n_states=STATES)
    return recipe.label(x, seed=SEED)


def _timed(work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _row(name: str, steps: int, pairs: list[tuple[float, float | None]]) -> dict[str, Any]:
    ratios = [mine / theirs for mine, theirs in pairs if theirs]
    row = {
        "recipe": name,
        "steps": steps,
        "seconds": round(statistics.median(mine for mine, _ in pairs), 4),
        "parts": round(statistics.median([theirs for _, theirs in pairs if theirs]), 4) if ratios else None,
        "ratio": round(statistics.median(ratios), 3) if ratios else None,
        "ratios": [round(one, 3) for one in ratios],
    }
    print(row, flush=True)
    return row
