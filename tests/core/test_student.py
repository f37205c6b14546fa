"""Student's t: against a library, and what paired tests make of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit._student import holm, interval, paired, quantile, two_sided

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 31, 200])
def test_tail_and_quantile_equal_scipy(freedom: int) -> None:
    for t in (0.0, 0.1, 1.0, 2.5, 7.0):
        assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), abs=1e-13)
    assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=20))
def test_paired_equals_scipy(values: list[float]) -> None:
    if max(values) - min(values) < 1e-6:
        return
    found, wanted = paired(values), stats.ttest_1samp(values, 0.0)
    assert found.p == pytest.approx(wanted.pvalue, abs=1e-9)
    bounds = wanted.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((bounds.low, bounds.high), rel=1e-6, abs=1e-9)
    assert found.wins == sum(v < 0 for v in values)


def test_what_one_value_and_equal_values_say() -> None:
    assert interval([2.0]).low is None
    assert paired([2.0]).p is None
    assert paired([0.0, 0.0]).p == 1.0
    assert paired([1.0, 1.0]).p == 0.0


def test_holm_adjusts_in_order_and_never_below_a_smaller_one() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9]) == [0.9]
    assert holm([]) == []
    assert math.isclose(holm([0.5, 0.9])[0], 1.0)
