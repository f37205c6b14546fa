"""The layouts of libraries that cannot be installed, written small: names, shapes and what they compute."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def splines(x: Tensor, grid: Tensor, order: int) -> Tensor:
    """Values of B-splines on half-open intervals: x (batch, n), grid (n, T) to (batch, n, T - order - 1)."""
    x = x.unsqueeze(-1)
    values = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)])
        right = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k])
        values = left * values[..., :-1] + right * values[..., 1:]
    return values


class KANLinear(nn.Module):
    """efficient-kan's layout."""

    def __init__(self, n: int, o: int, grid_size: int = 5, spline_order: int = 3, scaled: bool = True) -> None:
        super().__init__()
        self.grid_size, self.spline_order = grid_size, spline_order
        self.scale_noise, self.scale_base, self.scale_spline = 0.1, 1.0, 1.0
        self.base_activation = nn.SiLU()
        h = 2 / grid_size
        row = torch.arange(-spline_order, grid_size + spline_order + 1) * h - 1
        self.register_buffer("grid", row.expand(n, -1).contiguous())
        self.base_weight = nn.Parameter(torch.randn(o, n))
        self.spline_weight = nn.Parameter(torch.randn(o, n, grid_size + spline_order))
        if scaled:
            self.spline_scaler = nn.Parameter(torch.randn(o, n))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.spline_weight
        if hasattr(self, "spline_scaler"):
            weight = weight * self.spline_scaler.unsqueeze(-1)
        basis = splines(x, self.grid, self.spline_order)
        return functional.linear(self.base_activation(x), self.base_weight) + functional.linear(
            basis.flatten(1), weight.flatten(1)
        )


class Bumps(nn.Module):
    """fastkan's RadialBasisFunction."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.linspace(-2, 2, count), requires_grad=False)
        self.denominator = 4 / (count - 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-(((x.unsqueeze(-1) - self.grid) / self.denominator) ** 2))


class FastKANLayer(nn.Module):
    """fastkan's layout."""

    def __init__(self, n: int, o: int, count: int = 8, base: bool = True, norm: bool = True) -> None:
        super().__init__()
        if norm:
            self.layernorm = nn.LayerNorm(n)
        self.rbf = Bumps(count)
        self.spline_linear = nn.Linear(n * count, o, bias=False)
        if base:
            self.base_activation = functional.silu
            self.base_linear = nn.Linear(n, o)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.layernorm(x) if hasattr(self, "layernorm") else x
        out = self.spline_linear(self.rbf(seen).flatten(-2))
        return out + self.base_linear(self.base_activation(x)) if hasattr(self, "base_linear") else out


class ChebyKANLayer(nn.Module):
    """ChebyKAN's layout."""

    def __init__(self, n: int, o: int, degree: int = 4) -> None:
        super().__init__()
        self.cheby_coeffs = nn.Parameter(torch.randn(n, o, degree + 1) / (n * (degree + 1)))
        self.register_buffer("arange", torch.arange(degree + 1))

    def forward(self, x: Tensor) -> Tensor:
        angle = torch.acos(torch.tanh(x).clamp(-1 + 1e-6, 1 - 1e-6)).unsqueeze(-1)
        return torch.einsum("bid,iod->bo", torch.cos(angle * self.arange), self.cheby_coeffs)


class KAT_Group(nn.Module):
    """KAT's group-rational layer in the form of its CPU code (or of the kernels): (batch, length, channels)."""

    def __init__(self, num_groups: int = 8, form: str = "fallback") -> None:
        super().__init__()
        self.order, self.num_groups, self.form = (5, 4), num_groups, form
        self.weight_numerator = nn.Parameter(torch.randn(1, 6))
        self.weight_denominator = nn.Parameter(torch.randn(num_groups, 4))

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 3, "Input tensor must be 3D (batch, length, channels)."
        z = x.reshape(*x.shape[:-1], self.num_groups, -1)
        top: Any = sum(self.weight_numerator[:, i, None] * z**i for i in range(6))
        b = self.weight_denominator
        if self.form == "sum":
            below = 1 + sum(b[:, i - 1, None] * z**i for i in range(1, 5)).abs()
        else:
            base = z.abs() if self.form == "kernel" else z
            below = 1 + sum(b[:, i - 1, None].abs() * base**i for i in range(1, 5))
        return (top / below).reshape(x.shape)


class KatMlp(nn.Module):
    """KAT's block; registered in another order than it runs."""

    def __init__(self, width: int, hidden: int, form: str = "fallback", norm: bool = False, groups: int = 8) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act2 = KAT_Group(groups, form)
        self.act1 = KAT_Group(groups, form)
        self.drop1 = nn.Dropout(0.1)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop1(self.act1(x))
        x = self.act2(self.fc1(x))
        return self.fc2(self.norm(self.drop1(x)))


def kat_value(x: Tensor, a: Any, b: Any) -> Tensor:
    """The kernels' rational function."""
    top = sum(c * x**i for i, c in enumerate(a))
    return top / (1 + sum(abs(c) * x.abs() ** i for i, c in enumerate(b, 1)))


def rms(x: Tensor) -> float:
    return math.sqrt(float(x.detach().double().square().mean()))
