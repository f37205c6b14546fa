"""Recipes of time-invariant layers: golden values, what must hold of every start, bad input."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import ssm_layouts
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ssm_dense import hippo
from torch import Tensor

import initkit
from initkit import OptionError, PlanError
from initkit_ssm import laws
from initkit_ssm.kernels import discretise, kernel, powers_sum
from initkit_ssm.lru import _half_minus_log, _log_gamma
from initkit_ssm.poles import continuous, half_circle, input_weight

DOUBLE = {"dtype": torch.float64}


def applied(model: Any, recipe: str, seed: int = 0, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initkit.apply(model, initkit.recipe(recipe, **options), seed=seed)
    return model.requires_grad_(False)


def spectrum_of(law: laws.Law) -> Tensor:
    return torch.complex(-law.rate, law.freq)


# K[l] for N = 8, B = C = 1, dt = 0.1, l = 0..5.
KERNELS = {
    ("lin", "zoh"): [
        0.737461631899, 0.486689452686, 0.181673894585, -0.0125783406031, -0.0348827001828, 0.0521362402984,
    ],
    ("lin", "bilinear"): [
        0.725208780912, 0.503308294186, 0.215598513592, 0.00329778999561, -0.0592838584373, 0.00315239408217,
    ],
    ("inv", "zoh"): [0.68675937902, 0.370160957277, 0.385034532776, 0.471774696379, 0.206345335372, 0.0226028550732],
}  # fmt: skip


@pytest.mark.parametrize(("variant", "disc"), KERNELS)
def test_kernels_golden(variant: str, disc: Any) -> None:
    a = spectrum_of(getattr(laws, variant)(8))
    k = kernel(a, torch.ones_like(a), torch.tensor(0.1, **DOUBLE), 6, disc)
    assert k.numpy() == pytest.approx(KERNELS[variant, disc], abs=1e-11)


def test_legs_kernel_golden() -> None:
    law = laws.legs(8)
    k = kernel(spectrum_of(law), (law.b / 2).to(torch.complex128), torch.tensor(0.1, **DOUBLE), 6)
    golden = [0.598236987615, -0.101718155187, 0.291333641219, 0.38624202491, -0.290837750494, -0.0616446193708]
    assert k.numpy() == pytest.approx(golden, abs=1e-11)


def test_inv_golden() -> None:
    golden = [17.82535362629228, 4.244131815783875, 1.5278874536821956, 0.3637827270671892]
    assert laws.inv(8).freq.numpy() == pytest.approx(golden, rel=1e-14)


@given(st.integers(1, 700), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_powers_by_tables_are_the_powers(length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    lam = torch.from_numpy(random.uniform(0.5, 1, (2, 5)) * np.exp(1j * random.uniform(-3, 3, (2, 5))))
    c = torch.from_numpy(random.normal(size=(2, 5)) + 1j * random.normal(size=(2, 5)))
    direct = (c.unsqueeze(-1) * lam.unsqueeze(-1) ** torch.arange(length)).sum(-2).real
    assert torch.allclose(powers_sum(lam, c, length), direct, atol=1e-11)


def test_zero_order_hold_near_zero_and_without_frequency() -> None:
    a = torch.tensor([0.0, -1e-9, -1e-3, -1e-3 + 2j], dtype=torch.complex128)
    lam, gain = discretise(a, torch.tensor(0.1, **DOUBLE))
    assert gain[:2].real.numpy() == pytest.approx([0.1, 0.1], rel=1e-9)
    assert complex(gain[3]) == pytest.approx(complex((lam[3] - 1) / a[3]), rel=1e-12)


@pytest.mark.parametrize("variant", ["legs", "lin", "inv"])
def test_s4d_writes_the_law(variant: Any) -> None:
    law = getattr(laws, variant)(8)
    minimal = applied(ssm_layouts.S4D(6, 8), "ssm/s4d", variant=variant).kernel
    assert torch.allclose(minimal.A_imag.double(), law.freq.expand(6, 4), rtol=1e-7)
    assert torch.allclose(torch.exp(minimal.log_A_real.double()), torch.full((6, 4), 0.5, **DOUBLE), rtol=1e-6)
    shared = applied(ssm_layouts.S4(6, 8, copies=2), "ssm/s4d", variant=variant).kernel
    a, b, _, _ = shared.values()
    # S4 reads A as -f - i g, with g not below 1e-4; B is real, so the conjugate is the same model.
    assert torch.allclose(a, torch.complex(-law.rate, -law.freq.clamp(min=1e-4)).expand(6, 4), rtol=1e-6)
    wanted = law.b.clamp(max=2.0) if variant == "legs" else law.b
    assert torch.allclose(b, wanted.to(torch.complex128).expand(6, 4), rtol=1e-6)


def test_s4d_kernel_of_the_layer_is_the_golden_one() -> None:
    """With C = 1 and dt = 0.1 the layer's own kernel is that of the law."""
    layer = applied(ssm_layouts.S4D(1, 8), "ssm/s4d", variant="inv", dt_min=0.1, dt_max=0.1).kernel
    with torch.no_grad():
        layer.C.copy_(torch.tensor([1.0, 0.0]).expand(1, 4, 2))
        assert layer(6)[0].numpy() == pytest.approx(KERNELS["inv", "zoh"], abs=1e-6)


