"""Adapters of S4D, S4, S5 and LRU layers: what is written is read back, and what a layer computes is what was meant."""

from __future__ import annotations

import math
from typing import Any

import pytest
import s5
import ssm_layouts
import torch
from torch import Tensor, nn

import initkit
from initkit import PlanError
from initkit.slots import slots_of
from initkit_ssm import Adapter, Layer, Site, Stored, find_layers, layers, register
from initkit_ssm.codes import LOG, S4_CODES, SOFTPLUS, STABLE_BEST, inverse_softplus
from initkit_ssm.responses import Response

LAYOUTS: dict[str, Any] = {
    "minimal S4D": lambda: ssm_layouts.S4D(6, 8),
    "S4D in buffers": lambda: ssm_layouts.S4D(6, 8, learned=False),
    "StableSSM best": lambda: ssm_layouts.S4D(6, 8, parameterization="best"),
    "StableSSM softplus": lambda: ssm_layouts.S4D(6, 8, parameterization="softplus"),
    "S4 diagonal": lambda: ssm_layouts.S4(6, 8, copies=2),
    "S4 dt a mode": lambda: ssm_layouts.S4(6, 8, copies=3, dt_tie=False, directions=2),
    "S4 softplus": lambda: ssm_layouts.S4(
        6, 8, real_transform="softplus", imag_transform="softplus", dt_transform="softplus", dt_fast=True
    ),
    "S4 relu": lambda: ssm_layouts.S4(6, 8, real_transform="relu", imag_transform="relu"),
    "S4 low rank": lambda: ssm_layouts.S4(6, 8, copies=2, rank=1),
    "S5": lambda: ssm_layouts.S5(6, 8),
    "S5 two directions": lambda: ssm_layouts.S5(6, 8, directions=2),
    "S5 lrnnx": lambda: ssm_layouts.PairedA(6, 8),
    "s5-pytorch": lambda: s5.S5(6, 8, block_count=1),
    "s5-pytorch two directions": lambda: s5.S5(6, 8, bidir=True),
    "LRU": lambda: ssm_layouts.LRU(6, 8),
    "LRU complex": lambda: ssm_layouts.LRU(6, 8, form="complex"),
    "LRU without gamma": lambda: ssm_layouts.LRU(6, 8, gamma=False),
}


def only(model: nn.Module) -> Layer:
    (layer,) = find_layers(model).layers
    return layer


def reader(model: nn.Module) -> Any:
    slots = slots_of(model)
    return lambda name: slots[name].read()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_written_is_read_back(name: str) -> None:
    """For each role a value that it can hold: the draws of the layer's fills give it back to float32."""
    model = LAYOUTS[name]()
    layer = only(model)
    wanted: dict[str, Tensor] = {}
    values: dict[str, tuple[initkit.Draw, str]] = {}
    for place, (role, where) in enumerate(layer.roles.items()):
        if role == "length":
            continue
        value = 0.05 + torch.rand(where.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(place))
        if where.complex:
            value = torch.complex(value, -value.flip(0) / 3)
        wanted[role] = value
        values[role] = (initkit.Values(value), "a test")
    slots = slots_of(model)
    for fill in layer.fills(values):
        slot = slots[fill.name]
        slot.write(fill.draw.sample(slot.shape, slot.dtype, initkit.Stream(0, fill.name)))
    for role, value in wanted.items():
        assert torch.allclose(layer.read(role, reader(model)), value, rtol=2e-6, atol=1e-7), role


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_layout_is_set_and_runs(name: str) -> None:
    model = LAYOUTS[name]()
    kind = only(model).kind
    recipe = {"s4d": "ssm/s4d", "s4_dplr": "ssm/s4_dplr", "s5": "ssm/s5", "lru": "ssm/lru"}[kind]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = initkit.apply(model, recipe, seed=3)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed <= set(report)
    y = model(torch.randn(2, 24, 6))
    assert y.shape == (2, 24, 6)
    assert bool(torch.isfinite(y).all())
    steps = only(model).steps(reader(model))
    assert steps is not None
    assert bool((steps.decay > 0).all())


