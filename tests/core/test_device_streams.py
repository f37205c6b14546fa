"""The device's way to random numbers has the bits of the CPU's: emulated on a CPU, and on a GPU if there is one."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import initkit
from initkit import (
    Blocks,
    Constant,
    Draw,
    Fill,
    InitError,
    LogUniform,
    Normal,
    Orthogonal,
    Recipe,
    Rows,
    Stream,
    TruncatedNormal,
    Uniform,
    _device_streams,
    _elementary,
    streams,
)
from initkit._normal import normal_quantile
from initkit.draws import scaled

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
]
LAST = torch.linspace(0.5, 2.0, 5, dtype=torch.float64)
DRAWS: dict[str, Draw] = {
    "normal": Normal(0.031),
    "shifted normal": Normal(LAST, mean=0.7),
    "rows": Normal(torch.linspace(0, 1, 7)[:, None, None], LAST - 1),
    "middle": Normal(torch.rand(3, 1, generator=torch.Generator().manual_seed(0))),
    "every element": Normal(torch.rand(7, 3, 5, generator=torch.Generator().manual_seed(0))),
    "uniform": Uniform(-0.3, 0.7),
    "uniform by columns": Uniform(-LAST, LAST),
    "of a std": Uniform.with_std(0.02),
    "log-uniform": LogUniform(1e-3, 1e-1),
    "log-uniform by columns": LogUniform(LAST, 3 * LAST),
    "truncated": TruncatedNormal(0.02),
    "truncated above": TruncatedNormal(0.02, 1.0, 1.5, 9.0),
    "truncated far": TruncatedNormal(LAST, low=-60.0, high=-29.0),
    "nearly whole": TruncatedNormal(1.0, low=-2.0, high=60.0),
    "mapped": Uniform(0.5, 1.0).map(torch.log, "log"),
    "another's": Normal(0.1).using("other"),
}
DTYPES = [
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64, torch.complex128
]  # fmt: skip
SHAPE = (7, 3, 5)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws take the device's way on the CPU too."""
    monkeypatch.setattr(scaled, "_uses_torch", lambda device: True)


def made(size: int, runs: list[tuple[int, int]], kind: streams.Kind = "normal", device: str = "cpu") -> bytes:
    out = torch.empty(size, dtype=torch.float64, device=device)
    _device_streams.fill_runs(out, Stream(11, "w"), runs, kind=kind)
    return out.cpu().numpy().tobytes()


def wanted(size: int, runs: list[tuple[int, int]], kind: streams.Kind = "normal") -> bytes:
    out = np.empty(size)
    streams.fill_runs(out, Stream(11, "w"), runs, kind=kind)
    return out.tobytes()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    a, b = a.cpu().contiguous(), b.cpu().contiguous()
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.parametrize("device", DEVICES)
def test_golden_numbers(device: str) -> None:
    stream = Stream(0, "any")
    stream.__dict__["key"] = 7
    out = torch.empty(1_000_000, device=device)
    _device_streams.fill_runs(out, stream, [(0, len(out))])
    assert hashlib.sha256(out.cpu().numpy().tobytes()).hexdigest()[:12] == "8b2f436e9297"
    numbers = torch.empty(1_000_000, dtype=torch.float64, device=device)
    _device_streams.fill_runs(numbers, stream, [(0, len(numbers))])
    assert hashlib.sha256(numbers.cpu().numpy().tobytes()).hexdigest()[:12] == "ed2163eee99f"
    named = torch.empty(2, device=device)
    _device_streams.fill_runs(named, Stream(0, "conv1.weight"), [(1000003, 2)])
    assert named.tolist() == pytest.approx([2.01631641, -0.0868136287], rel=1e-8)


@pytest.mark.parametrize("device", DEVICES)
def test_words_are_philox(device: str) -> None:
    """Counter 0 and key 0 have the known answer of Salmon et al.'s own program."""
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    lanes = _device_streams._philox(torch.zeros(1, dtype=torch.int64, device=device), 0)
    assert [int(lane) % 2**64 for lane in lanes] == known
    stream = Stream(2**64 - 1, "w")
    lanes = _device_streams._philox(torch.arange(1, 1001, device=device), stream.key)
    assert torch.stack(lanes, 1).cpu().numpy().view(np.uint64).reshape(-1).tolist() == stream.words(0, 4000).tolist()


