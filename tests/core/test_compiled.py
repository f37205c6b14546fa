"""The compiled inverse normal has the bits of numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initkit import Stream, _compiled
from initkit._normal import Workspace, quantile_into
from initkit.streams import fill

pytest.importorskip("numba")


def both(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numpy_way = quantile_into(u, Workspace(len(u))).copy()
    return numpy_way.view(np.int64), _compiled.quantile_compiled(u, Workspace(len(u))).view(np.int64)


def test_bits_are_equal_in_the_centre_the_tails_and_at_the_edges() -> None:
    powers = 2.0 ** -np.arange(1.0, 55.0)
    edges = [0.075, 0.925, np.nextafter(0.925, 1), np.nextafter(0.075, 0), 0.5, 1 - 2.0**-53, 1.0]
    tails = Stream(2, "tails").uniforms(0, 200_000) * 1e-9
    u = np.concatenate([Stream(1, "u").uniforms(0, 1_000_000), powers, 1 - powers, edges, tails, 1 - tails])
    one, two = both(u)
    assert np.array_equal(one, two)


@given(st.lists(st.floats(2.0**-54, 1.0, allow_subnormal=False), min_size=1, max_size=40))
@settings(deadline=None)
def test_bits_are_equal_for_any_number(numbers: list[float]) -> None:
    one, two = both(np.array(numbers))
    assert np.array_equal(one, two)


def test_a_process_that_draws_much_takes_the_compiled_way(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(3, "w")
    _compiled._kernel.cache_clear()
    monkeypatch.setattr(_compiled, "_asked", [0])
    wanted = stream.normals(0, 50_000)
    assert _compiled.quantile_for(50_000) is quantile_into
    monkeypatch.setattr(_compiled, "WORTH_COMPILING", 150_000)
    assert _compiled.quantile_for(50_000) is _compiled.quantile_compiled
    for threads in (1, 2):
        out = np.empty(50_000)
        fill(out, stream, threads=threads)
        assert np.array_equal(out, wanted)
    assert _compiled.quantile_for(1) is _compiled.quantile_compiled
    _compiled._kernel.cache_clear()


def test_nothing_is_compiled_where_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    _compiled._kernel.cache_clear()
    monkeypatch.setattr(_compiled, "_asked", [0])
    monkeypatch.setattr(_compiled, "WORTH_COMPILING", 1)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**30, 2**30))
    assert _compiled.quantile_for(50_000) is quantile_into
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert _compiled.quantile_for(50_000) is _compiled.quantile_compiled
