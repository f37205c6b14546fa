"""Real models of transformers and xlstm: recognised, set, read back, run; and what the audit says of their start."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

import ssm_families as families

import initkit
from initkit.slots import slots_of
from initkit.testing.case import hollow
from initkit_ssm import audit, find_layers, promote_fp32, watch

BROKEN = ("bamba", "granite", "falcon_h1", "jamba", "qwen3_next")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def reader(model: nn.Module) -> Any:
    slots = slots_of(model)
    return lambda name: slots[name].read()


@pytest.mark.parametrize("family", families.CONFIGS)
def test_a_real_model_is_set_read_back_and_run(family: str) -> None:
    kind, count = families.LAYERS[family]
    model = families.build(family)
    found = find_layers(model).layers
    assert [layer.kind for layer in found] == [kind] * count
    # The names of the parameters alone tell the family too, as for a copy of the class somewhere else.
    assert all(layer.adapter.takes(layer.site) and layer.adapter.fits(layer.site) for layer in found)
    report = initkit.apply(model, families.RECIPES[kind], seed=1)
    holders = tuple(layer.name.removesuffix(".rg_lru") for layer in found)
    assert report
    assert all(name.startswith(holders) for name in report)
    assert all(one.level == "PASS" for one in audit(model).layers)
    assert bool(torch.isfinite(families.run(model)).all())


@pytest.mark.parametrize("family", families.CONFIGS)
def test_a_plan_on_the_meta_device_is_the_same(family: str) -> None:
    recipe = families.RECIPES[families.LAYERS[family][0]]
    model = families.build(family)
    real = initkit.plan(model, recipe).to_json()
    assert initkit.plan(hollow(model), recipe).to_json() == real


@pytest.mark.parametrize("family", families.CONFIGS)
def test_the_audit_finds_the_classes_that_start_without_memory(family: str) -> None:
    model = families.build(family)
    levels = {one.level for one in audit(model).layers}
    assert levels == ({"FAIL"} if family in BROKEN else {"PASS"})


@pytest.mark.parametrize("family", BROKEN)
def test_repair_mends_the_dynamics_and_leaves_all_weights(family: str) -> None:
    model = families.build(family)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initkit.apply(model, "ssm/repair")
    changed = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert changed <= set(report)
    assert all(name.rpartition(".")[2] in ("A_log", "dt_bias", "D", "bias") for name in report)
    assert {one.level for one in audit(model).layers} == {"PASS"}
    assert bool(torch.isfinite(families.run(model)).all())


def test_the_audit_names_what_is_wrong_with_mamba2_s_relatives() -> None:
    (found,) = audit(families.build("bamba")).layers
    assert "time constants of 0.0952 to 0.761 steps, and none of 8 modes reach 4" in found.words
    (jamba,) = audit(families.build("jamba")).layers
    assert jamba.words.endswith("mamba.dt_proj.bias is 0 everywhere, as if never set")


RELATIVES = {
    "olmo_hybrid": ("OlmoHybridConfig", "OlmoHybridGatedDeltaNet", (0,), (30, False, None)),
    "qwen3_5": ("Qwen3_5TextConfig", "Qwen3_5GatedDeltaNet", (0,), (32, False, None)),
    "lara_mini": ("LaraMiniConfig", "LaraMiniGatedDeltaNet", (0,), (16, False, None)),
    "kimi_linear": ("KimiLinearConfig", "KimiLinearForgetGate", (), (32, True, None)),
    "glm5_next": ("Glm5NextTextConfig", "Glm5NextTextForgetGate", (), (64, True, 5.0)),
    "bailing_hybrid": ("BailingHybridConfig", "BailingHybridForgetGate", (), (32, True, 5.0)),
}


def relative(family: str, **sizes: int) -> nn.Module:
    config, layer, arguments, _ = RELATIVES[family]
    home = f"transformers.models.{family}"
    made = getattr(importlib.import_module(f"{home}.configuration_{family}"), config)(**sizes)
    module: nn.Module = getattr(importlib.import_module(f"{home}.modeling_{family}"), layer)(made, *arguments)
    return module


@pytest.mark.parametrize("family", RELATIVES)
def test_classes_that_no_list_has_are_known_by_their_parameters(family: str) -> None:
    with torch.device("meta"):
        (layer,) = find_layers(relative(family)).layers
    facts = (layer.facts["heads"], layer.facts["per_channel"], layer.facts["bound"])
    assert (layer.kind, facts) == ("gated_delta", RELATIVES[family][3])


@pytest.mark.parametrize("family", ["kimi_linear", "glm5_next"])
def test_a_forget_gate_s_decay_is_the_layer_s_own(family: str) -> None:
    gate: Any = relative(family, hidden_size=16, linear_head_dim=4, linear_num_heads=3)
    initkit.apply(gate, "ssm/mamba", seed=2)
    (layer,) = find_layers(gate).layers
    steps = layer.steps(reader(gate))
    assert steps is not None
    with torch.no_grad():
        for name in ("f_a_proj", "f_b_proj"):
            getattr(gate, name).weight.zero_()
        given = -gate(torch.zeros(1, 1, 16)).reshape(-1)
    assert torch.allclose(steps.decay.float(), given, rtol=1e-3)  # float32 log(1 + exp(·)) loses digits


# starts that the libraries know themselves


def test_mamba_s_rates_are_those_of_transformers() -> None:
    ours, theirs = families.build("mamba"), families.build("mamba")
    initkit.apply(ours, "ssm/mamba")
    mine, other = slots_of(ours), slots_of(theirs)
    name = "backbone.layers.1.mixer.A_log"
    assert torch.allclose(mine[name].read(), other[name].read(), atol=1e-6)
    low, high = mine["backbone.layers.0.mixer.dt_proj.bias"].read().aminmax()
    assert math.log(math.expm1(1e-3)) - 1e-5 < float(low)
    assert float(high) < math.log(math.expm1(0.1)) + 1e-5


def test_rwkv_s_decays_and_mixing_are_those_of_transformers_and_its_bonus_is_mended() -> None:
    ours, theirs = families.build("rwkv"), families.build("rwkv")
    initkit.apply(ours, "ssm/gate_decay")
    mine, other = slots_of(ours), slots_of(theirs)
    for block in ("rwkv.blocks.0.attention.", "rwkv.blocks.1.attention."):
        for name in ("time_decay", "time_mix_key", "time_mix_value", "time_mix_receptance"):
            assert torch.allclose(mine[block + name].read(), other[block + name].read(), atol=2e-6), name
        # transformers writes 1 everywhere, from a misplaced parenthesis.
        assert torch.equal(other[block + "time_first"].read(), torch.ones(16))
        expected = math.log(0.3) + torch.tensor([0.0, 0.5, -0.5]).repeat(6)[:16]
        assert torch.allclose(mine[block + "time_first"].read(), expected, atol=1e-6)


def test_recurrent_gemma_s_decay_is_the_layer_s_own() -> None:
    """An impulse into the unit itself, gates' projections 0: its output falls by the factor that is read."""
    model = families.build("recurrent_gemma")
    initkit.apply(model, "ssm/rg_lru")
    layer = find_layers(model).layers[0]
    unit: Any = layer.site.module
    with torch.no_grad():
        unit.recurrent_gate_weight.zero_()
        unit.recurrent_gate_bias.fill_(0.7)
        x = torch.zeros(1, 6, 16)
        x[:, 1] = 1.0
        out = unit(x, torch.arange(6)[None])
    steps = layer.steps(reader(model))
    assert steps is not None
    factor = torch.exp(-steps.decay).float()
    for t in range(2, 6):
        assert torch.allclose(out[0, t], out[0, t - 1] * factor, rtol=1e-4)


