"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import ssm_layouts
import torch

import initkit

CHANNELS = 6
INPUTS = torch.randn(16, 128, CHANNELS, generator=torch.Generator().manual_seed(0)).cumsum(1) / 8


@pytest.mark.parametrize("recipe", ["output_scale", "autocorr_timescale"])
def test_recipes_that_look_at_data(alike: Callable[..., None], recipe: str) -> None:
    alike(
        lambda: ssm_layouts.S4D(CHANNELS, 16),
        ["ssm/s4d", f"ssm/{recipe}"],
        rtol=1e-4,
        atol=1e-6,
        there=("_fft_r2c",),
        inputs=INPUTS,
    )


def test_ptd(alike: Callable[..., None]) -> None:
    alike(lambda: ssm_layouts.S4D(CHANNELS, 16), initkit.recipe("ssm/ptd"), rtol=1e-4, atol=1e-6)
