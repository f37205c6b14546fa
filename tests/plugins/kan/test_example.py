"""The example from the command line, and from Python."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

import initkit
from initkit_cli.__main__ import main

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "kan.py")


def test_apply_takes_the_default_and_writes_a_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["apply", "--plugin", "kan", EXAMPLE]) == 0
    assert "kan/power filled 100.0% of the parameters of Regression" in capsys.readouterr().out
    report = json.loads((tmp_path / "kan.report.json").read_text())
    assert len(report["notes"]["kan/power layers"]) == 3
    assert (tmp_path / "kan.safetensors").exists()


def test_a_dry_run_and_a_recipe_with_data(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--plugin", "kan", "--recipe", "lecun", "--set", "input=batch", "--set-model", "layers=3", EXAMPLE]
    assert main(["apply", "--dry-run", *words]) == 0
    out = capsys.readouterr().out
    assert "computed by calibrate" in out


def test_inspect_shows_the_probes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inspect", "--probe", "kan/grid", "--probe", "kan/branches", "--json", EXAMPLE]
    assert main(words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(found["tables"]["kan/grid"]["rows"]) == 3
    assert found["healthy"] is True


def test_bad_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "--dry-run", "--plugin", "kan", "--recipe", "kat", EXAMPLE]) == 1
    said = capsys.readouterr().err
    assert "has no rational layer" in said
    assert "Traceback" not in said


def test_training_from_the_recipe_explains_some_of_it() -> None:
    names = runpy.run_path(EXAMPLE)
    torch.manual_seed(0)
    model = names["model"]()
    initkit.apply(model, "kan/power", seed=0)
    optimizer = names["optimizer"](model)
    for _ in range(60):
        optimizer.zero_grad()
        names["loss"](model).backward()
        optimizer.step()
    assert names["score"](model) > 0.3


KAT = str(Path(EXAMPLE).with_name("kat.py"))


def test_rational_networks_take_their_own_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["apply", "--plugin", "kan", KAT]) == 0
    assert "taking its recipe kan/kat" in capsys.readouterr().err
    assert main(["inspect", "--probe", "kan/rational", "--weights", "kat.safetensors", KAT]) == 0
    assert "PASS  4 rational layers" in capsys.readouterr().out


def test_a_trained_network_keeps_its_function(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["apply", "--plugin", "kan", "--recipe", "from_mlp", KAT]) == 0
    assert "kan/from_mlp filled 100.0% of the parameters" in capsys.readouterr().out
    names = runpy.run_path(KAT)
    model = names["model"]()
    initkit.load(model, tmp_path / "kat.safetensors")
    assert names["score"](model) > 0.9
