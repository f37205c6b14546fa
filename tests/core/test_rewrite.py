"""Recipes on a checkpoint that stays on the disk: the bits of the loaded model, and all or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import initkit
from initkit import (
    Blocks,
    Constant,
    FileError,
    Fill,
    InitError,
    Item,
    Job,
    JobContext,
    Keep,
    LogUniform,
    Normal,
    Orthogonal,
    Output,
    PlanError,
    Recipe,
    Rows,
    Set,
    TruncatedNormal,
    Uniform,
    Values,
)
from initkit.draws import base
from initkit.shards import INDEX, FileWriter, StoredTensors, writing


class Net(nn.Module):
    """Tied tensors, a buffer that is saved and one that is not, a scalar and half precision."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.ones(()))
        self.half = nn.Linear(8, 40, dtype=torch.bfloat16)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("made", torch.zeros(3), persistent=False)
        self.omega = 1.0
        if classes:
            self.classes = nn.Linear(8, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.layers[0](self.embed(ids)))
        return found


def hollow(classes: int = 0) -> Net:
    with torch.device("meta"):
        return Net(classes)


def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture(params=["1kB", "5GB"], ids=["shards", "one file"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    initkit.save(net(), tmp_path / "old", max_shard_size=request.param)
    (tmp_path / "old" / "config.json").write_text('{"width": 8}')
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"old values")
    (tmp_path / "old" / "more").mkdir()
    (tmp_path / "old" / "more" / "words.txt").write_text("kept")
    return tmp_path / "old"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PIECE", 50)
    monkeypatch.setattr("initkit.draws.composite.PIECE", 50)


def state(folder: Path) -> dict[str, str]:
    """Every file's digest."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


@dataclass(frozen=True)
class Everything(Recipe):
    """All kinds of draws."""

    std: float = 0.5

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield Fill("embed.weight", Normal(self.std), why="all")
        yield Fill("layers.0.weight", Orthogonal(), why="whole")
        yield Fill("layers.0.bias", Constant(0.25), why="all")
        yield Fill("layers.1.weight", Uniform(-1.0, torch.arange(1.0, 9.0)).map(torch.sin, "sin"), why="all")
        yield Fill("layers.1.bias", LogUniform(0.1, 1.0).using("layers.2.bias"), why="shared")
        blocks = Blocks([((slice(0, 3),), Normal(1.0)), ((slice(5, 7), slice(2, 4)), Constant(2.0))])
        yield Fill("layers.2.weight", blocks, why="parts")
        yield Fill("layers.2.bias", Values(torch.arange(8.0)), why="given")
        yield Fill("half.weight", TruncatedNormal(0.1), why="all")
        yield Fill("scale", Constant(3.0), why="a scalar")
        yield Fill("norm.num_batches_tracked", Constant(7), why="an integer")
        yield Keep("half.bias", why="stays")
        yield Set("omega", 30.0, why="set")


@dataclass(frozen=True)
class Grown(Recipe):
    """More rows."""

    rows: int = 60

    def plan(self, model: Any) -> Iterator[Item]:
        old = model.embed.weight.shape[0]
        copy = ([*range(1, old)] + [-1] * self.rows)[: self.rows]
        yield Fill("embed.weight", Rows(copy, Normal(1.0)), why="grown", resize=(self.rows, 8))
        yield Set("embed.num_embeddings", self.rows, why="grown")


@dataclass(frozen=True)
class Worked(Recipe):
    """A job reads, writes and notes."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        def work(ctx: JobContext) -> dict[str, torch.Tensor]:
            old = ctx.read("layers.0.weight")
            ctx.write("layers.1.bias", ctx.read("layers.1.bias") + 1)
            ctx.note("norm", {"was": float(old.norm())}, saved=True)
            return {"w": old * 2 + ctx.sample(Normal(1.0), "layers.0.weight"), "f": old.mean(0)}

        yield (job := Job("work", work, "doubles"))
        yield Fill("layers.0.weight", job["w"], why="doubled")
        yield Output("means", job["f"], (8,), why="means")


def same_as_loaded(source: Path, target: Path, recipes: Any, **words: Any) -> Any:
    """Rewrite, and apply to the loaded model; returns both reports and the loaded model."""
    report = initkit.rewrite(source, target, recipes, model=hollow(), seed=3, **words)
    model = Net()
    initkit.load(model, source)
    other = initkit.apply(model, recipes, seed=3, **words)
    written = tensors_of(target)
    for name, value in model.state_dict().items():
        if name != "head.weight":
            assert torch.equal(written[name], value), name
    again = Net()
    initkit.load(again, target)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
    assert again.omega == model.omega
    return report, other, model


RUNS = (
    [Everything()],
    [Grown()],
    [Worked()],
    [Everything(), Grown()],
    [Grown(), Everything()],
    [Grown(60), Grown(70)],
    [Grown(60), Grown(55), Worked()],
    [Worked(), Everything()],
)


@pytest.mark.parametrize("recipes", RUNS)
def test_the_bits_and_the_report_are_those_of_the_loaded_model(source: Path, tmp_path: Path, recipes: Any) -> None:
    before = state(source)
    report, other, _ = same_as_loaded(source, tmp_path / "new", recipes)
    assert state(source) == before
    ours, theirs = report.to_dict(), other.to_dict()
    assert [row["file"] for row in ours["notes"].pop("files left out")] == ["pytorch_model.bin"]
    assert ours == theirs
    assert json.loads((tmp_path / "new" / "initkit.report.json").read_text()) == json.loads(report.to_json())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "old"]
    files = {file.name for file in (tmp_path / "new").iterdir()}
    assert files == {file.name for file in source.iterdir()} - {"pytorch_model.bin"} | {"initkit.report.json"}


