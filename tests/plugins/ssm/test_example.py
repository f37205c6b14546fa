"""The example of a Mamba-2 without memory, from the command line: found, mended, and found sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from initkit_cli.__main__ import main

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "ssm.py")


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(list(words))
    return code, capsys.readouterr().out


def test_inspect_fails_repair_mends_and_inspect_passes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out = called(capsys, "inspect", "--plugin", "ssm", EXAMPLE)
    assert code == 0
    said = "FAIL  backbone.layers.0.mixer (Mamba2Mixer): forgets at once: time constants of 0.18 to 1.44 steps"
    assert said in out
    assert "ssm/repair sets it as its authors do" in out

    assert main(["apply", "--plugin", "ssm", "--recipe", "repair", EXAMPLE]) == 0
    out = capsys.readouterr().out
    assert "failed with time constants of 0.18 to 1.44 steps" in out
    report: dict[str, Any] = json.loads((tmp_path / "ssm.report.json").read_text())
    rows = report["notes"]["ssm/repair layers"]
    assert [(row["verdict before"], row["verdict after"]) for row in rows] == [("FAIL", "PASS")] * 2

    probe = ("inspect", "--probe", "ssm/time_constants", "--strict", EXAMPLE)
    assert called(capsys, *probe)[0] == 1
    code, out = called(capsys, *probe, "--weights", "ssm.safetensors")
    assert code == 0
    assert "PASS  all 2 recurrent layers remember: time constants of" in out


def test_inspect_prints_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = called(capsys, "inspect", "--probe", "ssm/time_constants", "--json", EXAMPLE)
    assert code == 0
    found = json.loads(out)
    assert found["healthy"] is False
    rows = found["tables"]["ssm/time constants"]["rows"]
    assert [row["verdict"] for row in rows] == ["FAIL", "FAIL"]
    assert "≥ 64" in rows[0]  # the file's own length is one of the thresholds


def test_a_deeper_model_is_built_on_request(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = str(tmp_path / "a.safetensors")
    words = [
        "apply",
        "--plugin",
        "ssm",
        "--recipe",
        "repair",
        "--set-model",
        "layers=3",
        "-o",
        where,
        "--json",
        EXAMPLE,
    ]
    code, out = called(capsys, *words)
    assert code == 0
    assert len(json.loads(out)["notes"]["ssm/repair layers"]) == 3
