"""What happens to signals and gradients over depth before any training.

Splines: twelve layers 32 to 32 in efficient-kan's layout, inputs uniform on (-1, 1), grids of 5 and 20 intervals.
Chebyshev: six layers 64 to 64 of degree 4, normal inputs. Rational: twelve blocks 64-256-64 without norms, normal
inputs. ``signal`` is the standard deviation of activations after each layer, ``across`` what of it is between samples
(the root mean square over units), ``gradient`` the standard deviation of the gradient of a random projection of the
output by each layer's input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import initkit
from benchmarks.kan._layers import Block, Cheby, spline_network
from benchmarks.kan._released import RELEASED
from benchmarks.kan._starts import STARTS, spread, start

SEEDS = (0, 1, 2, 3, 4)
SAMPLES = 1000
LAYERS, WIDTH = 12, 32
BOUNDED = {"signal": (0.3, 3.0), "gradient": (0.1, 10.0)}


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = [*_splines(), *_chebyshev(), *_rational()]
    return {"seeds": list(SEEDS), "samples": SAMPLES, "rows": rows, "verdicts": _verdicts(rows)}


def _splines() -> list[dict[str, Any]]:
    rows = []
    for intervals in (5, 20):
        for label, recipe in STARTS.items():

            def build(seed: int, intervals: int = intervals, recipe: Any = recipe) -> nn.Module:
                return start(spline_network([WIDTH] * (LAYERS + 1), intervals), recipe, seed)

            rows.append(_measured("splines", f"G = {intervals}", label, build, lambda r: 2 * torch.rand(r) - 1, WIDTH))
    return rows


def _chebyshev() -> list[dict[str, Any]]:
    recipes: dict[str, Any] = {
        "default": initkit.recipe("kan/default"),
        **{name: initkit.recipe(f"kan/{name}", input="normal") for name in ("lecun", "glorot", "glorot_fine")},
        "power": initkit.recipe("kan/power"),
    }
    rows = []
    for label, recipe in recipes.items():

        def build(seed: int, recipe: Any = recipe) -> nn.Module:
            return start(nn.Sequential(*(Cheby(64, 64, 4) for _ in range(6))), recipe, seed)

        rows.append(_measured("chebyshev", "degree 4", label, build, torch.randn, 64))
    return rows


def _rational() -> list[dict[str, Any]]:
    recipes: dict[str, Any] = {
        "repo std 0.02, swish": initkit.recipe("kan/kat", linear="repo"),
        "kat, swish": initkit.recipe("kan/kat"),
        "kat, gelu": initkit.recipe("kan/kat", activation="gelu"),
    }
    rows = []
    for label, recipe in recipes.items():

        def build(seed: int, recipe: Any = recipe) -> nn.Module:
            return start(nn.Sequential(*(Block(64, 256) for _ in range(LAYERS))), recipe, seed)

        rows.append(_measured("rational", "blocks 64-256-64", label, build, torch.randn, 64))
    rows.append(
        _measured("rational", "blocks 64-256-64", "released gelu, released gain", _released_gelu, torch.randn, 64)
    )
    return rows


def _released_gelu(seed: int) -> nn.Module:
    """The released gelu coefficients, and the released gain in the authors' variance rule."""
    model = start(
        nn.Sequential(*(Block(64, 256) for _ in range(LAYERS))), initkit.recipe("kan/kat", activation="gelu"), seed
    )
    ours = initkit.plan(model, initkit.recipe("kan/kat", activation="gelu"))["0.fc2.weight"].draw.std
    for block in model:
        block.act2.set(RELEASED["gelu"])
        with torch.no_grad():
            block.fc2.weight.mul_((2.3567850380 / 256) ** 0.5 / ours)
    return model


def _measured(
    kind: str,
    setting: str,
    label: str,
    build: Callable[[int], nn.Module],
    inputs: Callable[[tuple[int, int]], Tensor],
    width: int,
) -> dict[str, Any]:
    signals, across, gradients = [], [], []
    for seed in SEEDS:
        model = build(seed)
        torch.manual_seed(1000 + seed)
        x = inputs((SAMPLES, width)).requires_grad_()
        states = [x]
        for layer in model:  # type: ignore[attr-defined]
            states.append(layer(states[-1]))
        direction = torch.randn_like(states[-1])
        found = torch.autograd.grad((direction * states[-1]).sum(), states)
        signals.append([float(state.detach().std()) for state in states])
        across.append([float(state.detach().var(0).mean().sqrt()) for state in states])
        gradients.append([float(gradient.std()) for gradient in found])
    row = {
        "kind": kind,
        "setting": setting,
        "label": label,
        "signal": [spread(values) for values in zip(*signals, strict=True)],
        "across": [spread(values) for values in zip(*across, strict=True)],
        "gradient": [spread(values) for values in zip(*gradients, strict=True)],
    }
    ends = [row[key][place]["middle"] for key, place in (("signal", -1), ("across", -1), ("gradient", 0))]
    print(f"{kind}, {setting}, {label}: signal, between samples, gradient at the input {ends}", flush=True)
    return row


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = {(row["kind"], row["setting"], row["label"]): row for row in rows}
    found = []
    for intervals in (5, 20):
        row = at["splines", f"G = {intervals}", "iso 0.1"]
        signal = row["signal"][-1]["middle"] / row["signal"][0]["middle"]
        gradient = row["gradient"][0]["middle"]
        for name, value in (("signal", signal), ("gradient", gradient)):
            low, high = BOUNDED[name]
            found.append(
                {
                    "what": f"iso 0.1, G = {intervals}: {name} over 12 layers within [{low}, {high}]",
                    "found": float(f"{value:.3g}"),
                    "holds": low <= value <= high,
                }
            )
    for label in ("lecun", "baseline"):
        value = at["splines", "G = 20", label]["gradient"][0]["middle"]
        found.append(
            {
                "what": f"{label}, G = 20: gradient over 12 layers above 1e6",
                "found": float(f"{value:.3g}"),
                "holds": value > 1e6,
            }
        )
    for label in ("kat, swish", "kat, gelu"):
        value = at["rational", "blocks 64-256-64", label]["across"][-1]["middle"] ** 2
        found.append(
            {
                "what": f"{label}: variance over samples after block 12 within [0.3, 3]",
                "found": float(f"{value:.3g}"),
                "holds": 0.3 <= value <= 3,
            }
        )
    return found
