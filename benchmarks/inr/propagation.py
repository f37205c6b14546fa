"""Signal and gradient through fifty layers without biases, by activation and start.

Width 400, 256 inputs from N(0, σ²), a unit Gaussian gradient at the output. Reported are the standard deviation of the
last preactivation over σ, and that of the gradient at the input.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import initkit
from benchmarks.inr import _fit

SEEDS = [0, 1, 2, 3, 4]
LAYERS, WIDTH, BATCH = 50, 400, 256


class Function(nn.Module):
    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, z: Tensor) -> Tensor:
        return self.fn(z)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "Gaussian": lambda z: torch.exp(-z.square() / (2 * 0.05**2)),
    "sin(30z)": lambda z: torch.sin(30 * z),
    "sin(z)/z": lambda z: torch.sinc(z / math.pi),
    "cos(z)exp(-z²)": lambda z: torch.cos(z) * torch.exp(-z.square()),
}
# (activation, start, options of inr/vi3nr or the std of a weight times √width, σ of the inputs, the theory's row)
ROWS: list[tuple[str, str, Any, float, bool]] = [
    ("tanh", "torch's gain 5/3", 5 / 3, 1.0, False),
    ("tanh", "vi3nr, σ = 0.1", {}, 0.1, True),
    ("relu", "vi3nr", {}, 1.0, True),
    ("sigmoid", "torch's gain 1", 1.0, 1.0, False),
    ("sigmoid", "vi3nr", {}, 6.754575, True),
    ("Gaussian", "xavier", 1.0, 0.0776887, False),
    ("Gaussian", "vi3nr", {}, 0.0776887, True),
    ("sin(30z)", "siren", math.sqrt(2) / 30, 0.892643 / 30, False),
    ("sin(30z)", "vi3nr", {}, 0.01, False),
    ("sin(30z)", "vi3nr, σ = 0.001", {"sigma_p": 0.001}, 0.001, True),
    ("sin(z)/z", "vi3nr", {}, 2.223335, True),
    ("cos(z)exp(-z²)", "vi3nr", {}, 0.8704687, True),
]


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    rows = []
    for activation, label, options, size, theory in ROWS:
        found = [_measured(activation, options, size, seed) for seed in SEEDS]
        row = {
            "activation": activation,
            "label": label,
            "sigma_p": size,
            "theory": theory,
            "forward": _geometric([one[0] for one in found]),
            "gradient": _geometric([one[1] for one in found]),
        }
        rows.append(row)
        print(activation, label, row["forward"], row["gradient"], flush=True)
    forward = [value for row in rows if row["theory"] for value in row["forward"]["values"]]
    gradient = [value for row in rows if row["theory"] for value in row["gradient"]["values"]]
    return {
        "seeds": SEEDS,
        "layers": LAYERS,
        "width": WIDTH,
        "rows": rows,
        "verdicts": [
            _fit.verdict(
                "theory rows but relu: forward ratio, furthest from 1",
                _furthest(_without_relu(rows, "forward")),
                "in [0.9, 1.1]",
                all(0.9 <= value <= 1.1 for value in _without_relu(rows, "forward")),
            ),
            _fit.verdict(
                "theory rows but relu: gradient, furthest from 1",
                _furthest(_without_relu(rows, "gradient")),
                "in [0.7, 1.4]",
                all(0.7 <= value <= 1.4 for value in _without_relu(rows, "gradient")),
            ),
            _fit.verdict(
                "all theory rows, relu included: forward ratio",
                _furthest(forward),
                "in [0.9, 1.1]",
                all(0.9 <= value <= 1.1 for value in forward),
            ),
            _fit.verdict(
                "all theory rows, relu included: gradient",
                _furthest(gradient),
                "in [0.7, 1.4]",
                all(0.7 <= value <= 1.4 for value in gradient),
            ),
        ],
    }


def _measured(activation: str, options: Any, size: float, seed: int) -> tuple[float, float]:
    parts: list[nn.Module] = [nn.Linear(WIDTH, WIDTH, bias=False)]
    for _ in range(LAYERS):
        parts += [Function(ACTIVATIONS[activation]), nn.Linear(WIDTH, WIDTH, bias=False)]
    model = nn.Sequential(*parts)
    if isinstance(options, dict):
        _fit.start(model, initkit.recipe("inr/vi3nr", first="keep", **options), seed, {})
    else:
        for name, parameter in list(model.named_parameters())[1:]:
            draw = initkit.Uniform.with_std(options / math.sqrt(WIDTH))
            parameter.data = draw.sample(parameter.shape, parameter.dtype, initkit.Stream(seed, name))
    numbers = torch.Generator().manual_seed(seed)
    x = (size * torch.randn(BATCH, WIDTH, generator=numbers)).double().requires_grad_(True)
    z = model[1:].double()(x)
    z.backward(torch.randn(z.shape, generator=numbers).double())
    assert x.grad is not None
    return float(z.detach().std()) / size, float(x.grad.std())


def _geometric(values: list[float]) -> dict[str, Any]:
    logs = [math.log(value) for value in values]
    return {
        "middle": float(f"{math.exp(statistics.fmean(logs)):.4g}"),
        "factor": float(f"{math.exp(statistics.stdev(logs)):.4g}"),
        "values": [float(f"{value:.4g}") for value in values],
    }


def _without_relu(rows: list[dict[str, Any]], key: str) -> list[float]:
    return [value for row in rows if row["theory"] and row["activation"] != "relu" for value in row[key]["values"]]


def _furthest(values: list[float]) -> float:
    return max(values, key=lambda value: abs(math.log(value)))
