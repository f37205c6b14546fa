"""A start learned from faces, so that a few steps of gradient descent draw a new one.

initkit apply --plugin inr --recipe meta example_meta.py       # writes the start: example_meta.safetensors
python example_meta.py                                          # learns it and draws a face that it has not seen

The faces are those that ship with scikit-image (25 x 25 pixels, labelled faces in the wild).
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def faces() -> Tensor:
    """100 faces, (100, 25, 25) in [0, 1]; drawn ones where scikit-image is missing."""
    try:
        import skimage
    except ImportError:
        print("drawn faces stand in for photographs; for those: pip install scikit-image", file=sys.stderr)
        return torch.stack([drawn(number) for number in range(100)])
    path = Path(skimage.__file__).parent / "data" / "lfw_subset.npy"
    return torch.from_numpy(np.load(path)[:100]).float()


def drawn(number: int) -> Tensor:
    """An oval with two eyes and a mouth, whose sizes and places change from one to the next."""
    axis = torch.linspace(-1, 1, 25)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    a, b, c = (math.sin(number * k) for k in (1.7, 2.3, 3.1))

    def blot(up: float, right: float, size: float) -> Tensor:
        return torch.exp(-((y - up) ** 2 + (x - right) ** 2) / size**2)

    oval = torch.sigmoid(12 * (0.8 + 0.1 * a - torch.hypot(0.8 * y, x)))
    eyes = blot(-0.3 + 0.05 * b, -0.35 + 0.05 * c, 0.15) + blot(-0.3 + 0.05 * b, 0.35 + 0.05 * c, 0.15)
    return (0.1 + (0.6 + 0.1 * b) * oval - 0.4 * eyes - 0.3 * blot(0.45, 0.05 * c, 0.25)).clamp(0, 1)


axis = torch.linspace(-1, 1, 25)
coords = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)  # (pixels, 2)
inputs = coords
every = faces()
signals, unseen = every[:80], every[80:]


class Siren(nn.Module):
    """Sine layers and a linear read-out, plus 0.5: the middle of the faces' range."""

    def __init__(self, hidden: int, layers: int, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = omega
        widths = [2, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.read_out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Brightness at coordinates (points, 2): (points, 1)."""
        for layer in self.layers:
            x = torch.sin(self.omega * layer(x))
        out: Tensor = self.read_out(x)
        return out + 0.5


def model(hidden: int = 48, layers: int = 3) -> Siren:
    """Build the network; ``--set-model hidden=64`` makes it wider."""
    return Siren(hidden, layers)


def loss(network: nn.Module) -> Tensor:
    """Mean squared error for a face that is not among the signals."""
    return functional.mse_loss(network(coords), unseen[0].reshape(-1, 1))


def score(network: nn.Module) -> float:
    """PSNR of that face in decibels."""
    with torch.no_grad():
        return -10 * math.log10(float(loss(network)))


def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """SGD with the learning rate of the inner steps: what the start was learned for."""
    return torch.optim.SGD(network.parameters(), lr=1e-2)


def main() -> None:
    """Learn a start, then draw an unseen face from it and from SIREN's."""
    import initkit

    plain, learned = model(), model()
    initkit.apply(plain, "inr/siren")
    initkit.apply(learned, "inr/meta", signals=signals, coords=coords)
    for name, network in (("inr/siren", plain), ("inr/meta", learned)):
        tuned = optimizer(network)
        found = []
        for step in range(9):
            if step in (0, 2, 8):
                found.append(f"{score(network):.1f} dB after {step} steps")
            tuned.zero_grad()
            torch.autograd.backward(loss(network))
            tuned.step()
        print(f"{name}: {', '.join(found)}")


if __name__ == "__main__":
    main()
