"""How well a state remembers: the best linear readout of a delay of 256 steps.

One diagonal model of N = 256 real states reads noise that is band-limited to a quarter of the Nyquist frequency; its
state's real and imaginary parts are the features of the readout, which is found from the covariances themselves (normal
equations with features of unit length, ridge 1e-6), not from samples. The figure is the normalised mean squared error:
0 is perfect memory, 1 none. Starts with random numbers are given over seeds.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from torch import Tensor

from benchmarks.ssm._starts import Start, lru, s4d

LENGTH, STATE, DELAY, BAND, RIDGE = 1024, 256, 256, 0.25, 1e-6
SHOWN = 128  # states of the model whose poles are drawn
SEEDS = [0, 1, 2, 3, 4]
STEPS = {"0.001": 1e-3, "2/512": 2 / 512, "2/256": 2 / 256, "3/256": 3 / 256, "1/32": 1 / 32, "0.1": 0.1}
# What is to be found for the starts without random numbers.
EXPECTED = {
    "lin": (0.476, 0.118, 0.134, 0.858, 0.986, 0.998),
    "inv": (0.487, 0.143, 0.036, 0.012, 0.126, 0.990),
    "legs": (0.432, 0.131, 0.041, 0.020, 0.134, 0.991),
}


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    place = torch.arange(LENGTH, dtype=torch.float64)
    covariance = torch.sinc(BAND * (place[:, None] - place))
    rows = []
    for variant in ("lin", "inv", "legs", "real", "rand"):
        for word, dt in STEPS.items():
            start = s4d(variant, dt_min=dt, dt_max=dt)
            rows.append(_row(start, covariance, SEEDS if variant == "rand" else SEEDS[:1], word))
    ring = {"preset": "very_long", "phase": math.pi / 4}
    for start in (
        lru("LRU 0-1", preset="standard"),
        lru("LRU .9-.999", preset="long"),
        lru("LRU .99-.9999 π/10", preset="very_long"),
        lru("LRU .99-.9999 π/4", **ring),
    ):
        rows.append(_row(start, covariance, SEEDS, ""))
    rows.append(_row(s4d("dfout", xi_min=1e-2, xi_max=1e-2), covariance, SEEDS[:1], "ξ = 0.01"))
    best = {row["label"]: min(r["mean"] for r in rows if r["label"] == row["label"]) for row in rows}
    real = min(r["mean"] for r in rows if r["label"] == "real")
    off = {
        variant: max(
            abs(r["mean"] - wanted)
            for r, wanted in zip([r for r in rows if r["label"] == variant], figures, strict=True)
        )
        for variant, figures in EXPECTED.items()
    }
    return {
        "seeds": SEEDS,
        "protocol": {"length": LENGTH, "state": STATE, "delay": DELAY, "band": BAND, "ridge": RIDGE},
        "rows": rows,
        "verdicts": [
            *(
                {
                    "what": f"{variant}: every error within 0.02 of the one expected",
                    "found": round(error, 4),
                    "at_most": 0.02,
                    "holds": error <= 0.02,
                }
                for variant, error in off.items()
            ),
            _at_most("inv at its best step remembers", best["inv"], 0.02),
            _at_most("legs at its best step remembers", best["legs"], 0.03),
            _at_most("DFouT remembers", best["dfout"], 0.1),
            _at_most("a ring whose phase covers the band remembers", best["LRU .99-.9999 π/4"], 0.05),
            {
                "what": "real eigenvalues do not remember at any step",
                "found": round(real, 4),
                "at_least": 0.95,
                "holds": real >= 0.95,
            },
        ],
    }


def _at_most(what: str, found: float, most: float) -> dict[str, Any]:
    return {"what": what, "found": round(found, 4), "at_most": most, "holds": found <= most}


def _row(start: Start, covariance: Tensor, seeds: list[int], step: str) -> dict[str, Any]:
    found = [_error(start.poles(1, STATE, seed)[0][0], covariance) for seed in seeds]
    row = {"label": start.label, "step": step, "errors": [round(e, 5) for e in found], "mean": statistics.fmean(found)}
    if step in ("2/256", "", "ξ = 0.01"):
        poles = start.poles(1, SHOWN, seeds[0])[0][0].tolist()
        row["poles"] = [[round(pole.real, 4), round(pole.imag, 4)] for pole in poles]
    print(row, flush=True)
    return row


def _error(lam: Tensor, covariance: Tensor) -> float:
    """Normalised mean squared error of the best readout."""
    places = torch.arange(LENGTH, dtype=torch.float64)
    responses = torch.polar(lam.abs().unsqueeze(-1) ** places, lam.angle().unsqueeze(-1) * places)
    features = torch.cat([responses.real, responses.imag]).t()
    features = features[:, features.norm(dim=0) > 1e-9]
    features = features / features.norm(dim=0)
    normal = features.t() @ covariance @ features + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(normal, features.t() @ covariance[:, DELAY])
    rest = -features @ weights
    rest[DELAY] += 1
    return float(rest @ covariance @ rest / covariance[DELAY, DELAY])
