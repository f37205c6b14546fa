"""The page on sharded models: what it shows works, in two processes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    for name, text in re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    return tmp_path


def commands(beginning: str) -> list[list[str]]:
    lines = "".join(re.findall(r"^```shell\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(beginning)]


def run(words: list[str], work: Path) -> None:
    programs = {
        "initkit": [sys.executable, "-m", "initkit_cli"],
        "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone"],
    }
    command = [*programs[words[0]], *words[1:]]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


def test_the_command_by_one_and_by_two(work: Path) -> None:
    pytest.importorskip("initkit_gnn")
    alone, together = commands("initkit")[0], commands("torchrun")[0]
    run([*alone, "-o", "one/model.safetensors"], work)
    run(together, work)
    for name in ("model.safetensors", "model.report.json"):
        assert (work / "one" / name).read_bytes() == (work / name).read_bytes()


def test_the_training_script(work: Path) -> None:
    run(commands("torchrun")[-1], work)
    assert (work / "start" / "model.safetensors").is_file()
    assert (work / "start-dcp" / ".metadata").is_file()
    assert '"subject": "Sequential"' in (work / "start.report.json").read_text()
