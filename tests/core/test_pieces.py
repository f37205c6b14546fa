"""Draws that come in parts are the draws that come whole."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from initkit import (
    Blocks,
    Constant,
    Draw,
    LogUniform,
    Normal,
    Orthogonal,
    Rows,
    Stream,
    TruncatedNormal,
    Uniform,
    Values,
)
from initkit.draws import base, composite

SHAPES = [(), (0,), (3, 0), (7,), (200,), (30, 5), (1, 90), (6, 4, 3, 3)]
DRAWS: list[Any] = [
    lambda shape: Normal(0.3),
    lambda shape: Normal(torch.rand(shape[-1]) + 0.5) if shape and shape[-1] else Normal(1.0),
    lambda shape: Uniform(-1.0, 2.0).map(torch.sin, "sin"),
    lambda shape: LogUniform(0.1, 1.0).using("another"),
    lambda shape: TruncatedNormal(0.1),
    lambda shape: Constant(0.5),
    lambda shape: Values(torch.randn(shape)),
    lambda shape: Blocks([((slice(0, 2),), Normal(1.0)), ((slice(4, 5),), Constant(1.0))]),
    lambda shape: Blocks([((slice(0, 3),), Normal(1.0)), ((slice(3, None),), Orthogonal())]),
    lambda shape: Rows([1, -1, 0, -1, -1, 2], Normal(1.0)),
    lambda shape: Rows([1, -1, 0, -1, -1, 2], Values(torch.randn(3, *shape[1:]))),
    lambda shape: Rows([2, 1, 0, 1, 2, 0], Constant(1.0)),
    lambda shape: Orthogonal(),
]


def _cases() -> list[Any]:
    """Numbers of draws with shapes that they can fill."""
    found = []
    for number, make in enumerate(DRAWS):
        for shape in SHAPES:
            rows, empty = shape[0] if shape else 0, not math.prod(shape)
            if number >= 7 and (empty or rows < 6):  # blocks, rows and matrices
                continue
            shape = (6, *shape[1:]) if isinstance(make(shape), Rows) else shape
            if make(shape).problem(shape, torch.float32) is None:
                found.append(pytest.param(number, shape, id=f"{number}-{shape}"))
    return found


@pytest.mark.parametrize(("number", "shape"), _cases())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64], ids=str)
def test_parts_are_the_whole(
    monkeypatch: pytest.MonkeyPatch, number: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    draw: Draw = DRAWS[number](shape)
    assert draw.problem(shape, dtype) is None
    rows = isinstance(draw, Rows)
    for module in (base, composite):
        monkeypatch.setattr(module, "PIECE", 10)
    current = torch.randn(3 if rows else shape[0], *shape[1:]).to(dtype) if draw.reads_current else None
    stream = Stream(7, "name")
    whole = draw.sample(shape, dtype, stream, current=current)
    parts = [part.reshape(-1) for part in draw.pieces(shape, dtype, stream, current=current)]
    assert torch.equal(torch.cat([whole.new_empty(0), *parts]), whole.reshape(-1))
    elementwise = number < 6
    if elementwise and shape and math.prod(shape) > 20 and shape[0] > 1:
        assert len(parts) > 1
