"""A sine network that becomes a sound: speech where Debian's package alsa-utils is installed, else a chirp.

initkit apply --plugin inr --recipe winner example_audio.py
"""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

COUNT = 8192
SPEECH = Path("/usr/share/sounds/alsa/Front_Center.wav")


def sound() -> Tensor:
    """COUNT samples with peak 1, (COUNT, 1)."""
    if SPEECH.is_file():
        with wave.open(str(SPEECH)) as file:
            samples = np.frombuffer(file.readframes(12000 + COUNT), "<i2")[12000:].astype(np.float32)
        return torch.from_numpy(samples / np.abs(samples).max())[:, None]
    t = torch.arange(COUNT, dtype=torch.float64) / COUNT
    tone = torch.sin(2 * math.pi * (0.15 * COUNT * t + 0.05 * COUNT * t**2)) * (0.5 + 0.5 * torch.sin(6 * math.pi * t))
    return tone.float()[:, None]


coords = torch.linspace(-1, 1, COUNT)[:, None]
inputs = coords
signal = sound()


class Sine(nn.Module):
    """sin(ω(Wx + b))."""

    def __init__(self, n_in: int, n_out: int, omega_0: float = 30.0) -> None:
        super().__init__()
        self.omega_0 = omega_0
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) to (..., n_out)."""
        return torch.sin(self.omega_0 * self.linear(x))


def model(layers: int = 4, hidden: int = 64) -> nn.Sequential:
    """Build the network; ``--set-model hidden=256`` makes it wider."""
    return nn.Sequential(*(Sine(hidden if i else 1, hidden) for i in range(layers)), nn.Linear(hidden, 1))


def loss(network: nn.Module) -> Tensor:
    """Mean squared error on 2048 random samples."""
    some = torch.randint(COUNT, (2048,))
    return functional.mse_loss(network(coords[some]), signal[some])


def score(network: nn.Module) -> float:
    """PSNR on all samples, in decibels over the range 2."""
    with torch.no_grad():
        error = functional.mse_loss(network(coords), signal)
    return 10 * math.log10(4 / float(error))


def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """Adam, with the learning rate of the benchmarks."""
    return torch.optim.Adam(network.parameters(), lr=1e-3)
