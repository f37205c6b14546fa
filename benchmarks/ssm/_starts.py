"""The dynamics of one diagonal state space model by the name of its start, as the recipes make them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import initkit


class Modes(nn.Module):
    """The tensors of S4D's minimal layout, for a recipe to fill."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        for name, shape in {
            "C": (channels, state // 2, 2),
            "log_dt": (channels,),
            "log_A_real": (channels, state // 2),
            "A_imag": (channels, state // 2),
        }.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))


@dataclass(frozen=True)
class Start:
    """A start of ``channels`` independent models of ``state`` real states.

    Attributes:
        label: for tables.
        recipe: id, or None for the naive start.
        options: of the recipe.
    """

    label: str
    recipe: str | None
    options: dict[str, Any]

    def fill(self, model: nn.Module, seed: int) -> None:
        """Apply the recipe to every S4D layer of a model; the naive start draws all parameters of the dynamics."""
        if self.recipe is not None:
            initkit.apply(model, initkit.recipe(self.recipe, **self.options), seed=seed)
            return
        for name, parameter in model.named_parameters():
            last = name.rpartition(".")[2]
            stream = initkit.Stream(seed, name)
            draws = {
                "log_dt": initkit.Constant(0.0),
                "log_A_real": initkit.Normal(1.0),
                "A_imag": initkit.Normal(1.0),
                "C": initkit.Normal(math.sqrt(0.5)),
            }
            if last in draws:
                with torch.no_grad():
                    parameter.copy_(draws[last].sample(parameter.shape, parameter.dtype, stream))

    def poles(self, channels: int, state: int, seed: int) -> tuple[Tensor, Tensor]:
        """λ and B̄ for each channel and mode, complex128 (channels, state/2)."""
        modes = Modes(channels, state)
        self.fill(modes, seed)
        a = torch.complex(-torch.exp(modes.log_A_real.detach().double()), modes.A_imag.detach().double())
        step = a * torch.exp(modes.log_dt.detach().double()).unsqueeze(-1)
        return torch.exp(step), torch.expm1(step) / a


NAIVE = Start("naive", None, {})


def s4d(variant: str, **options: Any) -> Start:
    return Start(variant, "ssm/s4d", {"variant": variant, **options})


def lru(label: str, **options: Any) -> Start:
    return Start(label, "ssm/lru", options)


RINGS = [
    lru("LRU 0-1", preset="standard"),
    lru("LRU .9-.999", preset="long"),
    lru("LRU .99-.9999 π/10", preset="very_long"),
]
