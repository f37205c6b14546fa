"""What later plugins need of the core, each shown by a small recipe: calibration, training, resizing, estimators..."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import initkit
from initkit import (
    Blocks,
    Constant,
    Fill,
    Item,
    Job,
    LogUniform,
    Normal,
    Orthogonal,
    PlanError,
    Recipe,
    Rows,
    Set,
    Slot,
    Uniform,
)


@dataclass(frozen=True)
class Everything(Recipe):
    """Fill all there is."""

    std: float = 1.0

    def plan(self, model: nn.Module) -> Iterator[Item]:
        for name, parameter in (*model.named_parameters(), *model.named_buffers()):
            draw = Normal(self.std) if parameter.is_floating_point() else Constant(0)
            yield Fill(name, draw, why="all")


@dataclass(frozen=True)
class Calibrated(Recipe):
    """Unit variance layer by layer, each measured on the model as filled so far."""

    def plan(self, model: nn.Module, *, inputs: torch.Tensor) -> Iterator[Item]:
        names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]

        def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
            found = {}
            for name in ctx.progress(names, "calibrating"):
                layer = ctx.model.get_submodule(name)
                seen = []
                handle = layer.register_forward_hook(lambda module, args, out: seen.append(out))  # noqa: B023
                ctx.forward(inputs)
                handle.remove()
                scaled = ctx.read(f"{name}.weight") / seen[0].std()
                ctx.write(f"{name}.weight", scaled)
                found[name] = scaled
            ctx.note("calibration", [{"layer": name} for name in names])
            return found

        for name in names:
            yield Fill(f"{name}.weight", Orthogonal(), why="start")
            yield Fill(f"{name}.bias", Constant(0), why="no offset")
        yield Job("calibrate", work, "measures each layer")


@dataclass(frozen=True)
class Trained(Recipe):
    """A few steps of gradient descent as a start."""

    steps: int = 30

    def plan(self, model: nn.Module, *, inputs: torch.Tensor, targets: torch.Tensor) -> Iterator[Item]:
        names = [name for name, _ in model.named_parameters()]

        def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
            values = {name: ctx.sample(Normal(0.3), name).requires_grad_() for name in names}
            optimizer = torch.optim.Adam(values.values(), lr=0.05)
            with ctx.undisturbed(train=True, grad=True) as inner:
                for _ in ctx.progress(range(self.steps), "training"):
                    loss = (torch.func.functional_call(inner, values, (inputs,)) - targets).square().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            ctx.note("loss", {"last": round(loss.item(), 6)})
            return {name: value.detach() for name, value in values.items()}

        job = Job("train", work, f"{self.steps} steps of Adam")
        yield job
        for name in names:
            yield Fill(name, job[name], why=f"after {self.steps} steps")


def test_calibration_measures_the_model_as_filled_so_far() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.BatchNorm1d(20), nn.Linear(20, 10))
    statistics = model[2].running_mean.clone()
    inputs = torch.randn(256, 6)
    report = initkit.apply(model, Calibrated(), inputs=inputs)
    assert model[0](inputs).std().item() == pytest.approx(1, rel=1e-4)
    with torch.no_grad():
        assert model.eval()(inputs).std().item() == pytest.approx(1, rel=1e-4)
    assert torch.equal(model[2].running_mean, statistics)
    assert report.notes["calibration"] == [{"layer": "0"}, {"layer": "3"}]
    assert report["0.weight"].draw == "written by calibrate"
    assert report["0.weight"].chain[0]["draw"] == "orthogonal, gain 1"
    assert report["0.weight"].std == pytest.approx(model[0].weight.std(correction=0).item(), rel=1e-5)


def test_training_needs_no_copy_of_the_model_and_leaves_no_graph() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.randn(64, 3)
    given = {"inputs": inputs, "targets": inputs.sum(1, keepdim=True)}
    report = initkit.apply(model, Trained(), seed=4, **given)
    again = initkit.apply(model, Trained(), seed=4, **given)
    assert report.to_json() == again.to_json()
    assert report.notes["loss"]["last"] < 1.5
    assert all(p.grad is None and p.is_leaf and p.requires_grad for p in model.parameters())


@dataclass(frozen=True)
class Grown(Recipe):
    """A larger vocabulary: old rows kept, a new one from the middle."""

    rows: int = 12

    def plan(self, model: nn.Module) -> Iterator[Item]:
        shape = (self.rows, model.get_parameter("embedding.weight").shape[1])
        copy = [0, 1, 2, -1, *range(3, 10), *[-1] * (self.rows - 11)]
        yield Fill("embedding.weight", Rows(copy, Normal(0.5)), why="two new tokens", resize=shape)
        yield Set("embedding.num_embeddings", self.rows, why="the table grew")


def test_resizing_keeps_the_object_the_ties_and_the_rows() -> None:
    torch.manual_seed(1)
    model = nn.ModuleDict({"embedding": nn.Embedding(10, 4), "head": nn.Linear(4, 10, bias=False)})
    model["head"].weight = model["embedding"].weight
    parameter, old = model["embedding"].weight, model["embedding"].weight.detach().clone()
    parameter.grad = torch.ones_like(parameter)
    report = initkit.apply(model, Grown(), seed=9)
    assert model["embedding"].weight is parameter
    assert model["head"].weight is parameter
    assert parameter.shape == (12, 4)
    assert parameter.grad is None
    assert torch.equal(parameter[[0, 1, 2, *range(4, 11)]], old)
    drawn = torch.from_numpy(initkit.Stream(9, "embedding.weight").normals(12, 4) * 0.5).float()
    assert torch.equal(parameter[3], drawn)
    assert model["embedding"].num_embeddings == 12
    assert report["embedding.weight"].resized_from == (10, 4)
    model["head"](model["embedding"](torch.tensor([11]))).sum().backward()


def test_a_resize_fits_the_next_recipe(tmp_path: Any) -> None:
    @dataclass(frozen=True)
    class LastRow(Recipe):
        """Zeros in the last row."""

        def plan(self, model: nn.Module) -> Iterator[Item]:
            yield Fill("embedding.weight", Blocks([(11, Constant(0.0))]), why="padding")

    model = nn.ModuleDict({"embedding": nn.Embedding(10, 4)})
    report = initkit.apply(model, [Grown(), LastRow()])
    assert not model["embedding"].weight[11].any()
    assert report["embedding.weight"].chain[0]["recipe"].endswith("Grown")
    initkit.save(model, tmp_path / "a.safetensors", report=report)
    other = nn.ModuleDict({"embedding": nn.Embedding(10, 4)})
    initkit.load(other, tmp_path / "a.safetensors")
    assert torch.equal(other["embedding"].weight, model["embedding"].weight)
    assert other["embedding"].num_embeddings == 12


def test_rows_must_fit() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 4)})
    with pytest.raises(PlanError, match="row 9 is to be copied, the present tensor has 5 rows"):
        initkit.plan(model, Grown())


def test_blocks_draw_from_sub_streams_and_leave_the_rest() -> None:
    @dataclass(frozen=True)
    class Gates(Recipe):
        """Only the second gate's bias."""

        def plan(self, model: nn.Module) -> Iterator[Item]:
            blocks = [(slice(4, 6), Constant(1.0)), (slice(6, 8), Uniform(-1.0, 1.0))]
            yield Fill("bias_ih_l0", Blocks(blocks), why="forget gate open")  # type: ignore[arg-type]

    model = nn.LSTM(3, 2)
    before = model.bias_ih_l0.detach().clone()
    initkit.apply(model, Gates())
    assert torch.equal(model.bias_ih_l0[:4], before[:4])
    assert model.bias_ih_l0[4:6].tolist() == [1, 1]
    drawn = torch.from_numpy(initkit.Stream(0, "bias_ih_l0#1").uniforms(0, 2) * 2 - 1).float()
    assert torch.equal(model.bias_ih_l0[6:], drawn)


