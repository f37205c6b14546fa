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
import time
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
    CommitError,
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

    reads_values: ClassVar[bool] = True

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


@pytest.mark.parametrize("recipes", [Everything(), Grown(), Worked(), [Everything(), Grown()], [Grown(), Everything()],
                                     [Grown(60), Grown(70)], [Grown(60), Grown(55), Worked()], [Worked(), Everything()]])  # fmt: skip
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
