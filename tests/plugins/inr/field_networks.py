"""Networks of coordinates as they are found in the wild, in small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class SineLayer(nn.Module):
    """sin(ω(Wx + b)): the frequency outside."""

    def __init__(self, n_in: int, n_out: int, omega: float = 30.0) -> None:
        super().__init__()
        self.omega_0 = omega
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega_0 * self.linear(x))


class FoldedLayer(SineLayer):
    """sin(Wx + b): the weights hold the frequency that the attribute names."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.linear(x))


class InputLayer(SineLayer):
    """sin(W(ωx) + b): the frequency before the linear map."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.linear(self.omega_0 * x))


class FinerLayer(SineLayer):
    """sin(ω(|z| + 1)z)."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        with torch.no_grad():
            scale = torch.abs(z) + 1
        return torch.sin(self.omega_0 * scale * z)


class GaussLayer(nn.Module):
    """exp(-(sz)²)."""

    def __init__(self, n_in: int, n_out: int, scale: float = 30.0) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-((self.scale * self.linear(x)) ** 2))


class GaborLayer(nn.Module):
    """exp(iωz - |sz|²), with ω and s as parameters that may be trained."""

    def __init__(self, n_in: int, n_out: int, first: bool = False, omega: float = 10.0, scale: float = 40.0) -> None:
        super().__init__()
        self.omega_0 = nn.Parameter(omega * torch.ones(1), requires_grad=False)
        self.scale_0 = nn.Parameter(scale * torch.ones(1), requires_grad=False)
        self.linear = nn.Linear(n_in, n_out, dtype=torch.float if first else torch.cfloat)

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        return torch.exp(1j * self.omega_0 * z - (self.scale_0 * z).abs().square())


class Field(nn.Module):
    """Layers in a row, a read-out; the forward pass of the SIREN authors, gradients to the coordinates included."""

    def __init__(self, layer: Callable[[int, int], nn.Module], axes: int = 2, width: int = 16, hidden: int = 2) -> None:
        super().__init__()
        sizes = [axes, *[width] * hidden]
        self.net = nn.Sequential(*map(layer, sizes[:-1], sizes[1:]), nn.Linear(width, 1))

    def forward(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        coords = coords.clone().detach().requires_grad_(True)
        return self.net(coords), coords


class Wavelets(nn.Module):
    """A WIRE: the first layer real, the others complex, the real part of the output."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GaborLayer(2, width, first=True), GaborLayer(width, width), nn.Linear(width, 1, dtype=torch.cfloat)
        )

    def forward(self, coords: Tensor) -> Tensor:
        return self.net(coords).real


class Multiplicative(nn.Module):
    """Filters of the coordinates multiply the linear maps' outputs, as in BACON and multiplicative filter networks."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.filters = nn.ModuleList(nn.Linear(2, width) for _ in range(3))
        self.linears = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.sin(self.filters[0](x))
        for filter_, linear in zip(self.filters[1:], self.linears, strict=True):
            z = linear(z) * torch.sin(filter_(x))
        return self.out(z)


class Skipping(nn.Module):
    """The coordinates are joined on again half way, as in DeepSDF."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, width), nn.Linear(width + 3, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sin(30 * self.a(x))
        h = torch.sin(30 * self.b(torch.cat([h, x], dim=-1)))
        return self.out(h)


class Encoded(nn.Module):
    """Fourier features before a ReLU network."""

    def __init__(self, features: int = 8, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, features, generator=torch.Generator().manual_seed(0)))
        self.layers = nn.Sequential(nn.Linear(2 * features, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        angles = x @ self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=-1))


class Bare(nn.Module):
    """No ``nn.Linear``: parameters and ``F.linear``."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.w0, self.b0 = nn.Parameter(torch.zeros(width, 2)), nn.Parameter(torch.zeros(width))
        self.w1 = nn.Parameter(torch.zeros(1, width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.sin(30 * functional.linear(x, self.w0, self.b0)), self.w1)
