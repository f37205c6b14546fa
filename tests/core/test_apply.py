"""Plan and commit on plain modules: what is written, what is refused, and that failures change nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
import pytest
import torch
from torch import nn

import initkit
from initkit import (
    CommitError,
    Constant,
    Fill,
    InitError,
    Item,
    Job,
    Keep,
    NeedError,
    Normal,
    OptionError,
    Orthogonal,
    Output,
    PlanError,
    Recipe,
    Set,
    Stream,
    Uniform,
    Values,
)


def state(model: nn.Module) -> dict[str, tuple[int, bytes, bool]]:
    """Everything that must survive a failure: identity, bits, flags."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        name: (
            id(t),
            t.detach().contiguous().view(torch.uint8).numpy().tobytes() if t.ndim else str(t.item()).encode(),
            t.requires_grad,
        )
        for name, t in tensors.items()
    }


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


@dataclass(frozen=True)
class Small(Recipe):
    """Small normal weights.

    Source: this test.
    """

    std: Annotated[float, annotated_types.Gt(0)] = 0.02
    kind: Literal["normal", "uniform"] = "normal"
    sizes: tuple[int, ...] = ()

    def plan(self, model: nn.Module) -> Iterator[Item]:
        draw = Normal(self.std) if self.kind == "normal" else Uniform.with_std(self.std)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                yield Fill(name, draw, why=f"std {self.std}")
            elif name.endswith("bias"):
                yield Keep(name, why="biases stay")


class Yields(Recipe):
    """Yields what a test gives it."""

    def __init__(self, *items: Any) -> None:
        object.__setattr__(self, "items", items)

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield from self.items


def test_apply_writes_the_streams_and_reports(model: nn.Sequential) -> None:
    before = model[0].bias.clone()
    report = initkit.apply(model, Small(std=0.5), seed=3)
    expected = torch.from_numpy(Stream(3, "0.weight").normals(0, 32) * 0.5).float().reshape(8, 4)
    assert torch.equal(model[0].weight, expected)
    assert torch.equal(model[0].bias, before)
    assert list(report) == ["0.weight", "3.weight"]
    assert report.kept == ["0.bias", "1.bias", "3.bias"]
    assert report.untouched == ["1.weight"]
    assert report.covered == (32 + 24) / (32 + 8 + 8 + 8 + 24 + 3)
    assert report["0.weight"].std == pytest.approx(expected.double().std(correction=0).item(), rel=1e-5)
    assert report.to_json() == initkit.apply(model, Small(std=0.5), seed=3).to_json()