def test_streams_shared_between_tensors_and_mapped_draws() -> None:
    @dataclass(frozen=True)
    class Ring(Recipe):
        """LRU's gamma from the numbers of nu."""

        def plan(self, model: nn.Module) -> Iterator[Item]:
            nu = Uniform(0.81, 0.98).map(lambda u: torch.log(-0.5 * torch.log(u)), "log(-log/2)")
            yield Fill("nu_log", nu, why="radius in [0.9, 0.99]")
            gamma = Uniform(0.81, 0.98).map(lambda u: 0.5 * torch.log(1 - u), "log(1 - r²)/2")
            yield Fill("gamma_log", gamma.using("nu_log"), why="normalisation")
            yield Fill("delta", LogUniform(1e-3, 1e-1), why="time step")

    model = nn.Module()
    for name in ("nu_log", "gamma_log", "delta"):
        model.register_parameter(name, nn.Parameter(torch.zeros(500, dtype=torch.float64)))
    initkit.apply(model, Ring())
    radius = torch.exp(-torch.exp(model.nu_log))
    assert torch.allclose(torch.exp(model.gamma_log), torch.sqrt(1 - radius**2), rtol=1e-9)
    assert 0.9 <= radius.min() <= radius.max() <= 0.99
    assert 1e-3 <= model.delta.min() <= model.delta.max() <= 1e-1


