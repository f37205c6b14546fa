"""ssm/mamba, ssm/rg_lru and ssm/gate_decay: golden values, laws, options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import ssm_gated_layouts as gated
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import initkit
from initkit import Constant, OptionError, PlanError
from initkit.slots import slots_of
from initkit_ssm import Layer, audit, find_layers
from initkit_ssm.rg_lru import RgLru


def applied(model: nn.Module, name: str, seed: int = 0, **options: Any) -> initkit.Report:
    return initkit.apply(model, initkit.recipe(name, **options), seed=seed)


def steps(model: nn.Module) -> list[Any]:
    slots = slots_of(model)
    return [layer.steps(lambda name: slots[name].read()) for layer in find_layers(model).layers]


def tau(model: nn.Module) -> torch.Tensor:
    return torch.cat([1 / one.decay.reshape(-1) for one in steps(model)])


def top(tensor: Any) -> float:
    return float(tensor.detach().abs().max())


# ssm/mamba


@pytest.mark.parametrize(
    ("dt", "stored"), [(1e-4, -9.21029037155952), (1e-2, -4.6001660193249), (0.1, -2.25216846104409)]
)
def test_a_step_is_stored_through_the_stable_inverse_of_softplus(dt: float, stored: float) -> None:
    model = gated.Mamba().double()
    applied(model, "ssm/mamba", dt_min=dt, dt_max=dt)
    assert torch.allclose(model.dt_proj.bias, torch.full((12,), stored, dtype=torch.float64), rtol=1e-13)


def test_mamba_s_rates_are_one_to_n_in_every_channel() -> None:
    model = gated.Mamba()
    report = applied(model, "ssm/mamba")
    assert torch.equal(model.A_log, torch.arange(1, 5, dtype=torch.float64).log().float().expand(12, 4))
    assert torch.equal(model.D, torch.ones(12))
    assert set(report) == {"A_log", "D", "dt_proj.bias"}
    assert report.reasons["in_proj.weight"] == "in_proj: not part of this recipe"


def test_steps_are_log_uniform_between_their_bounds() -> None:
    model = gated.Mamba2(heads=4000)
    applied(model, "ssm/mamba")
    (one,) = steps(model)
    share = torch.log(one.dt / 1e-3) / math.log(100)
    assert float(share.min()) >= 0
    assert float(share.max()) <= 1
    assert abs(float(share.mean()) - 0.5) < 4 / math.sqrt(12 * 4000)
    assert float(one.rate.min()) >= 1
    assert float(one.rate.max()) <= 16
    assert abs(float(one.rate.mean()) - 8.5) < 4 * 15 / math.sqrt(12 * 4000)
    # What the authors' start is known for: about half of the heads remember 16 steps.
    assert 0.4 < float((1 / one.decay >= 16).double().mean()) < 0.54


def test_gated_delta_nets_have_rates_that_reach_almost_zero_and_kda_has_not() -> None:
    plain, kda = gated.GatedDelta(2000), gated.GatedDelta(500, 4)
    applied(plain, "ssm/mamba")
    applied(kda, "ssm/mamba")
    assert 0.01 <= float(steps(plain)[0].rate.min()) < 0.1
    assert float(steps(kda)[0].rate.min()) >= 1
    assert len(set(kda.dt_bias.tolist())) > 1900  # one step a channel


def test_a_gate_with_a_lower_bound_decays_by_about_bound_times_step() -> None:
    model = gated.ForgetGate(heads=50, bound=-5.0)
    applied(model, "ssm/mamba", dt_min=0.01, dt_max=0.01)
    assert torch.equal(model.A_log, torch.zeros_like(model.A_log))
    (one,) = steps(model)
    assert torch.allclose(one.decay, torch.tensor(5 * -math.expm1(-0.01), dtype=torch.float64), rtol=1e-5)


def test_mamba3_gets_biases_of_one_and_ranks_shared() -> None:
    model = gated.Mamba3(rank=4)
    applied(model, "ssm/mamba")
    for name, value in (("B_bias", 1), ("C_bias", 1), ("D", 1), ("mimo_x", 0.25), ("mimo_o", 0.25), ("mimo_z", 1)):
        tensor = getattr(model, name)
        assert torch.equal(tensor, torch.full_like(tensor, value)), name


def test_short_steps_are_floored() -> None:
    model = gated.Mamba2(heads=400)
    applied(model, "ssm/mamba", dt_min=1e-6, dt_max=1e-2, dt_floor=1e-3)
    (one,) = steps(model)
    assert float(one.dt.min()) == pytest.approx(1e-3, rel=1e-6)
    assert float((one.dt < 1.0001e-3).double().mean()) == pytest.approx(0.75, abs=0.08)


def test_projections_are_torch_s_own_start_and_outputs_shrink_with_depth() -> None:
    model = nn.Sequential(gated.Mamba(), gated.Mamba())
    report = applied(model, "ssm/mamba", which="all", residuals=2)
    assert report.covered == 1
    assert initkit.plan(model, initkit.recipe("ssm/mamba", which="all"))["0.in_proj.weight"].draw.describe() == (
        "U(-0.4082, 0.4082)"
    )
    largest = top(model[0].out_proj.weight)  # type: ignore[union-attr]
    bound = 1 / math.sqrt(12) / math.sqrt(4)
    assert 0.9 * bound < largest <= bound
    assert top(model[0].in_proj.bias) == 0  # type: ignore[union-attr]
    low_rank: Any = model[0]
    assert 0.5 / math.sqrt(2) < top(low_rank.dt_proj.weight) <= 1 / math.sqrt(2)


def test_projections_alone_leave_the_dynamics() -> None:
    model = gated.Mamba()
    before = model.A_log.detach().clone()
    report = applied(model, "ssm/mamba", which="projections", dt_weight="constant", dt_scale=0.5)
    assert torch.equal(model.A_log, before)
    assert "dt_proj.bias" not in report
    assert torch.equal(model.dt_proj.weight, torch.full((12, 2), 0.5 / math.sqrt(2)))


def test_embeddings_belong_to_the_authors_start() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(200, 6), "mixer": gated.Mamba2()})
    report = applied(model, "ssm/mamba", which="all")
    assert report["embedding.weight"].std == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ssm/mamba", {"dt_min": 0.0}, "dt_min=0.0"),
        ("ssm/mamba", {"dt_min": 0.2}, "dt_max=0.1 is below dt_min=0.2"),
        ("ssm/mamba", {"dt_max": float("nan")}, "dt_max=nan"),
        ("ssm/mamba", {"a_min": 17.0}, "a_max=16.0 is below a_min=17.0"),
        ("ssm/mamba", {"residuals": 0}, "residuals=0"),
        ("ssm/mamba", {"which": "everything"}, "which='everything'"),
        ("ssm/rg_lru", {"r_max": 1.0}, "r_max=1.0"),
        ("ssm/rg_lru", {"r_min": 0.95, "r_max": 0.9}, "r_max=0.9 is below r_min=0.95"),
        ("ssm/gate_decay", {"tau_min": 0}, "tau_min=0"),
        ("ssm/gate_decay", {"tau_min": 10.0, "tau_max": 5.0}, "tau_max=5.0 is below tau_min=10.0"),
        ("ssm/repair", {"length": 0}, "length=0"),
        ("ssm/repair", {"level": "pass"}, "level='pass'"),
    ],
)
def test_bad_options_name_themselves(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        initkit.recipe(name, **options)
    assert name in str(caught.value)


# ssm/rg_lru


@pytest.mark.parametrize(
    ("r", "target", "stored"),
    [
        (0.9, "a", -2.19722457733622),
        (0.99, "a", -4.59511985013459),
        (0.999, "a", -6.90675477864855),
        (0.9, "a^c", -4.32321660966587),
        (0.999, "a^c", -8.98663408028101),
    ],
)
def test_radii_are_stored_as_the_authors_code_stores_them(r: float, target: Any, stored: float) -> None:
    model = gated.RGLRU().double()
    initkit.apply(model, RgLru(r_min=r, r_max=r, target=target))
    # The authors add 1e-8 to r², which moves the stored value by 1e-8/(2 r² (1 - r)) at the most.
    assert torch.allclose(model.a_param, torch.full((12,), stored, dtype=torch.float64), rtol=2e-6)


def test_radii_are_uniform_on_the_ring() -> None:
    model = gated.RGLRU(blocks=40, width=100)
    applied(model, "ssm/rg_lru")
    square = torch.exp(-2 * torch.nn.functional.softplus(model.a_param.detach().double()))
    share = (square - 0.81) / (0.999**2 - 0.81)
    assert float(share.min()) > -1e-6
    assert float(share.max()) < 1 + 1e-4
    assert abs(float(share.mean()) - 0.5) < 4 / math.sqrt(12 * 4000)
    # At a gate of 1/2 the ring of a is short, that of a^8 eight times as long.
    assert float((tau(model) >= 16).double().mean()) == pytest.approx(0.15, abs=0.03)
    applied(model, "ssm/rg_lru", target="a^c")
    assert float((tau(model) >= 16).double().mean()) == 1
    assert float((tau(model) >= 64).double().mean()) == pytest.approx(0.31, abs=0.03)


def test_a_layer_that_stores_log_a_itself_gets_the_same_ring() -> None:
    model = gated.DenseRGLRU(width=2000)
    applied(model, "ssm/rg_lru")
    square = torch.exp(2 * model.a_log.detach().double())
    assert float(square.min()) > 0.81 - 1e-6
    assert float(square.max()) < 0.999**2 + 1e-6
    assert float((tau(model) >= 16).double().mean()) == pytest.approx(0.15, abs=0.04)
    with torch.no_grad():
        model.a_log[0] = 0.01  # nothing in training keeps a below 1
    assert [found.level for found in audit(model).layers] == ["FAIL"]


def test_gates_start_half_open_and_the_convolution_small() -> None:
    model = gated.RecurrentBlock()
    report = applied(model, "ssm/rg_lru")
    assert report.covered == 1
    plan = initkit.plan(model, "ssm/rg_lru")
    assert plan["rg_lru.a_gate.w"].draw.std == 0.5
    assert plan["conv_1d.w"].draw.std == 0.05
    assert torch.equal(model.rg_lru.a_gate.b, torch.zeros(3, 4))
    kept = applied(model, "ssm/rg_lru", gates="keep")
    assert set(kept) == {"rg_lru.a_param"}


# ssm/gate_decay


def test_mlstm_s_gates_in_one_projection() -> None:
    model = gated.FusedMLstm(heads=4)
    applied(model, "ssm/gate_decay", input_gate="closed")
    assert torch.equal(model.ifgate_preact.bias, torch.tensor([-10.0, -10, -10, -10, 3, 4, 5, 6]))
    assert torch.equal(model.ifgate_preact.weight, torch.zeros(8, 6))
    applied(model, "ssm/gate_decay")
    assert 0 < top(model.ifgate_preact.bias[:4]) < 0.5


def test_slstm_s_forget_gates_follow_a_power_law_in_every_head() -> None:
    model = gated.SLstm(heads=2, width=5)
    applied(model, "ssm/gate_decay")
    expected = 5 - 12 * torch.linspace(0, 1, 5, dtype=torch.float64) ** 0.3
    assert torch.allclose(model._bias_[:, 1].double(), expected.expand(2, 5), atol=1e-6)
    assert top(model._bias_[:, [0, 2, 3]]) == 0


def test_rwkv_7_bends_its_decays_within_each_head() -> None:
    model = nn.Sequential(gated.Rwkv(7), gated.Rwkv(7), gated.Rwkv(7))
    applied(model, "ssm/gate_decay")
    z = np.array([-1, -1 / 3, 1 / 3, 1])
    h, r = np.arange(12) / 11, 0.5
    expected = -6 + 6 * h ** (1 + r**0.3) + 0.5 + 2.5 * np.tile(z * np.abs(z), 3)
    assert torch.allclose(model[1].w0.double().reshape(-1), torch.from_numpy(expected), atol=1e-5)  # type: ignore


def test_rwkv_5_and_6_share_a_law() -> None:
    five, six = gated.Rwkv(5), gated.Rwkv(6)
    applied(five, "ssm/gate_decay")
    applied(six, "ssm/gate_decay")
    expected = -6 + 5 * torch.linspace(0, 1, 12) ** 0.7
    assert torch.allclose(five.time_decay.reshape(-1), expected, atol=1e-6)
    assert torch.equal(five.time_decay.reshape(-1), six.time_decay.reshape(-1))


LAYERS: dict[str, Any] = {
    "mlstm": lambda: gated.FusedMLstm(400),
    "slstm": lambda: gated.SLstm(4, 100),
    "mingru": lambda: gated.MinGRU(400, bias=True),
    "rwkv6": lambda: gated.Rwkv(6, 4, 100),
    "rwkv7": lambda: gated.Rwkv(7, 4, 100),
    "mamba2": lambda: gated.Mamba2(400),
    "gated delta": lambda: gated.GatedDelta(400),
    "kda": lambda: gated.GatedDelta(100, 4),
    "bounded": lambda: gated.ForgetGate(100, 4, bound=-5.0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_time_constants_of_one_s_own_are_log_uniform(name: str) -> None:
    model = LAYERS[name]()
    applied(model, "ssm/gate_decay", variant="log_uniform", tau_min=2.0, tau_max=512.0)
    share = torch.log(tau(model) / 2) / math.log(256)
    assert float(share.min()) > -1e-4
    assert float(share.max()) < 1 + 1e-4
    assert abs(float(share.mean()) - 0.5) < 4 / math.sqrt(12 * 400)


@settings(max_examples=25, deadline=None)
@given(st.floats(2.0, 1e5), st.sampled_from(["mlstm", "slstm", "rwkv6", "rwkv7", "mamba2", "bounded"]))
def test_one_time_constant_for_all_is_met(wanted: float, name: str) -> None:
    small = {"mlstm": gated.FusedMLstm, "slstm": gated.SLstm, "mamba2": gated.Mamba2}
    make: Any = small.get(name) or {
        "rwkv6": lambda: gated.Rwkv(6),
        "rwkv7": lambda: gated.Rwkv(7),
        "bounded": lambda: gated.ForgetGate(bound=-5.0),
    }.get(name)
    model = make().double()
    applied(model, "ssm/gate_decay", variant="log_uniform", tau_min=wanted, tau_max=wanted)
    assert torch.allclose(tau(model), torch.tensor(wanted, dtype=torch.float64), rtol=1e-9)


def test_a_gate_cannot_remember_longer_than_its_cap_lets_it() -> None:
    class Config:
        gate_soft_cap = 3.0

    model = gated.FusedMLstm()
    model.config = Config()
    with pytest.raises(OptionError, match=r"caps its gate at 3: tau_max=1000\.0 must be at most 20\.\d"):
        initkit.plan(model, initkit.recipe("ssm/gate_decay", variant="log_uniform"))
    applied(model, "ssm/gate_decay", variant="log_uniform", tau_min=10.0, tau_max=10.0)
    assert torch.allclose(tau(model), torch.tensor(10.0, dtype=torch.float64), rtol=1e-5)


def test_rwkv_7_cannot_forget_faster_than_its_sigmoid() -> None:
    with pytest.raises(OptionError, match="RWKV-7.*tau_min=1.0 must be above 1.6488"):
        initkit.plan(gated.Rwkv(7), initkit.recipe("ssm/gate_decay", variant="log_uniform"))


def test_mamba_has_no_published_gate() -> None:
    with pytest.raises(PlanError, match="no layer of the kinds gate, rwkv.*Mamba2.*is of kind mamba2"):
        initkit.plan(gated.Mamba2(), "ssm/gate_decay")
    with pytest.raises(PlanError, match="no published start of its gate; give variant=log_uniform"):
        initkit.plan(gated.MinGRU(bias=True), "ssm/gate_decay")


def test_rates_and_steps_share_their_random_numbers() -> None:
    """Time constants come out as drawn although rates are drawn too: the step is computed from the same rate."""
    model = gated.Mamba2(50).double()
    applied(model, "ssm/gate_decay", seed=3, variant="log_uniform", tau_min=32.0, tau_max=32.0)
    assert len(set(model.A_log.tolist())) == 50
    assert torch.allclose(tau(model), torch.tensor(32.0, dtype=torch.float64), rtol=1e-12)


def test_a_layer_of_this_plugin_is_claimed_by_shapes() -> None:
    model = nn.Sequential(gated.Mamba2())
    layer: Layer = find_layers(model).layers[0]
    assert initkit.recipe("ssm/mamba").claims(model) == ["0.A_log", "0.dt_bias", "0.D"]
    assert initkit.recipe("ssm/repair").claims(model) == ["0.A_log", "0.dt_bias"]
    assert initkit.recipe("ssm/rg_lru").claims(model) == []
    assert isinstance(initkit.plan(model, "ssm/mamba")["0.D"].draw, Constant)
    assert layer.facts["heads"] == 6
