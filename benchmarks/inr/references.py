"""FINER and WIRE as their authors start them, beside torch's own weights and other widths of the first bias.

camera, 128 x 128 gray in [-1, 1]; four layers of FINER or three of WIRE, 64 wide, and a read-out; Adam, 400 steps of
2048 random pixels.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

import initkit
from benchmarks.inr import _fit

STEPS, MARKS, OMEGA = 400, (100, 200, 400), 30.0
LAYERS, WIDTH = 4, 64


class FinerLayer(nn.Module):
    """sin(ω(|z| + 1)z) of a linear map z, the factor without a gradient."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.omega_0 = OMEGA
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return torch.sin(self.omega_0 * (z.detach().abs() + 1) * z)


class GaborLayer(nn.Module):
    """exp(iωz - |sz|²) of a linear map z."""

    def __init__(self, n_in: int, n_out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.omega_0, self.scale_0 = 5.0, 5.0  # the authors' for pictures
        self.linear = nn.Linear(n_in, n_out, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return torch.exp(1j * self.omega_0 * z - (self.scale_0 * z).abs().square())


class Real(nn.Module):
    """The real part, (points, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.real


def finer() -> nn.Sequential:
    widths = [2, *[WIDTH] * LAYERS]
    return nn.Sequential(*(FinerLayer(a, b) for a, b in itertools.pairwise(widths)), nn.Linear(WIDTH, 1))


def wire() -> nn.Sequential:
    layers = [GaborLayer(2, WIDTH, torch.float), *(GaborLayer(WIDTH, WIDTH, torch.cfloat) for _ in range(2))]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1, dtype=torch.cfloat), Real())


# label: network, recipe and its options, rate
STARTS: dict[str, tuple[Any, str, dict[str, Any], float]] = {
    "finer, torch's weights": (finer, "default", {}, 1e-3),
    "inr/finer": (finer, "inr/finer", {}, 1e-3),
    "inr/finer, k = 0.5": (finer, "inr/finer", {"first_bias_scale": 0.5}, 1e-3),
    "inr/finer, k = 1": (finer, "inr/finer", {"first_bias_scale": 1.0}, 1e-3),
    "inr/finer, k = 5": (finer, "inr/finer", {"first_bias_scale": 5.0}, 1e-3),
    "inr/finer, k = 10": (finer, "inr/finer", {"first_bias_scale": 10.0}, 1e-3),
    "inr/vi3nr on FINER": (finer, "inr/vi3nr", {}, 1e-3),
    "wire, torch's weights": (wire, "default", {}, 5e-3),
    "inr/wire": (wire, "inr/wire", {}, 5e-3),
    "inr/vi3nr on WIRE": (wire, "inr/vi3nr", {"complex_ok": True}, 5e-3),
}


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    picture, coords = _fit.picture("camera"), _fit.grid(128, 128)
    rows = []
    for label, (build, recipe, options, lr) in STARTS.items():
        found = []
        for seed in _fit.SEEDS:
            torch.manual_seed(seed)
            model = build()
            if recipe != "default":
                _fit.start(model, initkit.recipe(recipe, **options), seed, {"coords": coords})
            found.append(_fit.fit(model, coords, picture, seed, STEPS, lr, MARKS)[0])
        rows.append({"label": label, "lr": lr, "psnr": _fit.over_seeds(found)})
        print(label, rows[-1]["psnr"][str(STEPS)]["mean"], flush=True)
    return {"seeds": _fit.SEEDS, "steps": STEPS, "data": "camera of scikit-image, 128 x 128", "rows": rows}
