"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kan_layouts import FastKANLayer, KANLinear, KatMlp
from torch import nn

import initkit

BATCH = torch.rand(500, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("layer", [KANLinear, FastKANLayer])
@pytest.mark.parametrize(
    "recipe",
    [
        initkit.recipe("kan/glorot_fine", input="batch", per_feature=True),
        initkit.recipe("kan/lecun", input="batch"),
        initkit.recipe("kan/default"),
    ],
    ids=["glorot_fine", "lecun", "default"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_splines(alike: Callable[..., None], layer: Any, recipe: Any) -> None:
    batch = recipe.id != "kan/default"
    alike(
        lambda: nn.Sequential(layer(16, 32), layer(32, 8)),
        recipe,
        rtol=1e-4,
        atol=1e-6,
        there=("mm",) if batch else (),
        **({"inputs": BATCH} if batch else {}),
    )


@pytest.mark.gpu
def test_rational_layers_on_the_device() -> None:
    block = KatMlp(64, 128, "kernel").cuda()
    report = initkit.apply(block, "kan/kat", seed=0)
    assert {row["form"] for row in report.notes["kan/kat layers"]} == {"kernel"}
    assert torch.isfinite(block(torch.randn(2, 5, 64, device="cuda"))).all()