def test_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        initkit.rewrite(source, tmp_path / name, [Everything(), Worked()], model=hollow(), seed=5)
    assert state(tmp_path / "one") == state(tmp_path / "two")
    initkit.rewrite(source, tmp_path / "three", [Everything(), Worked()], model=hollow(), seed=6)
    assert state(tmp_path / "one") != state(tmp_path / "three")


def test_the_model_is_left_as_it_is(source: Path, tmp_path: Path) -> None:
    model = hollow()
    identities = {name: id(parameter) for name, parameter in model.named_parameters()}
    initkit.rewrite(source, tmp_path / "new", [Everything(), Grown(), Worked()], model=model)
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == identities
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.embed.weight.shape == (50, 8)
    assert (model.embed.num_embeddings, model.omega) == (50, 1.0)


def test_a_plan_reads_headers_alone_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    before = state(tmp_path)
    plan = initkit.plan_rewrite(source, [Everything(), Worked()], model=hollow(), only=["layers.*"])
    assert state(tmp_path) == before
    assert [fill.name for fill in plan.fills if fill.name == "embed.weight"] == []
    assert plan["layers.0.weight"].draw.describe() == "computed by work"
    assert "embed.weight" in {keep.name for keep in plan.keeps}


def test_only_and_exclude(source: Path, tmp_path: Path) -> None:
    same_as_loaded(source, tmp_path / "new", Everything(), only=["layers.*"], exclude=["*.bias"])


def test_attributes_shapes_and_outputs_of_an_earlier_run_still_hold(source: Path, tmp_path: Path) -> None:
    initkit.rewrite(source, tmp_path / "one", [Everything(), Grown(), Worked()], model=hollow(), seed=1)
    initkit.rewrite(tmp_path / "one", tmp_path / "two", Worked(), model=hollow(), seed=2)
    model = Net()
    loaded = initkit.load(model, tmp_path / "two")
    assert (model.omega, model.embed.num_embeddings, model.embed.weight.shape) == (30.0, 60, (60, 8))
    assert set(loaded.outputs) == {"means"}
    assert loaded.provenance["seed"] == 2
    assert [run["seed"] for run in loaded.provenance["before"]] == [1]
    assert loaded.provenance["notes"]["norm"]["was"] > 0
    one = Net()
    before = initkit.load(one, tmp_path / "one").provenance["notes"]["norm"]
    assert float(one.layers[0].weight.detach().norm()) == pytest.approx(loaded.provenance["notes"]["norm"]["was"])
    assert before != loaded.provenance["notes"]["norm"]


