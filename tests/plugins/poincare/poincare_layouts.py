"""Hyperbolic layers of libraries that are on no package index, written small with their names, shapes, arithmetic."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from initkit_poincare.geometry import concatenation, exp0, log0


def distances(
    x: Tensor, z: Tensor, r: Tensor | None, c: Tensor, *, old: bool = False, length: Tensor | None = None
) -> Tensor:
    """Signed distances to hyperplanes (HNN++, equation 6); ``old`` with λ = 2(1 - c‖x‖²).

    ``length`` takes z as directions of that length, as weight-normalised layers have them.
    """
    room = 1 - c * x.square().sum(-1, keepdim=True)
    conformal = 2 * room if old else 2 / room
    if length is None:
        length = z.norm(dim=0).clamp_min(1e-15)
        z = z / length
    root = c.sqrt()
    inner = root * conformal * (x @ z)
    if r is not None:
        inner = inner * torch.cosh(2 * root * r) - (conformal - 1) * torch.sinh(2 * root * r)
    return 2 * length / root * torch.asinh(inner)


def fully_connected(
    x: Tensor, z: Tensor, r: Tensor | None, c: Tensor, *, old: bool = False, length: Tensor | None = None
) -> Tensor:
    """The linear layer of HNN++."""
    w = torch.sinh(c.sqrt() * distances(x, z, r, c, old=old, length=length)) / c.sqrt()
    return w / (1 + torch.sqrt(1 + c * w.square().sum(-1, keepdim=True)))


class Ball(nn.Module):
    """A ball whose curvature is softplus of its parameter, or the parameter itself."""

    def __init__(self, value: float = 1.0, *, raw: bool = False, learnable: bool = False) -> None:
        super().__init__()
        self.isp_c = nn.Parameter(torch.tensor(value, dtype=torch.float64), requires_grad=learnable)
        self.raw = raw

    @property
    def c(self) -> Tensor:
        return self.isp_c if self.raw else functional.softplus(self.isp_c)


class PoincareLinear(nn.Module):
    """As in the Poincaré ResNet code: tangent vectors in and out."""

    def __init__(self, n: int, m: int, ball: Ball, *, bias: bool = True, old: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features, self.ball, self.old = n, m, ball, old
        self.z = nn.Parameter(torch.randn(n, m) * (2 * n * m) ** -0.5)
        if bias:
            self.bias = nn.Parameter(torch.zeros(m))

    def forward(self, v: Tensor) -> Tensor:
        c = self.ball.c.to(v.dtype)
        x = exp0(v, float(c))
        return log0(fully_connected(x, self.z, getattr(self, "bias", None), c, old=self.old), float(c))


class PoincareConvolution2d(nn.Module):
    """As in the Poincaré ResNet code: ``kernel_size`` is the kernel's volume, rows are channel-major."""

    def __init__(self, n: int, m: int, kernel_dims: tuple[int, int], ball: Ball, *, old: bool = False) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_dims, self.ball = n, m, kernel_dims, ball
        self.old = old
        self.kernel_size = kernel_dims[0] * kernel_dims[1]
        self.weights = nn.Parameter(torch.randn(self.kernel_size * n, m) * 0.01)
        self.bias = nn.Parameter(torch.zeros(m))

    def forward(self, v: Tensor) -> Tensor:
        c = self.ball.c.to(v.dtype)
        padding = tuple(k // 2 for k in self.kernel_dims)
        patches = functional.unfold(
            v * concatenation(self.in_channels, self.kernel_size), self.kernel_dims, padding=padding
        )
        y = fully_connected(exp0(patches.transpose(1, 2), float(c)), self.weights, self.bias, c, old=self.old)
        sides = [side + 2 * (k // 2) - k + 1 for side, k in zip(v.shape[2:], self.kernel_dims, strict=True)]
        return log0(y, float(c)).transpose(1, 2).reshape(len(v), self.out_channels, *sides)


class NormedLinear(nn.Module):
    """PoincareLinear of the HNN++ code: weight-normalised; the output may be split."""

    def __init__(self, n: int, m: int, ball: Ball, out_split: int = 1) -> None:
        super().__init__()
        self.in_dim, self.out_dim, self.ball, self.out_split = n, m, ball, out_split
        weight = torch.randn(n, m)
        self.weight_g, self.weight_v = nn.Parameter(weight.norm(dim=0)), nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(m))

    def forward(self, x: Tensor) -> Tensor:
        z = self.weight_v / self.weight_v.norm(dim=0).clamp_min(1e-15)
        return fully_connected(x, z, self.bias, self.ball.c.to(x.dtype), length=self.weight_g)


class PoincareConcatLinear(nn.Module):
    """Of the HNN++ code: stacks of points are joined, then mapped."""

    def __init__(self, in_stacks: int, in_dim: int, out_dim: int, ball: Ball) -> None:
        super().__init__()
        self.in_stacks, self.in_dim, self.out_dim, self.ball = in_stacks, in_dim, out_dim, ball
        weight = torch.randn(in_stacks * in_dim, out_dim)
        self.weight_g, self.weight_v = nn.Parameter(weight.norm(dim=0)), nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_dim))

    def forward(self, x: Tensor) -> Tensor:
        c = self.ball.c.to(x.dtype)
        v = log0(x, float(c)).flatten(-2) * concatenation(self.in_dim, self.in_stacks)
        z = self.weight_v / self.weight_v.norm(dim=0).clamp_min(1e-15)
        return fully_connected(exp0(v, float(c)), z, self.bias, c, length=self.weight_g)