@pytest.mark.parametrize(
    "name", ["minimal S4D", "StableSSM best", "S4 diagonal", "S4 dt a mode", "S5", "S5 lrnnx", "LRU"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_kernels_from_the_description_are_the_layers_own(name: str) -> None:
    """The layer's answer to an impulse, by running it and from its parameters."""
    model = LAYOUTS[name]()
    layer = only(model)
    recipe = {"s4d": "ssm/s4d", "s5": "ssm/s5", "lru": "ssm/lru"}[layer.kind]
    initkit.apply(model, recipe, seed=1)
    length = 40
    k = Response(layer, reader(model), length).kernels()
    with torch.no_grad():
        if layer.kind == "s4d":
            impulse = torch.zeros(1, length, 6)
            impulse[0, 0] = 1
            answer = model.kernel(length).double()
            answer = answer if answer.ndim == 3 else answer.unsqueeze(0)
            answer[..., 0] += model.D
        else:
            impulse = torch.zeros(6, length, 6)
            impulse[torch.arange(6), 0, torch.arange(6)] = 1
            answer = model(impulse).double().permute(2, 0, 1)
            if name == "S5 lrnnx":  # it multiplies by D from the other side
                answer[..., 0] += model.D.detach() - model.D.detach().t()
    assert torch.allclose(k, answer, rtol=1e-4, atol=1e-5)


def test_codes() -> None:
    value = torch.tensor([1e-4, 1e-3, 1e-2, 0.1, 1.0], dtype=torch.float64)
    golden = torch.tensor(
        [-9.21029037155952, -6.90725523731547, -4.6001660193249, -2.25216846104409, 0.541324854612918],
        dtype=torch.float64,
    )
    assert torch.allclose(inverse_softplus(value), golden, rtol=1e-14)
    assert float(SOFTPLUS.decode(torch.tensor(1.0, dtype=torch.float64))) == pytest.approx(
        1.3132616875182228, rel=1e-15
    )
    for code in (LOG, SOFTPLUS, *(S4_CODES[name] for name in ("none", "exp", "sigmoid", "softplus"))):
        kept = value.clamp(max=0.9)
        assert torch.allclose(code.load(code.store(kept)), kept, rtol=1e-12)
    assert torch.allclose(STABLE_BEST.load(STABLE_BEST.store(value)), value, rtol=1e-5)
    # S4's floor: a zero is stored as 1e-4, a zero rate as its logarithm.
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(S4_CODES["none"].store(zero)) == 1e-4
    assert float(S4_CODES["exp"].store(zero)) == pytest.approx(-9.210340371976182, rel=1e-15)


def test_a_growing_parameterization_is_refused() -> None:
    with pytest.raises(PlanError, match=r"parameterization is 'direct'.*grows"):
        find_layers(ssm_layouts.S4D(6, 8, parameterization="direct"))


class Strange(nn.Module):
    """Has the names of an S4D kernel, but other shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.log_A_real = nn.Parameter(torch.zeros(6, 4))
        self.A_imag = nn.Parameter(torch.zeros(6, 5))
        self.C = nn.Parameter(torch.zeros(6, 4, 2))
        self.log_dt = nn.Parameter(torch.zeros(6))


def test_disagreeing_shapes_are_named() -> None:
    with pytest.raises(PlanError, match=r"Strange.*A_imag has the axes \(6, 5\), expected \(6, 4\)") as found:
        initkit.plan(Strange(), "ssm/s4d")
    assert "\n" not in str(found.value)


class Other(nn.Module):
    """A layer that nobody knows, with a telling name."""

    def __init__(self) -> None:
        super().__init__()
        self.log_A_real = nn.Parameter(torch.zeros(6, 4))
        self.rest = nn.Parameter(torch.zeros(3))


def test_an_unknown_layer_is_an_error_or_a_remark() -> None:
    model = nn.ModuleDict({"known": ssm_layouts.S4D(6, 8), "strange": Other()})
    words = r"no adapter knows strange \(Other: log_A_real \(6, 4\), rest \(3,\)\)"
    with pytest.raises(PlanError, match=words):
        initkit.plan(model, "ssm/s4d")
    with pytest.warns(UserWarning, match=words):
        report = initkit.apply(model, initkit.recipe("ssm/s4d", strict=False), seed=0)
    assert "strange.log_A_real" in report.untouched
    assert "no adapter knows strange" in report.to_json()


def test_an_adapter_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_REGISTERED", [])

    class Mine(Adapter):
        classes = (f"{Other.__module__}.Other",)

        def describe(self, site: Site) -> Layer:
            shape = site.shape("log_A_real")
            assert shape is not None
            return Layer(site, "mine", {"rate": Stored(site.full("log_A_real"), shape, LOG)}, self)

    register(Mine())
    found = find_layers(nn.ModuleDict({"strange": Other()})).layers
    assert [(layer.kind, layer.name) for layer in found] == [("mine", "strange")]


def test_wrong_kind_of_layer() -> None:
    with pytest.raises(PlanError, match=r"kinds lru, or|has no layer of the kinds"):
        initkit.plan(nn.Linear(3, 3), "ssm/lru")
    with pytest.raises(PlanError, match=r"has no layer of the kinds s5; .*LRU.* is of kind lru"):
        initkit.plan(ssm_layouts.LRU(6, 8), "ssm/s5")


def test_frozen_tied_and_meta_layers() -> None:
    model = ssm_layouts.S4D(6, 8).requires_grad_(False)
    assert all(entry.frozen for entry in initkit.apply(model, "ssm/s4d").values())
    twice = nn.ModuleList([ssm_layouts.LRU(6, 8), ssm_layouts.LRU(6, 8)])
    twice[1].nu_log = twice[0].nu_log
    initkit.apply(twice, "ssm/lru", seed=0)
    assert twice[1].nu_log is twice[0].nu_log
    # Each γ belongs to the ν that the layer shares.
    for unit in twice:
        square = torch.exp(-2 * torch.exp(unit.nu_log.double()))
        assert torch.allclose(torch.exp(2 * unit.gamma_log.double()), 1 - square, rtol=1e-4)
    with torch.device("meta"):
        hollow = ssm_layouts.S5(6, 8)
    initkit.apply(hollow, "ssm/s5", seed=0)
    real = ssm_layouts.S5(6, 8)
    initkit.apply(real, "ssm/s5", seed=0)
    assert all(torch.equal(a, b) for a, b in zip(hollow.parameters(), real.parameters(), strict=True))


def test_half_precision_is_remarked() -> None:
    with pytest.warns(UserWarning, match=r"stored in bfloat16: time constants are rounded"):
        initkit.apply(ssm_layouts.S4D(6, 8).to(torch.bfloat16), "ssm/s4d")


def test_steps_of_a_known_layer() -> None:
    model = ssm_layouts.S4D(3, 4)
    with torch.no_grad():
        model.kernel.log_A_real.fill_(math.log(0.5))
        model.kernel.A_imag.fill_(2.0)
        model.kernel.log_dt.copy_(torch.log(torch.tensor([0.1, 0.2, 0.4])))
    steps = only(model).steps(reader(model))
    assert steps is not None
    assert torch.allclose(steps.decay[:, 0], torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64), rtol=1e-6)
    assert steps.angle is not None
    assert torch.allclose(steps.angle[:, 1], torch.tensor([0.2, 0.4, 0.8], dtype=torch.float64), rtol=1e-6)


class Point:
    """An entry point of another distribution."""

    def __init__(self, name: str, load: Any) -> None:
        self.name, self.value, self.load = name, f"elsewhere:{name}", load


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda: 1 / 0, r"the adapter 'theirs' \(elsewhere:theirs\) is left out: ZeroDivisionError: division by zero"),
        (
            lambda: object(),
            r"the adapter 'theirs' \(elsewhere:theirs\) is left out: TypeError: object is no initkit_ssm\.Adapter",
        ),
    ],
)
def test_a_broken_adapter_of_another_distribution_is_named_and_harms_nobody(
    load: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers.importlib.metadata, "entry_points", lambda group: [Point("theirs", load)])
    layers._from_entry_points.cache_clear()
    try:
        with pytest.warns(UserWarning, match=words):
            assert len(find_layers(ssm_layouts.S4D(6, 8)).layers) == 1
    finally:
        monkeypatch.undo()
        layers._from_entry_points.cache_clear()


def test_an_adapter_of_another_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Adapter):
        def fits(self, site: Site) -> bool:
            return site.shape("rest") is not None

        def describe(self, site: Site) -> Layer:
            return Layer(site, "theirs", {"rate": Stored(site.full("log_A_real"), (6, 4), LOG)}, self)

    monkeypatch.setattr(layers.importlib.metadata, "entry_points", lambda group: [Point("theirs", Theirs)])
    layers._from_entry_points.cache_clear()
    try:
        assert [layer.kind for layer in find_layers(Other()).layers] == ["theirs"]
    finally:
        monkeypatch.undo()
        layers._from_entry_points.cache_clear()


def test_the_length_is_found_where_the_kernel_is_computed() -> None:
    """Some copies of S4 hold the parameters in the layer, and count the kernel's length in a module inside it."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("l_kernel", torch.tensor(64))

    class Outer(ssm_layouts.S4Kernel):
        def __init__(self) -> None:
            super().__init__(6, 8, rank=1)
            del self.l_kernel
            self.inner = Inner()
            self.inner.A_real = self.A_real

    layer = Outer()
    initkit.apply(layer, "ssm/s4_dplr", seed=0)
    assert int(layer.inner.l_kernel) == 0
    assert layer.inner.A_real is layer.A_real


def test_kernels_that_share_a_feedthrough() -> None:
    class BothWays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.D = nn.Parameter(torch.zeros(6))
            self.there, self.back = ssm_layouts.S4DKernel(6, 8), ssm_layouts.S4DKernel(6, 8)

    model = BothWays()
    report = initkit.apply(model, "ssm/s4d", seed=0)
    assert list(report).count("D") == 1
    assert float(model.D.detach().abs().min()) > 0
    assert not torch.equal(model.there.C, model.back.C)
