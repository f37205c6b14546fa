"""Inspection: golden values of each measurement, that nothing is left changed, and what bad input is told."""

from __future__ import annotations

import gc
import json
import math
import random
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import initkit
from initkit import Inspection, NotMeasured, Probe, Scene, Table, UnhealthyError, Verdict
from initkit.errors import InitError, NeedError, PluginError, ProbeError
from initkit.probing.epsinas import epsinas_score
from initkit.probing.gradsign import gradsign_sum
from initkit.probing.jacobian import exact
from initkit.probing.kernel import tangent_kernel
from initkit.probing.signal import growth
from initkit.probing.spectra import ranks


def mlp(gain: float, activation: type[nn.Module]) -> nn.Sequential:
    """6-16-16-3 in float64, weights from ``RandomState(0)``."""
    state = np.random.RandomState(0)
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((6, 16), (16, 16), (16, 3)):
        layer = nn.Linear(fan_in, fan_out).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(state.randn(fan_out, fan_in) * gain / math.sqrt(fan_in)))
            layer.bias.copy_(torch.tensor(state.randn(fan_out) * 0))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def data() -> tuple[Tensor, Tensor]:
    state = np.random.RandomState(123)
    return torch.tensor(state.randn(8, 6)), torch.tensor(state.randint(0, 3, 8))


@pytest.fixture
def relu() -> nn.Sequential:
    return mlp(math.sqrt(2), nn.ReLU)


class Deep(nn.Module):
    """A deep network with normalisation, dropout, functional activations and a branch."""

    def __init__(self, layers: int = 6, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor, extra: Tensor | None = None) -> dict[str, Any]:
        x = self.drop(self.norm(x))
        for layer in self.layers:
            x = F.relu(layer(x), inplace=True)
        if extra is not None:
            x = x + extra
        return {"hidden": None, "logits": self.head(x)}


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: t.detach().numpy().tobytes() for name, t in model.state_dict().items()}


class TestGolden:
    def test_signal_and_dead_units(self, relu: nn.Sequential) -> None:
        x, y = data()
        layers = initkit.inspect(relu, x, targets=y, probes="core/signal").tables["layers"].rows
        assert [row["forward m2"] for row in layers] == pytest.approx([3.09560386, 2.99153309, 3.00714356], rel=1e-6)
        assert [row["backward m2"] for row in layers] == pytest.approx(
            [7.834094e-4, 1.042558e-3, 4.351712e-3], rel=1e-6
        )
        assert [row["idle"] for row in layers] == [0.0, 0.1875, None]

    def test_ranks(self, relu: nn.Sequential) -> None:
        found = ranks(relu[0].weight)
        assert (found.entropy, found.stable, found.participation) == pytest.approx(
            (5.66335209, 2.95622035, 4.36962041), rel=1e-8
        )
        assert ranks(torch.zeros(3, 2)).entropy == 0
        assert ranks(torch.eye(4)).entropy == pytest.approx(4)

    def test_jacobian(self, relu: nn.Sequential) -> None:
        scene = Scene(relu, data()[0])
        assert scene.inputs is not None
        values = exact(scene, scene.inputs, scene.inputs.tensors[0])
        assert values is not None
        assert values.mean(0).tolist() == pytest.approx([1.92601213, 1.05264804, 0.26965303], rel=1e-7)

    def test_kernel(self, relu: nn.Sequential) -> None:
        matrix = tangent_kernel(Scene(relu, data()[0]), 64)
        values = torch.linalg.eigvalsh(matrix)
        assert float(matrix.trace()) == pytest.approx(348.254134, rel=1e-8)
        assert float(values[-1] / values[0]) == pytest.approx(32.9499, rel=1e-5)

    def test_gradsign(self, relu: nn.Sequential) -> None:
        x, y = data()
        assert gradsign_sum(Scene(relu, x, targets=y), 128) == (509.0, 6 * 16 + 16 * 16 + 16 * 3, 8)

    def test_epsinas(self, relu: nn.Sequential) -> None:
        x, _ = data()
        assert epsinas_score(Scene(mlp(1.0, nn.Tanh), x), 1e-3, 1.0) == pytest.approx(0.35915232, rel=1e-6)
        assert epsinas_score(Scene(relu, x), 1e-3, 1.0) == pytest.approx(0, abs=1e-12)

    def test_loss_against_the_uninformed_value(self, relu: nn.Sequential) -> None:
        x, y = data()
        found = initkit.inspect(relu, x, targets=y, probes="core/loss")
        assert found.number("loss at the start") == pytest.approx(F.cross_entropy(relu(x), y).item())
        assert found.number("loss of the answer 0") == pytest.approx(math.log(3))


