"""The battery for the recipes of time-invariant layers."""

from __future__ import annotations

from typing import Any

import pytest
import ssm_layouts
import torch
from torch import Tensor, nn

import initkit
from initkit.testing import Case, parametrize_with_checks


class Stack(nn.Module):
    """Two layers with a tied pair of parameters and a map beside them."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.first, self.second = make(), make()
        self.head = nn.Linear(6, 6)
        self.back = nn.Linear(6, 6)
        self.back.weight = self.head.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.second(torch.relu(self.head(self.first(x)))))


def stack(kind: str, *args: Any, **options: Any) -> Any:
    return lambda: Stack(lambda: getattr(ssm_layouts, kind)(6, 8, *args, **options))


INPUTS = torch.linspace(-1, 1, 3 * 20 * 6).sin().reshape(3, 20, 6)


def cases() -> list[Case]:
    return [
        Case("ssm/autocorr_timescale", stack("S4D"), {"inputs": INPUTS}),
        Case(
            initkit.recipe("ssm/autocorr_timescale", source="inputs", zero_real=True),
            stack("S4", copies=2),
            {"inputs": INPUTS},
        ),
        Case("ssm/output_scale", stack("S4D"), {"inputs": INPUTS}),
        Case(initkit.recipe("ssm/output_scale", mode="bound"), stack("LRU"), {"inputs": INPUTS}),
        Case("ssm/s4d", stack("S4D")),
        Case(initkit.recipe("ssm/s4d", variant="dfout"), stack("S4", copies=2)),
        Case(initkit.recipe("ssm/s4d", variant="rand", b_init="random"), stack("S5")),
        Case("ssm/lru", stack("LRU")),
        Case(initkit.recipe("ssm/lru", preset="very_long"), stack("S4", copies=3)),
        Case(initkit.recipe("ssm/ptd", steps=30), stack("S4D")),
        Case("ssm/s5", stack("S5", directions=2)),
        Case(initkit.recipe("ssm/s5", blocks=2, c_init="complex_normal"), stack("PairedA")),
        Case("ssm/s4_dplr", stack("S4", rank=1)),
        Case(initkit.recipe("ssm/s4_dplr", measure=("legt", "fout"), b_clip=None), stack("S4", rank=2, copies=2)),
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)