def test_s4d_draws_have_their_sizes() -> None:
    model = applied(ssm_layouts.S4(400, 64, copies=400), "ssm/s4d", variant="lin")
    c = torch.view_as_complex(model.kernel.C).detach()
    assert float(c.abs().square().mean()) == pytest.approx(1.0, abs=0.05)
    assert float(model.D.std()) == pytest.approx(1.0, abs=0.1)
    dt = torch.exp(model.kernel.inv_dt.detach())
    assert float(dt.min()) >= 1e-3
    assert float(dt.max()) <= 1e-1
    assert float(torch.log(dt).mean()) == pytest.approx(math.log(1e-2), abs=0.2)
    random = applied(
        ssm_layouts.S4(400, 64, copies=400), "ssm/s4d", variant="lin", real_part="random", imag_part="random"
    ).kernel
    assert float(torch.exp(random.A_real).max()) <= 1 + 1e-6
    assert 31 < float(random.A_imag.max()) <= 32


def test_s4d_without_b_takes_it_into_c() -> None:
    law = laws.legs(64)
    c = applied(ssm_layouts.S4D(2000, 64), "ssm/s4d").kernel.C.detach()
    sizes = torch.view_as_complex(c).abs().square().mean(0).sqrt().double()
    assert torch.allclose(sizes, law.b.clamp(max=2.0), rtol=0.08)
    halved = applied(ssm_layouts.S4D(2000, 64), "ssm/s4d", legs_b="half").kernel.C.detach()
    assert float(torch.view_as_complex(halved)[:, 0].abs().square().mean().sqrt()) == pytest.approx(40.75 / 2, rel=0.05)


def test_s4d_floor() -> None:
    model = ssm_layouts.S4(6, 8, copies=2)
    assert float(applied(model, "ssm/s4d", variant="lin").kernel.A_imag.min()) == pytest.approx(1e-4)
    assert float(applied(model, "ssm/s4d", variant="lin", floor=0.0).kernel.A_imag.min()) == 0
    assert float(applied(model, "ssm/s4d", variant="lin", floor=0.1).kernel.A_imag.min()) == pytest.approx(0.1)


def test_real_states() -> None:
    model = applied(ssm_layouts.S4(6, 8, copies=3, is_real=True), "ssm/s4d", variant="real")
    assert torch.allclose(torch.exp(model.kernel.A_real), torch.arange(1.0, 9.0).expand(3, 8), rtol=1e-6)
    with pytest.raises(PlanError, match=r"its states are real.*use variant='real'"):
        initkit.plan(model, "ssm/s4d")
    with pytest.warns(UserWarning, match=r"real eigenvalues -1 \.\. -4 leave half of its state unused"):
        initkit.apply(ssm_layouts.S4D(6, 8), initkit.recipe("ssm/s4d", variant="real"))