def test_meta_models_are_materialised_with_the_same_bits(tmp_path: Any) -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        model[2].weight = nn.Parameter(model[2].weight.detach(), requires_grad=False)
        return model

    real = build()
    with torch.device("meta"):
        hollow = build()
    tied = hollow[0].weight
    hollow.register_parameter("tied", tied)
    plans = [str(initkit.plan(m, Everything())) for m in (real, hollow)]
    assert plans[0].splitlines()[1:] != []
    first, second = initkit.apply(real, Everything()), initkit.apply(hollow, Everything())
    assert {n: e.hash for n, e in first.items() if n != "0.weight"} == {
        n: e.hash for n, e in second.items() if n != "tied"
    }
    assert hollow.tied is hollow[0].weight is tied
    assert not tied.is_meta
    assert isinstance(tied, nn.Parameter)
    assert not hollow[2].weight.requires_grad
    hollow(torch.randn(5, 3)).sum().backward()


def test_meta_tensors_left_without_values_are_an_error_and_a_failure_makes_them_meta_again() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3))

    @dataclass(frozen=True)
    class First(Recipe):
        """Only the first layer."""

        fail: bool = False

        def plan(self, model: nn.Module) -> Iterator[Item]:
            for name, _ in model.named_parameters():
                if self.fail or name.startswith("0"):
                    yield Fill(name, Constant(1.0), why="x")
            if self.fail:
                yield Job("fail", lambda ctx: 1 / 0, "fails")  # type: ignore[arg-type, return-value]

    with pytest.raises(PlanError, match=r"1\.weight, 1\.bias on the meta device"):
        initkit.apply(model, First())
    weight = model[0].weight
    with pytest.raises(ZeroDivisionError):
        initkit.apply(model, First(fail=True))
    assert model[0].weight is weight
    assert all(p.is_meta for p in model.parameters())


def test_parametrised_tensors_are_written_through_or_refused() -> None:
    @dataclass(frozen=True)
    class Weight(Recipe):
        """The computed weight."""

        def plan(self, model: nn.Module) -> Iterator[Item]:
            yield Fill("0.weight", Normal(0.5), why="through the parametrisation")

    plain = nn.Sequential(nn.Linear(4, 3))
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)))
    initkit.apply(plain, Weight())
    report = initkit.apply(normed, Weight())
    assert torch.allclose(normed[0].weight, plain[0].weight, rtol=1e-6)
    assert report.untouched == ["0.bias"]
    spectral = nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 3)))
    before = {name: t.clone() for name, t in spectral.state_dict().items()}
    with pytest.raises(PlanError, match="changes the value written to it"):
        initkit.apply(spectral, Weight())
    assert all(torch.equal(before[name], t) for name, t in spectral.state_dict().items())

    class Doubling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    one_way = nn.Sequential(nn.Linear(4, 3))
    parametrize.register_parametrization(one_way[0], "weight", Doubling())
    with pytest.raises(PlanError, match="cannot be set to a value|changes the value"):
        initkit.apply(one_way, Weight())


class Estimator:
    """Shaped like an hmmlearn model: hyperparameters, and fitted arrays that are absent at first."""

    def __init__(self, n_components: int, n_features: int) -> None:
        self.n_components = n_components
        self.n_features = n_features
        self.init_params = "stmc"


