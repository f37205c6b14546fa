"""A deep Gaussian network that becomes a photograph, one of those that ship with scikit-image.

initkit apply --plugin inr example.py

It has eight layers of exp(-z²/(2·0.05²)), which do not learn from torch's default start.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 128


def photograph() -> Tensor:
    """The photographer of scikit-image, (SIZE, SIZE) in [-1, 1]; a drawn picture where scikit-image is missing."""
    try:
        import skimage.data
        import skimage.transform
    except ImportError:
        print("a drawn picture stands in for the photograph; for that one: pip install scikit-image", file=sys.stderr)
        y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
        rings = torch.sin(40 * (x.square() + y.square())) * (x + y > 0)
        return (0.6 * rings + 0.4 * torch.sign(x * y)).clamp(-1, 1)
    small = skimage.transform.resize(skimage.data.camera(), (SIZE, SIZE), order=1, anti_aliasing=True)
    return torch.from_numpy(2 * small - 1).float()


axis = torch.linspace(-1, 1, SIZE)
coords = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)  # (pixels, 2)
inputs = coords
signal = photograph()


class Gaussian(nn.Module):
    """exp(-z²/(2·width²))."""

    def __init__(self, width: float = 0.05) -> None:
        super().__init__()
        self.width = width

    def forward(self, z: Tensor) -> Tensor:
        """The activation of z, any shape."""
        return torch.exp(-z.square() / (2 * self.width**2))


def model(layers: int = 8, hidden: int = 64) -> nn.Sequential:
    """Build the network; ``--set-model layers=4`` makes it shallower."""
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [nn.Linear(hidden if i else 2, hidden), Gaussian()]
    return nn.Sequential(*parts, nn.Linear(hidden, 1))


def loss(network: nn.Module) -> Tensor:
    """Mean squared error on 2048 random pixels."""
    some = torch.randint(len(coords), (2048,))
    return functional.mse_loss(network(coords[some])[:, 0], signal.reshape(-1)[some])


def score(network: nn.Module) -> float:
    """PSNR on all pixels, in decibels."""
    with torch.no_grad():
        error = functional.mse_loss(network(coords)[:, 0], signal.reshape(-1))
    return 10 * math.log10(4 / float(error))


def optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """Adam, with the learning rate of the benchmarks."""
    return torch.optim.Adam(network.parameters(), lr=1e-3)
