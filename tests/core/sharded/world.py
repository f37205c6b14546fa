"""What several processes do with one model. Run once for each rank: ``python world.py RANK COUNT FOLDER``.

Each function ``case_...`` is run by all ranks together; ``FOLDER/RANK.json`` says how they went. ``test_worlds.py``
starts this and reads that.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import initkit
from initkit import (
    Blocks,
    CommitError,
    Constant,
    Draw,
    Fill,
    Item,
    Job,
    LogUniform,
    Normal,
    Orthogonal,
    Output,
    PlanError,
    RankError,
    Recipe,
    Rows,
    Set,
    TruncatedNormal,
    Uniform,
    Values,
)

FOLDER = Path()


# Models and recipes


class Net(nn.Module):
    """Two linear layers, an embedding tied to the output, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.omega = 1.0
        self.embed = nn.Embedding(33, 14)
        self.a = nn.Linear(14, 10)
        self.b = nn.Linear(10, 14)
        self.out = nn.Linear(14, 33, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("scale", torch.zeros(5))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.b(torch.relu(self.a(self.embed(tokens))))) * self.omega
        return logits


@dataclass(frozen=True)
class Simple(Recipe):
    """Element-wise draws alone."""

    std: float = 0.5

    def plan(self, model: Net) -> Iterator[Item]:
        fan = model.a.weight.shape[1]
        yield Fill("embed.weight", TruncatedNormal(self.std), why="tied to out.weight")
        yield Fill("a.weight", Normal(1 / fan**0.5), why=f"fan {fan}")
        yield Fill("a.bias", Uniform(-1, 1), why="uniform")
        yield Fill("b.weight", Normal(torch.linspace(0.1, 1, 10)), why="a scale for each column")
        yield Fill("b.bias", Constant(0.25), why="constant")
        yield Fill("scale", Normal(1.0), why="a buffer")
        yield Set("omega", 30.0, why="set")


@dataclass(frozen=True)
class Whole(Recipe):
    """Draws that make whole tensors, a job and an output."""

    def plan(self, model: Net) -> Iterator[Item]:
        yield Fill("a.weight", Orthogonal(2.0), why="orthogonal")
        yield Fill("b.weight", Values(torch.arange(140.0).reshape(14, 10)), why="given")
        job = Job("mean", self.mean, "the mean of what is there")
        yield job
        yield Fill("a.bias", job["a.bias"], why="computed")
        yield Output("mean", job["mean"], None, why="kept")
        yield Fill("embed.weight", Rows(torch.arange(32, -1, -1), Constant(0)), why="rows turned round")

    def mean(self, ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        mean = ctx.read("a.weight").mean()
        ctx.write("b.bias", torch.arange(14.0))
        out = ctx.forward(torch.arange(6))
        return {"a.bias": mean * torch.arange(10.0), "mean": mean + out.isfinite().all()}


@dataclass(frozen=True)
class Given(Recipe):
    """Whatever is given."""

    def __post_init__(self) -> None:
        self.make: Callable[[nn.Module], Iterator[Item]]

    def plan(self, model: nn.Module) -> Iterator[Item]:
        return self.make(model)


def recipe(make: Callable[[Any], Iterator[Item]]) -> Given:
    made = Given()
    object.__setattr__(made, "make", make)
    return made


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: bits(whole(t)) for name, t in [*model.named_parameters(), *model.named_buffers()]}


def without_made(report: initkit.Report) -> dict[str, Any]:
    found = report.to_dict()
    for entry in found["tensors"].values():
        entry.pop("made", None)
    return found


def same(model: nn.Module, one: Recipe, expected: nn.Module, report: initkit.Report, seed: int = 7) -> initkit.Report:
    """Apply, and see that bits and report are those of a model in one piece."""
    found = initkit.apply(model, one, seed=seed)
    for name, value in state(expected).items():
        assert state(model)[name] == value, name
    assert without_made(found) == report.to_dict()
    return found


