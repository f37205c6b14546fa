"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from flashkan.layer import KANLayer
from inkan import KANLayer as PackedLayer
from kan_layouts import ChebyKANLayer, FastKANLayer, KANLinear, KatMlp
from torch import Tensor, nn

import initkit
from initkit.testing import Case, parametrize_with_checks


class Mixed(nn.Module):
    """Layers of several libraries, tied weights and a plain layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = KANLinear(4, 6)
        self.b = FastKANLayer(6, 6)
        self.c = KANLayer(6, 6)
        self.d = KANLayer(6, 6)
        self.d.spline_weight = self.c.spline_weight
        self.e = PackedLayer(6, 5, compile_basis=False)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b, self.c, self.d, self.e):
            x = layer(x)
        return self.head(x)


class Bases(nn.Module):
    """Layers without a residual branch, and without a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.a = ChebyKANLayer(4, 6)
        self.b = ChebyKANLayer(6, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Rational(nn.Module):
    """Blocks of KAT."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = KatMlp(16, 32), KatMlp(16, 32, "kernel", norm=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x)))


class Plain(nn.Module):
    """What a Rational is converted from."""

    def __init__(self) -> None:
        super().__init__()
        blocks = {}
        for name in "ab":
            block = nn.Module()
            block.fc1, block.fc2 = nn.Linear(16, 32), nn.Linear(32, 16)
            blocks[name] = block
        self.a, self.b = blocks["a"], blocks["b"]


def build_mlp() -> nn.Module:
    torch.manual_seed(0)
    return Plain()


def cases() -> list[Case]:
    batch = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    splines: list[Any] = ["kan/power", "kan/lecun", "kan/glorot", "kan/glorot_fine", "kan/iso", "kan/default"]
    found = [Case(one, Mixed) for one in splines]
    found += [
        Case(initkit.recipe("kan/power", residual_exponent=(0.1, 0.4), basis_scale=2.0, keep_scale=True), Bases),
        Case(initkit.recipe("kan/glorot_fine", input="normal", gain=0.7), Bases),
        Case(initkit.recipe("kan/default", scheme="baseline"), Mixed),
        Case(initkit.recipe("kan/lecun", input="batch", per_feature=True), Mixed, {"inputs": batch}),
        Case("kan/kat", Rational),
        Case(initkit.recipe("kan/kat", activation="gelu", jitter=1e-3, identity=["*.act2"]), Rational),
        Case(initkit.recipe("kan/from_mlp", activation="gelu"), Rational, {"mlp": build_mlp()}),
    ]
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)
