"""Learned starts from the command line: the example, files of signals, a file of a start, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from initkit import NeedError
from initkit_cli.__main__ import main
from initkit_inr.signal_files import load_signals

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "inr_meta.py")
SMALL = ["--set-model", "hidden=8", "--set-model", "layers=2", EXAMPLE]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*words: str) -> int:
    return main([*words, *SMALL])


def test_the_example_learns_a_start_that_serves_again(capsys: pytest.CaptureFixture[str]) -> None:
    learn = ("apply", "--plugin", "inr", "--recipe", "meta", "--set", "iters=4", "-o", "start.safetensors")
    assert command(*learn, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["covered"] == 1
    assert {row["from"] for row in report["notes"]["inr/meta effect"]} == {"start", "learned"}
    again = ("apply", "--plugin", "inr", "--recipe", "meta", "--set", "learned=start.safetensors")
    assert command(*again, "-o", "again.safetensors") == 0
    one, two = load_file("start.safetensors"), load_file("again.safetensors")
    assert all((one[name] == two[name]).all() for name in one)
    capsys.readouterr()
    np.save("other.npy", np.stack(np.meshgrid(*[np.arange(25) / 25] * 2, indexing="ij"), -1).astype("f4"))
    capsys.readouterr()
    assert command(*again, "-o", "x.safetensors", "--data", "coords=other.npy") == 1
    words = capsys.readouterr().err
    assert "coords do not fit the start in start.safetensors: it is for coordinates on [-1, 1], not on [0, 1)" in words
    assert "Traceback" not in words
    assert not Path("x.safetensors").exists()


def test_a_dry_run_learns_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("apply", "--plugin", "inr", "--recipe", "meta", "--dry-run") == 0
    assert "MAML: at most 1000 iterations of 3 of 80 signals, 2 SGD steps at 0.01" in capsys.readouterr().out
    assert command("apply", "--plugin", "inr", "--recipe", "strainer", "--dry-run") == 0
    assert "fits 10 signals at once with 2 shared layers: 5000 steps of Adam" in capsys.readouterr().out
    assert not list(Path().iterdir())


def test_signals_from_files(capsys: pytest.CaptureFixture[str]) -> None:
    faces = np.random.default_rng(0).random((5, 25, 25)).astype("f4")
    Path("faces").mkdir()
    for i, face in enumerate(faces):
        np.save(f"faces/{i}.npy", face)
    np.save("faces.npy", faces)
    hashes = []
    for source in ("faces", "faces.npy"):
        words = ("apply", "--plugin", "inr", "--recipe", "strainer", "--set", "steps=2", "--data", f"signals={source}")
        assert command(*words, "--force") == 0
        hashes.append(json.loads(Path("inr_meta.report.json").read_text())["tensors"]["layers.0.weight"]["sha256"])
    assert hashes[0] == hashes[1]
    np.savez("tasks.npz", rows=faces.sum(1), columns=faces.sum(2))
    assert set(load_signals("tasks.npz")) == {"rows", "columns"}
    Path("empty").mkdir()
    for place, words in (("empty", "the folder empty is empty"), ("none", "no file or folder"), ("a.wav", "no file")):
        with pytest.raises(NeedError, match=words):
            load_signals(place)
    Path("a.wav").write_bytes(b"")
    with pytest.raises(NeedError, match="is one signal; give a folder"):
        load_signals("a.wav")


def test_a_loss_from_a_file() -> None:
    Path("losses.py").write_text(
        "from torch.func import functional_call\n"
        "def l1(model, params, task):\n"
        "    return (functional_call(model, params, (task['coords'],)) - task['target']).abs().mean()\n"
    )
    assert (
        command("apply", "--plugin", "inr", "--recipe", "meta", "--set", "iters=2", "--set", "loss_fn=losses.py:l1")
        == 0
    )
    options = json.loads(Path("inr_meta.report.json").read_text())["recipes"][0]["options"]
    assert options["loss_fn"].endswith(":l1")
