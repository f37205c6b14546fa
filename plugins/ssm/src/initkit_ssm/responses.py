"""What a time-invariant layer makes of its input: second moments of its output, from its parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from initkit_ssm.kernels import discretise, kernel, powers_sum
from initkit_ssm.layers import Layer, Read


class Response:
    """A layer's impulse response, for layers of kind ``s4d``, ``s5`` and ``lru``.

    Args:
        layer: the layer.
        read: gives the values of tensors by name.
        length: L, how many steps count.
        device: where it is worked out; None is the CPU.
    """

    def __init__(self, layer: Layer, read: Read, length: int, device: torch.device | None = None) -> None:
        self._layer, self._read, self._length = layer, read, length
        self._device = device or torch.device("cpu")

    def _value(self, role: str) -> Tensor:
        return self._layer.read(role, self._read).to(self._device)

    def mean_square(self, moments: Tensor, x: Tensor) -> float:
        """E y² at the last step, mean over output channels.

        Args:
            moments: second moments of each input channel, float64 (H, L).
            x: the input, float64 (B, L, H); layers that mix channels are run on it, over its second half.
        """
        if self._layer.kind == "s4d":
            k = self.kernels()
            return float((k * _toeplitz_product(moments, k)).sum(-1).mean())
        return float(self._mixed(x)[:, self._length // 2 :].square().mean())

    def bound(self, x: Tensor) -> float:
        """(Σ |k_l| s_{L-l} + |Σ k_l μ_{L-l}|)², mean over output channels.

        Args:
            x: the input, float64 (B, L, H).
        """
        k = self.kernels()
        deviation = x.std(0, correction=0).t().flip(-1)
        mean = x.mean(0).t().flip(-1)
        if k.ndim == 3 and self._layer.kind != "s4d":
            total = (k.abs() * deviation).sum((-1, -2)) + (k * mean).sum((-1, -2)).abs()
        else:
            total = (k.abs() * deviation).sum(-1) + (k * mean).sum(-1).abs()
        return float(total.square().mean())

    def white_variance(self) -> Tensor:
        """Variance of each output channel for white noise of variance 1 in every input channel.

        Independent channels are summed over the response's length, layers that mix them for ever, by the products of
        their modes: Σ_l λ^l μ^l = 1/(1 - λ μ).

        Returns:
            float64 (directions, H), or (outputs,) for layers that mix channels.
        """
        if self._layer.kind == "s4d":
            return self.kernels().square().sum(-1)
        lam, b, c, factor = self._multi()
        with_conjugates = torch.einsum("om,mn,on->o", c, (b @ b.mH) / (1 - lam[:, None] * lam.conj()), c.conj()).real
        with_themselves = torch.einsum("om,mn,on->o", c, (b @ b.mT) / (1 - lam[:, None] * lam), c).real
        variance = factor**2 / 2 * (with_conjugates + with_themselves)
        if "D" in self._layer.roles:
            d = self._value("D")
            matrix = d if d.ndim == 2 else torch.diag(d)
            variance = variance + (matrix.square() + 2 * matrix * factor * (c @ b).real).sum(-1)
        return variance

    def kernels(self) -> Tensor:
        """Impulse responses, D at lag 0 included.

        Returns:
            float64 (directions, H, L) of independent channels, (outputs, inputs, L) of layers that mix them.
        """
        layer, length = self._layer, self._length
        if layer.kind == "s4d":
            k = self._independent()
        else:
            lam, b, c, factor = self._multi()
            k = factor * powers_sum(lam.expand(*c.shape[:1], b.shape[1], len(lam)), c[:, None] * b.t(), length)
        if "D" in layer.roles:
            d = self._value("D")
            if layer.kind == "s4d":
                k[..., 0] += d.reshape(k.shape[0], -1) if d.ndim == 2 else d
            else:
                k[..., 0] += d if d.ndim == 2 else torch.diag(d)
        return k

    def _independent(self) -> Tensor:
        layer = self._layer
        roles, facts = layer.roles, layer.facts
        channels = facts["channels"]
        rate, dt, c = (self._value(role) for role in ("rate", "dt", "C"))
        a = -rate.to(torch.complex128)
        if "freq" in roles:
            a = a + 1j * facts["sign"] * self._value("freq")
        b = self._value("B")[0].to(torch.complex128) if "B" in roles else torch.ones_like(a)
        a, b = (value.repeat(channels // len(value), 1) for value in (a, b))
        dt = dt.unsqueeze(-1) if dt.ndim == 1 else dt
        c = c.to(torch.complex128)
        c = c if c.ndim == 3 else c.unsqueeze(0)
        return kernel(a, b * c, dt, self._length, facts["disc"], paired="freq" in roles)

    def _multi(self) -> tuple[Tensor, Tensor, Tensor, int]:
        """λ (N), B̄ (N, H), C (outputs, N) and the factor of pairs; of two directions the first."""
        layer = self._layer
        b, c = (self._value(role).to(torch.complex128) for role in ("B", "C" if "C" in layer.roles else "C1"))
        if layer.kind == "lru":
            lam = torch.exp(torch.complex(-self._value("nu"), self._value("theta")))
            gain = self._value("gamma").to(torch.complex128) if "gamma" in layer.roles else torch.ones_like(lam)
        else:
            a = torch.complex(-self._value("rate"), self._value("freq"))
            lam, gain = discretise(a, self._value("dt").reshape(-1), layer.facts["disc"])
        return lam, b * gain.unsqueeze(-1), c[:, : len(lam)], 2 if layer.facts["paired"] else 1

    def _mixed(self, x: Tensor) -> Tensor:
        """The layer's output, by the states of all modes, float64 (B, L, outputs)."""
        lam, b, c, factor = self._multi()
        length = x.shape[1]
        steps = torch.arange(length, dtype=torch.float64, device=lam.device)
        impulse = torch.polar(lam.abs().unsqueeze(-1) ** steps, lam.angle().unsqueeze(-1) * steps)
        filters = torch.fft.fft(impulse, 2 * length)
        out = []
        for sequence in x:
            states = torch.fft.ifft(filters * torch.fft.fft(b @ sequence.t().to(torch.complex128), 2 * length))
            out.append(factor * (c @ states[:, :length]).real.t())
        y = torch.stack(out)
        if "D" in self._layer.roles:
            d = self._value("D")
            y = y + (x @ d.t() if d.ndim == 2 else x * d)
        return y


def _toeplitz_product(moments: Tensor, k: Tensor) -> Tensor:
    """R k with R the symmetric Toeplitz matrix of each row of ``moments``, by FFT."""
    length = k.shape[-1]
    circle = torch.cat([moments, torch.zeros_like(moments[..., :1]), moments[..., 1:].flip(-1)], -1)
    product: Tensor = torch.fft.irfft(torch.fft.rfft(circle) * torch.fft.rfft(k, 2 * length), 2 * length)
    return product[..., :length]
