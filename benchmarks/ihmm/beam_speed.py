"""How long a sweep of the beam sampler takes, and what memory a long series needs.

Each case runs in a process of its own on one thread: K well separated states that persist, normal emissions with full
covariances in two dimensions, a chain that starts at the true states. Seconds are processor time, the median of rounds.
The peer is one Baum-Welch step of hmmlearn (compiled too) on the same series with the same number of states, run in
the same process, in turn. Peak memory is what the process needed beyond its libraries and the series. For scale: the
authors of the comparison of starts for infinite HMMs published a sampler in R that takes 80 ms a sweep at T = 1000 (one
dimension, known variance); that figure was measured once on another machine and is not part of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ihmm import _data

SEED, R_MS = 0, 80.0
# name: (T, K, sweeps in a round, rounds, whether hmmlearn runs too)
CASES = {
    "T=1k, K=3": (1_000, 3, 300, 5, True),
    "T=1k, K=10": (1_000, 10, 200, 5, True),
    "T=10k, K=10": (10_000, 10, 30, 5, True),
    "T=100k, K=10": (100_000, 10, 4, 5, True),
    "T=100k, K=50": (100_000, 50, 2, 3, True),
    "T=1M, K=10": (1_000_000, 10, 1, 3, False),
    "T=1M, K=50": (1_000_000, 50, 1, 3, False),
    "T=1M, K=50, float32 trellis": (1_000_000, 50, 1, 3, False),
}


def run() -> dict[str, Any]:
    rows = []
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.ihmm.beam_speed", case]
        single = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
        rows.append({"case": case, **json.loads(done.stdout.splitlines()[-1])})
        print(rows[-1], flush=True)
    return {"seeds": [SEED], "threads": 1, "rows": rows, "published_r_ms": R_MS, **summary(rows)}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios, and what was expected before the run."""
    at = {row["case"]: row for row in rows}
    three, ten = (R_MS / at[case]["sweep_ms"] for case in ("T=1k, K=3", "T=1k, K=10"))
    middle, long = at["T=10k, K=10"]["sweep_ms"], at["T=1M, K=10"]["sweep_ms"]
    return {
        "ratios": {
            "published R at T=1000 over a sweep, K=3": round(three),
            "published R at T=1000 over a sweep, K=10": round(ten),
        },
        "verdicts": [
            _verdict("published R at T = 1000 over a sweep with ten states", ">= 100 times", ten, ten >= 100),
            _verdict("ms a sweep at T = 10,000, ten states", "<= 4", middle, middle <= 4),
            _verdict("ms a sweep at T = 1,000,000, ten states", "<= 500", long, long <= 500),
        ],
    }


def _verdict(claim: str, wanted: str, value: float, holds: bool) -> dict[str, Any]:
    return {"claim": claim, "wanted": wanted, "value": round(value, 3), "holds": holds}


def measure(case: str) -> dict[str, Any]:
    from initkit_ihmm import problem_of, to_beam_state
    from initkit_ihmm.beam.chain import Chain
    from initkit_ihmm.emissions import Gaussian
    from initkit_ihmm.labels import LabelInit

    steps, states, sweeps, rounds, peer = CASES[case]
    rng = np.random.default_rng(SEED)
    z = _data.chain(rng, steps, _data.persistent(states, 0.95))
    x = 8 * rng.standard_normal((states, 2))[z] + rng.standard_normal((steps, 2))
    small = problem_of(x[:500], (500,), Gaussian.of_data(x[:500]), max_mem=0 if "float32" in case else 2**31)
    warm = Chain(small, to_beam_state(LabelInit.of(z[:500]), small, "mean"), rng)
    warm.run(2)  # compiled, or read from the cache, before the clock
    if peer:
        _em_step(x[:500], states, z[:500])
    before = _peak_mb()
    problem = problem_of(x, (steps,), Gaussian.of_data(x), max_mem=0 if "float32" in case else 2**31)
    chain = Chain(problem, to_beam_state(LabelInit.of(z), problem, "mean"), rng, burn=10**9)
    chain.run(2)
    took, em = [], []
    for _ in range(rounds):
        begin = time.process_time()
        chain.run(sweeps)
        took.append(1e3 * (time.process_time() - begin) / sweeps)
        if peer:
            em.append(1e3 * _em_step(x, states, z))
    found: dict[str, Any] = {
        "steps": steps,
        "states": states,
        "states_after": chain.states,
        "sweep_ms": round(statistics.median(took), 3),
        "sweep_ms_all": [round(value, 3) for value in took],
        "peak_mb": None if peer else round(_peak_mb() - before),
        "trellis_mb": round(chain._buffer.nbytes / 2**20),
    }
    if peer:
        found["em_ms"] = round(statistics.median(em), 3)
        found["sweep_over_em"] = round(statistics.median(took) / statistics.median(em), 3)
    return found


def _em_step(x: np.ndarray, states: int, z: np.ndarray) -> float:
    """Seconds of a Baum-Welch step."""
    from hmmlearn.hmm import GaussianHMM

    from initkit_ihmm.finite import params_from_labels
    from initkit_ihmm.labels import LabelInit

    start = params_from_labels(LabelInit.of(z), x)
    took = {}
    for steps in (1, 3):
        model = GaussianHMM(len(start.startprob), "full", n_iter=steps, tol=-np.inf, init_params="")
        model.startprob_, model.transmat_ = start.startprob, start.transmat
        model.means_, model.covars_ = start.emissions["means"], start.emissions["covars"]
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x)
        took[steps] = time.process_time() - begin
    return (took[3] - took[1]) / 2


def _peak_mb() -> float:
    """The most memory this process has had; getrusage would count its parent's from before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _child() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    print(json.dumps(measure(parser.parse_args().case)))


if __name__ == "__main__":
    _child()
