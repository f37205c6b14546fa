"""``initkit apply --checkpoint``: folders of tensors, and the words for what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import initkit as library

APPLY = ("apply", "--plugin", "fake", "--recipe", "small")


@pytest.fixture
def old(work: Path) -> Path:
    torch.manual_seed(0)
    library.save(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), work / "old", max_shard_size=60)
    (work / "old" / "config.json").write_text("{}")
    return work / "old"


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_folder_becomes_another_and_the_old_one_stays(initkit, work, old):
    before = contents(old)
    done = initkit(*APPLY, "--checkpoint", "old", "-o", "new/", "--seed", "3", "model.py")
    assert done.code == 0, done.err
    assert "done: fake/small filled 76.9% of the parameters of Sequential with seed 3" in done.out
    assert done.out.endswith("wrote new/\n")
    assert contents(old) == before
    assert set(contents(work / "new")) == {*before, "initkit.report.json"}
    assert initkit(*APPLY, "--weights", "old", "-o", "m.safetensors", "--seed", "3", "model.py").code == 0
    loaded, written = load_file(work / "m.safetensors"), tensors_of(work / "new")
    assert loaded.keys() == written.keys()
    assert all(torch.equal(value, written[name]) for name, value in loaded.items())
    again = initkit(*APPLY, "--checkpoint", "old", "-o", "new2", "--seed", "3", "--json", "model.py")
    assert contents(work / "new2") == contents(work / "new")
    assert again.out == (work / "new" / "initkit.report.json").read_text()
    assert "wrote new2/" in again.err


def test_a_single_file(initkit, work, old):
    assert initkit(*APPLY, "--weights", "old", "-o", "m.safetensors", "model.py").code == 0
    done = initkit(*APPLY, "--checkpoint", "m.safetensors", "-o", "n.safetensors", "model.py")
    assert done.code == 0, done.err
    assert json.loads((work / "n.report.json").read_text())["seed"] == 0
    assert done.out.endswith("wrote n.safetensors\n")


def test_dry_run_prints_the_plan_and_writes_nothing(initkit, old, listing):
    before = listing()
    done = initkit(*APPLY, "--checkpoint", "old", "--dry-run", "model.py")
    assert done.code == 0, done.err
    assert "plan: fake/small would fill 76.9% of the parameters of Sequential" in done.out
    plan = initkit(*APPLY, "--checkpoint", "old", "--dry-run", "--json", "--only", "0.*", "model.py").json
    assert [item["name"] for item in plan["items"] if item["kind"] == "fill"] == ["0.weight"]
    assert listing() == before


def test_data_and_options_come_from_the_same_places(initkit, work, old):
    words = ("apply", "--recipe", "fake/needy", "--checkpoint", "old", "-o", "new")
    missing = initkit(*words, "model.py")
    assert (missing.code, missing.err) == (
        1,
        "error: recipe fake/needy needs 'signal' (what to fit): define the name 'signal' in model.py (a value, a "
        "function that returns it, or a path), or give --data signal=FILE\n",
    )
    (work / "signal.json").write_text("[2.0, 4.0]")
    assert initkit(*words, "--data", "signal=signal.json", "--set-model", "width=4", "model.py").code == 0
    assert all(bool((value == 3.0).all()) for value in tensors_of(work / "new").values())
    assert initkit(*words, "--data", "signal=signal.json", "--force", "model.py").code == 0


USAGE = [
    (("--checkpoint", "olt", "-o", "new", "model.py"), "--checkpoint: there is no olt; did you mean 'old'?"),
    (("--checkpoint", "old", "model.py"), "say where the new checkpoint goes: --output old-new"),
    (("--checkpoint", "old", "-o", "old", "model.py"), "old exists; add --force to replace it, or name another place"),
    (("--checkpoint", "old", "-o", "model.py", "model.py"), "model.py exists; add --force to replace it"),
    (("--checkpoint", "old", "-o", "new", "--weights", "old", "model.py"), "--weights goes into a model in memory"),
    (("--checkpoint", "old", "-o", "new", "--report", "x.html", "model.py"), "--report shows a model at work"),
    ((), "missing argument 'MODEL'"),
]
WORK = [
    (("-o", "new"), "", "old: no installed plugin knows which model it holds; give a model.py that builds it"),
    (("-o", "old/inner", "model.py"), "", "old/inner lies inside the checkpoint old; name a place outside of it"),
    (("-o", "new", "model.py"), "from torch import nn\nmodel = nn.Linear(3, 4)", "is a value with numbers in memory"),
    (("-o", "new", "model.py:model"), "", "0.weight has the shape (4, 3) in model-0000"),
    (("-o", "file", "--force", "model.py"), "", "file is a file, but the checkpoint is a folder; name a folder"),
]


@pytest.mark.parametrize(("words", "message"), USAGE)
def test_wrong_usage(initkit, old, listing, words, message):
    before = listing()
    done = initkit(*APPLY, *words)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}"), done.err
    assert done.out == ""
    assert listing() == before


@pytest.mark.parametrize(("words", "model", "message"), WORK)
def test_work_that_fails(initkit, work, old, listing, words, model, message):
    (work / "file").write_text("")
    if model:
        (work / "model.py").write_text(model)
    if words[-1].endswith(":model"):
        words = (*words[:-1], "--set-model", "width=5", words[-1])
    before = listing()
    done = initkit(*APPLY, "--checkpoint", "old", *words)
    assert done.code == 1
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert listing() == before


def test_several_processes_are_refused(initkit, old, listing):
    before = listing()
    env = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0"}
    done = initkit(*APPLY, "--checkpoint", "old", "-o", "new", "model.py", **env)
    assert (done.code, "run it without torchrun" in done.err) == (2, True)
    assert listing() == before


def test_a_recipe_that_runs_the_model(initkit, old, listing):
    before = listing()
    done = initkit("apply", "--recipe", "fake/forward", "--checkpoint", "old", "-o", "new", "model.py")
    assert done.code == 1
    assert done.err == (
        "error: recipe fake/forward, job 'measure' runs the model, and a checkpoint is not in memory; load the model "
        "and apply the recipe to it\n"
    )
    assert listing() == before


def test_a_truncated_shard_is_one_line(initkit, old, listing):
    file = max(old.glob("*.safetensors"))
    os.truncate(file, file.stat().st_size - 1)
    before = listing()
    done = initkit(*APPLY, "--checkpoint", "old", "-o", "new", "model.py")
    assert done.code == 1
    assert "is no sound safetensors file: it has" in done.err
    assert len(done.err.splitlines()) == 1
    assert listing() == before


def test_interrupted_in_the_middle(environment, work, old, listing):
    before = contents(old)
    mark = work.parent / "started"
    words = ("apply", "--recipe", "fake/slow", "--checkpoint", "old", "-o", "new", "model.py")
    command = [sys.executable, "-m", "initkit_cli", *words]
    process = subprocess.Popen(
        command, env={**environment, "FAKE_STARTED": str(mark)}, stderr=subprocess.PIPE, text=True
    )
    for _ in range(600):
        if mark.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "error: interrupted; nothing was written, old is as it was\n"
    assert contents(old) == before
    assert sorted(file.name for file in work.iterdir()) == ["model.py", "old"]


def test_quantised_tensors_pass_and_are_refused_where_they_are_filled(initkit, work):
    (work / "int8").mkdir()
    values = {"0.weight": torch.zeros(4, 3, dtype=torch.int8), "0.bias": torch.zeros(4), "1.weight": torch.zeros(2, 4)}
    save_file({**values, "1.bias": torch.zeros(2)}, work / "int8" / "model.safetensors")
    words = (*APPLY, "--checkpoint", "int8", "-o", "new", "model.py")
    done = initkit(*words)
    assert done.code == 1
    assert "0.weight (4, 3): the file holds it as I8, it is quantised: take the model from before that" in done.err
    done = initkit(*words, "--exclude", "0.*")
    assert done.code == 0, done.err
    assert torch.equal(tensors_of(work / "new")["0.weight"], values["0.weight"])