def test_plan_touches_nothing_and_runs_no_job(model: nn.Sequential) -> None:
    before = state(model)

    def fail(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        raise AssertionError("a job ran in a plan")

    job = Job("work", fn=fail, words="computes the head")
    plan = initkit.plan(model, Yields(job, Fill("3.weight", job["head"], why="computed")))
    assert plan["3.weight"].shape == (3, 8)
    assert plan["3.weight"].draw.describe() == "computed by work"
    assert "computes the head" in str(plan)
    assert state(model) == before


def test_scale_draws_tell_their_std_whatever_the_distribution(model: nn.Sequential) -> None:
    for kind in ("normal", "uniform"):
        plan = initkit.plan(model, Small(std=0.25, kind=kind))  # type: ignore[arg-type]
        assert plan["0.weight"].draw.std == 0.25
        assert plan["0.weight"].why == "std 0.25"


def test_order_and_other_layers_do_not_matter(model: nn.Sequential) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Linear(2, 2)
            self.add_module("3", nn.Linear(8, 3))
            self.add_module("0", nn.Linear(4, 8))

    other = Other()
    initkit.apply(model, Small(), seed=1)
    initkit.apply(other, Small(), seed=1)
    assert torch.equal(model[0].weight, other.get_parameter("0.weight"))
    assert torch.equal(model[3].weight, other.get_parameter("3.weight"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_the_float32_value_rounded(dtype: torch.dtype) -> None:
    whole, half = nn.Linear(30, 20), nn.Linear(30, 20).to(dtype)
    initkit.apply(whole, Small(std=0.3))
    initkit.apply(half, Small(std=0.3))
    assert torch.equal(half.weight, whole.weight.to(dtype))


def test_float32_is_float64_rounded_once() -> None:
    single, double = nn.Linear(30, 20), nn.Linear(30, 20).double()
    initkit.apply(single, Small(std=0.3))
    initkit.apply(double, Small(std=0.3))
    assert torch.equal(single.weight, double.weight.float())


def test_complex_parameters_draw_both_components() -> None:
    model = nn.Module()
    model.register_parameter("w", nn.Parameter(torch.zeros(50, 60, dtype=torch.complex64)))
    initkit.apply(model, Yields(Fill("w", Normal(0.5), why="complex")))
    flat = torch.view_as_real(model.w.detach()).flatten()
    assert torch.equal(flat, torch.from_numpy(Stream(0, "w").normals(0, 6000) * 0.5).float())


def test_non_contiguous_parameters_get_the_same_values_and_keep_their_strides() -> None:
    plain, strided = nn.Module(), nn.Module()
    plain.register_parameter("w", nn.Parameter(torch.zeros(6, 5)))
    strided.register_parameter("w", nn.Parameter(torch.zeros(5, 6).T))
    for model in (plain, strided):
        initkit.apply(model, Yields(Fill("w", Normal(1.0), why="all")))
    assert torch.equal(plain.w, strided.w)
    assert strided.w.stride() == (1, 6)


def test_wrappers_are_seen_through(model: nn.Sequential) -> None:
    initkit.apply(model, Small(), seed=5)
    wanted = model[0].weight.detach().clone()
    for wrap in (lambda m: torch.compile(m, backend="eager"), nn.DataParallel):
        initkit.apply(model, Small(), seed=6)
        wrapped = wrap(model)
        report = initkit.apply(wrapped, Small(), seed=5)
        assert list(report) == ["0.weight", "3.weight"]
        assert torch.equal(model[0].weight, wanted)
    inner = nn.Sequential(torch.compile(nn.Linear(4, 8), backend="eager"), nn.Linear(8, 3))
    assert list(initkit.apply(inner, Small())) == ["0.weight", "1.weight"]


def test_ddp_is_seen_through(model: nn.Sequential, tmp_path: Path) -> None:
    initkit.apply(model, Small(), seed=5)
    wanted = model[0].weight.detach().clone()
    initkit.apply(model, Small(), seed=6)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        report = initkit.apply(wrapped, Small(), seed=5)
        initkit.save(wrapped, tmp_path / "m.safetensors", report=report)
    finally:
        torch.distributed.destroy_process_group()
    assert list(report) == ["0.weight", "3.weight"]
    assert torch.equal(model[0].weight, wanted)


def test_tied_tensors_are_one_slot_and_stay_tied() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(10, 4), "head": nn.Linear(4, 10, bias=False)})
    model["head"].weight = model["embedding"].weight
    report = initkit.apply(
        model, Yields(*(Fill(n, Normal(1.0), why="tied") for n in ("embedding.weight", "head.weight")))
    )
    assert model["head"].weight is model["embedding"].weight
    assert list(report) == ["embedding.weight"]
    assert report["head.weight"].aliases == ("head.weight",)
    expected = torch.from_numpy(Stream(0, "embedding.weight").normals(0, 40)).float().reshape(10, 4)
    assert torch.equal(model["head"].weight, expected)
    different = Yields(Fill("embedding.weight", Normal(1.0), why="a"), Fill("head.weight", Normal(2.0), why="b"))
    with pytest.raises(PlanError, match="tied"):
        initkit.plan(model, different)


def test_frozen_parameters_are_filled_marked_and_stay_frozen(model: nn.Sequential) -> None:
    model[0].weight.requires_grad_(False)
    report = initkit.apply(model, Small())
    assert report["0.weight"].frozen
    assert not report["3.weight"].frozen
    assert not model[0].weight.requires_grad
    assert model[3].weight.requires_grad
    assert model[3].weight.grad_fn is None


def test_global_random_state_and_modes_are_left_alone(model: nn.Sequential) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    model.train()
    model[1].eval()

    def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        torch.rand(5)
        ctx.forward(torch.rand(7, 4))
        return {"head": torch.rand(3, 8)}

    job = Job("work", work, "uses global random numbers")
    recipe = Yields(job, Fill("3.weight", job["head"], why="computed"))
    first = initkit.apply(model, recipe, seed=2)["3.weight"].hash
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert not model[1].training
    assert initkit.apply(model, recipe, seed=2)["3.weight"].hash == first
    assert initkit.apply(model, recipe, seed=3)["3.weight"].hash != first


def test_sets_outputs_and_notes(model: nn.Sequential) -> None:
    def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        ctx.note("found", [{"layer": "0", "gain": 1.5}])
        return {"features": torch.arange(6.0).reshape(2, 3)}

    job = Job("features", work, "makes features")
    report = initkit.apply(
        model,
        Yields(
            job,
            Set("1.momentum", 0.3, why="slower"),
            Output("features", job["features"], (2, 3), why="two nodes"),
            Output("noise", Normal(1.0), (4,), why="drawn"),
        ),
    )
    assert model[1].momentum == 0.3
    assert report.outputs["features"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert report.outputs["noise"].tolist() == pytest.approx(
        Stream(0, "outputs/noise").normals(0, 4).tolist(), rel=1e-6
    )
    assert report.notes["found"] == [{"layer": "0", "gain": 1.5}]


def test_several_recipes_keep_the_chain_and_see_the_one_before(model: nn.Sequential) -> None:
    @dataclass(frozen=True)
    class Doubled(Recipe):
        """Doubles what is there."""

        reads_values = True

        def plan(self, model: nn.Module) -> Iterator[Item]:
            yield Fill("0.weight", Values(model.get_parameter("0.weight") * 2), why="doubled")

    report = initkit.apply(model, [Small(std=0.5), Doubled()])
    expected = torch.from_numpy(Stream(0, "0.weight").normals(0, 32) * 0.5).float().reshape(8, 4) * 2
    assert torch.equal(model[0].weight, expected)
    assert [link["draw"] for link in report["0.weight"].chain] == ["N(0, 0.5²)"]


def test_only_and_exclude_narrow(model: nn.Sequential) -> None:
    report = initkit.apply(model, Small(), only=["0.*"], exclude=["*.bias"])
    assert list(report) == ["0.weight"]
    assert "3.weight" in report.kept
    with pytest.raises(PlanError, match=r"matches no tensor"):
        initkit.plan(model, Small(), only=["9.*"])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([Fill("0.wieght", Normal(1.0), why="x")], "did you mean '0.weight'"),
        ([Fill("0.weight", Normal(float("nan")), why="x")], r"0\.weight \(8, 4\): std of .* is not finite"),
        ([Fill("0.weight", Normal(-1.0), why="x")], "std is negative"),
        ([Fill("0.weight", Normal(0.0), why="x")], "0 everywhere; use Constant"),
        ([Fill("0.weight", Normal(torch.ones(5)), why="x")], "does not broadcast"),
        ([Fill("0.weight", Values(torch.ones(4, 8)), why="x")], r"shape \(4, 8\), the tensor \(8, 4\)"),
        ([Fill("0.weight", Normal(1.0), why="x"), Fill("0.weight", Normal(1.0), why="y")], "filled twice"),
        ([Fill("0.weight", Normal(1.0), why="x"), Keep("0.weight", why="y")], "both filled and kept"),
        ([Fill("0.weight", Normal(1.0), why="  ")], "say why"),
        ([Fill("0.bias", Orthogonal(), why="x")], "needs a matrix"),
        ([Fill("1.num_batches_tracked", Normal(1.0), why="x")], "random draw cannot fill"),
        ([Fill("1.num_batches_tracked", Constant(0.5), why="x")], "no value of torch.int64"),
        ([Keep("0.weight", why="x")], "found nothing to initialise"),
        ([], "found nothing to initialise"),
        (["0.weight"], "yields a str"),
        ([Set("1.momentom", 1, why="x")], "did you mean 'momentum'"),
        ([Set("0.weight", 1, why="x")], "tensors are filled"),
        ([Set("1.momentum", object(), why="x")], "no JSON value"),
        ([Fill("0.weight", Job("j", dict, "w")["k"], why="x")], "must be yielded before"),  # type: ignore[arg-type]
        ([Output("a b", Normal(1.0), (2,), why="x")], "a name has letters"),
        ([Output("a", Normal(1.0), None, why="x")], "needs a shape"),
    ],
)
def test_a_plan_that_does_not_fit_is_one_clear_line(model: nn.Sequential, items: list[Any], words: str) -> None:
    before = state(model)
    with pytest.raises(PlanError, match=words) as caught:
        initkit.apply(model, Yields(*items))
    assert "\n" not in str(caught.value)
    assert "Yields" in str(caught.value)
    assert state(model) == before


