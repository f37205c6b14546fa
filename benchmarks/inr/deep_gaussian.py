"""A picture fitted by Gaussian networks of four and eight layers, from several starts.

camera, 128 x 128 gray in [-1, 1]; exp(-z²/(2·0.05²)); Adam 1e-3, 400 steps of 2048 random pixels; PSNR on all pixels.
"""

from __future__ import annotations

from typing import Any

from torch import nn

import initkit
from benchmarks.inr import _fit

STEPS, MARKS = 400, (100, 200, 400)
SHALLOW, DEEP = 4, 8
# label: (options of inr/vi3nr, or None for the authors' own start, or a word)
STARTS: dict[str, Any] = {
    "default": "inr/gauss",
    "xavier": "xavier",
    "theory": {},
    "theory x0.5": {"factor": 0.5},
    "theory x1.5": {"factor": 1.5},
    "theory x2": {"factor": 2.0},
    "theory x4": {"factor": 4.0},
    "first=keep": {"first": "keep"},
    "last=keep": {"last": "keep"},
    "bias=zero": {"bias": "zero"},
    "bias=0.5": {"bias": 0.5},
    "probe": {"sigma_p": "probe"},
}
ON_DEEP = ("default", "xavier", "theory", "theory x1.5", "theory x2", "bias=0.5", "probe")
SHOWN = ("default", "theory")


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    target, coords = _fit.picture("camera"), _fit.grid(128, 128)
    rows = []
    for layers in (SHALLOW, DEEP):
        for label in STARTS if layers == SHALLOW else ON_DEEP:
            rows.append(_row(layers, label, coords, target))
            print(layers, label, {mark: one["values"] for mark, one in rows[-1]["psnr"].items()}, flush=True)
    _fit.save_picture("camera", target)
    return {
        "seeds": _fit.SEEDS,
        "steps": STEPS,
        "data": "camera of scikit-image, 128 x 128",
        "network": "2 -> 64 x layers -> 1, exp(-z²/(2·0.05²))",
        "rows": rows,
        "verdicts": _verdicts(rows),
    }


def _row(layers: int, label: str, coords: Any, target: Any) -> dict[str, Any]:
    reached = []
    chosen = []
    for seed in _fit.SEEDS:
        model = _fit.network(2, layers, _fit.Gaussian)
        report = _started(model, label, seed, coords, target)
        if label == "probe":
            table = report.notes["inr/vi3nr sigma_p"]
            chosen.append(next(row["candidate"] for row in table if row["chosen"]))
        one, output = _fit.fit(model, coords, target, seed, STEPS, 1e-3, MARKS)
        reached.append(one)
        if seed == 0 and layers == DEEP and label in SHOWN:
            _fit.save_picture(f"camera_{label.replace(' ', '_')}", output)
    row = {"layers": layers, "label": label, "psnr": _fit.over_seeds(reached)}
    return row | ({"chosen": chosen} if chosen else {})


def _started(model: nn.Module, label: str, seed: int, coords: Any, target: Any) -> Any:
    said = STARTS[label]
    if isinstance(said, dict):
        recipe = initkit.recipe("inr/vi3nr", **said)
        if said.get("first") == "keep" or said.get("last") == "keep":
            _fit.start(model, "inr/gauss", seed, {})  # what is kept comes from the same streams
        needs = {"coords": coords, "signal": target} if label == "probe" else {"coords": coords}
        return _fit.start(model, recipe, seed, needs)
    report = _fit.start(model, "inr/gauss", seed, {})
    if said == "xavier":
        _xavier(model, seed)
    return report


def _xavier(model: nn.Module, seed: int) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            bound = (6 / sum(parameter.shape)) ** 0.5
            stream = initkit.Stream(seed, name)
            parameter.data = initkit.Uniform(-bound, bound).sample(parameter.shape, parameter.dtype, stream)


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def low(layers: int, label: str, mark: int) -> float:
        return min(_psnr(rows, layers, label, mark))

    def high(layers: int, label: str, mark: int) -> float:
        return max(_psnr(rows, layers, label, mark))

    def mean(layers: int, label: str, mark: int) -> float:
        values = _psnr(rows, layers, label, mark)
        return sum(values) / len(values)

    gain = mean(SHALLOW, "theory x2", 100) - mean(SHALLOW, "default", 100)
    probed = mean(SHALLOW, "probe", 100) - mean(SHALLOW, "default", 100)
    return [
        _fit.verdict(
            "eight layers: vi3nr is alive after 400 steps (worst seed)",
            low(DEEP, "theory", 400),
            ">= 23 dB",
            low(DEEP, "theory", 400) >= 23,
        ),
        _fit.verdict(
            "eight layers: the default is dead (best seed)",
            high(DEEP, "default", 400),
            "<= 13 dB",
            high(DEEP, "default", 400) <= 13,
        ),
        _fit.verdict("four layers, 100 steps: twice theory over the default (mean)", gain, ">= 4 dB", gain >= 4),
        _fit.verdict("four layers, 100 steps: probe over the default (mean)", probed, ">= 4 dB", probed >= 4),
    ]


def _psnr(rows: list[dict[str, Any]], layers: int, label: str, mark: int) -> list[float]:
    row = next(one for one in rows if one["layers"] == layers and one["label"] == label)
    return list(row["psnr"][str(mark)]["values"])
