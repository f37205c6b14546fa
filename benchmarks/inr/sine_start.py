"""A picture fitted by a sine network, from several starts and at two learning rates; a broadband picture from two.

camera and grass, 128 x 128 gray in [-1, 1]; 2 -> 64 x 4 -> 1, ω = 30; Adam, 400 steps of 2048 random pixels.
"""

from __future__ import annotations

from typing import Any

import initkit
from benchmarks.inr import _fit

STEPS, MARKS = 400, (100, 200, 400)
# label: recipe and its options
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "siren": ("inr/siren", {}),
    "torch default": ("default", {}),
    "vi3nr": ("inr/vi3nr", {}),
    "vi3nr, ωσ = 1": ("inr/vi3nr", {"sigma_p": 1 / 30}),
    "vi3nr, ωσ = 1, first=data": ("inr/vi3nr", {"sigma_p": 1 / 30, "first": "data"}),
    "vi3nr, ωσ = 2, first=data": ("inr/vi3nr", {"sigma_p": 2 / 30, "first": "data"}),
    "vi3nr, ωσ = 5, first=data": ("inr/vi3nr", {"sigma_p": 5 / 30, "first": "data"}),
    "sine_gradient": ("inr/sine_gradient", {}),
    "weight_scaling 1.5": ("inr/weight_scaling", {}),
    "weight_scaling 2.5": ("inr/weight_scaling", {"alpha": 2.5}),
    "weight_scaling probe": ("inr/weight_scaling", {"alpha": "probe"}),
    "winner": ("inr/winner", {}),
    "winner, ψ of [0, 1]": ("inr/winner", {}),
    "fresh": ("inr/fresh", {}),
    "fresh, radial": ("inr/fresh", {"mode": "radial"}),
    "tuner": ("inr/tuner", {}),
    "tuner, bandlimit 32": ("inr/tuner", {"bandlimit": 32}),
}
SLOW = ("siren", "sine_gradient", "weight_scaling 1.5", "weight_scaling 2.5", "tuner, bandlimit 32")
BROADBAND: dict[str, tuple[str, dict[str, Any]]] = {
    "siren": ("inr/siren", {}),
    "winner": ("inr/winner", {}),
    "winner, ψ of [0, 1]": ("inr/winner", {}),
    "winner, κ = 0.6": ("inr/winner", {"scale": "nyquist"}),
    "winner, rms": ("inr/winner", {"scale": "rms"}),
    "fresh": ("inr/fresh", {}),
    "fresh, radial": ("inr/fresh", {"mode": "radial"}),
    "tuner": ("inr/tuner", {}),
    "tuner, bandlimit 32": ("inr/tuner", {"bandlimit": 32}),
}


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    rows = []
    for lr, labels in ((1e-3, tuple(STARTS)), (1e-4, SLOW)):
        rows += [_row("camera", lr, label, STARTS[label]) for label in labels]
    rows += [_row("grass", 1e-3, label, start) for label, start in BROADBAND.items()]
    return {
        "seeds": _fit.SEEDS,
        "steps": STEPS,
        "data": "camera and grass of scikit-image, 128 x 128",
        "network": "2 -> 64 x 4 -> 1, sin(30z)",
        "rows": rows,
        "verdicts": _verdicts(rows),
    }


def _row(data: str, lr: float, label: str, start: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    target, coords = _fit.picture(data), _fit.grid(128, 128)
    name, options = start
    reached = []
    for seed in _fit.SEEDS:
        model = _fit.network(2, 4, _fit.Sine)
        if name == "default":
            _default(model, seed)
        else:
            signal = target / 2 + 0.5 if label.endswith("[0, 1]") else target
            given = {"coords": coords, "signal": signal}
            both = ("inr/winner", "inr/weight_scaling", "inr/fresh")
            needs = {key: given[key] for key in (("coords", "signal") if name in both else ("coords",))}
            _fit.start(model, initkit.recipe(name, **options), seed, needs)
        one, output = _fit.fit(model, coords, target, seed, STEPS, lr, MARKS)
        reached.append(one)
        if seed == 0 and data == "grass" and label in ("siren", "winner, ψ of [0, 1]"):
            _fit.save_picture(f"grass_{label.partition(',')[0]}", output)
            _fit.save_picture("grass", target)
    row = {"data": data, "lr": lr, "label": label, "psnr": _fit.over_seeds(reached)}
    print(data, lr, label, {mark: one["values"] for mark, one in row["psnr"].items()}, flush=True)
    return row


def _default(model: Any, seed: int) -> None:
    """Torch's default from the same streams, which no recipe gives to a sine network."""
    for name, parameter in model.named_parameters():
        linear = model.get_submodule(name.rpartition(".")[0])
        bound = linear.in_features**-0.5
        stream = initkit.Stream(seed, name)
        parameter.data = initkit.Uniform(-bound, bound).sample(parameter.shape, parameter.dtype, stream)


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def mean(data: str, lr: float, label: str) -> float:
        row = next(one for one in rows if (one["data"], one["lr"], one["label"]) == (data, lr, label))
        return float(row["psnr"]["400"]["mean"])

    scaled = mean("camera", 1e-4, "weight_scaling 1.5") - mean("camera", 1e-4, "siren")
    gentle = max(mean("camera", 1e-3, one) for one in ("sine_gradient", "vi3nr")) - mean("camera", 1e-3, "siren")
    broad = mean("grass", 1e-3, "winner, ψ of [0, 1]") - mean("grass", 1e-3, "siren")
    return [
        _fit.verdict("weight_scaling 1.5 over siren at learning rate 1e-4", scaled, ">= 2 dB", scaled >= 2),
        _fit.verdict("sine_gradient or vi3nr against siren at 1e-3", gentle, ">= -0.3 dB", gentle >= -0.3),
        _fit.verdict("winner (ψ of the picture in [0, 1]) over siren on grass", broad, ">= 1.5 dB", broad >= 1.5),
    ]
