"""What is measured of a written tensor."""

from __future__ import annotations

import pytest
import torch

from initkit._stats import all_finite

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_none_is_seen(dtype: torch.dtype, bad: float) -> None:
    values = torch.zeros(1000)
    assert all_finite(values.to(dtype))
    values[777] = bad
    assert not all_finite(values.to(dtype))
    assert all_finite(torch.empty(0, dtype=dtype))


def test_whole_numbers_are_finite() -> None:
    assert all_finite(torch.arange(5))
    assert all_finite(torch.tensor([True, False]))
    assert not all_finite(torch.complex(torch.zeros(2), torch.tensor([0.0, torch.inf])).conj())