class TestEstimates:
    def test_a_model_may_give_one_number_a_sample(self, relu: nn.Sequential) -> None:
        x, _ = data()
        alone = nn.Sequential(relu, nn.Linear(3, 1, bias=False).double(), nn.Flatten(0))
        assert alone(x).shape == (8,)
        found = initkit.inspect(alone, x, probes="core/jacobian")
        column = initkit.inspect(alone[:2], x, probes="core/jacobian")
        assert found.number("Jacobian: largest") == column.number("Jacobian: largest") > 0

    def test_the_estimated_jacobian_is_near_the_exact_one(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(40, 100), nn.Tanh(), nn.Linear(100, 80))  # 80 outputs: too many to be exact
        x = torch.randn(16, 40)
        found = initkit.inspect(model, x, probes="core/jacobian")
        wanted = torch.func.vmap(torch.func.jacrev(model))(x)
        s = torch.linalg.svdvals(wanted).detach()
        assert found.number("Jacobian: mean squared") == pytest.approx(float(s.square().sum(1).mean() / 80), rel=0.1)
        assert found.number("Jacobian: largest") == pytest.approx(float(s.max()), rel=0.1)

    def test_the_kernel_of_interacting_samples_equals_that_of_single_gradients(self) -> None:
        class Mixes(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(3, 2).double()

            def forward(self, x: Tensor) -> Tensor:
                return torch.tanh(self.linear(x - x.mean(0)))

        model, x = Mixes(), torch.randn(5, 3, dtype=torch.float64)
        scene = Scene(model, x)
        assert scene.samples_interact
        rows = []
        for i in range(5):
            grads = torch.autograd.grad(model(x)[i].sum() / math.sqrt(2), list(model.parameters()))
            rows.append(torch.cat([g.reshape(-1) for g in grads]))
        wanted = torch.stack(rows) @ torch.stack(rows).T
        assert torch.allclose(tangent_kernel(scene, 64), wanted)

    def test_whole_number_inputs(self) -> None:
        model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 5))
        found = initkit.inspect(model, torch.randint(0, 10, (7, 3)))
        assert found.number("tangent kernel (7 samples): trace") is not None
        assert {skip.probe for skip in found.skipped} >= {"core/jacobian", "core/loss"}

    def test_convolutions_count_channels_as_units(self) -> None:
        model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
        model(torch.zeros(1, 1, 8, 8))
        with torch.no_grad():
            model[0].bias[:2] = -100.0
        rows = initkit.inspect(model, torch.randn(9, 1, 8, 8)).tables["layers"].rows
        assert rows[0]["idle"] == pytest.approx(2 / 6)
        assert rows[0]["of"] == 6

    def test_growth_is_the_factor_of_a_geometric_series(self) -> None:
        assert growth([3 * 0.7**i for i in range(9)]) == pytest.approx(0.7)
        assert growth([1.0]) == 1.0


