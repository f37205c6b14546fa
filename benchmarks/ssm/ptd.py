"""How near perturb-then-diagonalise comes to HiPPO-LegS's kernel, beside S4D-LegS.

Relative L2 error of the zero-order-hold kernel of states 0, 1, 3 and 7 over 800 steps of 0.01 against LegS's own, the
condition of the eigenvectors and the size of the perturbation, over seeds of the small random part of its start.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.ssm.kernel_convergence import _legs
from initkit_ssm.hippo import legs_eigenvectors, spectrum
from initkit_ssm.kernels import kernel
from initkit_ssm.ptd import perturbed

SIZES, SEEDS, STATES = [16, 32, 64], [0, 1, 2], (0, 1, 3, 7)
DT, LENGTH, GAMMA, STEPS = 1e-2, 800, 5.0, 400


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for n in SIZES:
        for seed in SEEDS:
            perturbed.cache_clear()
            begin = time.perf_counter()
            found = perturbed(n, GAMMA, STEPS, seed)
            seconds = time.perf_counter() - begin
            assert found is not None, (n, seed)
            errors = _errors(found.poles, found.b, found.vectors)
            rows.append({"n": n, "seed": seed, "errors": errors, **found.row(), "seconds": float(f"{seconds:.2g}")})
            print(rows[-1], flush=True)
        legs = spectrum("legs", n)
        poles = torch.complex(torch.full_like(legs.freq, -0.5), legs.freq)
        rows.append({"n": n, "label": "S4D-LegS", "errors": _errors(poles, legs.b / 2, legs_eigenvectors(n, rows=8))})
    ours = [row for row in rows if "seed" in row and row["n"] <= 32]
    return {
        "seeds": SEEDS,
        "protocol": {"dt": DT, "length": LENGTH, "gamma": GAMMA, "steps": STEPS},
        "rows": rows,
        "verdicts": [
            _at_most("N up to 32: greatest condition of the eigenvectors", max(r["condition"] for r in ours), 30.0),
            _at_most("N up to 32: greatest error of state 0", max(r["errors"][0] for r in ours), 0.1),
            _at_most(
                "greatest real part of an eigenvalue", max(r["greatest_real_part"] for r in rows if "seed" in r), 0.0
            ),
        ],
    }


def _at_most(what: str, found: float, most: float) -> dict[str, Any]:
    return {"what": what, "found": found, "at_most": most, "holds": bool(found <= most)}


def _errors(poles: Tensor, b: Tensor, vectors: Tensor) -> list[float]:
    errors = []
    for state in STATES:
        k = kernel(poles, vectors[state] * b, torch.tensor(DT, dtype=torch.float64), LENGTH)
        exact = torch.from_numpy(_legs(state, DT, LENGTH))
        errors.append(round(float((k - exact).norm() / exact.norm()), 4))
    return errors