@pytest.mark.parametrize("family", ["mamba2", "bamba"])
def test_mamba2_s_decay_is_the_layer_s_own(family: str) -> None:
    """With no input after the first steps, a state in the cache falls by the factor that is read."""
    model = families.build(family)
    initkit.apply(model, "ssm/mamba")
    layer = find_layers(model).layers[0]
    mixer: Any = layer.site.module
    with torch.no_grad():
        if mixer.in_proj.bias is not None:
            mixer.in_proj.bias.zero_()
        mixer.conv1d.bias.zero_()
    x = torch.zeros(1, 12, 16)
    x[:, 0] = 100 * torch.randn(16, generator=torch.Generator().manual_seed(0))
    early, late = (_state(model, mixer, x[:, :length]) for length in (6, 12))
    steps = layer.steps(reader(model))
    assert steps is not None
    factor = torch.exp(-6 * steps.decay).float().reshape(1, 8, 1, 1)
    assert float(early.abs().max()) > 1e-6
    assert torch.allclose(late, early * factor, rtol=1e-3, atol=1e-9)


def _state(model: Any, mixer: Any, x: Tensor) -> Tensor:
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        mixer(x, cache=cache)
    state: Tensor = cache.get_recurrent_state(mixer.layer_idx, state_idx=0)
    return state.clone()


