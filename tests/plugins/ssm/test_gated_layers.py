"""Adapters of gated and selective layers: what they recognise, read, write and refuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import ssm_gated_layouts as gated
import torch
from torch import Tensor, nn

import initkit
from initkit import Fill, Item, PlanError, Recipe, Values
from initkit.slots import slots_of
from initkit_ssm import Layer, find_layers

LAYOUTS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "mamba": ("mamba", gated.Mamba),
    "vision mamba": ("mamba", gated.Vim),
    "mamba2": ("mamba2", gated.Mamba2),
    "mamba2, a skip a channel": ("mamba2", lambda: gated.Mamba2(skips=12)),
    "mamba3": ("mamba3", gated.Mamba3),
    "gated delta": ("gated_delta", gated.GatedDelta),
    "comba": ("gated_delta", lambda: gated.GatedDelta(skip=True)),
    "kda": ("gated_delta", lambda: gated.GatedDelta(3, 4)),
    "forget gate": ("gated_delta", gated.ForgetGate),
    "bounded forget gate": ("gated_delta", lambda: gated.ForgetGate(bound=-5.0)),
    "rg_lru": ("rg_lru", gated.RecurrentBlock),
    "dense rg_lru": ("rg_lru", gated.DenseRGLRU),
    "mlstm, fused": ("gate", gated.FusedMLstm),
    "slstm": ("gate", gated.SLstm),
    "mingru with a bias": ("gate", lambda: gated.MinGRU(bias=True)),
    "rwkv5": ("rwkv", lambda: gated.Rwkv(5)),
    "rwkv6": ("rwkv", lambda: gated.Rwkv(6)),
    "rwkv7": ("rwkv", lambda: gated.Rwkv(7)),
}


@dataclass(frozen=True)
class WritesAll(Recipe):
    """Writes a value of every role, drawn elsewhere."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for layer in find_layers(model).layers:
            yield from layer.fills({role: (Values(value), "a test") for role, value in values_of(layer).items()})


def values_of(layer: Layer) -> dict[str, Tensor]:
    numbers = torch.Generator().manual_seed(len(layer.name))
    return {
        role: 0.01 + 2 * torch.rand(where.shape, generator=numbers, dtype=torch.float64)
        for role, where in layer.roles.items()
    }


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_written_is_read_back(name: str, dtype: torch.dtype) -> None:
    kind, make = LAYOUTS[name]
    model = nn.ModuleDict({"block": make()}).to(dtype)
    (layer,) = find_layers(model).layers
    assert layer.kind == kind
    initkit.apply(model, WritesAll())
    slots = slots_of(model)
    tolerance = 2e-6 if dtype == torch.float32 else 2e-2
    for role, value in values_of(layer).items():
        read = layer.read(role, lambda name: slots[name].read())
        assert torch.allclose(read, value, rtol=tolerance, atol=tolerance), role


@pytest.mark.parametrize("bound", [None, -5.0])
def test_time_constants_follow_the_layer_s_own_formula(bound: float | None) -> None:
    gate = gated.ForgetGate(bound=bound).double()
    (layer,) = find_layers(gate).layers
    steps = layer.steps(lambda name: slots_of(gate)[name].read())
    assert steps is not None
    assert torch.allclose(steps.decay, gate.decay(), rtol=1e-12)


def test_a_clamped_step_is_read_clamped() -> None:
    model = gated.Mamba2(limits=(0.01, 0.2))
    with torch.no_grad():
        model.dt_bias.copy_(torch.linspace(-12, 3, 6))
    (layer,) = find_layers(model).layers
    steps = layer.steps(lambda name: slots_of(model)[name].read())
    assert steps is not None
    assert steps.dt is not None
    assert float(steps.dt.min()) == 0.01
    assert float(steps.dt.max()) == 0.2


def test_a_softly_capped_gate_remembers_less_than_its_bias_says() -> None:
    class Config:
        gate_soft_cap = 15.0

    model = gated.FusedMLstm()
    model.config = Config()
    with torch.no_grad():
        model.ifgate_preact.bias.fill_(30.0)
    (layer,) = find_layers(model).layers
    steps = layer.steps(lambda name: slots_of(model)[name].read())
    assert steps is not None
    expected = math.log1p(math.exp(-15 * math.tanh(2)))
    assert torch.allclose(steps.decay, torch.full((3,), expected, dtype=torch.float64))


