"""Moments of activations: derived values, closed forms against quadrature, roots of the condition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from initkit import PlanError
from initkit_inr.activations import Activation, parse
from initkit_inr.moments import moments, monte_carlo, quadrature, theory

GAUSS = Activation("gauss", scale=1 / (0.05 * math.sqrt(2)))
AT_ONE = {  # E[φ²], gain, condition at σ_p = 1
    "tanh": (0.3942944904, 1.592537, 1.177807),
    "sigmoid": (0.2933790359, 1.846229, 0.152827),
    "relu": (0.5, 1.414214, 1.0),
    "sine:30": (0.5, 1.414214, 900.0),
    "gauss": (0.0353332627, 5.319957, 199.750312),
    "sinc": (0.7639556549, 1.144105, 0.085645),
    "wavelet": (0.3734949167, 1.636280, 1.382635),
}


def named(text: str) -> Activation:
    return GAUSS if text == "gauss" else parse(text)


@pytest.mark.parametrize("text", AT_ONE)
@pytest.mark.parametrize("by_quadrature", [False, True])
def test_values_at_one(text: str, by_quadrature: bool) -> None:
    m2, gain, condition = AT_ONE[text]
    activation = named(text)
    found = moments(activation, 1.0)
    first, second = quadrature(activation, 1.0) if by_quadrature else (found.m2, found.d2)
    assert first == pytest.approx(m2, rel=1e-9)
    assert 1 / math.sqrt(first) == pytest.approx(gain, rel=1e-6)
    assert second / first == pytest.approx(condition, abs=6e-7)


@pytest.mark.parametrize(
    ("text", "size", "squared_gain"),
    [
        ("tanh", 1.0, 2.536175),
        ("sigmoid", 1.0, 3.408560),
        ("relu", 1.0, 2.0),
        ("tanh", 0.1, 1.0198391),
        ("sigmoid", 6.8, 104.313669),
        ("sine:30", 1 / 30, 0.00257003921),
        ("sine:30", 0.001, 0.00111211141),
    ],
)
def test_squared_gains(text: str, size: float, squared_gain: float) -> None:
    assert size**2 / moments(named(text), size).m2 == pytest.approx(squared_gain, rel=1e-6)


def test_conditions_of_the_sine() -> None:
    assert moments(parse("sine:30"), 1 / 30).condition == pytest.approx(1.3130353, rel=1e-6)
    assert moments(parse("sine:30"), 0.001).condition == pytest.approx(1.00000027, rel=1e-8)


@pytest.mark.parametrize(
    ("text", "size", "squared_gain"),
    [
        ("gauss", 0.0776886987, 0.0145710678),
        ("sigmoid", 6.7545745830, 103.007554),
        ("sinc", 2.2233350424, 10.6866395),
        ("wavelet", 0.8704687179, 1.8039109),
    ],
)
def test_sizes_that_keep_gradients(text: str, size: float, squared_gain: float) -> None:
    found = theory(named(text))
    assert found == pytest.approx(size, rel=1e-6)
    assert found is not None
    assert found**2 / moments(named(text), found).m2 == pytest.approx(squared_gain, rel=1e-6)


def test_the_gaussians_root_in_closed_form() -> None:
    assert theory(Activation("gauss", scale=7.0)) == pytest.approx(1.0986841 / 7, rel=1e-7)
    assert theory(GAUSS) == pytest.approx(0.05 * math.sqrt(1 + math.sqrt(2)), rel=1e-10)


@pytest.mark.parametrize("text", ["sine:30", "relu", "tanh", "leaky_relu:0.1", "identity", "gelu", "softplus"])
def test_no_root(text: str) -> None:
    assert theory(parse(text)) is None


@settings(max_examples=60, deadline=None)
@given(
    text=st.sampled_from(["sine:1", "sine:30", "gauss:1", "gauss:14", "wire:20:10", "relu", "leaky_relu:0.2"]),
    size=st.floats(1e-4, 3),
)
def test_closed_forms_are_what_quadrature_finds(text: str, size: float) -> None:
    activation = parse(text)
    closed = moments(activation, size)
    m2, d2 = quadrature(activation, size)
    assert m2 == pytest.approx(closed.m2, rel=1e-9)
    # The quadrature sums the squared slopes of both parts; the closed form halves them, as a real gradient does.
    assert d2 == pytest.approx(closed.d2 * (2 if activation.kind == "wire" else 1), rel=1e-8)


@pytest.mark.parametrize("size", [0.02, 0.1, 0.5])
def test_complex_wavelets_by_two_integrals(size: float) -> None:
    w, s, v = 2.0, 1.5, size**2 / 2
    found = moments(Activation("wire", w, s), size, complex_input=True)

    def squared(b: float, a: float) -> float:
        value = math.exp(-2 * w * b - 2 * s**2 * (a * a + b * b))
        return value * math.exp(-(a * a + b * b) / (2 * v)) / (2 * math.pi * v)

    def slope(b: float, a: float) -> float:
        return (w**2 + 4 * s**4 * (a * a + b * b) + w**2 + 4 * w * s**2 * b) / 2 * squared(b, a)

    span = 9 * math.sqrt(v)
    expected = integrate.dblquad(squared, -span, span, -span, span)[0]
    steep = integrate.dblquad(slope, -span, span, -span, span)[0]
    assert found.m2 == pytest.approx(expected, rel=1e-7)
    assert found.d2 == pytest.approx(steep, rel=1e-7)


@pytest.mark.parametrize("text", ["tanh", "gelu", "silu", "softplus", "elu", "selu", "sinc", "sigmoid", "finer:30"])
@pytest.mark.parametrize("size", [0.003, 0.3])
def test_quadrature_against_scipy(text: str, size: float) -> None:
    activation = parse(text)

    def squared(u: float) -> float:
        value = float(activation(torch.tensor(size * u, dtype=torch.float64)))
        return value**2 * math.exp(-u * u / 2) / math.sqrt(2 * math.pi)

    expected = sum(
        integrate.quad(squared, a, b, epsabs=1e-14, epsrel=1e-11, limit=4000)[0]
        for a, b in [(-12, -3), (-3, 0), (0, 3), (3, 12)]
    )
    assert moments(activation, size).m2 == pytest.approx(expected, rel=1e-9)


def test_finers_growing_factor_has_no_gradient() -> None:
    z = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(parse("finer:3")(z).sum(), z)
    assert float(slope) == pytest.approx(3 * 1.7 * math.cos(3 * 1.7 * 0.7))


def test_a_million_random_numbers_agree_to_a_percent() -> None:
    numbers = np.random.default_rng(0).standard_normal(1_000_000)
    for text in ("tanh", "gauss", "sinc"):
        exact = quadrature(named(text), 0.5)
        assert monte_carlo(named(text), 0.5, numbers) == pytest.approx(exact, rel=1e-2)


def test_dead_and_wild_activations_are_refused() -> None:
    with pytest.raises(PlanError, match="dead at preactivations of size 0.5"):
        moments(Activation("custom", fn=torch.zeros_like), 0.5)
    with pytest.raises(PlanError, match="dead"):
        moments(Activation("custom", fn=lambda z: 1 / z.abs().clamp(min=1e-300) ** 40), 0.5)
    with pytest.raises(PlanError, match="do not settle"):
        quadrature(lambda z: torch.sin(1e9 * z), 1.0)
