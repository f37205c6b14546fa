"""Sounds fitted by sine networks: SIREN with several first frequencies, and WINNER.

8192 samples each, peak-normalised; 1 -> 64 x 4 -> 1; Adam 1e-3, 500 steps of 2048 random samples; PSNR with range 2.
Front_Center and Noise come with the package alsa-utils; where it is not installed, the chirp alone is fitted.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from torch import Tensor

import initkit
from benchmarks.inr import _fit

COUNT, STEPS, MARKS = 8192, 500, (100, 250, 500)
SIRENS = (30.0, 300.0, 3000.0)
# label: options of inr/winner
WINNERS: dict[str, dict[str, Any]] = {
    "winner, code": {"scale": "code"},
    "winner, readme": {"scale": "code", "constants": "readme"},
    "winner": {},
    "winner, κ = 1": {"scale": "nyquist", "kappa": 1.0},
    "winner, rms": {"scale": "rms"},
}
SWEEP = (0.05, 0.1, 0.2, 0.5)
BANDS = 64


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    sounds = {
        "speech": _fit.clip("Front_Center", 12000, COUNT),
        "noise": _fit.clip("Noise", 20000, COUNT),
        "chirp": _fit.chirp(COUNT),
    }
    rows: list[dict[str, Any]] = []
    spectra: list[dict[str, Any]] = []
    for name, sound in sounds.items():
        if sound is None:
            continue
        zero = _fit.psnr(sound * 0, sound)
        rows.append({"data": name, "label": "output 0", "psnr": {"500": _fit.spread([zero])}})
        spectra.append({"data": name, "label": "target", "bands": _bands(sound)})
        for label in _labels(name):
            rows.append(_row(name, sound, label, spectra))
            print(name, label, rows[-1]["psnr"]["500"]["values"], flush=True)
    return {
        "seeds": _fit.SEEDS,
        "steps": STEPS,
        "data": ", ".join(name for name, sound in sounds.items() if sound is not None),
        "network": "1 -> 64 x 4 -> 1",
        "rows": rows,
        "spectra": spectra,
        "verdicts": _verdicts(rows),
    }


def _labels(name: str) -> list[str]:
    sweep = [f"winner, κ = {kappa:g}" for kappa in SWEEP] if name == "speech" else []
    return [*(f"siren, first ω = {omega:g}" for omega in SIRENS), *WINNERS, *sweep]


def _row(name: str, sound: Tensor, label: str, spectra: list[dict[str, Any]]) -> dict[str, Any]:
    coords = _fit.grid(COUNT)
    reached = []
    for seed in _fit.SEEDS:
        if label.startswith("siren"):
            omega = float(label.rpartition(" ")[2])
            model = _fit.network(1, 4, _fit.Sine, first=lambda omega=omega: _fit.Sine(omega))
            _fit.start(model, "inr/siren", seed, {"coords": coords})
        else:
            options = WINNERS.get(label) or ({} if label == "winner" else {"kappa": float(label.rpartition(" ")[2])})
            model = _fit.network(1, 4, _fit.Sine)
            _fit.start(model, initkit.recipe("inr/winner", **options), seed, {"coords": coords, "signal": sound})
        one, output = _fit.fit(model, coords, sound, seed, STEPS, 1e-3, MARKS)
        reached.append(one)
        if seed == 0:
            spectra.append({"data": name, "label": label, "bands": _bands(output)})
    return {"data": name, "label": label, "psnr": _fit.over_seeds(reached)}


def _bands(sound: Tensor) -> list[float]:
    """Power in even bands from 0 to half the sampling rate, in decibels, to a tenth."""
    power = np.square(np.abs(np.fft.rfft(sound.double().numpy())))[1:]
    bands = power.reshape(BANDS, -1).sum(axis=1)
    return [round(float(10 * np.log10(band + 1e-12)), 1) for band in bands]


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def values(data: str, label: str) -> list[float]:
        row = next(one for one in rows if one["data"] == data and one["label"] == label)
        return list(row["psnr"]["500"]["values"])

    def mean(data: str, label: str) -> float:
        return statistics.fmean(values(data, label))

    found = []
    for data in ("speech", "noise"):
        if not any(row["data"] == data for row in rows):
            continue
        code = mean(data, "winner, code") - mean(data, "siren, first ω = 3000")
        ours = mean(data, "winner") - mean(data, "winner, code")
        best = max(mean(data, f"siren, first ω = {omega:g}") for omega in SIRENS)
        tuned = mean(data, "winner") - best
        found += [
            _fit.verdict(f"{data}: winner's own constants over siren with first ω 3000", code, ">= 10 dB", code >= 10),
            _fit.verdict(f"{data}: winner (nyquist) over its own constants", ours, ">= 4 dB", ours >= 4),
            _fit.verdict(f"{data}: winner (nyquist) against the best siren, untuned", tuned, ">= -1 dB", tuned >= -1),
        ]
    low = min(min(values("chirp", label)) for label in ("winner", "winner, code"))
    high = max(max(values("chirp", f"siren, first ω = {omega:g}")) for omega in SIRENS)
    return [
        *found,
        _fit.verdict("chirp: winner (worst seed, both scales)", low, ">= 22 dB", low >= 22),
        _fit.verdict("chirp: every siren stays at the output 0 (best seed)", high, "<= 13.5 dB", high <= 13.5),
    ]