class TestLayers:
    """Which modules count as layers."""

    def names(self, model: nn.Module, inputs: Any) -> list[str]:
        return [row["layer"] for row in initkit.inspect(model, inputs, probes="core/signal").tables["layers"].rows]

    def test_an_owner_of_many_layers_is_none(self) -> None:
        class Encoder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.position = nn.Parameter(torch.zeros(1, 8))
                self.blocks = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))

            def forward(self, x: Tensor) -> Tensor:
                return self.blocks(x + self.position)  # type: ignore[no-any-return]

        assert self.names(Encoder(), torch.randn(4, 8)) == ["blocks.0", "blocks.2"]

    def test_attention_called_bare(self) -> None:
        x = torch.randn(5, 2, 16)
        assert self.names(nn.MultiheadAttention(16, 4), (x, x, x)) == ["MultiheadAttention"]

    def test_weight_normalised_layers_without_offsets(self) -> None:
        model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3, bias=False)), nn.Linear(3, 2))
        assert self.names(model, torch.randn(5, 4)) == ["0", "1"]

    def test_a_layer_that_is_called_again(self) -> None:
        class Again(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(8, 8)

            def forward(self, x: Tensor) -> Tensor:
                for _ in range(2):
                    x = torch.tanh(self.layer(x))
                return x

        assert self.names(Again(), torch.randn(4, 8)) == ["layer", "layer (2)"]

    def test_attention_is_differentiated_twice(self) -> None:
        model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
        found = initkit.inspect(model, (torch.randn(3, 6, 16), torch.randn(3, 5, 16)), probes="core/jacobian")
        assert found.number("Jacobian: largest singular value") is not None

    def test_scripted_modules_are_refused(self) -> None:
        with pytest.warns(DeprecationWarning, match="script"):
            scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 2)))
        with pytest.raises(InitError, match="give the module that it was scripted from"):
            initkit.inspect(scripted, torch.zeros(1, 3))


class TestVerdicts:
    def test_a_dying_signal_is_told_in_words(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(*(nn.Linear(32, 32, bias=False) for _ in range(12)))
        for layer in model:
            nn.init.normal_(layer.weight, std=0.05)
        found = initkit.inspect(model, torch.randn(64, 32), probes="core")
        assert not found.healthy
        words = [verdict.words for verdict in found.verdicts if verdict.level == "FAIL"]
        assert any("variance falls" in word and "over 12 layers: signal dies before the head" in word for word in words)
        with pytest.raises(UnhealthyError, match="signal dies"):
            found.assert_healthy()

    def test_an_exploding_signal(self) -> None:
        model = nn.Sequential(*(nn.Linear(32, 32) for _ in range(6)))
        for layer in model:
            nn.init.normal_(layer.weight, std=2.0)
        assert any("signal explodes" in v.words for v in initkit.inspect(model, torch.randn(8, 32)).verdicts)

    def test_saturated_units(self) -> None:
        model = nn.Sequential(nn.Linear(8, 20), nn.Tanh(), nn.Linear(20, 2))
        nn.init.normal_(model[0].weight, std=100.0)
        verdicts = initkit.inspect(model, torch.randn(64, 8)).verdicts
        assert any("saturated" in v.words and v.level in ("WARN", "FAIL") for v in verdicts)

    def test_values_that_are_not_finite_name_their_layer(self) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.Linear(2, 2))
        with torch.no_grad():
            model[2].weight[0, 0] = math.nan
        found = initkit.inspect(model, torch.randn(5, 4), probes="core/signal")
        bad = next(v for v in found.verdicts if v.level == "FAIL")
        assert bad.where == "2"
        json.loads(found.to_json())

    def test_a_healthy_model_is_silent(self) -> None:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
        for layer in (model[0], model[2], model[4]):
            nn.init.kaiming_normal_(layer.weight)
        found = initkit.inspect(model, torch.randn(256, 32), probes="core/signal")
        assert found.healthy
        found.assert_healthy(warnings=True)


