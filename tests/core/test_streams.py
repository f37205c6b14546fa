"""Random streams: golden values, the same bits however they are computed, and accuracy."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import pickle
import signal
import statistics
import subprocess
import sys
import threading
import tracemalloc
from unittest import mock

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Philox
from scipy import special

from initkit import _elementary, streams
from initkit._normal import normal_quantile
from initkit.errors import InitError, OptionError
from initkit.streams import Stream, fill, fill_runs, stream_key

Array = npt.NDArray[np.float64]
LARGEST_U = 1 - 2.0**-53


def keyed(key: int) -> Stream:
    """A stream with a key of our choosing."""
    stream = Stream(0, "any")
    stream.__dict__["key"] = key
    return stream


def sha(array: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]


def philox(counter: int, key: int) -> list[int]:
    """Philox4x64-10 of one counter, as in Salmon et al. (2011), in Python integers."""
    mask = 2**64 - 1
    c = [counter >> 64 * i & mask for i in range(4)]
    k = [key >> 64 * i & mask for i in range(2)]
    for _ in range(10):
        a, b = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [(b >> 64) ^ c[1] ^ k[0], b & mask, (a >> 64) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return c


def horner(x: float, coefficients: tuple[float, ...]) -> float:
    value = coefficients[0]
    for c in coefficients[1:]:
        value *= x
        value += c
    return value


def random_points(low: float, high: float, count: int = 2000) -> Array:
    return np.random.default_rng(3).uniform(low, high, count)


# --- golden values


def test_golden_words_and_normals() -> None:
    stream = keyed(7)
    words = [0xDF4034B829E9FBA4, 0x4B9D10CDF8E64087, 0x6B8B857E506AAC98, 0x67C7C945B1BA6E52]
    assert stream.words(0, 4).tolist() == words
    expected = [1.1362473, -0.5377774, -0.2016436, -0.2394141, -1.3862015, 0.5147407]
    assert stream.normals(0, 6) == pytest.approx(expected, abs=5e-8)
    out = np.empty(1_000_000, dtype=np.float32)
    fill(out, stream)
    assert sha(out) == "8b2f436e9297"


def test_golden_float64_bits() -> None:
    """These bits are promised too; they were computed with this code, hence a change of it shows here."""
    stream = keyed(7)
    assert sha(stream.normals(0, 1_000_000)) == "ed2163eee99f"
    assert sha(stream.uniforms(0, 100_000)) == "b07a71078bea"
    assert stream.integers(0, 10, 8).tolist() == [8, 2, 4, 4, 0, 6, 2, 6]


def test_golden_named_stream() -> None:
    assert stream_key(0, "conv1.weight") == 0x80C2552718F2E542A3BA6544846812A2
    stream = Stream(0, "conv1.weight")
    first, far = (stream.normals(start, n).astype(np.float32) for start, n in ((0, 4), (1000003, 2)))
    assert first == pytest.approx([0.289721787, -0.112589695, 0.696757376, -0.916215003], rel=1e-8)
    assert far == pytest.approx([2.01631641, -0.0868136287], rel=1e-8)


def test_known_answer_of_philox() -> None:
    known = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(0, 0) == known
    # numpy steps the counter before each block: the block after counter 2**256 - 1 is that of counter 0.
    assert Philox(key=0, counter=2**256 - 1).random_raw(4).tolist() == known


@given(seed=st.integers(0, 2**64 - 1), start=st.integers(0, 2**65) | st.integers(2**66 - 9, 2**66 + 9))
@settings(max_examples=30, deadline=None)
def test_words_follow_the_definition(seed: int, start: int) -> None:
    stream = Stream(seed, "a.b")
    wanted = [philox(i // 4 + 1, stream.key)[i % 4] for i in range(start, start + 6)]
    assert stream.words(start, 6).tolist() == wanted
    wanted_u = [min(((w >> 11) + 0.5) * 2.0**-53, LARGEST_U) for w in wanted]
    assert stream.uniforms(start, 6).tolist() == wanted_u


# --- the same bits however they are computed


@given(
    cuts=st.lists(st.integers(0, 500), max_size=6),
    start=st.integers(0, 9) | st.integers(2**64 - 300, 2**64),
    threads=st.integers(1, 4),
    block=st.integers(1, 200),
    kind=st.sampled_from(["normal", "uniform"]),
)
@settings(max_examples=40, deadline=None)
def test_threads_blocks_and_splits_do_not_matter(
    cuts: list[int], start: int, threads: int, block: int, kind: streams.Kind
) -> None:
    stream = Stream(11, "layer.weight")
    whole = np.empty(500)
    fill(whole, stream, start, kind=kind, threads=1)
    edges = [0, *sorted(cuts), 500]
    runs = [(start + a, b - a) for a, b in itertools.pairwise(edges)]
    runs.reverse()
    with mock.patch.object(streams, "BLOCK", block):
        together = np.empty(500)
        fill_runs(together, stream, runs, kind=kind, threads=threads)
    expected = np.concatenate([whole[first - start : first - start + n] for first, n in runs])
    assert together.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_several_threads_on_large_fills(kind: streams.Kind) -> None:
    stream = Stream(1, "w")
    one, many = np.empty(300_001, np.float32), np.empty(300_001, np.float32)
    fill(one, stream, 5, kind=kind, threads=1)
    fill(many, stream, 5, kind=kind, threads=5)
    assert one.tobytes() == many.tobytes()


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_float32_is_the_float64_value_rounded_once(kind: streams.Kind) -> None:
    def transform(block: Array, first: int) -> None:
        block *= 0.031
        block += 0.7

    stream = Stream(1, "w")
    single, double = np.empty(100_000, np.float32), np.empty(100_000)
    for out in (single, double):
        fill(out, stream, 3, transform, kind)
    raw = (stream.normals if kind == "normal" else stream.uniforms)(3, 100_000)
    assert double.tobytes() == (raw * 0.031 + 0.7).tobytes()
    assert single.tobytes() == double.astype(np.float32).tobytes()


def test_transform_sees_consecutive_indices() -> None:
    def transform(block: Array, first: int) -> None:
        block[...] = np.arange(first, first + len(block))

    out = np.empty(70_000)
    fill_runs(out, Stream(0, "w"), [(5, 40_000), (3, 0), (100_000, 29_999), (0, 1)], transform)
    assert out.tolist() == [*range(5, 40_005), *range(100_000, 129_999), 0]


def everything() -> str:
    """A digest of all that must have the same bits on every processor."""
    stream = keyed(7)
    points = stream.uniforms(0, 100_000)
    wide = points * 80 - 40
    parts = [
        stream.normals(0, 200_000), stream.uniforms(0, 1000), stream.integers(-5, 2**40, 1000),
        stream.permutation(1000), _elementary.log(points), _elementary.exp(wide), _elementary.normal_cdf(wide),
        normal_quantile(_elementary.exp(-700 * points)),
    ]  # fmt: skip
    return sha(np.concatenate([part.view(np.uint8) for part in parts]))


def test_processor_features_do_not_matter() -> None:
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    folder, file = os.path.split(__file__)
    script = f"import sys; sys.path.insert(0, {folder!r}); import {file[:-3]} as t; print(t.everything())"
    environment = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": ",".join(extensions.get("found", [])),
    }
    plain = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert plain.stdout.strip() == everything()


def test_another_generator_method_would_not_change_the_numbers() -> None:
    """Should numpy change ``Generator.random``, the words are used instead."""
    stream = Stream(4, "w")
    expected = stream.normals(2, 1001)
    with mock.patch.object(streams, "_known", False):
        assert stream.normals(2, 1001).tobytes() == expected.tobytes()


def test_streams_need_no_torch() -> None:
    script = "import sys, initkit.streams as s; s.Stream(0, 'a').normals(0, 9); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "False"


# --- accuracy


def relative_error(values: Array, exact: list[mpmath.mpf]) -> float:
    return max(float(abs(mpmath.mpf(float(v)) / e - 1)) for v, e in zip(values, exact, strict=True) if e)


@pytest.mark.parametrize(
    "points",
    [random_points(-37.5, -5.6), random_points(-5.7, -0.66), random_points(-0.67, 0.67), random_points(0.6, 9)],
)
def test_normal_cdf_against_mpmath(points: Array) -> None:
    with mpmath.workdps(40):
        exact = [mpmath.ncdf(mpmath.mpf(float(x))) for x in points]
        assert relative_error(_elementary.normal_cdf(points), exact) < 1e-15


@pytest.mark.parametrize(
    "points",
    [random_points(0.0, 1.0), 1 + random_points(-1e-3, 1e-3), random_points(0.5, 2), np.exp(random_points(-708, 709))],
)
def test_log_against_mpmath(points: Array) -> None:
    with mpmath.workdps(40):
        exact = [mpmath.log(mpmath.mpf(float(x))) for x in points]
        values = _elementary.log(points)
        ulps = [abs(mpmath.mpf(float(v)) - e) / np.spacing(abs(v)) for v, e in zip(values, exact, strict=True)]
    assert max(ulps) < 1


@pytest.mark.parametrize("points", [random_points(-708, 709), random_points(-1, 1), random_points(-1e-3, 1e-3)])
def test_exp_against_mpmath(points: Array) -> None:
    with mpmath.workdps(40):
        exact = [mpmath.exp(mpmath.mpf(float(x))) for x in points]
        values = _elementary.exp(points)
        ulps = [abs(mpmath.mpf(float(v)) - e) / np.spacing(v) for v, e in zip(values, exact, strict=True)]
    assert max(ulps) < 1


def test_elementary_functions_at_the_edges() -> None:
    x = np.array([-np.inf, -1e9, -745.0, 0.0, 709.7, 709.8, np.inf, np.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(_elementary.exp(x), np.exp(x), rtol=1e-15)
    x = np.array([-1.0, -0.0, 0.0, 5e-324, 1e-310, 2.0**-1022, 1.0, 1.7e308, np.inf, np.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(_elementary.log(x), np.log(x), rtol=1e-15)
    long = random_points(-5, 5, 20_001)
    halves = [_elementary.exp(long[:10_000]), _elementary.exp(long[10_000:])]
    assert _elementary.exp(long).tobytes() == np.concatenate(halves).tobytes()
    x = np.array([[-np.inf, -50.0, -39.0, 0.0], [8.3, 50.0, np.inf, np.nan]])
    np.testing.assert_array_equal(_elementary.normal_cdf(x), [[0, 0, 0, 0.5], [1, 1, 1, np.nan]])
    assert _elementary.exp(1.0) == pytest.approx(math.e, rel=3e-16)
    assert isinstance(_elementary.log(2.0), float)
    assert _elementary.log(np.asarray(2.0)).shape == ()


@pytest.mark.parametrize("scale", ["linear", "lower tail", "upper tail", "far tail"])
def test_quantile_against_scipy(scale: str) -> None:
    u = {
        "linear": random_points(0, 1, 200_000),
        "lower tail": np.exp(random_points(-36, -2, 50_000)),
        "upper tail": 1 - np.exp(random_points(-36, -2, 50_000)),
        "far tail": np.exp(random_points(-700, -20, 50_000)),
    }[scale]
    z, expected = normal_quantile(u), special.ndtri(u)
    assert np.max(np.abs(z - expected) / np.maximum(1, np.abs(expected))) < 2.5e-15


def test_quantile_against_mpmath_and_the_standard_library() -> None:
    u = [2.0**-54, 1e-300, 1e-12, 0.074, 0.076, 0.3, 0.5, 0.924, 0.926, LARGEST_U]
    values = normal_quantile(np.array(u))
    with mpmath.workdps(60):
        exact = [mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1) for p in u if p > 1e-20]
        assert relative_error(np.delete(values, 1), exact) < 5e-16
    assert values == pytest.approx([statistics.NormalDist().inv_cdf(p) for p in u], rel=1e-14)


def test_quantile_at_the_edges() -> None:
    u = np.array([[0.0, 5e-324, 1e-310], [1.0, np.nan, -0.1]])
    np.testing.assert_allclose(
        normal_quantile(u),
        [[-np.inf, special.ndtri(5e-324), special.ndtri(1e-310)], [np.inf, np.nan, np.nan]],
        rtol=1e-14,
    )
    assert normal_quantile(0.5) == 0.0
    assert isinstance(normal_quantile(0.3), float)
    long = random_points(0, 1, 100_000)
    long[70_000] = 1.0
    assert normal_quantile(long)[:70_000].tobytes() == normal_quantile(long[:70_000]).tobytes()
    assert np.isinf(normal_quantile(long)).sum() == 1
    assert normal_quantile(np.empty(0)).shape == (0,)
    round_trip = random_points(-37, 5)
    np.testing.assert_allclose(normal_quantile(_elementary.normal_cdf(round_trip)), round_trip, rtol=1e-9)


def test_quantile_is_each_operation_of_the_paper() -> None:
    """The central region in Python floats, one operation at a time, gives the same bits."""
    from initkit import _normal

    u = random_points(0.075, 0.925)
    for p, z in zip(u.tolist(), normal_quantile(u).tolist(), strict=True):
        q = p - 0.5
        r = 0.180625 - q * q
        assert z == q * horner(r, _normal.CENTRE_TOP) / horner(r, _normal.CENTRE_BOTTOM)


def test_extreme_words() -> None:
    """The least and greatest word give finite numbers, by either road from words to numbers."""
    extreme = np.array([0, 2**64 - 1, 2**11 - 1, 2**63], dtype=np.uint64)
    k = (extreme >> np.uint64(11)) * 2.0**-53

    def halves(_: object, first: int, out: Array) -> None:
        out[...] = k[first : first + len(out)]

    with mock.patch.object(streams._Source, "halves", halves):
        u, z = Stream(0, "w").uniforms(0, 4), Stream(0, "w").normals(0, 4)
    assert u.tolist() == [2.0**-54, LARGEST_U, 2.0**-54, 0.5 + 2.0**-53 - 2.0**-53]
    assert z.tolist() == normal_quantile(u).tolist()
    assert z[:2] == pytest.approx([-8.292361075813595, 8.209536151601387], rel=1e-14)


def test_moments() -> None:
    z = Stream(5, "w").normals(0, 1_000_000)
    moments = [np.mean(z**k) for k in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.015)
    u = Stream(5, "w").uniforms(0, 1_000_000)
    assert np.max(np.abs(np.sort(u) - (np.arange(1_000_000) + 0.5) / 1e6)) < 0.0017  # Kolmogorov-Smirnov, 0.5 %


# --- the stream's other numbers


@given(data=st.data(), start=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_integers_follow_the_definition(data: st.DataObject, start: int) -> None:
    low = data.draw(st.integers(-(2**63), 2**63 - 1))
    high = data.draw(st.integers(low + 1, 2**63))
    stream = Stream(2, "i")
    numbers = stream.integers(low, high, 5, start=start)
    assert numbers.dtype == np.int64
    words = stream.words(start, 5).tolist()
    assert numbers.tolist() == [low + (w * (high - low) >> 64) for w in words]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 2), (0, 2**63 + 1), (-(2**63) - 1, 0)])
def test_empty_or_too_wide_ranges_are_refused(low: int, high: int) -> None:
    with pytest.raises(OptionError, match=f"low = {low} and high = {high}"):
        Stream(0, "i").integers(low, high, 3)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutation(n: int) -> None:
    order = Stream(3, "p").permutation(n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    assert n < 3 or order.tolist() != Stream(4, "p").permutation(n).tolist()


def test_generator_and_integer_seed() -> None:
    stream = Stream(3, "p")
    assert stream.generator().bit_generator.random_raw(5).tolist() == stream.words(0, 5).tolist()
    assert stream.integer_seed() == int(stream.words(0, 1)[0]) >> 33
    assert 0 <= stream.integer_seed() < 2**31


def test_identity() -> None:
    stream = Stream(3, "p")
    assert stream == Stream(np.int64(3), "p")
    assert type(Stream(np.uint64(3), "p").seed) is int
    assert len({stream, Stream(3, "p"), Stream(4, "p"), stream.sub("x")}) == 3
    copy = pickle.loads(pickle.dumps(stream))
    assert copy == stream
    assert copy.key == stream.key
    assert stream.sub("x") == Stream(3, "p#x")
    assert len({Stream(s, n).key for s in (0, 1, 2**64 - 1) for n in ("", "a", "b", "ä")}) == 12
    with pytest.raises(AttributeError):
        stream.seed = 4  # type: ignore[misc]


@pytest.mark.parametrize("seed", [-1, 2**64, True, np.True_, 1.0, "1", None])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(OptionError, match=f"seed.*{seed!s}"):
        Stream(seed, "w")  # type: ignore[arg-type]


def test_other_names_are_refused() -> None:
    with pytest.raises(OptionError, match="name must be a string, not 3"):
        Stream(0, 3)  # type: ignore[arg-type]


# --- fill


@pytest.mark.parametrize(
    "out",
    [np.empty(4, np.float16), np.empty(4, np.int64), np.empty((2, 2)), np.empty(8)[::2], np.empty(4, ">f4")],
    ids=["half", "integers", "matrix", "strided", "byte order"],
)
def test_other_outputs_are_refused(out: npt.NDArray[np.generic]) -> None:
    with pytest.raises(InitError, match="contiguous float32 or float64"):
        fill(out, Stream(0, "w"))


def test_other_arguments_are_refused() -> None:
    stream, out = Stream(0, "w"), np.empty(4)
    with pytest.raises(InitError, match="runs of 3 indices cannot fill 4"):
        fill_runs(out, stream, [(0, 2), (9, 1)])
    with pytest.raises(InitError, match="negative: -1"):
        fill(out, stream, -1)
    with pytest.raises(InitError, match="unknown kind of numbers 'gauss'"):
        fill(out, stream, kind="gauss")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        stream.words(0.5, 1)  # type: ignore[arg-type]
    fill(np.empty(0), stream)
    fill_runs(np.empty(0), stream, [])


@pytest.mark.parametrize("threads", [1, 3])
def test_failures_of_the_transform_propagate(threads: int) -> None:
    def transform(block: Array, first: int) -> None:
        if first > 100_000:
            raise ZeroDivisionError("here")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="here"):
        fill(np.empty(1_000_000, np.float32), Stream(0, "w"), 0, transform, threads=threads)
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_interrupt_ends_the_fill(threads: int) -> None:
    seen = []

    def transform(block: Array, first: int) -> None:
        seen.append(first)
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fill(np.empty(3_000_000, np.float32), Stream(0, "w"), 0, transform, threads=threads)
    assert threading.active_count() == before
    assert len(seen) < 60


def test_scales_beyond_float32_give_infinities_without_a_warning() -> None:
    def transform(block: Array, first: int) -> None:
        block *= 1e60

    out = np.empty(5, np.float32)
    fill(out, Stream(0, "w"), 0, transform)
    assert np.isinf(out).all()


def test_memory_is_that_of_a_few_blocks() -> None:
    out = np.empty(2_000_000, np.float32)
    fill(out[:10], Stream(0, "w"))
    tracemalloc.start()
    try:
        fill(out, Stream(0, "w"), threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 8 * 8 * streams.BLOCK


def test_threads_follow_torch() -> None:
    with mock.patch.dict(sys.modules, torch=mock.Mock(get_num_threads=lambda: 3)):
        assert streams.default_threads() == 3
    with mock.patch.dict(sys.modules):
        sys.modules.pop("torch", None)
        assert streams.default_threads() == (os.cpu_count() or 1)
