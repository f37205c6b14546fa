"""The recipes that learn a start pass the battery, from signals and from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import initkit
from initkit.testing import Case, parametrize_with_checks

from .meta_networks import Field, blobs, grid

META = initkit.recipe("inr/meta", iters=3)
SIGNALS = {"signals": blobs(4)}


class Tied(Field):
    """Two names of one tensor, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(16, 16)
        self.second.bias = self.b.bias
        self.register_buffer("scale", torch.ones(()))

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        h = self.sine(self.b(self.sine(self.a(self.scale * coords))))
        out: torch.Tensor = self.out(self.sine(self.second(h)))
        return out + 0.5


CASES = [
    Case(META, Field, SIGNALS),
    Case(META, Tied, SIGNALS),
    Case(initkit.recipe("inr/meta", iters=3, method="fomaml", vectorize="vmap"), Field, SIGNALS),
    Case(initkit.recipe("inr/meta", iters=3, method="reptile", start="present"), Field, {**SIGNALS, "coords": grid()}),
    Case(initkit.recipe("inr/strainer", steps=3), Field, SIGNALS),
    Case(initkit.recipe("inr/strainer", steps=3, shared_layers=1), Tied, SIGNALS),
]


@parametrize_with_checks(CASES)
def test_conformance(check: Callable[[Case], None], case: Any) -> None:
    check(case)