def raises(kind: type[Exception], work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:
        if type(error) is not kind:
            raise
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def mesh(count: int) -> DeviceMesh:
    return init_device_mesh("cpu", (2, count // 2), mesh_dim_names=("dp", "tp"))


def fsdp(model: nn.Module) -> nn.Module:
    for layer in (model.a, model.b):
        fully_shard(layer)
    return fully_shard(model)


def net(meta: bool = False) -> Net:
    torch.manual_seed(0)
    with torch.device("meta" if meta else "cpu"):
        return Net()


# Bits


def case_placements(rank: int, count: int) -> None:
    """All placements, uneven shapes, all element-wise draws: the bits of one process."""
    along: list[tuple[DeviceMesh, list[Placement]]] = [
        (init_device_mesh("cpu", (count,)), [one]) for one in (Shard(0), Shard(1), Replicate())
    ]
    if count > 1:
        pairs = [[Shard(0), Shard(1)], [Shard(0), Shard(0)], [Replicate(), Shard(0)], [Shard(1), Shard(0)]]
        along += [(mesh(count), pair) for pair in pairs]
    for shape in ((7, 5), (33, 17), (3, 2)):
        for which, (on, placements) in enumerate(along):
            model, plain = nn.Module(), nn.Module()
            draws = elementwise(shape)
            for i, (_, dtype) in enumerate(draws):
                start = torch.zeros(shape, dtype=dtype)
                grad = dtype.is_floating_point or dtype.is_complex
                spread = distribute_tensor(start, on, placements)
                plain.register_parameter(f"p{i}", nn.Parameter(start.clone(), requires_grad=grad))
                model.register_parameter(f"p{i}", nn.Parameter(spread, requires_grad=grad))
            one = recipe(lambda _, draws=draws: (Fill(f"p{i}", d, why="test") for i, (d, _) in enumerate(draws)))
            expected = initkit.apply(plain, one, seed=3)
            report = same(model, one, plain, expected, seed=3)
            assert report.to_json() == expected.to_json(), (shape, which)  # not a word of how it is spread


def elementwise(shape: tuple[int, int]) -> list[tuple[Draw, torch.dtype]]:
    rows, columns = shape
    blocks = Blocks([((slice(0, 2),), Normal(1.0)), ((slice(2, None), slice(None, None, 2)), Constant(3.0))])
    wholly = Blocks([(0, Normal(1.0)), (slice(1, None), Uniform(0, 1))])
    return [
        (Normal(0.02), torch.float32),
        (Normal(0.02), torch.float64),
        (Normal(torch.linspace(0.1, 2, rows)[:, None], torch.linspace(-1, 1, columns)), torch.float32),
        (Normal(0.02), torch.bfloat16),
        (Normal(0.02), torch.complex64),
        (Normal(torch.linspace(0.1, 2, columns)), torch.complex64),
        (Uniform.with_std(0.1), torch.float16),
        (TruncatedNormal(0.02), torch.float32),
        (TruncatedNormal(0.02, low=0.5, high=3), torch.bfloat16),
        (LogUniform(1e-3, 0.1), torch.float32),
        (LogUniform(1e-3, 0.1).map(torch.log, "log"), torch.float32),
        (Uniform(0, 1).using("p0"), torch.float32),
        (Constant(3), torch.int64),
        (blocks, torch.float32),
        (wholly, torch.float32),
    ]


def case_fully_shard(rank: int, count: int) -> None:
    """FSDP2: tied weights, a buffer, an attribute; then it trains."""
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    model = fsdp(net())
    found = same(model, Simple(), plain, report)
    assert found.subject == "Net"
    assert found["out.weight"].aliases == ("out.weight",)
    assert model.out.weight is model.embed.weight
    assert model.omega == 30.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.arange(6)).sum().backward()
    optimizer.step()
    assert state(model)["a.weight"] != state(plain)["a.weight"]
    # A forward pass leaves the root's parameters whole; they are shards again for the next run.
    with torch.no_grad():
        model(torch.arange(6))
    same(model, Simple(), plain, report)


def case_tensor_parallel(rank: int, count: int) -> None:
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    model = parallelize_module(
        net(), init_device_mesh("cpu", (count,)), {"a": ColwiseParallel(), "b": RowwiseParallel()}
    )
    assert isinstance(model.a.weight, DTensor)
    same(model, Simple(), plain, report)


def case_fsdp_over_tensor_parallel(rank: int, count: int) -> None:
    """Strided shards: each mesh dimension cuts what the other has cut."""
    if count == 1:
        return
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    both = mesh(count)
    model = parallelize_module(net(), both["tp"], {"a": ColwiseParallel(), "b": RowwiseParallel()})
    fully_shard(model, mesh=both["dp"])
    same(model, Simple(), plain, report)


def case_hybrid_sharding(rank: int, count: int) -> None:
    """Copies of shards: replicas agree, and each part is told once."""
    if count == 1:
        return
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    model = fully_shard(net(), mesh=mesh(count))
    same(model, Simple(), plain, report)
    local = [None] * count
    dist.all_gather_object(local, bits(model.a.weight.to_local().detach()))
    assert local[: count // 2] == local[count // 2 :] if count == 2 else True


def case_meta(rank: int, count: int) -> None:
    """Built without memory, sharded, filled: each process makes its part alone."""
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    model = fsdp(net(meta=True))
    parameter, held = model.a.weight, model.b.weight
    found = same(model, Simple(), plain, report)
    assert model.a.weight is parameter
    assert model.b.weight is held
    assert not any(p.is_meta for p in (*model.parameters(), *model.buffers()))
    assert found.covered == 1.0
    model(torch.arange(6)).sum().backward()
    assert state(model) == state(plain)


def case_meta_left_hollow(rank: int, count: int) -> None:
    model = fsdp(net(meta=True))
    one = recipe(lambda _: iter([Fill("a.weight", Normal(1.0), why="one of them")]))
    assert "embed.weight" in raises(PlanError, lambda: initkit.apply(model, one))
    assert all(p.is_meta for p in model.parameters())


def case_meta_is_restored(rank: int, count: int) -> None:
    model = fsdp(net(meta=True))

    def broken(model: nn.Module) -> Iterator[Item]:
        yield from Simple().plan(model)
        yield Job("stop", stop, "stops")

    raises(CommitError, lambda: initkit.apply(model, recipe(broken)))
    assert all(p.is_meta for p in (*model.parameters(), *model.buffers()))
    assert model.omega == 1.0


def stop(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
    raise CommitError("stopped on purpose")


# Whole tensors


def case_whole_tensors(rank: int, count: int) -> None:
    """Orthogonal, given values, rows and job results: made on one rank, scattered, and the report says so."""
    plain = net()
    report = initkit.apply(plain, [Simple(), Whole()], seed=7)
    model = fsdp(net())
    found = initkit.apply(model, [Simple(), Whole()], seed=7)
    for name, value in state(plain).items():
        assert state(model)[name] == value, name
    assert without_made(found) == report.to_dict()
    said = {name: entry.made for name, entry in found.items()}
    words = "whole on one rank, then scattered"
    assert said == {
        "embed.weight": words, "a.weight": words, "a.bias": words, "b.weight": words, "b.bias": None, "scale": None,
    }  # fmt: skip
    assert f'"made": "{words}"' in found.to_json()
    assert torch.equal(found.outputs["mean"], report.outputs["mean"])


def case_blocks_with_a_whole_draw(rank: int, count: int) -> None:
    def make(_: nn.Module) -> Iterator[Item]:
        yield Fill("a.weight", Blocks([(slice(0, 3), Orthogonal()), (slice(5, 7), Normal(1.0))]), why="part of it")

    plain, model = net(), fsdp(net())
    same(model, recipe(make), plain, initkit.apply(plain, recipe(make), seed=7))


def case_a_job_writes_while_the_model_runs(rank: int, count: int) -> None:
    """Calibration from inside a forward pass: the layers after it see what was written, though FSDP runs on copies."""

    def calibrate(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        def rescale(layer: nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
            weight = ctx.read("a.weight") / out.std()
            ctx.write("a.weight", weight)
            return nn.functional.linear(args[0], layer.weight, layer.bias)

        seen: list[torch.Tensor] = []
        hooks = [ctx.model.a.register_forward_hook(rescale)]
        hooks.append(ctx.model.b.register_forward_hook(lambda layer, args, out: seen.append(out.clone())))
        ctx.forward(torch.arange(6))
        for hook in hooks:
            hook.remove()
        ctx.forward(torch.arange(6))
        return {"std": seen[0].std()}

    def make(model: Net) -> Iterator[Item]:
        yield from list(Simple().plan(model))[:-1]
        job = Job("calibrate", calibrate, "calibrates")
        yield job
        yield Output("std", job["std"], None, why="what the next layer gave")

    plain = net()
    report = initkit.apply(plain, recipe(make), seed=7)
    model = fully_shard(net())  # one unit: whole copies stay registered after a forward pass
    found = initkit.apply(model, recipe(make), seed=7)
    assert state(model) == state(plain)
    assert torch.equal(found.outputs["std"], report.outputs["std"])


def case_checkpoint_round_trip(rank: int, count: int) -> None:
    """torch's own distributed checkpoints hold what was filled."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

    model = fsdp(net(meta=True))
    initkit.apply(model, Simple(), seed=7)
    dcp.save(get_model_state_dict(model), checkpoint_id=FOLDER / "dcp")
    again = fsdp(net())
    found = get_model_state_dict(again)
    dcp.load(found, checkpoint_id=FOLDER / "dcp")
    set_model_state_dict(again, found)
    assert state(again) == state(model)


def case_saved_and_loaded(rank: int, count: int) -> None:
    """One file and a folder of shards: the bytes of one process; each process reads back just its part."""
    recipes = [Simple(), Whole()]
    plain = net()
    report = initkit.apply(plain, recipes, seed=7)
    model = fsdp(net(meta=True))
    initkit.apply(model, Simple(), seed=7)
    found = initkit.apply(model, recipes, seed=7)
    initkit.save(model, FOLDER / "model.safetensors", report=found)
    initkit.save(model, FOLDER / "model", report=found, max_shard_size=1000)
    if rank == 0:
        initkit.save(plain, FOLDER / "plain.safetensors", report=report)
        initkit.save(plain, FOLDER / "plain", report=report, max_shard_size=1000)
        assert (FOLDER / "model.safetensors").read_bytes() == (FOLDER / "plain.safetensors").read_bytes()
        files = sorted(path.name for path in (FOLDER / "plain").iterdir())
        assert files[-1] == "model.safetensors.index.json"
        assert len(files) > 2
        for name in files:
            assert (FOLDER / "model" / name).read_bytes() == (FOLDER / "plain" / name).read_bytes(), name
    dist.barrier()
    for meta in (False, True):
        for path in (FOLDER / "model.safetensors", FOLDER / "model"):
            again = fsdp(net(meta=meta))
            loaded = initkit.load(again, path)
            assert state(again) == state(plain)
            assert again.omega == 30.0
            assert torch.equal(loaded.outputs["mean"], report.outputs["mean"])
            assert again.out.weight is again.embed.weight
    if count > 1:
        both = mesh(count)
        other = parallelize_module(net(), both["tp"], {"a": ColwiseParallel(), "b": RowwiseParallel()})
        fully_shard(other, mesh=both["dp"])
        initkit.load(other, FOLDER / "plain")
        assert state(other) == state(plain)


def case_saving_fails(rank: int, count: int) -> None:
    model = fsdp(net())
    place = FOLDER / "nowhere" / "model.safetensors"
    words = unchanged(model, initkit.FileError if count == 1 else RankError, lambda: initkit.save(model, place))
    assert "cannot write" in words
    assert not place.parent.exists()


def case_saving_breaks_off(rank: int, count: int) -> None:
    """The disk fails in the middle of a tensor: nobody waits for the one who writes, and nothing is left."""
    from initkit.shards.writing import FileWriter

    model = fsdp(net())
    write = FileWriter.write

    def broken(self: FileWriter, name: str, buffers: Any) -> None:
        if name == "b.weight":
            next(iter(buffers))
            raise OSError(28, "No space left on device")
        write(self, name, buffers)

    FileWriter.write = broken  # type: ignore[method-assign]
    try:
        place = FOLDER / "full"
        kind = initkit.FileError if count == 1 else RankError
        words = unchanged(model, kind, lambda: initkit.save(model, place, max_shard_size=1000))
    finally:
        FileWriter.write = write  # type: ignore[method-assign]
    assert "No space left" in words
    assert not place.exists()


def case_loading_fails(rank: int, count: int) -> None:
    """A file that is missing for one rank alone: no rank loads anything."""
    model = fsdp(net())
    initkit.save(model, FOLDER / "some.safetensors")
    initkit.apply(model, Simple())
    place = FOLDER / ("nothing.safetensors" if rank == count - 1 else "some.safetensors")
    kind = initkit.FileError if count == 1 else RankError
    words = unchanged(model, kind, lambda: initkit.load(model, place))
    assert "cannot load" in words
    assert "nothing.safetensors" in words


# Mistakes: all ranks stop, with one message, and nothing has changed


def unchanged(model: nn.Module, kind: type[Exception], work: Callable[[], Any]) -> str:
    before = state(model)
    words = raises(kind, work)
    told = [None] * dist.get_world_size()
    dist.all_gather_object(told, words)
    assert len(set(told)) == 1, told
    assert state(model) == before
    return words


def case_the_same_mistake_everywhere(rank: int, count: int) -> None:
    model = fsdp(net())
    one = recipe(lambda _: iter([Fill("nothing.weight", Normal(1.0), why="a misprint")]))
    words = unchanged(model, PlanError, lambda: initkit.apply(model, one))
    assert "nothing.weight" in words
    assert "Net" in words
    assert "rank" not in words


def case_another_seed(rank: int, count: int) -> None:
    if count == 1:
        return
    model = fsdp(net())
    words = unchanged(model, RankError, lambda: initkit.apply(model, Simple(), seed=min(rank, 1)))
    assert words == "rank 0 and rank 1 differ at 'plan': 'seed 0' and 'seed 1'"


def case_another_option(rank: int, count: int) -> None:
    if count == 1:
        return
    model = fsdp(net())
    words = unchanged(model, RankError, lambda: initkit.apply(model, Simple(std=0.5 + (rank == count - 1))))
    assert f"rank 0 and rank {count - 1} differ at 'plan'" in words
    assert "0.5" in words
    assert "1.5" in words


def case_another_scale(rank: int, count: int) -> None:
    """Numbers that a description leaves out are compared too."""
    if count == 1:
        return
    model = fsdp(net())
    scale = torch.full((10,), 1.0 + rank)
    one = recipe(lambda _: iter([Fill("b.weight", Normal(scale), why="from data")]))
    assert "its numbers" in unchanged(model, RankError, lambda: initkit.apply(model, one))


def case_one_rank_cannot_plan(rank: int, count: int) -> None:
    if count == 1:
        return
    model = fsdp(net())

    def make(model: nn.Module) -> Iterator[Item]:
        if rank == 1:
            raise PlanError("its data is broken")
        yield from Simple().plan(model)

    words = unchanged(model, RankError, lambda: initkit.apply(model, recipe(make)))
    assert words == f"rank 1 of {count}: its data is broken"


def case_one_rank_has_a_bug(rank: int, count: int) -> None:
    if count == 1:
        return
    model = fsdp(net())

    def job(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
        ctx.write("a.bias", torch.ones(10))
        if rank == 1:
            raise ZeroDivisionError("oh")
        return {"x": torch.ones(10)}

    def make(model: nn.Module) -> Iterator[Item]:
        yield from Simple().plan(model)
        yield Job("divides", job, "divides")

    words = unchanged(model, RankError, lambda: initkit.apply(model, recipe(make)))
    assert words.startswith(f"rank 1 of {count}: ZeroDivisionError: oh (world.py, line ")
    assert model.omega == 1.0


def case_one_part_is_not_finite(rank: int, count: int) -> None:
    """Only the rank that holds the last row sees it; all of them stop."""
    model = fsdp(net())
    scale = torch.ones(10, 1, dtype=torch.float64)
    scale[-1] = 1e300
    one = recipe(lambda _: iter([Fill("a.bias", Normal(1.0), why="w"), Fill("a.weight", Normal(scale), why="w")]))
    kind = CommitError if count == 1 else RankError
    words = unchanged(model, kind, lambda: initkit.apply(model, one))
    assert "NaN or infinite" in words
    assert "a.weight" in words


def case_whole_tensor_fails_on_its_rank(rank: int, count: int) -> None:
    model = fsdp(net())
    bad = torch.ones(14, 10)
    bad[0, 0] = float("nan")
    fills = [Fill("a.weight", Orthogonal(), why="first"), Fill("b.weight", Values(bad), why="second")]
    one = recipe(lambda _: iter(fills))
    kind = CommitError if count == 1 else RankError
    assert "1 NaN or infinite" in unchanged(model, kind, lambda: initkit.apply(model, one))


def case_job_result_missing(rank: int, count: int) -> None:
    model = fsdp(net())

    def make(_: nn.Module) -> Iterator[Item]:
        job = Job("one", lambda ctx: {"x": torch.ones(10)}, "gives x")
        yield job
        yield Fill("a.bias", job["y"], why="a misprint")

    assert "gave no 'y'" in unchanged(model, CommitError, lambda: initkit.apply(model, recipe(make)))


def case_job_takes_parts_for_wholes(rank: int, count: int) -> None:
    model = fsdp(net())

    def make(_: nn.Module) -> Iterator[Item]:
        yield Job("mixes", lambda ctx: {"x": ctx.model.a.weight @ torch.ones(14)}, "mixes")

    words = unchanged(model, CommitError, lambda: initkit.apply(model, recipe(make)))
    assert "works on whole tensors" in words


def case_resize(rank: int, count: int) -> None:
    model = fsdp(net())
    one = recipe(lambda _: iter([Fill("embed.weight", Normal(1.0), why="more", resize=(40, 14))]))
    words = unchanged(model, PlanError, lambda: initkit.apply(model, one))
    assert "embed.weight (33, 14)" in words
    assert "spread over several processes" in words


def case_partial_sums(rank: int, count: int) -> None:
    model = nn.Module()
    on = init_device_mesh("cpu", (count,))
    model.register_parameter("p", nn.Parameter(DTensor.from_local(torch.ones(4, 4), on, [Partial()])))
    one = recipe(lambda _: iter([Fill("p", Normal(1.0), why="w")]))
    assert "still to be added up" in raises(PlanError, lambda: initkit.apply(model, one))


def case_parametrised(rank: int, count: int) -> None:
    model = net()
    nn.utils.parametrizations.weight_norm(model.a)
    fully_shard(model)
    one = recipe(lambda _: iter([Fill("a.weight", Normal(1.0), why="w")]))
    assert "parametrised and spread" in raises(PlanError, lambda: initkit.apply(model, one))


def case_flattened(rank: int, count: int) -> None:
    """The older FSDP flattens parameters."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = FullyShardedDataParallel(net(), device_id=torch.device("cpu"))
    assert "FullyShardedDataParallel, which flattens" in raises(PlanError, lambda: initkit.apply(model, Simple()))


# Copies


def case_data_parallel(rank: int, count: int) -> None:
    """Copies agree without a broadcast, and that is checked."""
    plain = net()
    report = initkit.apply(plain, Simple(), seed=7)
    model = nn.parallel.DistributedDataParallel(net())
    assert initkit.apply(model, Simple(), seed=7).to_json() == report.to_json()
    if count == 1:
        return
    words = raises(RankError, lambda: initkit.apply(model, Simple(), seed=rank))
    assert "'seed 0' and 'seed 1'" in words

    def make(_: nn.Module) -> Iterator[Item]:
        job = Job("differs", lambda ctx: {"x": torch.full((10,), float(rank))}, "differs")
        yield job
        yield Fill("a.bias", job["x"], why="differs")

    before = bits(model.module.a.bias.detach())
    words = raises(RankError, lambda: initkit.apply(model, recipe(make)))
    assert words.startswith("rank 0 and rank 1 differ at 'report': 'a.bias ")
    assert bits(model.module.a.bias.detach()) == before


def case_agree(rank: int, count: int) -> None:
    """Plain models that are to be wrapped later are compared when asked."""
    initkit.agree(initkit.apply(net(), Simple(), seed=7))
    if count > 1:
        report = initkit.apply(net(), Simple(), seed=rank)
        assert "differ at 'report'" in raises(RankError, lambda: initkit.agree(report))


def case_structure(rank: int, count: int) -> None:
    """What a recipe may run to see how a model runs: whole, on the meta device, without other ranks."""
    model = fsdp(net())
    copied = initkit.structural_copy(model)
    assert type(copied) is Net
    assert type(copied.a) is nn.Linear
    assert copied.out.weight is copied.embed.weight
    assert not copied._forward_pre_hooks
    assert copied(torch.zeros(2, 3, dtype=torch.long, device="meta")).shape == (2, 3, 33)
    assert initkit.kind_name(model) == "Net"
    assert type(model).__name__ == "FSDPNet"
    model(torch.arange(6))


def case_plain_models_are_not_compared(rank: int, count: int) -> None:
    """Processes may do different things with models of their own."""
    if rank == 0:
        initkit.apply(net(), Simple(), seed=1)


# Hanging: last, since it ends what the ranks have in common


def case_zz_a_rank_stays_away(rank: int, count: int) -> None:
    if count == 1:
        return
    model = fsdp(net())
    os.environ["INITKIT_TIMEOUT"] = "3"
    initkit.apply(model, Simple())
    if rank == count - 1:
        return
    words = raises(RankError, lambda: initkit.apply(model, Simple()))
    expected = f"rank {count - 1} did not come within 3 s" if rank == 0 else "its message says who is missing"
    assert expected in words, words
    assert "INITKIT_TIMEOUT" in words


def main(rank: int, count: int, folder: Path) -> None:
    global FOLDER
    FOLDER = folder
    torch.set_num_threads(1)
    logging.getLogger("torch.distributed.tensor").setLevel(logging.ERROR)
    results: dict[str, str] = {}
    address = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=count, timeout=timedelta(seconds=60))
    try:
        for name, case in [(n, f) for n, f in globals().items() if n.startswith("case_")]:
            try:
                case(rank, count)
                results[name] = "ok"
            except BaseException:  # noqa: BLE001 - the test shows it
                results[name] = traceback.format_exc()
                break  # the others may wait for this rank: nothing after it means anything
    finally:
        (folder / f"{rank}.json").write_text(json.dumps(results))
    if all(words == "ok" for words in results.values()):
        dist.destroy_process_group()
    else:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
