"""Faces that ship with scikit-image, a SIREN for them, and fits of many signals at once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from skimage.transform import resize
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

TRAIN, TEST, SIZE = slice(0, 80), slice(80, 100), 25
STEPS = (0, 1, 2, 4, 8, 32)


class Sine(nn.Module):
    """sin(omega x)."""

    def __init__(self, omega: float) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega * x)


class Siren(nn.Module):
    """Sine layers and a linear read-out, plus 0.5."""

    def __init__(self, width: int = 64, depth: int = 4, omega: float = 30.0, channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(width if index else 2, width), Sine(omega)]
        self.net = nn.Sequential(*layers, nn.Linear(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out + 0.5


def faces() -> np.ndarray[Any, Any]:
    """100 faces, 25 x 25, in [0, 1]: labelled faces in the wild as scikit-image ships them."""
    path = Path(skimage.__file__).parent / "data" / "lfw_subset.npy"
    return np.load(path)[:100].astype(np.float32)


def resized(images: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """The images at another size, whose corners are the same points."""
    return np.stack([resize(one, (size, size), order=1, anti_aliasing=size < len(one)) for one in images]).astype("f4")


def grid(size: int) -> Tensor:
    """linspace(-1, 1) along both axes, ij."""
    axis = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def curves(
    model: nn.Module, coords: Tensor, targets: Tensor, optimiser: str, lr: float, steps: Sequence[int] = STEPS
) -> tuple[dict[int, list[float]], dict[int, Tensor]]:
    """Fit each target alone from the model's weights, all at once.

    Args:
        model: the start.
        coords: (points, 2).
        targets: (signals, points, channels), in [0, 1].
        optimiser: ``SGD`` or ``Adam``.
        lr: its learning rate.
        steps: after which to look.

    Returns:
        PSNR in dB of each signal for a range of 1, and the outputs, by step.
    """
    start = {name: value.detach() for name, value in model.named_parameters()}
    values = {name: value.expand(len(targets), *value.shape).clone() for name, value in start.items()}
    tuned = getattr(torch.optim, optimiser)(values.values(), lr=lr)

    def outputs(params: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(model, params, (coords,))
        return found

    gradients = vmap(grad(lambda params, y: (outputs(params) - y).square().mean()))
    psnr, images = {}, {}
    for step in range(max(steps) + 1):
        if step in steps:
            with torch.no_grad():
                images[step] = vmap(outputs)(values)
                errors = (images[step] - targets).double().square().mean((1, 2))
            psnr[step] = (-10 * torch.log10(errors)).tolist()
        if step < max(steps):
            for name, found in gradients(values, targets).items():
                values[name].grad = found
            tuned.step()
    return psnr, images


def packed(image: Tensor, size: int) -> str:
    """An image as 8-bit numbers in base64, for a file of figures."""
    levels = (image.reshape(size, size, -1).clamp(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(levels.numpy().tobytes()).decode()
