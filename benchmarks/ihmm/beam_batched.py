"""Would many chains in one batch of tensors pay? Filtering and sampling in torch beside the compiled sweep.

The tensors hold B chains of K states, with indicators of a slice in place of probabilities and densities given, and
loop over T steps. The compiled side is one chain's whole sweep, densities and parameters included. Microseconds a step
and chain of processor time, one thread, median of rounds. What a GPU would do is not measured.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.ihmm import _data
from initkit_ihmm import problem_of, to_beam_state
from initkit_ihmm.beam.chain import Chain
from initkit_ihmm.emissions import Gaussian
from initkit_ihmm.labels import LabelInit

SEED, STEPS, ROUNDS = 0, 500, 3
BATCHES = (1, 16, 128, 1024)
STATES = (10, 50)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for states in STATES:
        rows.append({"states": states, "way": "compiled", "chains": 1, **_median(lambda k=states: compiled(k))})
        for chains in BATCHES:
            figures = _median(lambda k=states, b=chains: batched(k, b))
            rows.append({"states": states, "way": "torch", "chains": chains, **figures})
        print(rows[-len(BATCHES) - 1 :], flush=True)
    return {"seeds": [SEED], "steps": STEPS, "threads": 1, "rows": rows}


def _median(measure: Any) -> dict[str, float]:
    measure()
    return {"us_per_step_and_chain": round(statistics.median(measure() for _ in range(ROUNDS)), 3)}


def compiled(states: int) -> float:
    """Microseconds a step of whole sweeps, over ten."""
    rng = np.random.default_rng(SEED)
    z = _data.chain(rng, 20 * STEPS, _data.persistent(states, 0.95))
    x = 8 * rng.standard_normal((states, 2))[z] + rng.standard_normal((20 * STEPS, 2))
    p = problem_of(x, (len(x),), Gaussian.of_data(x))
    chain = Chain(p, to_beam_state(LabelInit.of(z), p, "mean"), rng, burn=10**9)
    chain.run(2)
    begin = time.process_time()
    chain.run(10)
    return 1e6 * (time.process_time() - begin) / (10 * p.steps)


def batched(states: int, chains: int) -> float:
    """Microseconds a step and chain of the same passes over a batch."""
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.softmax(4 * torch.rand(chains, states, states, generator=generator), dim=2)
    density = torch.rand(STEPS, chains, states, generator=generator)
    u = 0.5 * rows.amax(dim=(1, 2)) * torch.rand(STEPS, chains, generator=generator)
    uniform = torch.rand(STEPS, chains, 1, generator=generator)
    trellis = torch.empty(STEPS, chains, states)
    begin = time.process_time()
    weight = density[0] / density[0].sum(1, keepdim=True)
    trellis[0] = weight
    for t in range(1, STEPS):
        open_ = (rows > u[t, :, None, None]).to(weight.dtype)
        weight = torch.bmm(weight[:, None], open_)[:, 0] * density[t]
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-30)
        trellis[t] = weight
    path = torch.empty(STEPS, chains, dtype=torch.int64)
    sums = trellis[-1].cumsum(1)
    path[-1] = (sums < uniform[-1] * sums[:, -1:]).sum(1).clamp_max(states - 1)
    index = torch.arange(chains)
    for t in range(STEPS - 2, -1, -1):
        into = (rows[index, :, path[t + 1]] > u[t + 1, :, None]).to(weight.dtype)
        sums = (trellis[t] * into).cumsum(1)
        path[t] = (sums < uniform[t] * sums[:, -1:]).sum(1).clamp_max(states - 1)
    return 1e6 * (time.process_time() - begin) / (STEPS * chains)