class TestNothingIsChanged:
    def test_values_buffers_modes_gradients_and_random_state(self) -> None:
        torch.manual_seed(0)
        model = Deep()
        model.drop.eval()
        model.head.weight.grad = torch.ones_like(model.head.weight)
        gradient = model.head.weight.grad
        before, modes = bits(model), [m.training for m in model.modules()]
        flags = [p.requires_grad for p in model.parameters()]
        states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        x = torch.randn(32, 16)
        torch.set_rng_state(states[0])
        found = initkit.inspect(model, {"x": x}, targets=torch.randint(0, 4, (32,), generator=torch.Generator()))
        assert found.number("GradSign (32 samples): sum") is not None
        assert bits(model) == before
        assert [m.training for m in model.modules()] == modes
        assert [p.requires_grad for p in model.parameters()] == flags
        assert model.head.weight.grad is gradient
        assert torch.equal(gradient, torch.ones_like(gradient))
        assert all(p.grad is None for name, p in model.named_parameters() if name != "head.weight")
        assert torch.equal(torch.get_rng_state(), states[0])
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert random.getstate() == states[2]
        assert not any(module._forward_hooks for module in model.modules())

    def test_after_a_failure_too(self) -> None:
        class Breaks(Deep):
            def forward(self, x: Tensor, extra: Tensor | None = None) -> dict[str, Any]:
                super().forward(x)
                raise RuntimeError("too late")

        model = Breaks()
        before = bits(model)
        with pytest.raises(ProbeError, match=r"Breaks fails in forward\(float32 \(8, 16\)\): RuntimeError: too late"):
            initkit.inspect(model, torch.randn(8, 16))
        assert bits(model) == before
        assert model.training
        assert not any(module._forward_hooks for module in model.modules())

    def test_no_graph_outlives_it(self) -> None:
        model, x = nn.Linear(4, 3), torch.randn(5, 4)
        seen: list[weakref.ref[Tensor]] = []
        handle = model.register_forward_hook(lambda m, i, out: seen.append(weakref.ref(out)))
        found = initkit.inspect(model, x)
        handle.remove()
        gc.collect()
        assert seen
        assert all(ref() is None for ref in seen)
        assert found.verdicts is not None

    def test_the_same_numbers_each_time(self) -> None:
        torch.manual_seed(0)
        model, x = Deep(), torch.randn(32, 16)
        assert initkit.inspect(model, x).to_json() == initkit.inspect(model, x).to_json()

    def test_recipes_are_taken_back_and_laid_beside(self, tiny: type[initkit.Recipe]) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        before = bits(model)
        found = initkit.inspect(model, torch.randn(32, 16), recipes=tiny())
        assert bits(model) == before
        assert found.before is not None
        assert found.before.healthy
        assert not found.healthy
        assert found.report is not None
        assert "→" in str(found)
        assert found.to_dict()["before"]["healthy"]

    def test_recipes_are_taken_back_after_a_failure(self, tiny: type[initkit.Recipe]) -> None:
        model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        before = bits(model)

        def fails_later(scene: Scene) -> Iterator[Table]:
            if float(scene.slots["0.weight"].read().abs().max()) < 1e-6:
                raise RuntimeError("after the recipe")
            yield Table("fine", [{"a": 1}])

        with pytest.raises(RuntimeError, match="after the recipe"):
            initkit.inspect(model, torch.randn(3, 16), recipes=tiny(), probes=fails_later)
        assert bits(model) == before


@pytest.fixture
def tiny() -> type[initkit.Recipe]:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Tiny(initkit.Recipe):
        """Weights that are far too small."""

        def plan(self, model: nn.Module) -> Iterator[initkit.Item]:
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1:
                    yield initkit.Fill(name, initkit.Uniform(-1e-7, 1e-7), why="tiny")

    return Tiny


class TestBadInput:
    def test_inputs_that_do_not_fit(self, relu: nn.Sequential) -> None:
        with pytest.raises(ProbeError, match=r"forward\(float64 \(4, 5\)\).*shapes.*nothing was changed"):
            initkit.inspect(relu, torch.zeros(4, 5, dtype=torch.float64))

    def test_no_inputs(self, relu: nn.Sequential) -> None:
        with pytest.raises(NeedError, match="nothing could be measured.*needs inputs"):
            initkit.inspect(relu)

    @pytest.mark.parametrize(
        ("loss", "words"),
        [
            (
                lambda model: model(torch.zeros(2, 6, dtype=torch.float64)),
                r"scalar tensor, not a tensor of shape \(2, 3\)",
            ),
            (lambda model: 1.0, "scalar tensor, not float"),
            (lambda model: torch.zeros(()), "does not depend on the model's parameters"),
            (lambda model: model(torch.zeros(1)), "loss.model. fails: RuntimeError"),
        ],
    )
    def test_a_loss_that_is_none(self, relu: nn.Sequential, loss: Any, words: str) -> None:
        with pytest.raises(ProbeError, match=words):
            initkit.inspect(relu, data()[0], loss=loss)

    def test_targets_that_do_not_fit(self, relu: nn.Sequential) -> None:
        with pytest.raises(InitError, match="targets .* do not fit the model's output"):
            initkit.inspect(relu, data()[0], targets=torch.zeros(8, 7))

    def test_meta_and_lazy_models(self) -> None:
        with pytest.raises(ProbeError, match="weight, bias hold no values yet"):
            initkit.inspect(nn.Linear(3, 2, device="meta"), torch.zeros(1, 3))
        with pytest.raises(ProbeError, match="waits for its first input"):
            initkit.inspect(nn.LazyLinear(3), torch.zeros(1, 3))

    def test_unknown_names(self, relu: nn.Sequential) -> None:
        with pytest.raises(PluginError, match="there is no probe 'core/signa'; did you mean 'core/signal'"):
            initkit.inspect(relu, data()[0], probes="core/signa")
        with pytest.raises(NeedError, match="unknown keyword 'grpah'"):
            initkit.inspect(relu, data()[0], grpah=1)

    def test_an_output_without_numbers(self) -> None:
        class Silent(nn.Linear):
            def forward(self, input: Tensor) -> Any:
                super().forward(input)
                return "done"

        with pytest.raises(ProbeError, match="answers with str"):
            initkit.inspect(Silent(3, 2), torch.zeros(2, 3))

    def test_a_model_without_trained_parameters_still_shows_its_signal(self) -> None:
        model = nn.Linear(3, 2).requires_grad_(False)
        found = initkit.inspect(model, torch.randn(4, 3))
        assert found.tables["layers"].rows[0]["backward m2"] is None