def test_integer_tensors_take_constants_and_values(model: nn.Sequential) -> None:
    initkit.apply(model, Yields(Fill("1.num_batches_tracked", Constant(7), why="seven")))
    assert model[1].num_batches_tracked.item() == 7


def test_options_are_checked_when_made_and_again_at_commit(model: nn.Sequential) -> None:
    with pytest.raises(OptionError, match=r"option std=-1.0: input should be greater than 0"):
        Small(std=-1.0)
    with pytest.raises(OptionError, match="option std='0.1'"):
        Small(std="0.1")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="option std=inf"):
        Small(std=float("inf"))
    with pytest.raises(OptionError, match="option kind='normall'"):
        Small(kind="normall")  # type: ignore[arg-type]
    assert Small(sizes=[1, 2]).sizes == (1, 2)  # type: ignore[arg-type]
    broken = Small()
    object.__setattr__(broken, "std", -3.0)
    with pytest.raises(OptionError):
        initkit.apply(model, broken)


def test_needs_missing_and_unknown(model: nn.Sequential) -> None:
    @dataclass(frozen=True)
    class Asks(Recipe):
        """Asks for data."""

        def plan(self, model: nn.Module, *, inputs: torch.Tensor, labels: Any = None) -> Iterator[Item]:
            yield Fill("0.weight", Normal(float(inputs.std())), why="std of the inputs")

    with pytest.raises(NeedError, match="needs 'inputs'.*define the name 'inputs'"):
        initkit.plan(model, Asks())
    with pytest.raises(NeedError, match="unknown keyword 'input'; did you mean 'inputs'"):
        initkit.plan(model, Asks(), input=torch.ones(3))
    assert initkit.plan(model, Asks(), inputs=torch.tensor([-1.0, 1.0]))["0.weight"].draw.std > 1


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, None, "0"])
def test_seeds_out_of_range_are_refused(model: nn.Sequential, seed: Any) -> None:
    with pytest.raises(InitError, match="seed"):
        initkit.apply(model, Small(), seed=seed)


