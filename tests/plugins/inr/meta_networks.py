"""Small networks, signals and mishaps for tests of learned starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import initkit

SIZE = 7
FAST = {"iters": 12, "inner_lr": 1e-2, "outer_lr": 1e-3}


class Sine(nn.Module):
    def __init__(self, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.omega * x)


class Field(nn.Module):
    """Two sine layers and a read-out, plus 0.5."""

    def __init__(
        self, omega: float = 30.0, width: int = 16, channels: int = 1, between: nn.Module | None = None
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Linear(2, width)
        self.b = nn.Linear(width, width)
        self.out = nn.Linear(width, channels)
        self.sine = Sine(omega)
        self.between = between or nn.Identity()

    def forward(self, coords: Tensor) -> Tensor:
        out: Tensor = self.out(self.between(self.sine(self.b(self.sine(self.a(coords))))))
        return out + 0.5


def blobs(count: int = 8, channels: int = 0, size: int = SIZE) -> Tensor:
    """Smooth bumps at different places, in [0, 1]: (count, size, size[, channels])."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    numbers = torch.rand(count, max(channels, 1), 2, generator=torch.Generator().manual_seed(1)) - 0.5
    found = torch.exp(-2 * ((y - numbers[..., :1, None]) ** 2 + (x - numbers[..., 1:, None]) ** 2))
    return found.movedim(1, -1) if channels else found[:, 0]


def grid(size: int = SIZE) -> Tensor:
    axis = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)


def learn(model: nn.Module, signals: Any = None, *, seed: int = 0, **options: Any) -> initkit.Report:
    keywords = {key: options.pop(key) for key in ("coords", "progress", "device") if key in options}
    made = initkit.recipe("inr/meta", **{**FAST, **options})
    return initkit.apply(model, made, signals=blobs() if signals is None else signals, seed=seed, **keywords)


def bits(model: nn.Module) -> dict[str, bytes]:
    return {
        name: p.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, p in model.state_dict().items()
    }


def loss_after(model: nn.Module, signals: Tensor, steps: int, lr: float = 1e-2) -> float:
    """Mean squared error of each signal fitted alone by SGD, as a user would."""
    coords, losses = grid().reshape(-1, 2), []
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for signal in signals:
        model.load_state_dict(start)
        target, sgd = signal.reshape(-1, 1), torch.optim.SGD(model.parameters(), lr)
        for _ in range(steps):
            sgd.zero_grad()
            (model(coords) - target).square().mean().backward()
            sgd.step()
        losses.append(float((model(coords) - target).detach().square().mean()))
    model.load_state_dict(start)
    return float(np.mean(losses))


class Stops:
    """A progress display in which somebody presses Ctrl-C before the given iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def __call__(self, iterable: Iterable[Any], words: str, total: int | None) -> Iterator[Any]:
        for item in iterable:
            if words.startswith("learning a start") and item == self.iteration:
                raise KeyboardInterrupt
            yield item


class Bursts(nn.Module):
    """Gives NaN in the n-th call that is learned from, once."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls, self.call = 0, call

    def forward(self, x: Tensor) -> Tensor:
        self.calls += isinstance(x, Tensor) and torch.is_grad_enabled()
        return x * float("nan") if self.calls == self.call else x


class Counts(nn.Module):
    """Keeps how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Clips(nn.Module):
    """In-place work that vmap cannot do: an unbatched tensor takes batched values."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape)
        out += x
        return out
