"""Layers in the layouts of efficient-kan, ChebyKAN and KAT, with what their forwards compute, written anew."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from initkit_kan.rational import Coefficients


class SplineLinear(nn.Module):
    """The layout of efficient-kan's KANLinear: uniform cubic splines and a SiLU branch."""

    def __init__(self, n: int, o: int, intervals: int = 5) -> None:
        super().__init__()
        self.grid_size, self.spline_order = intervals, 3
        h = 2 / intervals
        row = torch.arange(-3, intervals + 4) * h - 1
        self.register_buffer("grid", row.expand(n, -1).contiguous())
        self.base_weight = nn.Parameter(torch.empty(o, n))
        self.spline_weight = nn.Parameter(torch.empty(o, n, intervals + 3))
        self.spline_scaler = nn.Parameter(torch.empty(o, n))
        self.step = h

    def basis(self, x: Tensor) -> Tensor:
        """(batch, n) to (batch, n, M)."""
        v = ((x.unsqueeze(-1) - self.grid[:, 2:-2]) / self.step).abs()
        outer = (2 - v).clamp_min(0)
        inner = (1 - v).clamp_min(0)
        return (outer * outer * outer - 4 * inner * inner * inner) / 6

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.spline_weight * self.spline_scaler.unsqueeze(-1)).flatten(1)
        return functional.linear(functional.silu(x), self.base_weight) + functional.linear(
            self.basis(x).flatten(1), weight
        )


class Cheby(nn.Module):
    """The layout of ChebyKAN's layer: polynomials of tanh x."""

    def __init__(self, n: int, o: int, degree: int) -> None:
        super().__init__()
        self.cheby_coeffs = nn.Parameter(torch.empty(n, o, degree + 1))

    def forward(self, x: Tensor) -> Tensor:
        u = torch.tanh(x)
        values = [torch.ones_like(u), u]
        while len(values) < self.cheby_coeffs.shape[-1]:
            values.append(2 * u * values[-1] - values[-2])
        return torch.einsum("bid,iod->bo", torch.stack(values, -1), self.cheby_coeffs)


class Rational(nn.Module):
    """The layout of KAT_Group, in the form of the CUDA and Triton kernels."""

    def __init__(self, groups: int = 8) -> None:
        super().__init__()
        self.num_groups = groups
        self.weight_numerator = nn.Parameter(torch.zeros(1, 6))
        self.weight_denominator = nn.Parameter(torch.zeros(groups, 4))

    def set(self, coefficients: Coefficients) -> None:
        with torch.no_grad():
            self.weight_numerator.copy_(torch.tensor([coefficients.a]))
            self.weight_denominator.copy_(torch.tensor([coefficients.b] * self.num_groups))

    def forward(self, x: Tensor) -> Tensor:
        z = x.reshape(*x.shape[:-1], self.num_groups, -1)
        top = sum(self.weight_numerator[:, i, None] * z**i for i in range(6))
        below = 1 + sum(self.weight_denominator[:, i - 1, None].abs() * z.abs() ** i for i in range(1, 5))
        return (top / below).reshape(x.shape)


class Block(nn.Module):
    """A block of KAT: act1, fc1, act2, fc2."""

    def __init__(self, width: int, hidden: int, groups: int = 8) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act1 = Rational(groups)
        self.act2 = Rational(groups)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act2(self.fc1(self.act1(x))))


def spline_network(widths: Sequence[int], intervals: int) -> nn.Sequential:
    return nn.Sequential(*(SplineLinear(n, o, intervals) for n, o in itertools.pairwise(widths)))
