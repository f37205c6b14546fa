"""Networks of coordinates, the signals that they are fitted to, and the fit."""

from __future__ import annotations

import math
import os
import statistics
import warnings
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import skimage.transform
import torch
from torch import Tensor, nn
from torch.nn import functional

import initkit
from benchmarks import harness

SEEDS = [0, 1, 2]
PICTURES = harness.RESULTS / "inr"
SOUNDS = Path(os.environ.get("INITKIT_SOUNDS", "/usr/share/sounds/alsa"))


class Sine(nn.Module):
    def __init__(self, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, z: Tensor) -> Tensor:
        return torch.sin(self.omega * z)


class Gaussian(nn.Module):
    def __init__(self, width: float = 0.05) -> None:
        super().__init__()
        self.width = width

    def forward(self, z: Tensor) -> Tensor:
        return torch.exp(-z.square() / (2 * self.width**2))


def network(
    axes: int,
    layers: int,
    activation: Callable[[], nn.Module],
    width: int = 64,
    out: int = 1,
    first: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """``axes -> width x layers -> out`` with an activation after each layer but the last."""
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [nn.Linear(axes if i == 0 else width, width), (first if first and i == 0 else activation)()]
    return nn.Sequential(*parts, nn.Linear(width, out))


def picture(name: str, size: int = 128) -> Tensor:
    """A gray picture of scikit-image as (size, size) in [-1, 1]: centre crop, resized with anti-aliasing."""
    raw = np.asarray(getattr(skimage.data, name)(), np.float64) / 255
    short = min(raw.shape[:2])
    top, left = (raw.shape[0] - short) // 2, (raw.shape[1] - short) // 2
    square = raw[top : top + short, left : left + short]
    small = skimage.transform.resize(square, (size, size), order=1, anti_aliasing=True)
    return torch.from_numpy(2 * small - 1).float()


def grid(*sizes: int) -> Tensor:
    """``linspace(-1, 1)`` along each axis, as (points, axes)."""
    axes = [torch.linspace(-1, 1, size) for size in sizes]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))


def clip(name: str, first: int, count: int) -> Tensor | None:
    """Samples of a sound of the package alsa-utils, peak-normalised; None where it is not there.

    They are looked for in ``$INITKIT_SOUNDS``, by default where Debian puts them.
    """
    path = SOUNDS / f"{name}.wav"
    if not path.is_file():
        return None
    with wave.open(str(path)) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64)
    part = samples[first : first + count]
    return torch.from_numpy(part / np.abs(part).max()).float()


def chirp(count: int) -> Tensor:
    """A swept tone that is always there: from 0.15 to 0.25 cycles a sample, its loudness wavering."""
    t = np.arange(count) / count
    tone = np.sin(2 * np.pi * (0.15 * count * t + 0.05 * count * t**2)) * (0.5 + 0.5 * np.sin(6 * np.pi * t))
    return torch.from_numpy(tone).float()


def psnr(output: Tensor, target: Tensor, peak: float = 2.0) -> float:
    """Decibels over the range ``peak``."""
    return 10 * math.log10(peak**2 / float((output - target).square().mean()))


def start(model: nn.Module, recipe: Any, seed: int, needs: Mapping[str, Any]) -> Any:
    """Apply a recipe without the remarks that are in its report anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return initkit.apply(model, recipe, seed=seed, **needs)


def fit(
    model: nn.Module, coords: Tensor, target: Tensor, seed: int, steps: int, lr: float, marks: Sequence[int]
) -> tuple[dict[str, float], Tensor]:
    """Adam on 2048 random points a step: the PSNR at some steps, and the last output, (points,)."""
    numbers = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    wanted = target.reshape(-1)
    reached: dict[str, float] = {}
    for step in range(1, steps + 1):
        batch = torch.randint(len(coords), (2048,), generator=numbers)
        loss = functional.mse_loss(model(coords[batch])[:, 0], wanted[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in marks:
            with torch.no_grad():
                output = model(coords)[:, 0]
            reached[str(step)] = round(psnr(output, wanted), 3)
    return reached, output


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values."""
    return {
        "mean": round(statistics.fmean(values), 3),
        "std": round(statistics.stdev(values), 3) if len(values) > 1 else 0.0,
        "values": [round(value, 3) for value in values],
    }


def over_seeds(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The spread over seeds of each mark."""
    return {mark: spread([one[mark] for one in found]) for mark in found[0]}


def save_picture(name: str, values: Tensor, size: int = 128) -> str:
    """Save an output in [-1, 1] as a small gray PNG beside the figures; returns its file name."""
    from PIL import Image

    gray = ((values.reshape(size, size).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    PICTURES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray.numpy()).save(PICTURES / f"{name}.png", optimize=True)
    return f"{name}.png"


def verdict(words: str, value: float, wanted: str, holds: bool) -> dict[str, Any]:
    """A threshold that was set before the run, and whether it held."""
    return {"claim": words, "value": round(value, 3), "wanted": wanted, "holds": bool(holds)}


def one_thread(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run with one thread, which is what networks of this size want."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run()
    finally:
        torch.set_num_threads(threads)
