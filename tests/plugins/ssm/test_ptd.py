"""Perturb-then-diagonalise: what is found is near LegS, stable and well conditioned."""

from __future__ import annotations

import numpy as np
import pytest
import ssm_layouts
import torch
from scipy.special import eval_legendre, roots_legendre
from ssm_dense import hippo

import initkit
from initkit import CommitError, PlanError
from initkit_ssm import ptd
from initkit_ssm.kernels import kernel
from initkit_ssm.ptd import perturbed


def legs_response(state: int, dt: float, length: int) -> torch.Tensor:
    """LegS's own kernel of a state, integrated over each step."""
    x, weight = roots_legendre(16)
    t = dt * (np.arange(length)[:, None] + (x + 1) / 2)
    values = (-1) ** state * np.sqrt(2 * state + 1) * np.exp(-t) * eval_legendre(state, 1 - 2 * np.exp(-t))
    return torch.from_numpy(values @ weight * dt / 2)


@pytest.mark.parametrize("n", [16, 32])
def test_what_is_found(n: int) -> None:
    found = perturbed(n, 5.0, 400, 0)
    assert found is not None
    assert bool((found.poles.real < 0).all())
    assert len(found.poles) == n // 2
    assert found.condition <= 30
    assert found.size <= 0.02
    dt, length = torch.tensor(0.01, dtype=torch.float64), 800
    k = kernel(found.poles, found.vectors[0] * found.b, dt, length)
    exact = legs_response(0, 0.01, length)
    error = float((k - exact).norm() / exact.norm())
    assert error <= 0.15
    # The normal part alone is several times farther away.
    assert error < 0.3 * 0.69


def test_the_modes_belong_to_a_real_matrix_near_legs() -> None:
    found = perturbed(16, 5.0, 400, 0)
    assert found is not None
    a, b, _ = hippo("legs", 16)
    v = torch.cat([found.vectors, found.vectors.conj()], -1)
    near = v @ torch.diag(torch.cat([found.poles, found.poles.conj()])) @ torch.linalg.inv(v)
    assert float(near.imag.abs().max()) < 1e-8
    difference = np.linalg.norm(near.real.numpy() - a, 2) / np.linalg.norm(a, 2)
    assert difference == pytest.approx(found.size, rel=1e-6)
    weights = torch.cat([found.b, found.b.conj()])
    assert (v @ weights).real.numpy() == pytest.approx(b, abs=1e-8)


@pytest.mark.parametrize("layer", ["S4D", "S4"])
def test_layers_get_the_modes(layer: str) -> None:
    module = getattr(ssm_layouts, layer)(4, 16, **({"copies": 2} if layer == "S4" else {}))
    report = initkit.apply(module, initkit.recipe("ssm/ptd", steps=50), seed=3)
    found = perturbed(16, 5.0, 50, 3)
    assert found is not None
    if layer == "S4":
        a, b, _, _ = module.kernel.values()
        assert torch.allclose(a[0].detach(), found.poles.conj(), rtol=1e-5)  # S4 reads Im A with a minus
        assert torch.allclose(b[0].detach(), found.b.conj(), rtol=1e-5, atol=1e-5)
    else:
        assert torch.allclose(module.kernel.A_imag[0].detach().double(), found.poles.imag, rtol=1e-5)
    assert any("condition" in str(value) for value in report.notes.values())


def test_failures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="its states are real"):
        initkit.plan(ssm_layouts.S4(4, 16, is_real=True), "ssm/ptd")
    module = ssm_layouts.S4D(4, 16)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    monkeypatch.setattr(ptd, "_pairs", lambda values: False)
    with pytest.raises(CommitError, match=r"no matrix near LegS of size 16 .* give more steps"):
        initkit.apply(module, initkit.recipe("ssm/ptd", steps=3), seed=987)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