class TestProbes:
    def test_a_probe_of_ones_own(self, relu: nn.Sequential) -> None:
        def mine(scene: Scene) -> Iterator[Table | Verdict]:
            yield Table("mine", [{"what": "layers", "value": len(scene.layers)}])
            yield Verdict("WARN", "look here", "0.weight")

        found = initkit.inspect(relu, data()[0], probes=mine)
        assert found.tables["mine"].rows == [{"what": "layers", "value": 3}]
        assert str(found.verdicts[0]) == "WARN  0.weight: look here"
        with pytest.raises(UnhealthyError):
            found.assert_healthy(warnings=True)
        found.assert_healthy()

    def test_one_that_cannot_measure_says_why(self, relu: nn.Sequential) -> None:
        def shy(scene: Scene) -> Iterator[Table]:
            raise NotMeasured("not today")
            yield

        with pytest.raises(NeedError, match="shy: not today"):
            initkit.inspect(relu, data()[0], probes=shy)

    def test_one_that_yields_something_else(self, relu: nn.Sequential) -> None:
        with pytest.raises(PluginError, match="yields int"):
            initkit.inspect(relu, data()[0], probes=lambda scene: iter([1]))

    @pytest.mark.parametrize(
        "fields",
        [
            {"name": "Bad", "target": "a:b", "summary": "s"},
            {"name": "a", "target": "ab", "summary": "s"},
            {"name": "a", "target": "a:b", "summary": "two\nlines"},
        ],
    )
    def test_malformed_cards(self, fields: dict[str, str]) -> None:
        with pytest.raises(PluginError):
            Probe(**fields)

    def test_a_level_that_does_not_exist(self) -> None:
        with pytest.raises(PluginError, match="must be one of PASS"):
            Verdict("BAD", "words")  # type: ignore[arg-type]

    def test_rows_of_one_table_are_joined_and_those_of_plugins_kept_apart(self) -> None:
        found = Inspection("M", 0, {})
        found.add(Table("model", [{"measure": "a", "value": 1.0}]), "core/x")
        found.add(Table("model", [{"measure": "b", "value": math.inf}]), "core/y")
        found.add(Table("model", [{"measure": "c", "value": None}]), "gnn/z")
        assert [row["measure"] for row in found.tables["model"].rows] == ["a", "b"]
        assert found.tables["gnn/model"].rows == [{"measure": "c", "value": None}]
        assert found.number("b") == "inf"


def test_a_module_that_bears_two_names_and_a_tensor_in_two_modules_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    model.again = model[4]
    before = {name: (id(p), p.detach().clone()) for name, p in model.named_parameters()}
    initkit.inspect(model, torch.randn(8, 4))
    assert {name: id(p) for name, p in model.named_parameters()} == {name: key for name, (key, _) in before.items()}
    assert all(torch.equal(p, before[name][1]) for name, p in model.named_parameters())
    assert all(p.is_contiguous() for p in model.parameters())