def broken(make: Callable[[], nn.Module], name: str, *shape: int) -> nn.Module:
    model = make()
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, nn.Parameter(torch.zeros(*shape)))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (broken(gated.Mamba, "D", 5), r"D has shape \(5,\), expected \(12,\), as A_log has shape \(12, 4\)"),
        (broken(gated.Mamba, "dt_proj.bias", 3), r"dt_proj\.bias has shape \(3,\), expected \(12,\)"),
        (broken(gated.Vim, "dt_proj_b.bias", 3), r"dt_proj_b\.bias has shape \(3,\), expected \(12,\)"),
        (broken(gated.Mamba2, "dt_bias", 3), r"dt_bias has shape \(3,\), expected \(6,\)"),
        (broken(gated.Mamba2, "D", 7), r"D has shape \(7,\), expected \(6,\) or one value a channel"),
        (broken(gated.Mamba3, "C_bias", 6, 2, 3), r"C_bias has shape \(6, 2, 3\), expected \(6, 2, 4\)"),
        (broken(gated.GatedDelta, "dt_bias", 7), r"dt_bias has shape \(7,\), expected \(6,\) or a multiple"),
        (broken(gated.RGLRU, "a_param", 5), r"a_param has shape \(5,\), expected \(12,\)"),
        (broken(gated.DenseRGLRU, "input_gate_proj.weight", 12, 3), r"has shape \(12, 3\), expected \(12, 12\)"),
        (broken(gated.SLstm, "_bias_", 7), r"_bias_ has 7 values, expected 4 gates for 2 heads"),
        (broken(lambda: gated.Rwkv(6), "time_decay", 2, 3, 4), r"time_decay has shape \(2, 3, 4\)"),
        (broken(lambda: gated.Rwkv(7), "r_k", 3, 5), r"r_k has shape \(3, 5\), expected \(heads, size\)"),
        (gated.MinGRU(gates=3, bias=True), "quotient of two gates"),
    ],
)
def test_shapes_that_do_not_agree_are_refused(model: nn.Module, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        find_layers(model)
    assert "\n" not in str(caught.value)
    found = find_layers(model, strict=False)
    assert found.layers == ()
    assert len(found.unknown) == 1


class Strange(nn.Module):
    """Has a family's names and fits none."""

    def __init__(self) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.zeros(2, 3, 4, 5))


def test_an_unknown_layer_is_an_error_with_its_tensors() -> None:
    model = nn.Sequential(gated.Mamba2(), Strange())
    with pytest.raises(PlanError, match=r"1 \(Strange: A_log \(2, 3, 4, 5\)\).*strict=False"):
        initkit.plan(model, "ssm/mamba")
    with pytest.warns(UserWarning, match="Strange"):
        report = initkit.apply(model, initkit.recipe("ssm/mamba", strict=False))
    assert "Strange" in report.notes["ssm/mamba remarks"][0]["remark"]
    assert set(report) == {"0.A_log", "0.D", "0.dt_bias"}


def test_a_decay_recipe_needs_a_place_for_a_gate_s_bias() -> None:
    model = nn.Sequential(gated.MinGRU(), gated.Rwkv(6))
    for variant in ("published", "log_uniform"):
        with pytest.raises(PlanError, match=r"0 \(MinGRU\).*without a bias.*no place for a time constant"):
            initkit.plan(model, initkit.recipe("ssm/gate_decay", variant=variant))
    with pytest.warns(UserWarning, match="no place for a time constant"):
        report = initkit.apply(model, initkit.recipe("ssm/gate_decay", strict=False))
    assert list(report) == ["1.time_decay"]
    with pytest.raises(PlanError, match="give it one"):
        initkit.plan(nn.Sequential(gated.MinGRU()), initkit.recipe("ssm/gate_decay", strict=False))


def test_tied_and_frozen_dynamics_are_written_once_and_marked() -> None:
    model = nn.ModuleList([gated.Mamba2(), gated.Mamba2()])
    one: Any = model[0]
    two: Any = model[1]
    two.A_log, two.dt_bias = one.A_log, one.dt_bias
    one.A_log.requires_grad_(False)
    report = initkit.apply(model, "ssm/mamba")
    assert report["0.A_log"].frozen
    assert report["0.A_log"].aliases == ("1.A_log",)
    assert two.A_log is one.A_log


def test_low_precision_storage_is_warned_of() -> None:
    model = gated.Mamba2().bfloat16()
    with pytest.warns(UserWarning, match=r"A_log, dt_bias are stored in bfloat16.*1\.6 %"):
        initkit.apply(model, "ssm/mamba")


def test_a_meta_model_is_planned_and_made() -> None:
    model = nn.Sequential(gated.Mamba()).to("meta")
    plan = initkit.plan(model, "ssm/mamba")
    assert plan["0.A_log"].shape == (12, 4)
    report = initkit.apply(model, initkit.recipe("ssm/mamba", which="all"))
    assert report.covered == 1
    layer: Any = model[0]
    assert layer.dt_proj.bias._no_reinit is True
    assert not layer.A_log.is_meta


def test_a_third_party_s_adapter_is_asked_first() -> None:
    from initkit_ssm import Adapter, Site, Stored, layers, register
    from initkit_ssm.codes import SOFTPLUS

    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leak = nn.Parameter(torch.zeros(3))

    class LeakyAdapter(Adapter):
        telltale = ("leak",)

        def fits(self, site: Site) -> bool:
            return isinstance(site.module, Leaky)

        def describe(self, site: Site) -> Layer:
            roles = {"decay": Stored(site.full("leak"), (3,), SOFTPLUS)}
            return Layer(site, "rg_lru", roles, self, {"block_width": 1})

    adapter = register(LeakyAdapter())
    try:
        report = initkit.apply(nn.Sequential(Leaky()), initkit.recipe("ssm/rg_lru", gates="keep"))
    finally:
        layers._REGISTERED.remove(adapter)
    assert list(report) == ["0.leak"]
    assert isinstance(report["0.leak"].std, float)


def test_fills_name_their_tensors_once(recwarn: pytest.WarningsRecorder) -> None:
    model = nn.Sequential(gated.SLstm())
    plan = initkit.plan(model, initkit.recipe("ssm/gate_decay", variant="log_uniform"))
    fills: list[Fill] = plan.fills
    assert [fill.name for fill in fills] == ["0._bias_"]
    assert not recwarn.list
