"""The S4D classifier from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sklearn")

import initkit
from initkit_cli.__main__ import main
from initkit_ssm import example_s4d

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "s4d.py")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def report_of(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def test_the_default_recipe_is_s4d(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "--plugin", "ssm", EXAMPLE]) == 0
    assert "taking its recipe ssm/s4d" in capsys.readouterr().err
    assert "layers.0.kernel.A_imag" in json.dumps(report_of("s4d.report.json"))
    model = example_s4d.model()
    initkit.load(model, "s4d.safetensors")
    assert float(model.layers[0].kernel.A_imag.detach().max()) == pytest.approx(325.4, abs=0.1)


def test_recipes_in_a_row_look_at_the_example_s_own_data(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--recipe", "s4d", "--recipe", "autocorr_timescale", "--recipe", "output_scale"]
    assert main(["apply", "--plugin", "ssm", *words, EXAMPLE, "-o", "a.safetensors"]) == 0
    notes = report_of("a.report.json")["notes"]
    scales = {key: value for key, value in notes.items() if key.startswith("ssm/autocorr_timescale: layers")}
    assert [value["length"] for value in scales.values()] == [64, 64]
    assert sum(key.startswith("ssm/output_scale: layers") for key in notes) == 2
    capsys.readouterr()


def test_a_wrong_option_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["apply", "--plugin", "ssm", "--recipe", "s4d", "--set", "dt_max=1e-4", EXAMPLE])
    err = capsys.readouterr().err
    assert code != 0
    assert "dt_max=0.0001: it must be at least dt_min=0.001" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_recipe_for_other_layers_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "--plugin", "ssm", "--recipe", "s4_dplr", EXAMPLE]) == 1
    err = capsys.readouterr().err
    assert "has no layer of the kinds s4_dplr" in err
    assert "layers.0.kernel (S4DKernel) is of kind s4d" in err


def test_what_compare_asks_of_the_file() -> None:
    model = example_s4d.model(channels=8, state=8, layers=1)
    initkit.apply(model, "ssm/s4d", seed=0)
    assert example_s4d.inputs().shape == (64, 64, 1)
    optimizer = example_s4d.optimizer(model)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    value = example_s4d.loss(model, 3)
    value.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
    assert 0 <= example_s4d.score(model) <= 1
