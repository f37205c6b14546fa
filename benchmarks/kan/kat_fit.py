"""How far KAT's released coefficients are from the activations they are named after, and ours.

Largest error on [-3, 3] and [-10, 10], in the form of the CUDA and Triton kernels and in that of the CPU fallback
(1 + Σ|b_i| x^i), each of ours in its own form. Then what that does to a conversion: relative error of the output of a
random MLP 64-256-64 (weights N(0, 1/fan_in)) turned into a rational network, on normal inputs.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import nn

import initkit
from benchmarks.kan._layers import Block
from benchmarks.kan._released import RELEASED
from benchmarks.kan._starts import spread
from initkit_kan.rational import TARGETS, Coefficients, Form, measured
from initkit_kan.tables import EVEN, KERNEL

NAMES = {"swish": "silu", "gelu_old": "gelu"}
SEEDS = tuple(range(5))
LIMITS = {"gelu": 3e-3, "silu": 2e-5, "relu": 2e-2}


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for label, coefficients in RELEASED.items():
        name = NAMES.get(label, label)
        if name in TARGETS:
            rows.append({"set": f"released {label}", "activation": name, **_errors(name, coefficients, coefficients)})
    for name in TARGETS:
        if name != "identity":
            rows.append({"set": "ours", "activation": name, **_errors(name, KERNEL[name], EVEN[name])})
    for row in rows:
        print(row, flush=True)
    conversions = [_conversion(name) for name in LIMITS] + [_conversion("gelu", RELEASED["gelu"])]
    for row in conversions:
        print(row, flush=True)
    verdicts = [
        {
            "what": f"{name}: a converted MLP's output is off by {LIMITS[name]:g} at most",
            "found": next(r for r in conversions if (r["activation"], r["set"]) == (name, "ours"))["median"],
            "at_most": LIMITS[name],
        }
        for name in LIMITS
    ]
    for one in verdicts:
        one["holds"] = one["found"] <= one["at_most"]
    return {"seeds": list(SEEDS), "rows": rows, "conversions": conversions, "curves": _curves(), "verdicts": verdicts}


def _errors(name: str, kernel: Coefficients, fallback: Coefficients) -> dict[str, Any]:
    found: dict[str, Any] = {}
    forms: tuple[tuple[Form, Coefficients], ...] = (("kernel", kernel), ("fallback", fallback))
    for form, coefficients in forms:
        fit = measured(coefficients, TARGETS[name], form)
        found[form] = {key: float(f"{getattr(fit, key):.4g}") for key in ("rmse", "largest", "beyond")}
    return found


def _conversion(name: str, released: Coefficients | None = None) -> dict[str, Any]:
    errors = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        mlp = nn.Sequential(nn.Linear(64, 256), TARGETS[name], nn.Linear(256, 64))
        for layer in (mlp[0], mlp[2]):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        block = Block(64, 256)
        initkit.apply(block, "kan/from_mlp", mlp=mlp, seed=seed)
        if released is not None:
            block.act2.set(released)
        with torch.no_grad():
            x = torch.randn(2000, 64)
            wanted = mlp(x)
            errors.append(float((block(x) - wanted).norm() / wanted.norm()))
    return {
        "activation": name,
        "set": "ours" if released is None else "released gelu",
        "median": float(f"{statistics.median(errors):.4g}"),
        **spread(errors),
    }


def _curves() -> dict[str, Any]:
    """What the page draws: gelu, the released coefficients as the kernel evaluates them, ours."""
    import numpy as np

    x = np.linspace(-3, 3, 121)
    curves = {
        "gelu": TARGETS["gelu"](torch.from_numpy(x)).numpy(),
        "released": RELEASED["gelu"](x),
        "ours": KERNEL["gelu"](x),
    }
    return {"x": [round(float(v), 4) for v in x], **{k: [float(f"{v:.5g}") for v in y] for k, y in curves.items()}}
