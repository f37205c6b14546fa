"""Many networks of spline layers at once: what each computes alone, in one batched product a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.kan._layers import SplineLinear


class Stack(nn.Module):
    """E networks of equal shapes; inputs and outputs have a first axis of length E."""

    def __init__(self, networks: Sequence[nn.Sequential]) -> None:
        super().__init__()
        first: list[SplineLinear] = list(networks[0])  # type: ignore[arg-type]
        self.step = first[0].step
        self.register_buffer("centres", first[0].grid[0, 2:-2].clone())
        names = ("base_weight", "spline_weight", "spline_scaler")
        for name in names:
            stacked = [torch.stack([getattr(net[i], name).detach() for net in networks]) for i in range(len(first))]
            setattr(self, name, nn.ParameterList(stacked))

    def forward(self, x: Tensor) -> Tensor:
        """(E, batch, n) to (E, batch, o)."""
        for base, spline, scaler in zip(self.base_weight, self.spline_weight, self.spline_scaler, strict=True):
            weight = (spline * scaler.unsqueeze(-1)).flatten(2)
            bumps = _Bumps.apply(x, self.centres, self.step).flatten(2)
            x = torch.bmm(functional.silu(x), base.mT) + torch.bmm(bumps, weight.mT)
        return x


class _Bumps(torch.autograd.Function):
    """Uniform cubic splines and their slopes in one go."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, centres: Tensor, step: float) -> Tensor:
        u = (x.unsqueeze(-1) - centres).div_(step)
        v = u.abs()
        outer, inner = (2 - v).clamp_(min=0), (1 - v).clamp_(min=0)
        outer2, inner2 = outer * outer, inner * inner
        if x.requires_grad:
            slope = outer2.add(inner2, alpha=-4).mul_(u.sign_()).mul_(-1 / (2 * step))
            ctx.save_for_backward(slope)
        return outer2.mul_(outer).add_(inner2.mul_(inner), alpha=-4).div_(6)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:  # type: ignore[override]
        if not ctx.needs_input_grad[0]:
            return None, None, None
        (slope,) = ctx.saved_tensors
        return (gradient * slope).sum(-1), None, None
