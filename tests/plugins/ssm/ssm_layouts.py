"""Layers as public libraries store them, written small: names, shapes and meaning of the parameters, and a forward.

Inputs and outputs are (batch, length, channels).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from initkit_ssm.kernels import kernel, powers_sum


def causal(x: Tensor, k: Tensor) -> Tensor:
    """Convolve (B, L, H) with kernels (H, L)."""
    n = 2 * x.shape[1]
    spectrum = torch.fft.rfft(x, n, dim=1) * torch.fft.rfft(k.to(x.dtype).t(), n, dim=0)
    return torch.fft.irfft(spectrum, n, dim=1)[:, : x.shape[1]]


class S4DKernel(nn.Module):
    """The kernel of S4D's minimal form: C, log_dt, log_A_real, A_imag; B = 1; buffers where nothing is learned."""

    def __init__(self, channels: int, state: int, learned: bool = True, parameterization: str | None = None) -> None:
        super().__init__()
        modes = state // 2
        if parameterization is not None:
            self.parameterization = parameterization
        self.C = nn.Parameter(torch.randn(channels, modes, 2))
        dynamics = {
            "log_dt": torch.rand(channels) - 4,
            "log_A_real": torch.log(0.5 * torch.ones(channels, modes)),
            "A_imag": torch.arange(modes).float().repeat(channels, 1),
        }
        for name, value in dynamics.items():
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def rate(self) -> Tensor:
        p = self.log_A_real
        kind = getattr(self, "parameterization", "exp")
        if kind == "best":
            return 1 / (p * p + 0.1)
        return nn.functional.softplus(p) if kind == "softplus" else torch.exp(p)

    def forward(self, length: int) -> Tensor:
        a = torch.complex(-self.rate(), self.A_imag).to(torch.complex128)
        c = torch.view_as_complex(self.C).to(torch.complex128)
        return kernel(a, c, torch.exp(self.log_dt).double().unsqueeze(-1), length)


class S4D(nn.Module):
    """A layer around the minimal kernel."""

    def __init__(self, channels: int, state: int, **options: Any) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(channels))
        self.kernel = S4DKernel(channels, state, **options)

    def forward(self, x: Tensor) -> Tensor:
        return causal(x, self.kernel(x.shape[1])) + self.D * x