class _Boom(Exception):
    pass


def boom(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
    ctx.write("3.bias", torch.full((3,), 9.0))
    raise _Boom


def interrupt(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
    os.kill(os.getpid(), signal.SIGINT)
    return {}


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ([Job("boom", boom, "fails")], _Boom),
        ([Job("stop", interrupt, "Ctrl-C")], KeyboardInterrupt),
        (
            [
                job := Job("nan", lambda ctx: {"w": torch.full((3, 8), torch.nan)}, "NaN"),
                Fill("3.weight", job["w"], why="x"),
            ],
            CommitError,
        ),
        (
            [job := Job("wrong", lambda ctx: {"w": torch.ones(2, 2)}, "shape"), Fill("3.weight", job["w"], why="x")],
            CommitError,
        ),
        ([job := Job("none", lambda ctx: {}, "nothing"), Fill("3.weight", job["w"], why="x")], CommitError),
        ([Job("odd", lambda ctx: [1], "no mapping")], CommitError),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_failure_half_way_leaves_the_model_bit_identical(
    model: nn.Sequential, last: list[Any], error: type[BaseException]
) -> None:
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    gradients = [p.grad for p in model.parameters()]
    before = state(model)
    first = [
        Fill("0.weight", Normal(1.0), why="first"),
        Fill("1.running_mean", Constant(4.0), why="buffer"),
        Set("1.momentum", 0.9, why="attribute"),
        Set("1.training", False, why="attribute"),
        Fill("3.bias", Normal(1.0), resize=(5,), why="resized"),
    ]
    with pytest.raises(error):
        initkit.apply(model, Yields(*first, *last))
    assert state(model) == before
    assert model[1].momentum == 0.1
    assert model[1].training
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_break_the_rollback(model: nn.Sequential) -> None:
    before = state(model)

    def twice(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
        return {}

    with pytest.raises(KeyboardInterrupt):
        initkit.apply(model, Yields(Fill("0.weight", Normal(1.0), why="x"), Job("stop", twice, "Ctrl-C twice")))
    assert state(model) == before


def test_without_rollback_a_failure_says_so(model: nn.Sequential) -> None:
    items = (Fill("0.weight", Normal(1.0), why="x"), Job("boom", boom, "fails"))
    with pytest.raises(CommitError, match="half written"):
        initkit.apply(model, Yields(*items), rollback=False)


def test_a_late_mistake_is_found_before_anything_runs(model: nn.Sequential) -> None:
    ran = []
    job = Job("long", lambda ctx: ran.append(1) or {}, "takes hours")  # type: ignore[func-returns-value]
    first = Yields(job, Fill("0.weight", Normal(1.0), why="x"))
    with pytest.raises(PlanError):
        initkit.apply(model, [first, Yields(Fill("nowhere", Normal(1.0), why="x"))])
    assert ran == []


def test_lazy_parameters_are_named(model: nn.Sequential) -> None:
    lazy = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    with pytest.raises(PlanError, match=r"0\.weight: its shape is not known yet"):
        initkit.plan(lazy, Yields(Fill("0.weight", Normal(1.0), why="x")))
    assert list(initkit.apply(lazy, Yields(Fill("1.weight", Normal(1.0), why="x")))) == ["1.weight"]


def test_unknown_subjects_are_refused() -> None:
    with pytest.raises(PlanError, match="no installed plugin knows its tensors"):
        initkit.plan(object(), Small())


def test_what_is_no_recipe_is_refused(model: nn.Sequential) -> None:
    with pytest.raises(OptionError, match="make an instance"):
        initkit.plan(model, Small)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least one"):
        initkit.plan(model, [])
    with pytest.raises(OptionError, match="device 'nowhere'"):
        initkit.apply(model, Small(), device="nowhere")


def test_a_parameter_of_one_element_with_a_stride_is_hashed() -> None:
    model = nn.Linear(2, 1)
    model.bias.data = torch.zeros(1, 2)[:, 0]
    assert model.bias.stride() == (2,)

    class Ones(Small):
        def plan(self, model: Any) -> Iterator[Item]:
            yield Fill("bias", Constant(1.0), why="ones")

    assert initkit.apply(model, Ones())["bias"].hash == initkit.apply(nn.Linear(2, 1), Ones())["bias"].hash


def test_what_a_job_writes_into_a_tensor_that_is_shut_out_is_left() -> None:
    class Writes(Small):
        def plan(self, model: Any) -> Iterator[Item]:
            def work(ctx: Any) -> dict[str, torch.Tensor]:
                ctx.write("bias", torch.ones(1))
                return {}

            yield Fill("weight", Constant(1.0), why="ones")
            yield Job("work", work, "writes the bias")

    model = nn.Linear(2, 1)
    before = model.bias.detach().clone()
    report = initkit.apply(model, Writes(), exclude=["bias"])
    assert torch.equal(model.bias, before)
    assert report.reasons == {"bias": "excluded by 'bias'"}


def test_what_a_job_writes_must_be_finite() -> None:
    class Writes(Small):
        def plan(self, model: Any) -> Iterator[Item]:
            def work(ctx: Any) -> dict[str, torch.Tensor]:
                ctx.write("bias", torch.full((1,), float("nan")))
                return {}

            yield Job("work", work, "writes the bias")

    with pytest.raises(CommitError, match="job 'work' writes NaN or infinite values into bias"):
        initkit.apply(nn.Linear(2, 1), Writes())