class PoincareConvTBC(nn.Module):
    """Of the HNN++ code: time, batch, channel; rows are position-major."""

    def __init__(self, n: int, m: int, kernel_size: int, padding: int, ball: Ball) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = n, m, kernel_size
        self.padding, self.ball = padding, ball
        weight = torch.randn(kernel_size * n, m)
        self.weight_g, self.weight_v = nn.Parameter(weight.norm(dim=0)), nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(m))

    def forward(self, x: Tensor) -> Tensor:
        c = self.ball.c.to(x.dtype)
        v = log0(x, float(c)) * concatenation(self.in_channels, self.kernel_size)
        v = functional.pad(v, (0, 0, 0, 0, self.padding, self.padding))
        steps = len(v) - self.kernel_size + 1
        patches = torch.cat([v[k : k + steps] for k in range(self.kernel_size)], dim=-1)
        z = self.weight_v / self.weight_v.norm(dim=0).clamp_min(1e-15)
        return fully_connected(exp0(patches, float(c)), z, self.bias, c, length=self.weight_g)


class UnidirectionalPoincareMLR(nn.Module):
    """The classifier of the HNN++ code."""

    def __init__(self, feat_dim: int, num_outcome: int, ball: Ball) -> None:
        super().__init__()
        self.feat_dim, self.num_outcome, self.ball = feat_dim, num_outcome, ball
        weight = torch.randn(feat_dim, num_outcome)
        self.weight_g, self.weight_v = nn.Parameter(weight.norm(dim=0)), nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(num_outcome))

    def forward(self, x: Tensor) -> Tensor:
        z = self.weight_v / self.weight_v.norm(dim=0).clamp_min(1e-15)
        return distances(x, z, self.bias, self.ball.c.to(x.dtype), length=self.weight_g)


class MobiusLinear(nn.Linear):
    """As in geoopt's example: W ⊗ x ⊕ b."""

    def __init__(self, n: int, m: int, ball: Ball) -> None:
        super().__init__(n, m)
        self.ball = ball

    def forward(self, x: Tensor) -> Tensor:
        from initkit_poincare.geometry import mobius_add

        c = float(self.ball.c)
        y = x @ self.weight.T
        size, out = x.norm(dim=-1, keepdim=True), y.norm(dim=-1, keepdim=True)
        root = math.sqrt(c)
        y = torch.tanh(out / size * torch.atanh(root * size)) * y / (root * out)
        return mobius_add(y, self.bias.expand_as(y), c)


class Hyperboloid:
    """-t² + ‖s‖² = -k."""

    def __init__(self, k: float = 1.0) -> None:
        self.k = torch.tensor(k)

    def with_time(self, space: Tensor) -> Tensor:
        return torch.cat([(space.square().sum(-1, keepdim=True) + self.k).sqrt(), space], dim=-1)


class LorentzFullyConnected(nn.Module):
    """As in HyperbolicCV, after Chen et al."""

    def __init__(self, manifold: Hyperboloid, n: int, m: int, *, bias: bool = False, normalize: bool = False) -> None:
        super().__init__()
        self.manifold, self.in_features, self.out_features, self.normalize = manifold, n, m, normalize
        self.weight = nn.Linear(n, m, bias=bias)
        self.scale = nn.Parameter(torch.tensor(2.3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.weight(x)
        space = y[..., 1:]
        if self.normalize:
            length = torch.sigmoid(y[..., :1]) * self.scale.exp()
            space = length * space / space.norm(dim=-1, keepdim=True)
        return self.manifold.with_time(space)


class LorentzConv2d(nn.Module):
    """As in HyperbolicCV: channel-last images; space coordinates of a patch are position-major."""

    def __init__(self, manifold: Hyperboloid, n: int, m: int, k: int, padding: int = 1) -> None:
        super().__init__()
        self.manifold, self.in_channels, self.out_channels = manifold, n, m
        self.kernel_size, self.padding = (k, k), padding
        self.linearized_kernel = LorentzFullyConnected(manifold, (n - 1) * k * k + 1, m, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        curvature = self.manifold.k
        taps = self.kernel_size[0] * self.kernel_size[1]
        patches = functional.unfold(x.permute(0, 3, 1, 2), self.kernel_size, padding=self.padding).transpose(1, 2)
        time = patches[..., :taps].clamp(min=float(curvature.sqrt()))
        time = (time.square().sum(-1, keepdim=True) - (taps - 1) * curvature).sqrt()
        space = patches[..., taps:].unflatten(-1, (self.in_channels - 1, taps)).transpose(-1, -2).flatten(-2)
        sides = [side + 2 * self.padding - k + 1 for side, k in zip(x.shape[1:3], self.kernel_size, strict=True)]
        return self.linearized_kernel(torch.cat([time, space], dim=-1)).reshape(len(x), *sides, self.out_channels)