class S4Kernel(nn.Module):
    """The kernels of state-spaces/s4: diagonal, or with a low-rank term when ``rank`` is above 0."""

    def __init__(
        self,
        channels: int,
        state: int,
        copies: int = 1,
        rank: int = 0,
        directions: int = 1,
        dt_tie: bool = True,
        is_real: bool = False,
        real_transform: str = "exp",
        imag_transform: str = "none",
        dt_transform: str = "exp",
        dt_fast: bool = False,
    ) -> None:
        super().__init__()
        modes = state if is_real else state // 2
        self.real_transform, self.imag_transform, self.dt_transform = real_transform, imag_transform, dt_transform
        self.dt_fast, self.is_real, self.disc = dt_fast, is_real, "bilinear" if rank else "zoh"
        tail = () if is_real else (2,)
        self.inv_dt = nn.Parameter(torch.randn(channels, 1 if dt_tie else modes))
        self.A_real = nn.Parameter(torch.randn(copies, modes))
        if not is_real:
            self.A_imag = nn.Parameter(torch.rand(copies, modes))
        self.B = nn.Parameter(torch.randn(1, copies, modes, *tail))
        self.C = nn.Parameter(torch.randn(directions, channels, modes, *tail))
        if rank:
            self.P = nn.Parameter(torch.randn(rank, copies, modes, 2))
            self.register_buffer("l_kernel", torch.tensor(64))

    def values(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A, B, C and dt in complex128 and float64, one row a channel."""
        raw = torch.sinh(self.inv_dt) if self.dt_fast else self.inv_dt
        dt = _back(raw.double(), self.dt_transform)
        rate = _back(self.A_real.double(), self.real_transform)
        a = -rate.to(torch.complex128)
        if not self.is_real:
            a = a - 1j * _back(self.A_imag.double(), self.imag_transform)
        b, c = (
            t.to(torch.complex128) if self.is_real else torch.view_as_complex(t.contiguous()).to(torch.complex128)
            for t in (self.B, self.C)
        )
        repeats = self.C.shape[1] // a.shape[0]
        return a.repeat(repeats, 1), b[0].repeat(repeats, 1), c, dt

    def forward(self, length: int) -> Tensor:
        a, b, c, dt = self.values()
        if hasattr(self, "P"):
            return self._dense(a, b, c, dt, length)
        return kernel(a, b * c, dt, length, self.disc, paired=not self.is_real)

    def _dense(self, a: Tensor, b: Tensor, c: Tensor, dt: Tensor, length: int) -> Tensor:
        """Of the low-rank form, by powers of the discretised matrix with both halves of the pairs."""
        p = torch.view_as_complex(self.P).to(torch.complex128).repeat(1, a.shape[0] // self.P.shape[1], 1)
        dt = dt.expand(a.shape).repeat(1, 2)
        a, b, c, p = (torch.cat([t, t.conj()], -1) for t in (a, b, c, p))
        full = torch.diag_embed(a) - torch.einsum("rhm,rhn->hmn", p, p.conj())
        eye = torch.eye(full.shape[-1], dtype=torch.complex128)
        step = dt.unsqueeze(-1).to(torch.complex128)
        backward = torch.linalg.inv(eye - step / 2 * full)
        forward, x = backward @ (eye + step / 2 * full), (backward @ (dt * b).unsqueeze(-1))
        out = []
        for _ in range(length):
            out.append((c @ x.squeeze(-1).unsqueeze(0).transpose(-1, -2)).diagonal(dim1=-2, dim2=-1).real)
            x = forward @ x
        return torch.stack(out, -1)


class S4(nn.Module):
    """A layer around these kernels; D (directions, channels)."""

    def __init__(self, channels: int, state: int, **options: Any) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(options.get("directions", 1), channels))
        self.kernel = S4Kernel(channels, state, **options)

    def forward(self, x: Tensor) -> Tensor:
        k = self.kernel(x.shape[1])
        out = causal(x, k[0]) + self.D[0] * x
        if len(k) > 1:
            out = out + causal(x.flip(1), k[1]).flip(1) + self.D[1] * x
        return out


def _back(p: Tensor, name: str) -> Tensor:
    functions = {
        "none": lambda t: t,
        "exp": torch.exp,
        "relu": lambda t: torch.relu(t) + 1e-4,
        "sigmoid": torch.sigmoid,
        "softplus": nn.functional.softplus,
    }
    return functions[name](p)


class LRU(nn.Module):
    """Linear recurrent unit: logs of ν, θ, γ; B and C in two real tensors or one complex one; D (H) or dense."""

    def __init__(self, channels: int, state: int, form: str = "real", gamma: bool = True) -> None:
        super().__init__()
        self.nu_log, self.theta_log = nn.Parameter(torch.randn(state)), nn.Parameter(torch.randn(state))
        if gamma:
            self.gamma_log = nn.Parameter(torch.randn(state))
        shapes = {"B": (state, channels), "C": (channels, state)}
        for name, shape in shapes.items():
            if form == "complex":
                setattr(self, name, nn.Parameter(torch.randn(shape, dtype=torch.complex64)))
            else:
                for part in ("re", "im"):
                    setattr(self, f"{name}_{part}", nn.Parameter(torch.randn(shape)))
        self.D = nn.Parameter(torch.randn(*((channels, channels) if form == "complex" else (channels,))))

    def forward(self, x: Tensor) -> Tensor:
        lam = torch.exp(torch.complex(-torch.exp(self.nu_log), torch.exp(self.theta_log))).to(torch.complex128)
        b, c = (
            getattr(self, name)
            if hasattr(self, name)
            else torch.complex(*(getattr(self, f"{name}_{p}") for p in ("re", "im")))
            for name in ("B", "C")
        )
        gamma = torch.exp(self.gamma_log) if hasattr(self, "gamma_log") else 1.0
        b = (gamma * b.t()).t() if isinstance(gamma, Tensor) else b
        return _multi(lam, b, c, x) + (x @ self.D.t() if self.D.ndim == 2 else self.D * x)


class S5(nn.Module):
    """S5 in its authors' layout: one of each conjugate pair, B (P/2, H, 2), C (H, P/2, 2), log_step (P/2, 1)."""

    def __init__(self, channels: int, state: int, directions: int = 1) -> None:
        super().__init__()
        half = state // 2
        self.Lambda_re, self.Lambda_im = nn.Parameter(-torch.rand(half)), nn.Parameter(torch.randn(half))
        self.B = nn.Parameter(torch.randn(half, channels, 2))
        names = ("C",) if directions == 1 else ("C1", "C2")
        for name in names:
            setattr(self, name, nn.Parameter(torch.randn(channels, half, 2)))
        self.D = nn.Parameter(torch.randn(channels))
        self.log_step = nn.Parameter(torch.randn(half, 1))

    def forward(self, x: Tensor) -> Tensor:
        a = torch.complex(self.Lambda_re, self.Lambda_im).to(torch.complex128)
        step = torch.exp(self.log_step.double()).squeeze(-1)
        lam = torch.exp(a * step)
        b = torch.view_as_complex(self.B).to(torch.complex128) * ((lam - 1) / a).unsqueeze(-1)
        c = torch.view_as_complex(getattr(self, "C", None) if hasattr(self, "C") else self.C1)
        return 2 * _multi(lam, b, c, x) + self.D * x


class PairedA(nn.Module):
    """S5 as lrnnx stores it: A (N, 2), real B (N, H), C (H, N, 2), dense D, log_dt (N)."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.randn(state, 2))
        self.B = nn.Parameter(torch.randn(state, channels))
        self.C = nn.Parameter(torch.randn(channels, state, 2))
        self.D = nn.Parameter(torch.randn(channels, channels))
        self.log_dt = nn.Parameter(torch.randn(state))

    def forward(self, x: Tensor) -> Tensor:
        a = torch.complex(-nn.functional.softplus(self.A[:, 0]), self.A[:, 1]).to(torch.complex128)
        lam = torch.exp(a * torch.exp(self.log_dt.double()))
        b = self.B * ((lam - 1) / a).unsqueeze(-1)
        return _multi(lam, b, torch.view_as_complex(self.C), x) + x @ self.D


def _multi(lam: Tensor, b: Tensor, c: Tensor, x: Tensor) -> Tensor:
    """Re of the outputs of one diagonal state matrix with matrices B and C, by the kernels of all pairs of channels."""
    product = torch.einsum("nh,on->ohn", b.to(torch.complex128), c.to(torch.complex128))
    k = powers_sum(lam.expand(product.shape), product, x.shape[1]).to(x.dtype)
    n = 2 * x.shape[1]
    spectrum = torch.einsum("blh,ohl->blo", torch.fft.rfft(x, n, dim=1), torch.fft.rfft(k, n, dim=-1))
    return torch.fft.irfft(spectrum, n, dim=1)[:, : x.shape[1]]
