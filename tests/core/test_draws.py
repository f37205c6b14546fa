"""Draws: distributions, descriptions, scales that are tensors, exactness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

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

STREAM = Stream(3, "weight")


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (Normal(0.5, 1.0), stats.norm(1, 0.5)),
        (Uniform(-1.0, 3.0), stats.uniform(-1, 4)),
        (Uniform.with_std(0.7), stats.uniform(-0.7 * math.sqrt(3), 1.4 * math.sqrt(3))),
        (LogUniform(1e-3, 1e-1), stats.loguniform(1e-3, 1e-1)),
        (TruncatedNormal(0.02), stats.truncnorm(-2, 2, scale=0.02)),
        (TruncatedNormal(2.0, 1.0, low=0.5, high=3.0), stats.truncnorm(0.5, 3, loc=1, scale=2)),
        (TruncatedNormal(1.0, low=6.0, high=9.0), stats.truncnorm(6, 9)),
        (TruncatedNormal.with_std(0.02), stats.truncnorm(-2, 2, scale=0.02 / stats.truncnorm(-2, 2).std())),
    ],
)
def test_draws_follow_their_law_and_tell_their_std(draw: Draw, law: stats.rv_continuous) -> None:
    sample = draw.sample((200, 500), torch.float64, STREAM).flatten().numpy()
    assert stats.kstest(sample, law.cdf).pvalue > 1e-3
    assert draw.std == pytest.approx(law.std(), rel=1e-9)
    assert law.support()[0] <= sample.min()
    assert sample.max() <= law.support()[1]


def test_a_truncated_normal_uses_one_number_an_element_and_stays_inside() -> None:
    sample = TruncatedNormal(0.02).sample((100_000,), torch.float32, STREAM)
    u = STREAM.uniforms(0, 100_000)
    low, high = stats.norm.cdf([-2, 2])
    expected = 0.02 * stats.norm.ppf(low + (high - low) * u)
    assert np.allclose(sample.numpy(), expected, rtol=1e-6)
    assert sample.abs().max() <= 0.04


@given(shape=st.lists(st.integers(1, 7), min_size=1, max_size=4), start=st.integers(0, 200), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_run_equals_that_part_of_the_whole(shape: list[int], start: int, data: st.DataObject) -> None:
    count = math.prod(shape)
    start %= count
    length = data.draw(st.integers(0, count - start))
    scale = torch.linspace(0.5, 2, shape[-1])
    for draw in (Normal(scale), Uniform(-scale, scale), LogUniform(scale, 3 * scale), TruncatedNormal(scale)):
        whole = draw.sample(shape, torch.float32, STREAM)
        part = draw.sample_run(shape, torch.float32, STREAM, start, length)
        assert torch.equal(whole.reshape(-1)[start : start + length], part)


def test_scales_broadcast_over_any_dimension() -> None:
    rows = torch.tensor([[1.0], [10.0], [0.0]])
    sample = Normal(rows).sample((3, 4), torch.float64, STREAM)
    plain = Normal(1.0).sample((3, 4), torch.float64, STREAM)
    assert torch.equal(sample, plain * rows.double())
    assert Normal(rows).std == pytest.approx(math.sqrt(101 / 3))
    complex_rows = Normal(rows).sample((3, 4), torch.complex128, STREAM)
    assert torch.equal(complex_rows[2], torch.zeros(4, dtype=torch.complex128))


def test_orthogonal_is_semi_orthogonal_and_haar() -> None:
    for shape in ((5, 5), (7, 3), (3, 7), (4, 2, 3)):
        q = Orthogonal(1.5).sample(shape, torch.float64, STREAM).reshape(shape[0], -1)
        gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        assert torch.allclose(gram, 2.25 * torch.eye(len(gram), dtype=torch.float64), atol=1e-12)
    corners = [Orthogonal().sample((2, 2), torch.float64, Stream(seed, "q"))[0, 0].item() for seed in range(2000)]
    angle = np.arccos(np.clip(corners, -1, 1)) / math.pi  # uniform under the Haar measure of O(2)
    assert stats.kstest(angle, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (Normal(0.031), "N(0, 0.031²)"),
        (Normal(torch.ones(64, 1)), "N(0, std[64, 1]²)"),
        (Uniform(-0.1, 0.1), "U(-0.1, 0.1)"),
        (LogUniform(0.001, 0.1), "logU(0.001, 0.1)"),
        (TruncatedNormal(0.02), "N(0, 0.02²) cut to [-2, 2]σ"),
        (Constant(0.0), "0"),
        (Constant(True), "True"),
        (Values(torch.ones(2, 3)), "given values [2, 3]"),
        (Orthogonal(2), "orthogonal, gain 2"),
        (Rows([0, -1], Normal(1.0)), "1 rows kept, 1 new: N(0, 1²)"),
        (Blocks([(slice(0, 2), Constant(1)), ((slice(None), 3), Normal(1.0))]), "[0:2] 1; [:, 3] N(0, 1²)"),
        (Normal(1.0).using("other"), "N(0, 1²) with the numbers of other"),
        (Uniform(0.5, 1.0).map(torch.log, "log"), "log(U(0.5, 1))"),
    ],
)
def test_descriptions(draw: Draw, words: str) -> None:
    assert draw.describe() == words == repr(draw)


@pytest.mark.parametrize(
    ("draw", "shape", "dtype", "words"),
    [
        (TruncatedNormal(1.0, low=2, high=1), (3,), torch.float32, "low < high"),
        (TruncatedNormal(1.0, low=40, high=41), (3,), torch.float32, "no probability"),
        (LogUniform(-1.0, 1.0), (3,), torch.float32, "low > 0"),
        (Uniform(1.0, 0.0), (3,), torch.float32, "high is below low"),
        (Uniform(1.0, 1.0), (3,), torch.float32, "use Constant"),
        (Constant(300), (3,), torch.int8, "no value of torch.int8"),
        (Constant(1j), (3,), torch.float32, "complex"),
        (Constant(math.nan), (3,), torch.float32, "nan"),
        (Constant(2), (3,), torch.bool, "no value of torch.bool"),
        (Values(torch.ones(3)), (3,), torch.int64, "cast them"),
        (Values(torch.ones(3, device="meta")), (3,), torch.float32, "meta"),
        (Orthogonal(-1), (3, 3), torch.float32, "must be positive"),
        (Blocks([(slice(0, 2), Constant(1)), (1, Constant(2))]), (3,), torch.float32, "overlaps"),
        (Blocks([(5, Constant(1))]), (3,), torch.float32, "does not fit"),
        (Rows([0, 1], Normal(1.0)), (3, 2), torch.float32, "2 rows are said"),
    ],
)
def test_problems_are_found_without_sampling(
    draw: Draw, shape: tuple[int, ...], dtype: torch.dtype, words: str
) -> None:
    assert words in str(draw.problem(shape, dtype))


def test_equality_is_by_value() -> None:
    assert Normal(torch.ones(3)) == Normal(torch.ones(3))
    assert Normal(1.0) != Normal(2.0)
    assert Normal(1.0) != Uniform(1.0, 2.0)
    assert len({Normal(1.0), Normal(1.0)}) == 1


def test_rows_of_a_sparse_selection_draw_at_their_place_in_the_whole_table() -> None:
    old = torch.arange(6.0).reshape(3, 2)
    new = Rows([2, -1, 0, -1], Normal(1.0)).sample((4, 2), torch.float32, STREAM, current=old)
    whole = Normal(1.0).sample((4, 2), torch.float32, STREAM)
    assert torch.equal(new[[0, 2]], old[[2, 0]])
    assert torch.equal(new[[1, 3]], whole[[1, 3]])
    given_rows = Rows([2, -1], Values(torch.tensor([[7.0, 8.0]]))).sample((2, 2), torch.float32, STREAM, current=old)
    assert given_rows.tolist() == [[4, 5], [7, 8]]
