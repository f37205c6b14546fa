"""Time steps from the autocorrelation of the data: error of the best linear readout of a delay, by rule.

AR(1) sequences of 512 steps are read by one diagonal model of 64 real states with a step of its own for each mode, and
the best linear readout of a delay is found as in the delay benchmark, from the exact covariances. Each rule draws its
steps several times; errors are averaged over draws, then by geometric mean over delays and coefficients.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from torch import Tensor

import initkit
from initkit_ssm import laws
from initkit_ssm.autocorr_timescale import Scale
from initkit_ssm.autocorrelation import largest_eigenvalue

LENGTH, STATE, RIDGE, DRAWS = 512, 64, 1e-6, 12
DELAYS = (16, 64, 128, 256, 384)
COEFFICIENTS = (0.5, 0.9, 0.99)
VARIANTS = ("lin", "inv", "legs")
SEEDS = list(range(DRAWS))


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for variant in VARIANTS:
        law = getattr(laws, variant)(STATE)
        a = torch.complex(-law.rate, law.freq)
        for phi in COEFFICIENTS:
            r = phi ** torch.arange(LENGTH, dtype=torch.float64)
            scale = Scale(LENGTH, largest_eigenvalue(r))
            covariance = r[(torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs()]
            rules = {"default": (1e-3, 0.1), "hi = 1": (1 / LENGTH, scale.d0), "hi = 3": (1 / LENGTH, 3 * scale.d0)}
            for rule, (low, high) in rules.items():
                errors = [_errors(a, low, high, seed, covariance) for seed in SEEDS]
                for place, delay in enumerate(DELAYS):
                    found = [one[place] for one in errors]
                    rows.append(
                        {
                            "variant": variant,
                            "phi": phi,
                            "rule": rule,
                            "delay": delay,
                            "mean": float(f"{statistics.fmean(found):.5g}"),
                            "std": float(f"{statistics.stdev(found):.5g}"),
                        }
                    )
        print(variant, {rule: _overall(rows, variant, rule) for rule in rules}, flush=True)
    best = {
        (variant, rule): _overall(rows, variant, rule)
        for variant in VARIANTS
        for rule in ("default", "hi = 1", "hi = 3")
    }
    return {
        "seeds": SEEDS,
        "protocol": {"length": LENGTH, "state": STATE, "ridge": RIDGE},
        "rows": rows,
        "overall": [{"variant": variant, "rule": rule, "error": error} for (variant, rule), error in best.items()],
        "verdicts": [
            {
                "what": f"{variant}: error with hi = 3 over that of steps from 0.001 to 0.1",
                "found": round(best[variant, "hi = 3"] / best[variant, "default"], 4),
                "at_most": 1.0,
                "holds": best[variant, "hi = 3"] <= best[variant, "default"],
            }
            for variant in VARIANTS
        ],
    }


def _overall(rows: list[dict[str, Any]], variant: str, rule: str) -> float:
    found = [row["mean"] for row in rows if row["variant"] == variant and row["rule"] == rule]
    return float(f"{math.exp(statistics.fmean(math.log(one) for one in found)):.4g}")


def _errors(a: Tensor, low: float, high: float, seed: int, covariance: Tensor) -> list[float]:
    dt = initkit.LogUniform(low, high).sample(a.shape, torch.float64, initkit.Stream(seed, "dt"))
    places = torch.arange(LENGTH, dtype=torch.float64)
    step = (a * dt).unsqueeze(-1)
    responses = torch.polar(torch.exp(step.real * places), step.imag * places)
    features = torch.cat([responses.real, responses.imag]).t()
    features = features[:, features.norm(dim=0) > 1e-9]
    features = features / features.norm(dim=0)
    moments = covariance @ features
    normal = features.t() @ moments + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(normal, moments[list(DELAYS)].t())
    found = []
    for place, delay in enumerate(DELAYS):
        rest = -features @ weights[:, place]
        rest[delay] += 1
        found.append(float(rest @ covariance @ rest / covariance[delay, delay]))
    return found
