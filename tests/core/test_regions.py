"""Parts of tensors: where their elements lie, and that draws make them with the bits of the whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from initkit import Blocks, Constant, Draw, LogUniform, Normal, Orthogonal, Rows, Stream, TruncatedNormal, Uniform
from initkit.draws.region import Region
from initkit.testing.parts import cuts, wrong_part

SHAPE = (7, 5, 3)
DRAWS: list[Draw] = [
    Normal(0.1),
    Normal(torch.linspace(0.1, 1, 7)[:, None, None], torch.linspace(-1, 1, 3)),
    Uniform(-1, 1),
    TruncatedNormal(0.02),
    LogUniform(0.1, 3.0),
    Uniform(0, 1).map(torch.log1p, "log1p"),
    Normal(1.0).using("another"),
    Constant(2),
    Blocks([(0, Normal(1.0)), (slice(1, None), Uniform(0, 1))]),
    Blocks([((slice(3), slice(None, None, 2)), Normal(1.0)), ((slice(3, 7), 1), Constant(4.0))]),
    Orthogonal(),
    Rows(torch.arange(6, -1, -1), Constant(0)),
]


@st.composite
def regions(draw: Any) -> tuple[Region, np.ndarray]:
    """A region with the linear indices of its elements."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=0, max_size=4)))
    indices = [np.array(sorted(draw(st.sets(st.integers(0, size - 1)))), dtype=np.int64) for size in shape]
    places = np.arange(math.prod(shape)).reshape(shape)
    linear = places[np.ix_(*indices)].reshape(-1) if shape else places.reshape(-1)
    return Region.of(shape, indices), linear


@given(regions())
def test_runs_and_places(found: tuple[Region, np.ndarray]) -> None:
    region, linear = found
    starts, counts = region.runs
    listed = [np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)]
    assert np.array_equal(np.concatenate(listed) if listed else np.zeros(0), linear)
    assert region.count == len(linear)
    assert math.prod(region.sizes) == len(linear)
    assert np.array_equal(region.places(0, region.count), linear)
    assert np.array_equal(region.places(region.count // 3, region.count), linear[region.count // 3 :])
    for index in range(math.prod(region.shape) + 1):
        assert region.before(index) == (linear < index).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("draw", DRAWS, ids=str)
def test_parts_have_the_bits_of_the_whole(draw: Draw, dtype: torch.dtype) -> None:
    if dtype.is_complex and isinstance(draw, (LogUniform, type(DRAWS[5]))):
        pytest.skip("a real distribution")
    current = torch.arange(math.prod(SHAPE)).reshape(SHAPE).to(dtype) if draw.reads_current else None
    assert wrong_part(draw, SHAPE, dtype, Stream(3, "weight"), current=current) is None


def test_a_wrong_part_is_found() -> None:
    class Local(Normal):
        """Draws every part as if it were whole."""

        def sample_region(self, region: Region, dtype: torch.dtype, stream: Stream, **_: Any) -> torch.Tensor:
            return self.sample(region.sizes, dtype, stream)

    assert wrong_part(Normal(1.0), (4, 6), torch.float32, Stream(0, "w")) is None
    assert wrong_part(Local(1.0), (4, 6), torch.float32, Stream(0, "w")) is not None


def test_the_parts_of_a_cut_are_the_whole() -> None:
    halves = list(cuts((3, 2)))[:2]
    assert [part.sizes for part in halves if part.sizes[1] == 2][:1] == [(2, 2)]
    whole = sorted(place for part in cuts((3,)) if part.count for place in part.places(0, part.count))
    assert set(whole) == {0, 1, 2}