def test_dfout_angles_golden() -> None:
    found = half_circle(2, 4) / math.pi
    assert found.tolist() == [[0, 0.25, 0.5, 0.75], [0.125, 0.375, 0.625, 0.875]]


@pytest.mark.parametrize("layout", ["minimal", "diagonal", "low rank"])
@pytest.mark.parametrize("dfout_dt", ["one", "drawn"])
def test_dfout_has_its_poles_and_unit_states(layout: str, dfout_dt: Any) -> None:
    """Whatever the layer's parameters and its discretisation: the poles come out, and B̄ = sqrt(1 - |λ|²)."""
    copies = 6 if dfout_dt == "drawn" else 2
    build = {
        "minimal": lambda: ssm_layouts.S4D(6, 8).kernel,
        "diagonal": lambda: ssm_layouts.S4Kernel(6, 8, copies=copies),
        "low rank": lambda: ssm_layouts.S4Kernel(6, 8, copies=copies, rank=1),
    }
    module = applied(build[layout](), "ssm/s4d", variant="dfout", dfout_dt=dfout_dt, floor=1e-9)
    if layout == "minimal":
        a = torch.complex(-module.rate(), module.A_imag).to(torch.complex128)
        dt, b, disc, systems = torch.exp(module.log_dt.double()).unsqueeze(-1), None, "zoh", 6
    else:
        a, b, _, dt = module.values()
        disc, systems = module.disc, copies
    lam, gain = discretise(a, dt, disc)
    sign = 1 if layout == "minimal" else -1
    angle = sign * lam.angle()
    assert torch.allclose(angle, half_circle(systems, 4).repeat(6 // systems, 1), atol=2e-5)
    decay = -torch.log(lam.abs())
    assert torch.allclose(decay, decay[:, :1].expand_as(decay), rtol=2e-2)  # ν is small beside 1 in float32
    assert bool((decay > 0.99 * 0.5e-3).all())
    assert bool((decay < 1.01 * 0.5e-1).all())
    if b is not None:
        assert torch.allclose((b * gain).abs(), torch.sqrt(1 - lam.abs() ** 2), rtol=2e-2)


def test_dfout_refuses_shared_matrices_with_steps_of_their_own() -> None:
    with pytest.raises(PlanError, match=r"6 channels share 2 state matrices"):
        initkit.plan(ssm_layouts.S4(6, 8, copies=2), initkit.recipe("ssm/s4d", variant="dfout", dfout_dt="drawn"))


def test_dfout_on_linear_recurrent_units() -> None:
    unit = applied(ssm_layouts.LRU(6, 8), "ssm/s4d", variant="dfout")
    assert torch.allclose(torch.exp(unit.theta_log[1:]).double(), math.pi * torch.arange(1, 8).double() / 8, rtol=1e-6)
    square = torch.exp(-2 * torch.exp(unit.nu_log.double()))
    assert torch.allclose(torch.exp(2 * unit.gamma_log.double()), 1 - square, rtol=1e-4)


@pytest.mark.parametrize("disc", ["zoh", "bilinear"])
def test_poles_come_back_from_continuous_parameters(disc: Any) -> None:
    nu, angle = torch.rand(5, **DOUBLE) / 10 + 1e-3, torch.linspace(-3, 3, 5, **DOUBLE)
    dt = torch.tensor(0.03, **DOUBLE)
    lam, gain = discretise(continuous(nu, angle, dt, disc), dt, disc)
    assert torch.allclose(lam, torch.polar(torch.exp(-nu), angle), rtol=1e-12)
    assert torch.allclose(gain * input_weight(nu, angle, dt, disc), torch.sqrt(1 - torch.exp(-2 * nu)) + 0j, rtol=1e-12)


# r_min, r_max, u1, u2, phase -> nu_log, theta_log, gamma_log
RINGS = [
    ((0, 1, 0.5, 0.25, 2 * math.pi), (-1.05966010114161, 0.451582705289455, -0.346573590279973)),
    ((0.9, 0.999, 0.25, 0.5, 2 * math.pi), (-2.56189308627073, 1.1447298858494, -0.972456198487753)),
    ((0.9, 0.999, 0.75, 0.1, math.pi / 10), (-3.68408242241989, -3.46044030013869, -1.50797514355555)),
]


@pytest.mark.parametrize(("given_numbers", "golden"), RINGS)
def test_ring_golden(given_numbers: tuple[float, ...], golden: tuple[float, ...]) -> None:
    r_min, r_max, u1, u2, phase = given_numbers
    square = torch.tensor(u1 * (r_max**2 - r_min**2) + r_min**2, **DOUBLE)
    nu = _half_minus_log(square)
    found = math.log(nu), math.log(phase * u2), float(_log_gamma(nu))
    assert found == pytest.approx(golden, rel=1e-13)


def test_gamma_keeps_the_digits_that_the_plain_formula_loses() -> None:
    for radius, least, most in ((0.999, 2e-6, 5e-5), (0.9999999, 0.05, 0.5)):
        exact = math.sqrt(-math.expm1(2 * math.log(radius)))
        plain = float(torch.sqrt(1 - torch.tensor(radius, dtype=torch.float32) ** 2))
        assert least < abs(plain / exact - 1) < most
        ours = float(torch.exp(_log_gamma(torch.tensor(-math.log(radius), **DOUBLE))).float())
        assert ours == pytest.approx(exact, rel=1e-7)


def test_ring_is_uniform_and_its_gamma_exact() -> None:
    unit = applied(ssm_layouts.LRU(4, 20000), "ssm/lru", preset="long")
    radius = torch.exp(-torch.exp(unit.nu_log.double()))
    u = (radius**2 - 0.9**2) / (0.999**2 - 0.9**2)
    assert torch.allclose(
        torch.quantile(u, torch.tensor([0.1, 0.5, 0.9], **DOUBLE)), torch.tensor([0.1, 0.5, 0.9], **DOUBLE), atol=0.02
    )
    angle = torch.exp(unit.theta_log.double())
    assert float(angle.max()) <= 2 * math.pi
    assert float(angle.mean()) == pytest.approx(math.pi, rel=0.03)
    assert torch.allclose(torch.exp(2 * unit.gamma_log.double()), 1 - radius**2, rtol=1e-4)
    assert float(unit.B_re.std()) == pytest.approx(math.sqrt(1 / 8), rel=0.02)
    assert float(unit.C_im.std()) == pytest.approx(math.sqrt(1 / 20000), rel=0.02)


def test_stationary_gain_golden() -> None:
    """Prop. 3: E|x|²/E|Bu|² without γ is log((1 - r_min²)/(1 - r_max²))/(r_max² - r_min²)."""
    for (low, high), golden in {(0, 0.9): 2.050, (0.5, 0.99): 4.971, (0.9, 0.999): 24.225}.items():
        unit = applied(ssm_layouts.LRU(4, 40000), "ssm/lru", r_min=float(low), r_max=high)
        gain = (1 / (1 - torch.exp(-2 * torch.exp(unit.nu_log.double())))).mean()
        assert float(gain) == pytest.approx(golden, rel=0.05)


def test_ring_edges() -> None:
    """A circle, and radii at 0 and 1: everything stays finite."""
    circle = applied(ssm_layouts.LRU(4, 8), "ssm/lru", r_min=0.9, r_max=0.9)
    assert torch.allclose(torch.exp(-torch.exp(circle.nu_log)), torch.full((8,), 0.9))
    wide = applied(ssm_layouts.LRU(4, 4096), "ssm/lru")
    assert all(bool(torch.isfinite(p).all()) for p in wide.parameters())
    with pytest.raises(OptionError, match=r"r_min=1: on the unit circle"):
        initkit.recipe("ssm/lru", r_min=1.0, r_max=1.0)
    with pytest.raises(OptionError, match=r"r_max=0\.5: it must be at least r_min=0\.9"):
        initkit.recipe("ssm/lru", r_min=0.9, r_max=0.5)


def test_ring_on_diagonal_layers() -> None:
    kernel_of = applied(ssm_layouts.S4Kernel(50, 64, copies=50), "ssm/lru", preset="long")
    a, b, _, dt = kernel_of.values()
    lam, gain = discretise(a, dt)
    assert bool((lam.abs() > 0.9 - 1e-6).all())
    assert bool((lam.abs() < 0.999 + 1e-6).all())
    assert torch.allclose((b * gain).abs(), torch.sqrt(1 - lam.abs() ** 2), rtol=1e-3)


@pytest.mark.parametrize("measure", ["legs", "legt", "lagt", "fout"])
def test_low_rank_layers_are_the_dense_matrices(measure: Any) -> None:
    """With C = Bᵀ the layer's kernel is that of the dense matrix, discretised alike."""
    n, length, step = 6, 12, 0.1
    module = ssm_layouts.S4Kernel(1, n, rank=2 if measure == "legt" else 1)
    applied(module, "ssm/s4_dplr", measure=measure, b_clip=None, dt_min=step, dt_max=step)
    assert int(module.l_kernel) == 0
    with torch.no_grad():
        module.C.copy_(module.B * torch.tensor([1.0, -1.0]))  # the transpose of B is its conjugate here
        found = module(length)[0, 0]
    a, b, _ = hippo(measure, n)
    eye = np.eye(n)
    backward = np.linalg.inv(eye - step / 2 * a)
    forward, x = backward @ (eye + step / 2 * a), backward @ b * step
    wanted = []
    for _ in range(length):
        wanted.append(b @ x)
        x = forward @ x
    assert found.numpy() == pytest.approx(wanted, rel=2e-3, abs=2e-3)  # the floor of 1e-4 and float32


def test_measures_share_the_matrices() -> None:
    module = applied(ssm_layouts.S4Kernel(8, 16, copies=4, rank=1), "ssm/s4_dplr", measure=("legs", "fout"))
    assert float(module.A_imag[0, 0]) == pytest.approx(80.966, rel=1e-4)
    assert float(module.A_imag[2, 0]) == pytest.approx(7 * math.pi, rel=1e-4)
    with pytest.raises(PlanError, match=r"3 state matrices cannot be shared evenly by 2 measures"):
        initkit.plan(
            ssm_layouts.S4Kernel(6, 16, copies=3, rank=1), initkit.recipe("ssm/s4_dplr", measure=("legs", "fout"))
        )
    with pytest.raises(PlanError, match=r"legt needs a low-rank term of rank 2, P has rank 1"):
        initkit.plan(ssm_layouts.S4Kernel(6, 16, rank=1), initkit.recipe("ssm/s4_dplr", measure="legt"))


def test_s5_spectrum_and_sizes() -> None:
    states, inputs = 64, 256
    layer = applied(ssm_layouts.S5(inputs, states), "ssm/s5", blocks=2)
    w = laws.legs(32).freq
    assert torch.allclose(layer.Lambda_im.double(), -w.repeat(2), rtol=1e-6)
    assert torch.allclose(layer.Lambda_re, torch.full((32,), -0.5))
    # V* is an isometry onto half of the conjugate pairs: |V* B|² is half of |B|², whose entries have variance 1/P.
    size = torch.view_as_complex(layer.B).abs().square().mean()
    assert float(size) == pytest.approx(1 / states, rel=0.05)
    c = torch.view_as_complex(layer.C).abs().square().mean()
    assert float(c) == pytest.approx(2 / states, rel=0.05)
    lecun = applied(ssm_layouts.S5(inputs, states), "ssm/s5", c_init="lecun_normal").C
    assert float(torch.view_as_complex(lecun).abs().square().mean()) == pytest.approx(2 / (states * inputs), rel=0.05)
    plain = applied(ssm_layouts.S5(inputs, states), "ssm/s5", c_init="complex_normal").C
    assert float(torch.view_as_complex(plain).abs().square().mean()) == pytest.approx(1.0, rel=0.05)


def test_s5_with_every_eigenvalue_stored_has_exact_pairs() -> None:
    import s5

    layer = applied(s5.S5(6, 16), "ssm/s5", blocks=2).seq
    eigenvalues = layer.Lambda.detach().reshape(2, 8)
    assert torch.equal(eigenvalues, eigenvalues.flip(-1).conj().resolve_conj())
    b = torch.view_as_complex(layer.B).detach().reshape(2, 8, 6)
    assert torch.allclose(b, b.flip(1).conj().resolve_conj(), atol=1e-6)  # of a real B


def test_s5_blocks() -> None:
    with pytest.raises(PlanError, match=r"12 states do not make 4 blocks of even size"):
        initkit.plan(ssm_layouts.S5(6, 12), initkit.recipe("ssm/s5", blocks=4))
    assert "2 blocks of 6" in initkit.plan(ssm_layouts.S5(6, 12), "ssm/s5")["Lambda_im"].why


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("ssm/s4d", {"dt_min": 0.0}, "dt_min"),
        ("ssm/s4d", {"dt_min": 0.2}, r"dt_max=0\.1: it must be at least dt_min=0\.2"),
        ("ssm/s4d", {"dt_max": float("nan")}, "dt_max"),
        ("ssm/s4d", {"dt_max": float("inf")}, "dt_max"),
        ("ssm/s4d", {"variant": "legt"}, "variant"),
        ("ssm/s4d", {"xi_min": 1.0}, r"xi_max=0\.1"),
        ("ssm/lru", {"r_min": -0.1}, "r_min"),
        ("ssm/lru", {"r_max": 1.1}, "r_max"),
        ("ssm/lru", {"phase": 0.0}, "phase"),
        ("ssm/s4_dplr", {"measure": []}, "measure"),
        ("ssm/s4_dplr", {"dt_max": 1e-4}, "dt_max"),
        ("ssm/s5", {"blocks": 0}, "blocks"),
        ("ssm/autocorr_timescale", {"hi": 0.0}, "hi"),
        ("ssm/output_scale", {"target": -1.0}, "target"),
    ],
)
def test_bad_options_are_named(recipe: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as found:
        initkit.recipe(recipe, **options)
    assert "\n" not in str(found.value)


def test_odd_numbers_of_unpaired_states() -> None:
    with pytest.raises(PlanError, match=r"7 eigenvalues do not make conjugate pairs"):
        initkit.plan(ssm_layouts.PairedA(6, 7), "ssm/s4d")


@pytest.mark.parametrize(
    ("layer", "options", "recipe"),
    [
        ("S4D", {}, "ssm/s4d"),
        ("S4", {}, "ssm/s4d"),
        ("S4", {"rank": 1}, "ssm/s4_dplr"),
        ("S5", {}, "ssm/s5"),
        ("PairedA", {}, "ssm/s5"),
        ("LRU", {}, "ssm/lru"),
    ],
)
def test_each_kind_of_layer_has_its_own_default(layer: str, options: dict[str, Any], recipe: str) -> None:
    """The first card that claims the model is the plugin's default for it."""
    model = getattr(ssm_layouts, layer)(6, 8, **options)
    cards = [card for card in initkit.recipes() if card.plugin == "ssm"]
    assert next(card.id for card in cards if card.claims(model)) == recipe


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_s4d_leaves_other_kinds_beside_it() -> None:
    model = torch.nn.ModuleList([ssm_layouts.S4D(6, 8), ssm_layouts.S5(6, 8)])
    assert not [fill.name for fill in initkit.plan(model, "ssm/s4d").fills if fill.name.startswith("1.")]
    assert initkit.plan(model[1], "ssm/s4d").fills
