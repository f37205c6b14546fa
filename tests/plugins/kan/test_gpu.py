"""Calibration on a device: skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch
from kan_layouts import KANLinear, KatMlp
from torch import nn

import initkit


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_the_device_gives_nearly_the_same_scales() -> None:
    model = nn.Sequential(KANLinear(16, 32), KANLinear(32, 8))
    other = copy.deepcopy(model).cuda()
    x = torch.rand(500, 16) * 2 - 1
    recipe = initkit.recipe("kan/glorot_fine", input="batch", per_feature=True)
    here = initkit.apply(model, recipe, inputs=x, seed=0)
    there = initkit.apply(other, recipe, inputs=x, seed=0)
    for name in here:
        assert torch.allclose(other.get_parameter(name).cpu(), model.get_parameter(name), rtol=1e-4, atol=1e-6)
    for one, two in zip(here.notes["kan/glorot_fine layers"], there.notes["kan/glorot_fine layers"], strict=True):
        assert one["sigma_b"] == pytest.approx(two["sigma_b"], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rational_layers_on_the_device() -> None:
    block = KatMlp(64, 128, "kernel").cuda()
    report = initkit.apply(block, "kan/kat", seed=0)
    assert {row["form"] for row in report.notes["kan/kat layers"]} == {"kernel"}
    assert torch.isfinite(block(torch.randn(2, 5, 64, device="cuda"))).all()
