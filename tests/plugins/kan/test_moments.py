"""Moments and formulas: golden values, closed forms and an independent quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.interpolate import BSpline as ScipySpline
from torch import nn

from initkit import PlanError
from initkit_kan import scales
from initkit_kan.bases import BSpline, Chebyshev, GaussianRbf, Pairs
from initkit_kan.grids import as_meant, knots
from initkit_kan.moments import NORMAL, UNIFORM, Law, Moments, moments, residual_moments
from initkit_kan.scales import Fans

SILU = nn.SiLU()


def uniform(intervals: int, order: int = 3, low: float = -1.0, high: float = 1.0) -> BSpline:
    h = (high - low) / intervals
    return BSpline((low + h * (np.arange(intervals + 2 * order + 1) - order))[None, :], order)


def column(model: BSpline, law: Law = UNIFORM) -> tuple[Moments, Fans]:
    return moments(model, SILU, law), Fans.of(64, 32, model.count, residual=True)


@pytest.mark.parametrize(
    ("intervals", "mu0", "mu1", "lecun", "glorot"),
    [
        (3, 0.0798941799, 0.25, (0.08873596, 0.09650344), (0.07653691, 0.08522177)),
        (5, 0.0599206349, 0.5208333333, (0.07825776, 0.09827429), (0.06749921, 0.06010898)),
        (10, 0.0368742369, 1.2820512821, (0.06274580, 0.10044396), (0.05411977, 0.03312971)),
        (20, 0.0208419600, 2.8985507246, (0.04792290, 0.10204095), (0.04133466, 0.01718236)),
    ],
)
def test_golden_columns(
    intervals: int, mu0: float, mu1: float, lecun: tuple[float, float], glorot: tuple[float, float]
) -> None:
    m, fans = column(uniform(intervals))
    assert m.mu0.mean() == pytest.approx(mu0, abs=1e-9)
    assert m.mu1.mean() == pytest.approx(mu1, abs=1e-9)
    assert float(m.r0[0]) == pytest.approx(0.0944933890, abs=1e-9)
    assert float(m.r1[0]) == pytest.approx(0.3190776892, abs=1e-9)
    assert m.g == pytest.approx(0.5773502692, abs=1e-9)
    for formula, wanted in ((scales.lecun, lecun), (scales.glorot, glorot)):
        found = formula(fans, m)
        assert found.residual is not None
        assert found.residual.item() == pytest.approx(wanted[0], abs=5e-9)
        assert found.basis.item() == pytest.approx(wanted[1], abs=5e-9)


def test_golden_moments_of_each_spline() -> None:
    m, fans = column(uniform(5))
    mu0 = [0.0007936508, 0.0479365079, 0.0950793651, 0.0958730159]
    mu1 = [0.0625, 0.4166666667, 0.7708333333, 0.8333333333]
    assert m.mu0[0] == pytest.approx([*mu0, *mu0[::-1]], abs=1e-9)
    assert m.mu1[0] == pytest.approx([*mu1, *mu1[::-1]], abs=1e-9)
    fine = scales.glorot_fine(fans, m).basis[0, 0, :5]
    assert fine == pytest.approx([0.13438696, 0.04752032, 0.0347043, 0.03360194, 0.03360194], abs=5e-9)
    assert scales.glorot_fine(fans, m, 2.0).basis == pytest.approx(math.sqrt(2) * scales.glorot_fine(fans, m).basis)


def test_normal_inputs_agree_with_another_quadrature() -> None:
    """Panels end at the knots; a quadrature whose panels do not is off in the sixth digit."""
    basis = uniform(5)
    m = moments(basis, SILU, NORMAL)
    assert m.g == 1.0
    assert float(m.r0[0]) == pytest.approx(0.3557755198, abs=1e-9)
    assert float(m.r1[0]) == pytest.approx(0.3794823516, abs=1e-9)
    t = basis.knots[0]

    def density(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    for i in range(basis.count):
        one = ScipySpline.basis_element(t[i : i + 5], extrapolate=False)
        slope = one.derivative()
        spans = list(zip(t[i : i + 4], t[i + 1 : i + 5], strict=True))
        found0 = sum(quad(lambda x, f=one: f(x) ** 2 * density(x), a, b, epsabs=1e-13)[0] for a, b in spans)
        found1 = sum(quad(lambda x, f=slope: f(x) ** 2 * density(x), a, b, epsabs=1e-13)[0] for a, b in spans)
        assert m.mu0[0, i] == pytest.approx(found0, abs=1e-11)
        assert m.mu1[0, i] == pytest.approx(found1, abs=1e-11)


def test_golden_chebyshev() -> None:
    m = moments(Chebyshev(5), None, UNIFORM)
    assert m.mu0[0] == pytest.approx([1, 0.238405844, 0.4110077978, 0.5964768328, 0.564911086, 0.4540138497], abs=1e-9)
    mu1 = [0, 0.6143461054, 1.5360553934, 2.9388454423, 5.7754272899, 10.1570538532]
    assert m.mu1[0] == pytest.approx(mu1, abs=1e-9)
    fans = Fans.of(64, 32, 6, residual=False)
    assert scales.lecun(fans, m).basis.item() == pytest.approx(0.03994110, abs=5e-9)
    assert scales.glorot(fans, m).basis.item() == pytest.approx(0.02749843, abs=5e-9)
    m = moments(Chebyshev(5, first=1), None, UNIFORM)
    fans = Fans.of(64, 32, 5, residual=False)
    assert scales.lecun(fans, m).basis.item() == pytest.approx(0.04795490, abs=5e-9)
    assert scales.glorot(fans, m).basis.item() == pytest.approx(0.02855436, abs=5e-9)
    fine = [0.04369539, 0.02972357, 0.02245483, 0.0173696, 0.01372152]
    assert scales.glorot_fine(fans, m).basis.ravel() == pytest.approx(fine, abs=5e-9)


def test_golden_bumps() -> None:
    m = moments(GaussianRbf(tuple(np.linspace(-2, 2, 8)), 4 / 7), None, NORMAL)
    half = [0.0432371422, 0.106949876, 0.1956121479, 0.2645474562]
    assert m.mu0[0] == pytest.approx([*half, *half[::-1]], abs=1e-9)
    assert m.mu0.mean() == pytest.approx(0.1525866556, abs=1e-9)
    assert m.mu1.mean() == pytest.approx(0.4617596279, abs=1e-9)


def test_golden_power() -> None:
    found = scales.power(Fans.of(64, 32, 8, residual=True), residual=True)
    assert found.residual is not None
    assert found.residual.item() == pytest.approx(0.2041241452, abs=1e-10)
    assert found.basis.item() == pytest.approx(1.47659249e-5, rel=1e-8)
    split = scales.power(Fans.of(64, 32, 8, residual=True), residual=True, basis_exponents=(1.75, 1.75))
    assert split.basis.item() == pytest.approx(9**-1.75 * 64**-1.75)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 30), st.floats(-3, 2), st.floats(0.1, 5))
def test_closed_forms_of_uniform_cubic_splines(intervals: int, low: float, width: float) -> None:
    m = moments(uniform(intervals, 3, low, low + width), None, Law("uniform", low, low + width))
    assert m.mu0.mean() == pytest.approx(151 / (315 * (intervals + 3)), rel=1e-9)
    slopes = (2 / width) ** 2 * intervals**2 / (6 * (intervals + 3))
    assert m.mu1.mean() == pytest.approx(slopes, rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.lists(st.floats(0.01, 2), min_size=3, max_size=9))
def test_any_knots_agree_with_scipy(order: int, gaps: list[float]) -> None:
    t = np.concatenate([[-1.0], -1 + np.cumsum([gaps[i % len(gaps)] for i in range(2 * order + 4)])])
    basis = BSpline(t[None, :], order)
    x = np.linspace(t[0] + 1e-9, t[-1] - 1e-9, 101)
    values, slopes = basis.evaluate(torch.from_numpy(x[None, :]))
    for i in range(basis.count):
        one = ScipySpline.basis_element(t[i : i + order + 2], extrapolate=False)
        assert values[0, :, i].numpy() == pytest.approx(np.nan_to_num(one(x)), abs=1e-9)
        if order > 1:
            assert slopes[0, :, i].numpy() == pytest.approx(np.nan_to_num(one.derivative()(x)), abs=1e-6)


def test_repeated_knots_count_as_nothing() -> None:
    basis = BSpline(np.array([[-1.0, -1, -1, -1, 0, 0, 1, 1, 1, 1]]), 3)
    m = moments(basis, None, UNIFORM)
    assert np.isfinite(m.mu0).all()
    assert np.isfinite(m.mu1).all()
    values, _ = basis.evaluate(torch.linspace(-0.99, 0.99, 50, dtype=torch.float64)[None])
    assert torch.allclose(values.sum(-1), torch.ones(1, 50, dtype=torch.float64))


def test_features_with_grids_of_their_own() -> None:
    one, two = uniform(5), uniform(5, 3, -3.0, 2.0)
    both = moments(BSpline(np.concatenate([one.knots, two.knots]), 3), None, UNIFORM)
    for i, basis in enumerate((one, two)):
        alone = moments(basis, None, UNIFORM)
        assert both.mu0[i] == pytest.approx(alone.mu0[0], abs=1e-13)
        assert both.mu1[i] == pytest.approx(alone.mu1[0], abs=1e-13)
    assert both.averaged().mu0[0] == pytest.approx(both.mu0.mean(0))


def test_surfaces_have_the_moments_of_products() -> None:
    one = moments(uniform(5), None, UNIFORM)
    two = moments(Pairs(uniform(5)), None, UNIFORM)
    assert two.mu0.sum() == pytest.approx(one.mu0.sum() ** 2)
    assert two.mu1.sum() == pytest.approx(one.mu0.sum() * one.mu1.sum())


def test_residual_branches_of_any_kind() -> None:
    relu, _ = residual_moments(nn.ReLU(), NORMAL)
    assert float(relu[0]) == pytest.approx(0.5, abs=1e-12)
    r0, r1 = residual_moments(nn.Identity(), UNIFORM)
    assert (float(r0[0]), float(r1[0])) == pytest.approx((1 / 3, 1.0))
    r0, r1 = residual_moments(lambda x: x * 0.0, UNIFORM)
    assert (float(r0[0]), float(r1[0])) == (0.0, 0.0)
    with pytest.raises(PlanError, match="cannot be evaluated"):
        residual_moments(lambda x: x.no_such_thing(), UNIFORM)


def test_predicted_gains() -> None:
    m, fans = column(uniform(20))
    found = scales.gains(fans, m, scales.lecun(fans, m))
    assert found.forward == pytest.approx(1.0)
    assert found.spline_share == pytest.approx(23 / 24)
    found = scales.gains(fans, m, scales.iso(fans, m, 0.1))
    assert found.spline_share <= 0.1
    assert found.forward == pytest.approx(1.0, abs=0.06)
    assert found.backward < 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_rounded_grid_is_the_grid_that_was_meant(dtype: torch.dtype) -> None:
    wanted = uniform(5, 3, -1.0, 1.0).knots
    stored = torch.from_numpy(wanted).to(torch.float32).to(dtype).expand(4, -1)
    assert np.array_equal(knots("layer", stored.double().numpy(), 3, dtype), wanted)


def test_an_uneven_grid_stays_as_it_is() -> None:
    row = np.array([-2.0, -1.5, -1.2, -1.0, -0.1, 0.3, 1.0, 1.3, 1.5, 2.0])
    assert np.array_equal(as_meant(row, torch.float32, 3), row)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0, 1, 2, 1, 4, 5, 6, 7], "the grid of feature 0 decreases"),
        ([0, 1, 2, float("nan"), 4, 5, 6, 7], "NaN or infinite"),
        ([0, 1, 2, 3, 3, 5, 6, 7], "the grid of feature 0 has width 0"),
    ],
)
def test_bad_grids(row: list[float], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        knots("net.0 (KANLinear)", np.array([row], dtype=float), 3, torch.float32)