def test_tensors_that_the_model_lacks_are_passed_on_and_named(source: Path, tmp_path: Path) -> None:
    extra = {"other.weight": torch.arange(6).reshape(2, 3)}
    file = max(source.glob("*.safetensors"))
    metadata = StoredTensors.of(file).shards[0].metadata
    save_file(load_file(file) | extra, file, metadata)
    if (source / INDEX).is_file():
        index = json.loads((source / INDEX).read_text())
        index["weight_map"]["other.weight"] = file.name
        (source / INDEX).write_text(json.dumps(index))
    report = initkit.rewrite(source, tmp_path / "new", Everything(), model=hollow())
    assert torch.equal(tensors_of(tmp_path / "new")["other.weight"], extra["other.weight"])
    rows = report.notes["passed on, though the model has no such tensors"]
    assert [row["tensor"] for row in rows] == ["other.weight"]


@dataclass(frozen=True)
class Head(Recipe):
    """A head that the checkpoint lacks."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        yield Fill("classes.weight", Normal(0.02), why="new")
        yield Fill("classes.bias", Constant(0.0), why="new")


def test_tensors_that_the_checkpoint_lacks_are_added_where_a_recipe_fills_them(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"has no values for classes\.weight, classes\.bias, and no recipe fills them"):
        initkit.rewrite(source, tmp_path / "new", Everything(), model=hollow(5))
    report = initkit.rewrite(source, tmp_path / "new", Head(), model=hollow(5), seed=4)
    torch.manual_seed(0)
    model = Net(5)
    other = initkit.apply(model, Head(), seed=4)
    written = tensors_of(tmp_path / "new")
    assert torch.equal(written["classes.weight"], model.classes.weight)
    assert report["classes.weight"].to_dict() == other["classes.weight"].to_dict()
    again = Net(5)
    initkit.load(again, tmp_path / "new")
    assert torch.equal(again.classes.weight, model.classes.weight)
    assert torch.equal(again.embed.weight, net().embed.weight)


def test_a_single_file(tmp_path: Path) -> None:
    initkit.save(net(), tmp_path / "old.safetensors")
    recipes = [Everything(), Grown(), Worked()]
    report = initkit.rewrite(
        tmp_path / "old.safetensors", tmp_path / "new.safetensors", recipes, model=hollow(), seed=3
    )
    assert (tmp_path / "new.report.json").read_text() == report.to_json()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.report.json", "new.safetensors", "old.safetensors"]
    model, again = Net(), Net()
    initkit.load(model, tmp_path / "old.safetensors")
    initkit.apply(model, recipes, seed=3)
    initkit.load(again, tmp_path / "new.safetensors")
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
    with pytest.raises(FileError, match="exists; give force=True"):
        initkit.rewrite(tmp_path / "old.safetensors", tmp_path / "new.safetensors", recipes, model=hollow())
    initkit.rewrite(
        tmp_path / "old.safetensors", tmp_path / "old.safetensors", recipes, model=hollow(), force=True, seed=3
    )
    assert (tmp_path / "old.safetensors").read_bytes() == (tmp_path / "new.safetensors").read_bytes()


def test_in_its_own_place_and_over_another_with_force(source: Path, tmp_path: Path) -> None:
    initkit.rewrite(source, tmp_path / "new", Everything(), model=hollow())
    before = state(tmp_path / "new")
    with pytest.raises(FileError, match=r"new exists; give force=True to replace it"):
        initkit.rewrite(source, tmp_path / "new", Grown(), model=hollow())
    assert state(tmp_path / "new") == before
    initkit.rewrite(source, source, Everything(), model=hollow(), force=True)
    assert state(source) == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "old"]


@dataclass(frozen=True)
class Broken(Recipe):
    """What may go wrong."""

    how: str = ""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        def forward(ctx: JobContext) -> dict[str, torch.Tensor]:
            return {"w": ctx.forward(torch.zeros(1, dtype=torch.long))}

        def values(ctx: JobContext) -> dict[str, torch.Tensor]:
            return {"w": torch.full((8, 8), float(ctx.model.layers[0].weight.std()))}

        def shape(ctx: JobContext) -> dict[str, torch.Tensor]:
            ctx.write("layers.0.weight", torch.zeros(2, 2))
            return {}

        def fails(ctx: JobContext) -> dict[str, torch.Tensor]:
            raise ZeroDivisionError("in the job")

        if self.how in ("forward", "values", "shape", "fails"):
            job = Job(
                self.how, {"forward": forward, "values": values, "shape": shape, "fails": fails}[self.how], "works"
            )
            yield Fill("embed.weight", Normal(1.0), why="first")
            yield job
            if self.how not in ("shape", "fails"):
                yield Fill("layers.1.weight", job["w"], why="then")
        elif self.how == "reads":
            yield Fill("layers.0.weight", Normal(float(model.layers[0].weight.std())), why="read")  # type: ignore[index, union-attr]
        elif self.how == "hollow":
            yield Fill("layers.0.weight", Values(model.layers[0].weight * 2), why="read")  # type: ignore[index, union-attr]
        elif self.how == "nan":
            yield Fill("embed.weight", Normal(1.0).map(torch.log, "log"), why="bad")
        elif self.how == "output":
            yield (job := Job("free", lambda ctx: {"f": torch.ones(3)}, "gives"))
            yield Output("features", job["f"], None, why="any shape")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            "forward",
            r"Broken, job 'forward' runs the model, and a checkpoint is not in memory; load the model and apply",
        ),
        ("values", r"Broken, job 'values' uses values of the model itself, and a checkpoint is not in memory"),
        ("shape", r"a job gave layers\.0\.weight the shape \(2, 2\), which the plan does not announce"),
        ("reads", r"Broken uses values of the model itself, and a checkpoint is not in memory; load the model"),
        ("hollow", r"layers\.0\.weight \(8, 8\): the values are on the meta device"),
        ("nan", r"embed\.weight \(50, 8\): log\(.*\) holds \d+ NaN or infinite values; nothing was changed"),
        ("output", r"output 'features': its job decides the shape, but a checkpoint's files are laid out before"),
        ("", r"found nothing to initialise"),
    ],
)
def test_recipes_that_cannot_work_on_a_checkpoint_say_so(source: Path, tmp_path: Path, how: str, words: str) -> None:
    before = state(tmp_path)
    with pytest.raises(InitError, match=words):
        initkit.rewrite(source, tmp_path / "new", Broken(how), model=hollow())
    assert state(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


@dataclass(frozen=True)
class Reader(Everything):
    """Says that it reads values."""

    reads_values: ClassVar[bool] = True


def test_a_recipe_that_reads_values_while_it_plans_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        PlanError, match=r"Reader reads present values while it plans, and a checkpoint is not in memory"
    ):
        initkit.rewrite(source, tmp_path / "new", Reader(), model=hollow())


@dataclass(frozen=True)
class FromBuffer(Recipe):
    """A scale that a small buffer says, which the recipe then changes."""

    def plan(self, model: nn.Module) -> Iterator[Item]:
        scale = float(model.norm.running_var.mean())  # type: ignore[union-attr, operator]
        yield Fill("layers.0.weight", Normal(scale), why=f"as the buffer: {scale}")
        yield Fill("norm.running_var", Constant(4.0), why="another")


def test_small_buffers_have_their_values_until_they_are_written(source: Path, tmp_path: Path) -> None:
    model = hollow()
    report = initkit.rewrite(source, tmp_path / "new", FromBuffer(), model=model)
    assert report["layers.0.weight"].why == "as the buffer: 1.0"
    assert model.norm.running_var.is_meta
    again = initkit.rewrite(tmp_path / "new", tmp_path / "two", FromBuffer(), model=model)
    assert again["layers.0.weight"].why == "as the buffer: 4.0"
    with pytest.raises(InitError, match="uses values of the model itself"):
        initkit.rewrite(source, tmp_path / "three", [FromBuffer(), FromBuffer()], model=model)


def test_an_error_of_a_job_is_its_own(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="in the job"):
        initkit.rewrite(source, tmp_path / "new", Broken("fails"), model=hollow())
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


class Parametrised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: nn.Linear(3, 3, device="meta"), r"none of its tensors belongs to Linear: it holds .*; the model has"),
        (lambda: nn.Linear(3, 3), r"weight, bias: the model holds values, but those of the checkpoint count"),
        (lambda: object(), r"object is no nn\.Module"),
        (lambda: None, r"no installed plugin knows which model it holds; give a model\.py"),
        (lambda: _narrow(), r"half\.weight has the shape \(40, 8\) in .*, the model's is \(30, 8\)"),
    ],
)
def test_models_that_do_not_fit(source: Path, tmp_path: Path, change: Callable[[], Any], words: str) -> None:
    with pytest.raises(InitError, match=words):
        initkit.rewrite(source, tmp_path / "new", Everything(), model=change())
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


def _narrow() -> Net:
    model = hollow()
    with torch.device("meta"):
        model.half = nn.Linear(8, 30, dtype=torch.bfloat16)
    return model


def test_tensors_that_a_checkpoint_cannot_take(tmp_path: Path) -> None:
    torch.manual_seed(0)
    initkit.save(Parametrised(), tmp_path / "old", max_shard_size="5GB")
    with torch.device("meta"):
        model = Parametrised()

    @dataclass(frozen=True)
    class Fills(Recipe):
        """One tensor."""

        name: str

        def plan(self, model: nn.Module) -> Iterator[Item]:
            yield Fill(self.name, Normal(1.0), why="filled")

    with pytest.raises(PlanError, match=r"layers\.0\.weight .*: the model computes it from other tensors"):
        initkit.rewrite(tmp_path / "old", tmp_path / "new", Fills("layers.0.weight"), model=model)
    original = "layers.0.parametrizations.weight.original1"
    report = initkit.rewrite(tmp_path / "old", tmp_path / "new", Fills(original), model=model)
    assert list(report) == [original]
    quantised = {"layers.0.weight": torch.zeros(8, 8, dtype=torch.int8), "layers.0.bias": torch.zeros(8)}
    (tmp_path / "int8").mkdir()
    save_file(quantised, tmp_path / "int8" / "model.safetensors")
    plain = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(8, 8, device="meta")])})
    with pytest.raises(PlanError, match=r"layers\.0\.weight .*: the file holds it as I8, it is quantised"):
        initkit.rewrite(tmp_path / "int8", tmp_path / "new8", Fills("layers.0.weight"), model=plain)
    report = initkit.rewrite(tmp_path / "int8", tmp_path / "new8", Fills("layers.0.bias"), model=plain)
    assert torch.equal(tensors_of(tmp_path / "new8")["layers.0.weight"], quantised["layers.0.weight"])


def _cut(folder: Path) -> None:
    file = max(folder.glob("*.safetensors"))
    os.truncate(file, file.stat().st_size - 3)


def _no_shard(folder: Path) -> None:
    min(folder.glob("*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("harm", "words"), [(_cut, "its header speaks of"), (_no_shard, "there is no such file|neither")]
)
def test_broken_checkpoints(source: Path, tmp_path: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(source)
    with pytest.raises(FileError, match=words):
        initkit.rewrite(source, tmp_path / "new", Everything(), model=hollow())
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("old", "is the checkpoint itself; replace it with force"),
        ("old/inner", "lies inside the checkpoint"),
        ("old/../old/inner/deeper", "lies inside the checkpoint"),
        (".", "lies inside .*, which would be replaced"),
        ("file", "is a file, but the checkpoint is a folder"),
        ("link", "is the checkpoint itself"),
    ],
)
def test_places_that_would_do_harm(source: Path, tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(source)
    before = state(tmp_path)
    with pytest.raises(FileError, match=words):
        initkit.rewrite(source, tmp_path / place, Everything(), model=hollow())
    if place in (".", "old/inner"):
        with pytest.raises(FileError, match=words):
            initkit.rewrite(source, tmp_path / place, Everything(), model=hollow(), force=True)
    assert state(tmp_path) == before
    with pytest.raises(FileError, match="there is no checkpoint"):
        initkit.rewrite(tmp_path / "none", tmp_path / "new", Everything(), model=hollow())


def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(FileError, match="Permission denied; nothing was written"):
        initkit.rewrite(source, tmp_path / "locked" / "new", Everything(), model=hollow())


def test_no_room_is_said_before_anything_is_written(source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FileError, match=r"0\.00 GB free, the new folder needs 0\.02 GB"):
        initkit.rewrite(source, tmp_path / "far" / "new", Everything(), model=hollow())
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("after", [0, 3, 12])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_a_failure_at_any_time_leaves_the_input_and_nothing_else(
    source: Path, tmp_path: Path, monkeypatch: Any, after: int, error: BaseException
) -> None:
    before, left = state(tmp_path), [after]

    def failing(real: Any) -> Any:
        def write(self: FileWriter, name: str, what: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise error
            real(self, name, what)

        return write

    for method in ("write", "copy"):
        monkeypatch.setattr(FileWriter, method, failing(getattr(FileWriter, method)))
    with pytest.raises(FileError if isinstance(error, OSError) else KeyboardInterrupt):
        initkit.rewrite(source, tmp_path / "new", Everything(), model=hollow())
    assert state(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


SLOW = textwrap.dedent(
    """
    import sys, time
    from dataclasses import dataclass
    import torch
    from torch import nn
    import initkit
    from initkit import Fill, Job, Recipe, Normal

    @dataclass(frozen=True)
    class Slow(Recipe):
        "Slow."
        def plan(self, model):
            def wait(ctx):
                print("go", flush=True)
                time.sleep(60)
                return {}
            yield Fill("a.weight", Normal(1.0), why="first")
            if sys.argv[3] == "slow":
                yield Job("wait", wait, "waits")
            yield Fill("b.weight", Normal(1.0), why="then")

    with torch.device("meta"):
        model = nn.ModuleDict({"a": nn.Linear(100, 100), "b": nn.Linear(100, 100)})
    initkit.rewrite(sys.argv[1], sys.argv[2], Slow(), model=model)
    """
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupted_and_killed_in_the_middle(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(100, 100), "b": nn.Linear(100, 100)})
    initkit.save(model, tmp_path / "old", max_shard_size="45kB")
    before = state(tmp_path / "old")

    def started(speed: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW, str(tmp_path / "old"), str(tmp_path / "new"), speed]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    for number in (signal.SIGINT, signal.SIGKILL):
        process = started("slow")
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode != 0
        assert state(tmp_path / "old") == before
        assert not (tmp_path / "new").exists()
        left = {file.name for file in tmp_path.iterdir()} - {"old"}
        assert bool(left) == (number == signal.SIGKILL)
    # What the killed process has left goes with the next run.
    process = started("quick")
    assert process.communicate(timeout=60)[1] == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "old"]
    assert state(tmp_path / "old") == before


LIMITED = textwrap.dedent(
    """
    import json, resource, sys
    from dataclasses import dataclass
    from pathlib import Path
    import torch
    from torch import nn
    import initkit
    from initkit import Fill, Normal, Recipe, Rows

    @dataclass(frozen=True)
    class Some(Recipe):
        "A few tensors, one of them with more rows."
        def plan(self, model):
            yield Fill("0.weight", Normal(0.02), why="element by element")
            rows = len(model[1].weight)
            draw = Rows([*range(rows), *[-1] * 100], Normal(1.0))
            yield Fill("1.weight", draw, why="grown", resize=(rows + 100, 1024))

    def build(width):
        with torch.device("meta"):
            return nn.Sequential(*[nn.Linear(1024, width, bias=False) for _ in range(8)])

    def status(key):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))

    folder = Path(sys.argv[1])
    initkit.rewrite(folder / "small", folder / "small, new", Some(), model=build(64))
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (24 << 20),) * 2)
    try:
        torch.ones(16 << 20)
        fits = True
    except RuntimeError:
        fits = False
    initkit.rewrite(folder / "large", folder / "large, new", Some(), model=build(2048))
    print(json.dumps({"the whole fits": fits}))
    """
)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_checkpoint_larger_than_the_memory_that_it_may_have(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name, width in (("small", 64), ("large", 2048)):
        model = nn.Sequential(*[nn.Linear(1024, width, bias=False) for _ in range(8)])
        initkit.save(model, tmp_path / name, max_shard_size="20MiB")
    assert StoredTensors.of(tmp_path / "large").size == 64 << 20
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {"the whole fits": False}
    written = tensors_of(tmp_path / "large, new")
    assert torch.equal(written["7.weight"], model[7].weight)
    assert torch.equal(written["1.weight"][:2048], model[1].weight)
    assert written["1.weight"].shape == (2148, 1024)
