"""Probes: where inputs are, who carries the variance, and coefficients for the wrong denominator."""

from __future__ import annotations

import pytest
import torch
from flashkan import KANNetwork
from inkan import KANNetwork as PackedNetwork
from kan import KAN
from kan_layouts import ChebyKANLayer, FastKANLayer, KANLinear, KatMlp
from torch import nn

import initkit
from initkit import Constant, Fill, NeedError, Recipe
from initkit_kan.rational import IDENTITY


def levels(found: initkit.Inspection) -> list[str]:
    return [verdict.level for verdict in found.verdicts]


@pytest.mark.parametrize(("shift", "scale", "level"), [(0.0, 1.0, "PASS"), (0.0, 1.6, "WARN"), (30.0, 1.0, "FAIL")])
def test_inputs_outside_the_grid(shift: float, scale: float, level: str) -> None:
    torch.manual_seed(0)
    model = KANNetwork([3, 5, 1])
    initkit.apply(model, "kan/power", seed=0)
    x = scale * (2 * torch.rand(400, 3) - 1) + shift
    found = initkit.inspect(model, x, probes="kan/grid")
    assert levels(found) == [level]
    row = found.tables["kan/grid"].rows[0]
    assert row["outside"] == pytest.approx(float((x.abs() > 1).float().mean()))
    assert row["above"] + row["below"] == pytest.approx(row["outside"])
    assert row["dead"] == pytest.approx(float(((x < -2.2) | (x >= 2.2)).float().mean()))


def test_bumps_see_what_the_norm_leaves() -> None:
    model = nn.Sequential(FastKANLayer(8, 4))
    found = initkit.inspect(model, 100 * torch.randn(300, 8), probes="kan/grid")
    assert levels(found) == ["PASS"]


@pytest.mark.parametrize("family", ["flashkan", "inkan", "pykan", "efficient_kan", "fastkan"])
def test_branches_carry_what_the_weights_say(family: str) -> None:
    torch.manual_seed(0)
    model: nn.Module = {
        "flashkan": lambda: KANNetwork([6, 40]),
        "inkan": lambda: PackedNetwork([6, 40], compile_basis=False),
        "pykan": lambda: KAN(width=[6, 40], grid=5, k=3, auto_save=False, device="cpu"),
        "efficient_kan": lambda: nn.Sequential(KANLinear(6, 40)),
        "fastkan": lambda: nn.Sequential(FastKANLayer(6, 40)),
    }[family]()
    x = 2 * torch.rand(300, 6) - 1
    initkit.apply(model, "kan/power", seed=0)
    (row,) = initkit.inspect(model, x, probes="kan/branches").tables["kan/branches"].rows
    assert row["spline share"] < 1e-3
    assert row["residual"] == pytest.approx(row["output"], rel=0.1)
    initkit.apply(model, "kan/lecun", seed=0)
    found = initkit.inspect(model, x, probes="kan/branches")
    (row,) = found.tables["kan/branches"].rows
    assert row["spline share"] > 0.5
    assert row["splines"] + row["residual"] == pytest.approx(row["output"], rel=0.3)
    assert levels(found) == ["NOTE"]


class Zeros(Recipe):
    """All weights 0."""

    def plan(self, model: nn.Module) -> object:
        for name, _ in model.named_parameters():
            yield Fill(name, Constant(0.0), why="zeros")


def test_a_dead_layer_is_said() -> None:
    model = nn.Sequential(KANLinear(3, 4), KANLinear(4, 2))
    initkit.apply(model, Zeros())
    found = initkit.inspect(model, torch.rand(20, 3), probes="kan/branches")
    assert levels(found) == ["FAIL"]
    assert "the same for all samples" in str(found.verdicts[0])


def test_the_released_gelu_is_found_out() -> None:
    block = KatMlp(16, 32, "kernel")
    initkit.apply(block, initkit.recipe("kan/kat", activation="gelu"))
    x = torch.randn(2, 5, 16)
    assert levels(initkit.inspect(block, x, probes="kan/rational")) == ["PASS"]
    a = (-0.00153969, 0.51692871, 0.44075827, 0.0972553, -0.00884418, -0.00378675)
    b = (-0.14171056, -0.06481231, -0.0444695, 0.01283776)
    with torch.no_grad():
        block.act2.weight_numerator.copy_(torch.tensor([a]))
        block.act2.weight_denominator.copy_(torch.tensor([b] * 8))
    found = initkit.inspect(block, x, probes="kan/rational")
    assert levels(found) == ["WARN"]
    words = str(found.verdicts[0])
    assert "act2: its coefficients are gelu for another denominator (sum" in words
    assert "they are off by 1.5" in words
    rows = {row["layer"]: row for row in found.tables["kan/rational"].rows}
    assert rows["act1"]["nearest"] == "identity"
    assert tuple(block.act1.weight_numerator[0].tolist()) == IDENTITY.a


@pytest.mark.parametrize("model", [nn.Linear(3, 2), ChebyKANLayer(3, 2)], ids=["linear", "chebyshev"])
def test_models_without_such_layers_are_left_alone(model: nn.Module) -> None:
    with pytest.raises(NeedError, match="no probe found its kind of layer"):
        initkit.inspect(model, torch.rand(9, 3), probes=["kan/grid", "kan/branches", "kan/rational"])


def test_a_probe_without_inputs_says_so() -> None:
    model = nn.Sequential(KANLinear(3, 2))
    with pytest.raises(NeedError, match="kan/grid: needs inputs"):
        initkit.inspect(model, probes=["kan/grid"])
    by_loss = initkit.inspect(model, loss=lambda m: m(torch.rand(9, 3)).square().mean(), probes=["kan/grid"])
    assert levels(by_loss) == ["PASS"]
