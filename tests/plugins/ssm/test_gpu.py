"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ssm_layouts
import torch
from torch import nn

import initkit

CHANNELS = 6
INPUTS = torch.randn(16, 256, CHANNELS, generator=torch.Generator().manual_seed(0)).cumsum(1) / 8


def two(layer: str) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*(getattr(ssm_layouts, layer)(CHANNELS, 16) for _ in range(2)))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("layer", "recipes"),
    [
        ("S4D", ["ssm/s4d", "ssm/autocorr_timescale"]),
        ("S4D", ["ssm/s4d", "ssm/output_scale"]),
        ("S4D", ["ssm/s4d", initkit.recipe("ssm/output_scale", mode="bound")]),
        ("S5", ["ssm/s5", "ssm/output_scale"]),
        ("LRU", ["ssm/lru", "ssm/output_scale"]),
    ],
)
def test_recipes_that_look_at_data(alike: Callable[..., None], layer: str, recipes: list[Any]) -> None:
    there = ("_fft_r2c",) if layer == "S4D" else ("_fft_c2c",)
    alike(two(layer), recipes, rtol=1e-4, atol=1e-6, there=there, inputs=INPUTS)
