"""The battery for the recipes of selective and gated layers, and for repair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ssm_gated_layouts as gated
import torch
from torch import nn

import initkit
from initkit.testing import Case, parametrize_with_checks


class Stack(nn.Module):
    """Two layers, maps with tied weights and a buffer."""

    def __init__(self, *make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(one() for one in make)
        self.head, self.back = nn.Linear(6, 6), nn.Linear(6, 6)
        self.back.weight = self.head.weight
        self.register_buffer("seen", torch.zeros(3))


def broken() -> nn.Module:
    """A Mamba-2 layer that forgets at once, among healthy ones."""
    model = Stack(gated.Mamba2, lambda: gated.Mamba2(heads=8), gated.FusedMLstm)
    sound: Any = model.layers[0]
    fails: Any = model.layers[1]
    with torch.no_grad():
        sound.dt_bias.copy_(torch.linspace(-6, -3, 6))
        sound.A_log.zero_()
        fails.dt_bias.fill_(1.0)
        fails.A_log.copy_(torch.arange(1, 9).log())
        model.layers[2].ifgate_preact.bias.fill_(4.0)  # type: ignore[union-attr]
    return model


def two(*make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Stack(*make)


def cases() -> list[Case]:
    log_uniform = initkit.recipe("ssm/gate_decay", variant="log_uniform", tau_min=2.0)
    return [
        Case("ssm/mamba", two(gated.Mamba, gated.Mamba2)),
        Case(initkit.recipe("ssm/mamba", which="all", residuals=2), two(gated.Mamba, gated.Mamba3)),
        Case(initkit.recipe("ssm/mamba", a_min=0.5), two(gated.GatedDelta, lambda: gated.ForgetGate(bound=-5.0))),
        Case("ssm/rg_lru", two(gated.RecurrentBlock, gated.RecurrentBlock)),
        Case("ssm/gate_decay", two(gated.FusedMLstm, gated.SLstm, lambda: gated.Rwkv(5))),
        Case(log_uniform, two(gated.FusedMLstm, gated.SLstm, lambda: gated.Rwkv(7), gated.Mamba2)),
        Case("ssm/repair", broken),
    ]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give on tensors of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)
