"""How far S4D-LegS's kernel is from that of HiPPO-LegS itself, by state size and step.

Relative L2 error of the zero-order-hold kernel of a state over L steps, with B = sqrt(2) T/2; the reference is exact:
state n of LegS answers an impulse with (-1)^n sqrt(2n+1) exp(-t) P_n(1 - 2 exp(-t)), integrated over each step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import eval_legendre, roots_legendre

from initkit_ssm.hippo import legs_eigenvectors, spectrum
from initkit_ssm.kernels import kernel

STATES = (0, 7)
SIZES = (16, 64, 256, 1024, 4096)
STEPS = ((1e-3, 4096), (1e-2, 800), (1e-1, 80))
# What is to be found, state 0 and state 7.
EXPECTED = {
    1e-3: ((0.696, 2.59), (0.660, 2.55), (0.172, 0.667), (0.042, 0.162), (0.0097, 0.0375)),
    1e-2: ((0.688, 2.57), (0.211, 0.810), (0.0525, 0.202), (0.0133, 0.0518), (0.0030, 0.0116)),
    1e-1: ((0.258, 1.28), (0.0724, 0.262), (0.0171, 0.0738), (0.0027, 0.0163), (0.0003, 0.0020)),
}
TOLERANCE = 0.05


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for n in SIZES:
        found = spectrum("legs", n)
        a = torch.complex(torch.full_like(found.freq, -0.5), found.freq)
        vectors = legs_eigenvectors(n, rows=max(STATES) + 1)
        for dt, length in STEPS:
            for place, state in enumerate(STATES):
                k = kernel(a, vectors[state] * found.b / 2, torch.tensor(dt, dtype=torch.float64), length)
                exact = torch.from_numpy(_legs(state, dt, length))
                error = float((k - exact).norm() / exact.norm())
                expected = EXPECTED[dt][SIZES.index(n)][place]
                rows.append({"n": n, "dt": dt, "length": length, "state": state, "error": error, "expected": expected})
                print(rows[-1], flush=True)
    off = {dt: max(abs(row["error"] / row["expected"] - 1) for row in rows if row["dt"] == dt) for dt, _ in STEPS}
    return {
        "seeds": [],
        "rows": rows,
        "kernels": _shown(),
        "verdicts": [
            {
                "what": "dt = 0.01: every error within 5 % of the one expected",
                "found": off[1e-2],
                "at_most": TOLERANCE,
                "holds": off[1e-2] <= TOLERANCE,
            },
            {
                "what": "dt = 0.001: every error within 5 % of the one expected",
                "found": off[1e-3],
                "at_most": TOLERANCE,
                "holds": off[1e-3] <= TOLERANCE,
            },
            {
                "what": "the error falls as 1/N from N dt = 1 on: ratio of N = 1024 to N = 4096, dt = 0.01, state 0",
                "found": _ratio(rows),
                "at_least": 3.6,
                "holds": _ratio(rows) >= 3.6,
            },
        ],
    }


def _ratio(rows: list[dict[str, Any]]) -> float:
    at = {row["n"]: row["error"] for row in rows if row["dt"] == 1e-2 and row["state"] == 0}
    return float(at[1024] / at[4096])


def _legs(state: int, dt: float, length: int) -> Any:
    """Exact responses of each step, by Gauss-Legendre quadrature."""
    x, weight = roots_legendre(16)
    t = dt * (np.arange(length)[:, None] + (x + 1) / 2)
    z = np.exp(-t)
    values = (-1) ** state * np.sqrt(2 * state + 1) * z * eval_legendre(state, 1 - 2 * z)
    return values @ weight * dt / 2


def _shown() -> list[dict[str, Any]]:
    """Kernels for the page: state 3 at dt = 0.01."""
    length, dt, state = 400, 1e-2, 3
    shown = [{"n": None, "k": [float(f"{v / dt:.4g}") for v in _legs(state, dt, length)[::4]]}]
    for n in (32, 256):
        found = spectrum("legs", n)
        a = torch.complex(torch.full_like(found.freq, -0.5), found.freq)
        c = legs_eigenvectors(n, rows=state + 1)[state]
        k = kernel(a, c * found.b / 2, torch.tensor(dt, dtype=torch.float64), length) / dt
        shown.append({"n": n, "k": [float(f"{float(v):.4g}") for v in k[::4]]})
    return shown
