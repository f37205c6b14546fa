"""HiPPO spectra in closed form: golden values of a 40-digit computation, and what must hold at every size."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ssm_dense import hippo

from initkit import OptionError
from initkit_ssm.hippo import Measure, legs_eigenvectors, spectrum

# N: frequencies, P̂; computed with 40 digits.
LEGS: dict[int, tuple[list[float], list[float]]] = {
    2: ([0.8660254037844387], [1.0]),
    4: ([4.603293007066849, 0.5565011150837434], [1.879500480540998, 0.6837235871652796]),
    8: (
        [19.85741037097058, 5.354208515030874, 1.957794150902805, 0.4274887122858601],
        [3.645577768704184, 1.303812210252253, 0.8308221463231494, 0.5653061240654941],
    ),
}
LEGS_16 = [
    80.96608092451343, 25.62922643742369, 13.83434181905225, 8.36210453140726,
    5.090023629703039, 2.899668222763494, 1.371988781914501, 0.352017915888683,
]  # fmt: skip


def relative(found: Any, golden: Any) -> float:
    found, golden = np.asarray(found, dtype=np.float64), np.asarray(golden, dtype=np.float64)
    return float(np.max(np.abs(found / golden - 1)))


@pytest.mark.parametrize("n", LEGS)
def test_legs_golden(n: int) -> None:
    w, t = LEGS[n]
    found = spectrum("legs", n)
    assert relative(found.freq, w) < 1e-14
    assert relative(found.p[0].real, t) < 1e-14
    assert relative(found.b, math.sqrt(2) * np.array(t)) < 1e-14
    assert found.rate == 0.5


def test_legs_golden_of_larger_sizes() -> None:
    assert relative(spectrum("legs", 16).freq, LEGS_16) < 1e-12
    found = spectrum("legs", 64)
    assert relative(found.freq[:3], [1303.273842981196, 433.0307565386911, 258.1522102153826]) < 1e-12
    assert relative(found.freq[-1], 0.2638569311113158) < 1e-12
    assert relative(found.freq.sum(), 3119.082278609855) < 1e-12
    assert relative(found.b[[0, -1]], [40.7518409052989, 0.5945119140789118]) < 1e-12
    # These two are known to fewer digits.
    assert relative(spectrum("legs", 1024).freq[[0, -1]], [333771.5836, 0.17826031364]) < 1e-9
    assert relative(spectrum("legs", 4096).freq[[0, -1]], [5340353.1921, 0.1537229116]) < 1e-9


@pytest.mark.parametrize("n", [64, 4096, 65536])
def test_legs_roots_against_forty_digits(n: int) -> None:
    found = spectrum("legs", n)
    half = n // 2
    with mp.workdps(40):
        for m in {0, 1, half // 40, half // 7, half // 6, half // 3, half - 1}:

            def secular(x: Any, m: int = m) -> Any:
                upper, lower = mp.mpf(n) + 0.5 + 1j * x, mp.mpf(0.5) + 1j * x
                return mp.im(mp.loggamma(upper) - mp.loggamma(lower)) - (half - m - mp.mpf(0.5)) * mp.pi

            near = mp.mpf(float(found.freq[m]))
            root = mp.findroot(secular, near, tol=1e-50)
            assert abs(float((near - root) / root)) < 2e-14, m


@pytest.mark.parametrize("n", [2, 10, 64, 1000, 65536])
def test_the_size_of_p_is_a_quarter_of_n_squared(n: int) -> None:
    assert float((spectrum("legs", n).p.abs() ** 2).sum()) == pytest.approx(n * n / 4, rel=1e-13)


def test_other_measures_golden() -> None:
    lagt = [2.513669746062924, 0.7483028813327445, 0.3340893189596495, 0.099456183689829]
    assert relative(spectrum("lagt", 8).freq, lagt) < 1e-13
    legt = [43.862514, 38.664987, 16.420916, 14.095873, 10.578877, 7.596833, 4.562741, 1.521624]
    assert relative(spectrum("legt", 16).freq, legt) < 1e-6
    assert torch.equal(spectrum("fout", 16).freq, math.pi * torch.arange(7, -1, -1, dtype=torch.float64))


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt", "fout"])
@pytest.mark.parametrize("n", [2, 8, 18])
def test_same_transfer_functions_as_the_dense_matrices(measure: Measure, n: int) -> None:
    """xᵀ (z - normal part)⁻¹ y for x, y among B and the rows of P decides Λ, B̂ and P̂ up to what does not matter."""
    a, b, p = hippo(measure, n)
    normal = a + p.T @ p
    found = spectrum(measure, n)
    poles = (-found.rate + 1j * found.freq).numpy()
    dense = [b, *p]
    modal = [found.b.numpy().astype(complex), *found.p.numpy()]
    for z in (0.3 + 1j, 1.0 + 0j, 0.2 - 7j):
        resolvent = np.linalg.inv(z * np.eye(n) - normal)
        for x, x_modal in zip(dense, modal, strict=True):
            for y, y_modal in zip(dense, modal, strict=True):
                terms = np.conj(x_modal) * y_modal / (z - poles) + x_modal * np.conj(y_modal) / (z - np.conj(poles))
                assert x @ resolvent @ y == pytest.approx(terms.sum(), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("n", [2, 6, 12])
def test_modes_give_the_legs_matrix_back(n: int) -> None:
    """Λ - P P* with the conjugate pairs has LegS's eigenvalues -1 .. -n."""
    found = spectrum("legs", n)
    poles = -found.rate + 1j * found.freq.numpy()
    p = found.p[0].numpy()
    whole, rank = np.concatenate([poles, poles.conj()]), np.concatenate([p, p.conj()])
    eigenvalues = np.linalg.eigvals(np.diag(whole) - np.outer(rank, rank.conj()))
    assert np.sort(eigenvalues.real) == pytest.approx(-np.arange(n, 0, -1.0), rel=1e-6)
    assert np.max(np.abs(eigenvalues.imag)) < 1e-6


@pytest.mark.parametrize("n", [2, 32, 256])
def test_eigenvectors(n: int) -> None:
    a, b, p = hippo("legs", n)
    found, v = spectrum("legs", n), legs_eigenvectors(n).numpy()
    skew = a + p.T @ p + 0.5 * np.eye(n)
    w = found.freq.numpy()
    assert np.max(np.abs(skew @ v - 1j * w * v)) < 1e-12 * w[0]
    assert np.max(np.abs(v.conj().T @ v - np.eye(n // 2))) < 1e-12
    assert v.conj().T @ b == pytest.approx(found.b.numpy(), rel=1e-11)


@given(st.integers(1, 3000).map(lambda half: 2 * half))
@settings(max_examples=40, deadline=None)
def test_frequencies_descend_between_their_bounds(n: int) -> None:
    w = spectrum("legs", n).freq.numpy()
    assert (np.diff(w) < 0).all()
    assert w[-1] > 0
    m = np.arange(n // 2)
    assert (w <= n * n / ((2 * m + 1) * math.pi)).all()
    # The law that S4D-Inv takes for them is their asymptote where modes are many and high.
    assert w[0] == pytest.approx(n * n / math.pi, rel=0.6 / n**0.5)


@pytest.mark.parametrize("n", [0, 1, 7, -4])
@pytest.mark.parametrize("measure", ["legs", "fout"])
def test_odd_and_small_sizes_are_refused(measure: Measure, n: int) -> None:
    with pytest.raises(OptionError, match="even and at least 2"):
        spectrum(measure, n)