class ArraySlot(Slot):
    def __init__(self, estimator: Estimator, name: str, shape: tuple[int, ...]) -> None:
        self._estimator = estimator
        self.name, self.shape, self.dtype = name, shape, torch.float64
        self.device, self.present = torch.device("cpu"), hasattr(estimator, name)

    def read(self) -> torch.Tensor:
        return torch.from_numpy(getattr(self._estimator, self.name))

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        setattr(self._estimator, self.name, value.numpy().copy())
        self.present = True

    def snapshot(self) -> Any:
        had, old = hasattr(self._estimator, self.name), getattr(self._estimator, self.name, None)

        def undo() -> None:
            if had:
                setattr(self._estimator, self.name, old)
            elif hasattr(self._estimator, self.name):
                delattr(self._estimator, self.name)

        return undo


@dataclass(frozen=True)
class Clustered(Recipe):
    """Means from the sequences, and a start that fit() keeps."""

    fail: bool = False

    def plan(self, model: Any, *, sequences: np.ndarray[Any, Any]) -> Iterator[Item]:
        def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
            order = ctx.stream("rows").permutation(len(sequences))
            return {"means": torch.from_numpy(sequences[order[: model.n_components]])}

        job = Job("cluster", work, "picks means")
        yield job
        yield Fill("means_", job["means"], why="rows of the data")
        yield Fill("startprob_", Constant(1 / model.n_components), why="uniform")
        yield Set("init_params", "", why="fit keeps our start")
        if self.fail:
            yield Job("fail", lambda ctx: 1 / 0, "fails")  # type: ignore[arg-type, return-value]


@pytest.fixture
def estimator_plugin() -> Iterator[None]:
    from initkit.plugins import Plugin, registry

    module = types.ModuleType("estimator_plugin")

    @initkit.hookimpl
    def initkit_slots(model: Any) -> Iterable[Slot] | None:
        if not isinstance(model, Estimator):
            return None
        k, d = model.n_components, model.n_features
        return [ArraySlot(model, "means_", (k, d)), ArraySlot(model, "startprob_", (k,))]

    module.initkit_slots = initkit_slots  # type: ignore[attr-defined]
    found = registry()
    found.manager.register(module, name="estimators")
    before = found.plugins
    found.plugins = (*before, Plugin("estimators", "estimator_plugin", "x", "1", hooks=("initkit_slots",)))
    yield
    found.plugins = before
    found.manager.unregister(module)


@pytest.mark.usefixtures("estimator_plugin")
def test_estimators_that_are_no_modules(tmp_path: Any) -> None:
    data = np.random.default_rng(0).normal(size=(50, 2))
    estimator = Estimator(3, 2)
    with pytest.raises(ZeroDivisionError):
        initkit.apply(estimator, Clustered(fail=True), sequences=data)
    assert vars(estimator) == {"n_components": 3, "n_features": 2, "init_params": "stmc"}
    report = initkit.apply(estimator, Clustered(), sequences=data, seed=1)
    assert estimator.means_.shape == (3, 2)  # type: ignore[attr-defined]
    assert estimator.init_params == ""
    assert report.covered == 1
    initkit.save(estimator, tmp_path / "hmm.safetensors", report=report)
    other = Estimator(3, 2)
    initkit.load(other, tmp_path / "hmm.safetensors")
    assert np.array_equal(other.means_, estimator.means_)  # type: ignore[attr-defined]
    assert other.init_params == ""


def test_a_plugin_whose_slots_hook_raises_harms_nobody() -> None:
    from initkit.plugins import Plugin, registry

    module = types.ModuleType("raising_plugin")

    @initkit.hookimpl
    def initkit_slots(model: Any) -> None:
        raise RuntimeError("broken inside")

    module.initkit_slots = initkit_slots  # type: ignore[attr-defined]
    found = registry()
    found.manager.register(module, name="raising")
    before = found.plugins
    found.plugins = (*before, Plugin("raising", "raising_plugin", "x", "1", hooks=("initkit_slots",)))
    try:
        with pytest.warns(
            UserWarning, match="plugin 'raising' is left out: initkit_slots fails: RuntimeError: broken inside"
        ):
            report = initkit.apply(nn.Linear(2, 2), Everything())
        assert report.covered == 1
    finally:
        found.plugins = before
        found.manager.unregister(module)


def test_recipes_pickle() -> None:
    import pickle

    recipe = Grown(rows=20)
    sys.modules.setdefault(Grown.__module__, sys.modules[__name__])
    assert pickle.loads(pickle.dumps(recipe)) == recipe