@given(
    cuts=st.lists(st.integers(0, 500), max_size=6),
    start=st.integers(0, 9) | st.integers(2**62 - 300, 2**63 - 500),
    block=st.integers(40, 300) | st.just(7),
    kind=st.sampled_from(["normal", "uniform"]),
    reverse=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_runs_in_any_blocks(cuts: list[int], start: int, block: int, kind: streams.Kind, reverse: bool) -> None:
    edges = [0, *sorted(cuts), 500]
    runs = [(start + a, b - a) for a, b in itertools.pairwise(edges)]
    if reverse:
        runs.reverse()
    with mock.patch.object(_device_streams, "BLOCK", block):
        assert made(500, runs, kind) == wanted(500, runs, kind)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_many_numbers(device: str, kind: streams.Kind) -> None:
    runs = [(2**40 + 3, 700_001), (5, 1), (6, 299_998)]
    with mock.patch.object(_device_streams, "BLOCK", 1 << 18):
        assert made(1_000_000, runs, kind, device) == wanted(1_000_000, runs, kind)


@pytest.mark.parametrize("device", DEVICES)
def test_the_least_and_the_greatest_word(device: str) -> None:
    words = torch.tensor([0, -1, 2**11 - 1, -(2**63)], device=device)
    with mock.patch.object(_device_streams, "_philox", lambda counter, key: [w.expand(len(counter)) for w in words]):
        u, z = made(4, [(0, 4)], "uniform", device), made(4, [(0, 4)], "normal", device)
    numbers = np.frombuffer(u)
    assert numbers.tolist() == [2.0**-54, 1 - 2.0**-53, 2.0**-54, 0.5]
    assert np.frombuffer(z).tolist() == normal_quantile(numbers).tolist()


@pytest.mark.parametrize("device", DEVICES)
def test_elementary_functions(device: str) -> None:
    u = Stream(0, "u").uniforms(0, 200_000)
    edges = np.array(
        [-np.inf, -800.0, -50.0, -0.1, -0.0, 0.0, 5e-324, 1e-310, 2.0**-1022, 1.0, 50.0, 709.9, np.inf, np.nan]
    )
    functions: tuple[Callable[[Any], Any], ...] = (
        _elementary.log, _elementary.exp, _elementary.normal_cdf, normal_quantile
    )  # fmt: skip
    with np.errstate(all="ignore"):
        tails = _elementary.exp(-700 * u)
        for points in (u, 80 * u - 40, tails, edges):
            for function in functions:
                found = function(torch.from_numpy(points).to(device)).cpu().numpy()
                np.testing.assert_array_equal(found, function(points))
    assert _elementary.log(torch.ones(2, 0, dtype=torch.float64)).shape == (2, 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("name", [name for name in DRAWS if name != "mapped"])
def test_draws_on_the_torch_way(name: str, dtype: torch.dtype, emulated: None) -> None:
    draw, stream = DRAWS[name], Stream(3, "weight")
    found = draw.sample(SHAPE, dtype, stream)
    with mock.patch.object(scaled, "_uses_torch", return_value=False):
        assert same(draw.sample(SHAPE, dtype, stream), found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", DRAWS)
def test_draws_on_a_gpu(name: str) -> None:
    draw, stream = DRAWS[name], Stream(3, "weight")
    for dtype in DTYPES:
        found = draw.sample(SHAPE, dtype, stream, device=torch.device("cuda"))
        assert found.is_cuda == (name != "mapped")
        assert same(draw.sample(SHAPE, dtype, stream), found), dtype


@given(start=st.integers(0, 104), data=st.data(), name=st.sampled_from(sorted(set(DRAWS) - {"mapped", "another's"})))
@settings(max_examples=60, deadline=None)
def test_runs_of_a_draw_equal_those_parts_of_the_whole(start: int, data: st.DataObject, name: str) -> None:
    draw: Any = DRAWS[name]
    length = data.draw(st.integers(0, 105 - start))
    runs = [(start, length), (100, 5), (0, 2)]
    whole = draw.sample(SHAPE, torch.float32, Stream(3, "weight")).reshape(-1)
    expected = torch.cat([whole[first : first + count] for first, count in runs])
    assert same(draw.sample_runs(SHAPE, torch.float32, Stream(3, "weight"), runs), expected)
    with mock.patch.object(scaled, "_uses_torch", return_value=True), mock.patch.object(_device_streams, "BLOCK", 9):
        assert same(draw.sample_runs(SHAPE, torch.float32, Stream(3, "weight"), runs), expected)


def test_complex_runs() -> None:
    draw = Normal(LAST)
    whole = draw.sample(SHAPE, torch.complex64, Stream(3, "w")).reshape(-1)
    runs = draw.sample_runs(SHAPE, torch.complex64, Stream(3, "w"), [(7, 20), (1, 3)])
    assert same(runs, torch.cat([whole[7:27], whole[1:4]]))


def test_composed_draws(emulated: None) -> None:
    old = torch.arange(15.0).reshape(3, 5)
    rows = Rows([2, -1, -1, 0, -1], Normal(LAST))
    blocks = Blocks([(slice(0, 2), Normal(1.0)), ((2, slice(1, 5)), TruncatedNormal(1.0)), ((2, 0), Constant(1.0))])
    for draw, current in ((rows, old), (blocks, None), (Orthogonal(), None)):
        found = draw.sample((5, 5) if draw is rows else (3, 5), torch.float32, Stream(0, "w"), current=current)
        with mock.patch.object(scaled, "_uses_torch", return_value=False):
            usual = draw.sample(tuple(found.shape), torch.float32, Stream(0, "w"), current=current)
        assert same(found, usual)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_composed_draws_on_a_gpu() -> None:
    old, cuda = torch.arange(15.0).reshape(3, 5), torch.device("cuda")
    rows = Rows([2, -1, -1, 0, -1], Normal(LAST))
    blocks = Blocks([(slice(0, 2), Normal(1.0)), ((2, slice(1, 5)), TruncatedNormal(1.0)), ((2, 0), Constant(1.0))])
    for draw, shape, current in ((rows, (5, 5), old), (blocks, (3, 5), None)):
        usual = draw.sample(shape, torch.float32, Stream(0, "w"), current=current)
        there = None if current is None else current.cuda()
        assert same(draw.sample(shape, torch.float32, Stream(0, "w"), current=there, device=cuda), usual)


class Small(Recipe):
    """Small normal weights.

    Source: this test.
    """

    def plan(self, model: nn.Module) -> Iterator[Fill]:
        for name, _ in model.named_parameters():
            yield Fill(name, Normal(0.02), why="small")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_on_a_gpu(dtype: torch.dtype) -> None:
    here, there = (nn.Linear(300, 200, dtype=dtype) for _ in range(2))
    with torch.device("meta"):
        hollow = nn.Linear(300, 200, dtype=dtype)
    there.cuda()
    reports = [
        initkit.apply(here, Small(), seed=3),
        initkit.apply(there, Small(), seed=3),
        initkit.apply(hollow, Small(), seed=3, device="cuda"),
    ]
    assert there.weight.is_cuda
    assert hollow.weight.is_cuda
    assert reports[0].to_json() == reports[1].to_json() == reports[2].to_json()
    assert same(here.weight, there.weight)
    assert same(here.weight, hollow.weight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_of_a_gpu_is_that_of_a_few_blocks() -> None:
    out = torch.empty(40_000_000, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    _device_streams.fill_runs(out, Stream(0, "w"), [(0, len(out))])
    assert torch.cuda.max_memory_allocated() - before < 16 * 8 * _device_streams.BLOCK


def test_a_device_that_rounds_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = _device_streams.has_same_bits.__wrapped__
    assert fresh(CPU)
    monkeypatch.setattr(_device_streams, "HALF_STEP", 2.0**-53)
    with pytest.warns(UserWarning, match="made on the CPU"):
        assert not fresh(CPU)
    assert not fresh(torch.device("meta"))  # nothing can be read from it
    monkeypatch.setattr(scaled, "has_same_bits", lambda device: False)
    draw = Normal(0.5)
    sample = draw.sample(SHAPE, torch.float32, Stream(0, "w"), device=torch.device("meta"))
    assert same(sample, draw.sample(SHAPE, torch.float32, Stream(0, "w")))


def test_lack_of_memory_is_no_verdict_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device_streams, "fill_runs", mock.Mock(side_effect=torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        _device_streams.has_same_bits.__wrapped__(CPU)


def test_a_default_device_does_not_matter() -> None:
    expected = made(9, [(1, 4), (0, 5)])
    sample = Normal(LAST).sample(SHAPE, torch.float32, Stream(0, "w"))
    with torch.device("meta"):
        assert same(Normal(LAST).sample(SHAPE, torch.float32, Stream(0, "w")), sample)
        out = torch.empty(9, dtype=torch.float64, device="cpu")
        _device_streams.fill_runs(out, Stream(11, "w"), [(1, 4), (0, 5)])
        assert out.numpy().tobytes() == expected


def test_memory_is_that_of_a_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors are not seen by tracemalloc: the largest one that any operation makes is."""
    monkeypatch.setattr(_device_streams, "BLOCK", 1000)
    largest = 0

    class Spy(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and not made._is_view() and made is not args[0]:
                largest = max(largest, made.numel())
            return made

    out = torch.empty(100_000)
    with Spy():
        _device_streams.fill_runs(out, Stream(0, "w"), [(0, 60_000), (5, 40_000)])
    assert 1000 <= largest <= 1100


def test_other_outputs_are_refused() -> None:
    for out in (torch.empty(4, dtype=torch.float16), torch.empty(2, 2), torch.empty(8)[::2]):
        with pytest.raises(InitError, match="contiguous float32 or float64"):
            _device_streams.fill_runs(out, Stream(0, "w"), [(0, 4)])
    with pytest.raises(InitError, match="runs of 3 indices cannot fill 4"):
        _device_streams.fill_runs(torch.empty(4), Stream(0, "w"), [(0, 3)])
    with pytest.raises(InitError, match=r"below 2\*\*63"):
        _device_streams.fill_runs(torch.empty(4), Stream(0, "w"), [(2**63 - 3, 4)])
    _device_streams.fill_runs(torch.empty(0), Stream(0, "w"), [])