def stack() -> nn.Module:
    """xlstm's own stack: an sLSTM between two mLSTM."""
    xlstm = pytest.importorskip("xlstm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mlstm = xlstm.mLSTMLayerConfig(conv1d_kernel_size=4, qkv_proj_blocksize=4, num_heads=2)
        slstm = xlstm.sLSTMLayerConfig(
            backend="vanilla", num_heads=2, conv1d_kernel_size=4, bias_init="powerlaw_blockdependent"
        )
        config = xlstm.xLSTMBlockStackConfig(
            mlstm_block=xlstm.mLSTMBlockConfig(mlstm=mlstm),
            slstm_block=xlstm.sLSTMBlockConfig(
                slstm=slstm, feedforward=xlstm.FeedForwardConfig(proj_factor=1.3, act_fn="gelu")
            ),
            context_length=16,
            num_blocks=3,
            embedding_dim=16,
            slstm_at=[1],
        )
        made: nn.Module = xlstm.xLSTMBlockStack(config)
    return made


def test_xlstm_s_gates_start_as_the_library_starts_them() -> None:
    model = stack()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert [layer.facts["cell"] for layer in find_layers(model).layers] == ["mlstm", "slstm", "mlstm"]
    with torch.no_grad():
        for layer in find_layers(model).layers:
            for parameter in layer.site.module.parameters(recurse=True):
                parameter.add_(torch.rand_like(parameter))
    report = initkit.apply(model, "ssm/gate_decay")
    for name in report:
        if name.endswith("igate.bias"):
            assert 0 < abs(report[name].std or 0) < 0.3
        else:
            assert torch.allclose(model.state_dict()[name], before[name], atol=1e-6), name
    assert model(torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))).isfinite().all()
    assert all(one.level == "PASS" for one in audit(model).layers)


def test_the_large_xlstm_s_gates_start_as_transformers_starts_them() -> None:
    model = families.build("xlstm")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initkit.apply(model, "ssm/gate_decay")
    assert len(report) == 8
    for name in report:
        assert torch.allclose(model.state_dict()[name], before[name], atol=1e-6), name


# watch


@pytest.mark.parametrize("family", [*BROKEN, "mamba2", "zamba2", "nemotron_h"])
def test_watch_names_the_call_that_overwrote_the_dynamics(family: str) -> None:
    model: Any = families.build(family)
    layer = find_layers(model).layers[0]
    with torch.no_grad():  # set by hand, as a training script would
        for role in ("rate", "dt"):
            model.get_parameter(layer.roles[role].tensor).fill_(-2.0)
    with watch(model) as seen:
        model.apply(model._init_weights)
    assert {layer.roles["rate"].tensor, layer.roles["dt"].tensor} <= set(seen.changed)
    assert all("_init_weights" in change.call for change in seen.changes)
    assert f"{type(model).__name__}._init_weights" in seen.changes[0].call
    assert "model.apply(model._init_weights)" in seen.changes[0].line
    assert ("forgets at once" in str(seen)) == (family in BROKEN)


@pytest.mark.parametrize("family", families.CONFIGS)
def test_what_a_recipe_has_set_is_left_by_transformers_own_initialisation(family: str) -> None:
    model: Any = families.build(family)
    initkit.apply(model, families.RECIPES[families.LAYERS[family][0]])
    inner = model.backbone if family == "xlstm" else model  # where transformers' own call works
    with watch(model) as seen:
        inner.apply(inner._init_weights)
    assert seen.changes == []
    assert str(seen).startswith("nothing changed the ")


def test_watch_sees_conversions_replacements_and_writes_through_data() -> None:
    model: Any = families.build("bamba")
    mixer = model.model.layers[0].mamba
    name = "model.layers.0.mamba."
    with watch(model) as seen:
        model.to(torch.bfloat16)
    assert seen.changes[0].call == "BambaForCausalLM.to"
    assert set(seen.changed) == {name + "A_log", name + "dt_bias"}
    with watch(model) as seen:
        mixer.A_log = nn.Parameter(torch.zeros(8))
        mixer.dt_bias.data = torch.zeros(8)
    assert set(seen.changed) == {name + "A_log", name + "dt_bias"}
    with watch(model) as seen:
        mixer.dt_bias.data.add_(1.0)
        mixer.dt_bias.data.add_(0.0)
    (change,) = seen.changes
    assert change.tensors == (name + "dt_bias",)
    assert change.line.endswith("mixer.dt_bias.data.add_(1.0)")


def test_watch_lets_a_model_run_and_sees_other_weights_on_request() -> None:
    model: Any = families.build("mamba", rescale_prenorm_residual=True)
    for parameter in model.parameters():
        parameter._is_hf_initialized = True
    with watch(model, tensors="all") as seen:
        families.run(model)
    assert not seen.changes
    # A division in place that transformers does not guard: loaded weights shrink.
    with watch(model, tensors="all") as seen, torch.no_grad():
        model.apply(model._init_weights)
    assert set(seen.changed) == {f"backbone.layers.{i}.mixer.out_proj.weight" for i in range(2)}


def test_a_model_in_half_precision_runs_with_its_dynamics_in_full() -> None:
    model = families.build("mamba2").bfloat16()
    turned = promote_fp32(model)
    assert len(turned) == 4
    initkit.apply(model, "ssm/mamba")
    assert bool(torch.isfinite(families.run(model)).all())
