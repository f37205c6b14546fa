"""Files: whole or not at all, and the same bytes for the same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

import initkit
from initkit import FileError
from initkit._checkpoint import load_checkpoint, save_checkpoint
from initkit._files import write_text, write_whole

CODE = textwrap.dedent(
    """
    import sys, torch
    from dataclasses import dataclass
    from torch import nn
    import initkit
    from initkit import Fill, Normal, Recipe

    @dataclass(frozen=True)
    class Small(Recipe):
        "Small."
        def plan(self, model):
            for name, p in model.named_parameters():
                yield Fill(name, Normal(0.1), why="small")

    torch.set_num_threads(int(sys.argv[2]))
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 7))
    report = initkit.apply(model, Small(), seed=7)
    initkit.save(model, sys.argv[1] + ".safetensors", report=report)
    initkit.write_report(report, sys.argv[1] + ".report.json")
    """
)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3)})
    model["b"].weight = model["a"].weight
    return model


def test_same_bytes_for_threads_and_cpu_paths(tmp_path: Path) -> None:
    variants = [("1", {}), ("2", {}), ("1", {"ATEN_CPU_CAPABILITY": "default"})]
    for i, (threads, extra) in enumerate(variants):
        command = [sys.executable, "-c", CODE, str(tmp_path / str(i)), threads]
        subprocess.run(command, check=True, env={**os.environ, **extra})
    for suffix in (".safetensors", ".report.json"):
        contents = {(tmp_path / f"{i}{suffix}").read_bytes() for i in range(len(variants))}
        assert len(contents) == 1


def test_tied_tensors_are_stored_once_with_an_alias(model: nn.Module, tmp_path: Path) -> None:
    initkit.save(model, tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        names = set(file.keys())
        provenance = json.loads(file.metadata()["initkit"])
    assert names == {
        "a.weight",
        "a.bias",
        "b.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    assert provenance["aliases"] == {"b.weight": "a.weight"}
    other = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3)})
    other["b"].weight = other["a"].weight
    initkit.load(other, tmp_path / "m.safetensors")
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in other.state_dict().items())


def test_a_file_that_does_not_fit_changes_nothing(model: nn.Module, tmp_path: Path) -> None:
    initkit.save(model, tmp_path / "m.safetensors")
    other = nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3)})
    before = {n: t.clone() for n, t in other.state_dict().items()}
    with pytest.raises(
        FileError,
        match=r"a\.weight has shape \(3, 3\), the model's \(4, 3\)|a\.bias has shape|has no values for b\.weight",
    ):
        initkit.load(other, tmp_path / "m.safetensors")
    assert all(torch.equal(t, before[n]) for n, t in other.state_dict().items())
    with pytest.raises(FileError, match="the model has no a"):
        initkit.load(nn.Linear(2, 2), tmp_path / "m.safetensors")


def test_broken_and_missing_files(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        initkit.load(model, tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not a safetensors file")
    with pytest.raises(FileError, match="no sound safetensors file"):
        initkit.load(model, tmp_path / "broken.safetensors")


def test_meta_tensors_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="weight, bias: without values"):
        initkit.save(nn.Linear(2, 2, device="meta"), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "f.txt"
    target.write_text("old")

    def half(path: Path) -> None:
        path.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match=r"f\.txt: No space left on device"):
        write_whole(target, half)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f.txt"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file or directory"):
        write_text(tmp_path / "nowhere" / "f.txt", "x")
    with pytest.raises(FileError, match="it is a folder"):
        write_text(tmp_path, "x")


@pytest.mark.slow
def test_killed_at_any_moment_the_old_file_or_the_new_one_stands(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys
        from initkit._files import write_text
        print("go", flush=True)
        while True:
            for word in ("a", "b"):
                write_text(sys.argv[1], word * 3_000_000)
        """
    )
    target = tmp_path / "big.txt"
    for i in range(12):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(timeout=0.03 + 0.011 * i)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stdout.close()
        if target.exists():
            text = target.read_text()
            assert text in ("a" * 3_000_000, "b" * 3_000_000)


def test_checkpoints_of_jobs_come_back_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.safetensors"
    save_checkpoint(path, {"w": torch.arange(3.0)}, {"step": 4})
    tensors, facts = load_checkpoint(path)
    assert tensors["w"].tolist() == [0, 1, 2]
    assert facts == {"step": 4}
    with pytest.raises(FileError, match="no such file"):
        load_checkpoint(tmp_path / "none.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(FileError, match="no sound checkpoint"):
        load_checkpoint(path)
    initkit.save(nn.Linear(2, 2), path)
    with pytest.raises(FileError, match="no checkpoint of a job"):
        load_checkpoint(path)


def test_notes_that_a_loader_must_know_go_into_the_file(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Noted(initkit.Recipe):
        """Notes two things."""

        def plan(self, model: nn.Module) -> Iterator[initkit.Item]:
            def work(ctx: initkit.JobContext) -> dict[str, torch.Tensor]:
                ctx.note("unit", {"range": [-1, 1]}, saved=True)
                ctx.note("history", [1.0, 0.5])
                return {"w": torch.ones(2, 2)}

            yield (job := initkit.Job("work", work, "notes"))
            yield initkit.Fill("weight", job["w"], why="noted")

    model, path = nn.Linear(2, 2, bias=False), tmp_path / "noted.safetensors"
    report = initkit.apply(model, Noted())
    initkit.save(model, path, report=report)
    assert set(report.notes) == {"unit", "history"}
    assert initkit.load(model, path).provenance["notes"] == {"unit": {"range": [-1, 1]}}
