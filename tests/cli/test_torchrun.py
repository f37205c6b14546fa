"""The command in several processes that torchrun starts: one result, one voice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from initkit.shards import StoredTensors

SHARDED = """
import os
from torch import nn

def model():
    made = nn.Sequential(nn.Linear(30, 40), nn.Linear(40, 7))
    if "RANK" in os.environ:
        from torch.distributed.fsdp import fully_shard
        fully_shard(made[0])
        fully_shard(made)
    print("hello from the user's file")
    return made
"""
APPLY = ("apply", "--recipe", "fake/small", "--set", "zero_bias=true")


@pytest.fixture
def torchrun(environment: dict[str, str], work: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        env = {**environment, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL", "INITKIT_TIMEOUT": "60"}
        command += ["-m", "initkit_cli", *words]
        return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, timeout=240)

    return run


def ours(text: str) -> list[str]:
    """The lines that are not torchrun's own."""
    return [line for line in text.splitlines() if line.startswith(("error:", "wrote ", "warning:"))]


def test_a_sharded_model(initkit: Callable, torchrun: Callable, work: Path, write: Callable) -> None:
    """A folder of shards and a report: the bytes of one process."""
    write("model.py", SHARDED)
    alone = initkit(*APPLY, "-o", "one/", "--max-shard-size", "4KB", "--json", "model.py")
    together = torchrun(*APPLY, "-o", "two/", "--max-shard-size", "4KB", "--json", "model.py")
    assert alone.code == 0, alone.err
    assert together.returncode == 0, together.stderr
    assert together.stdout == alone.out
    assert ours(together.stderr) == ["wrote two", "wrote two.report.json"]
    assert together.stderr.count("hello from the user's file") == 1
    names = sorted(os.listdir(work / "one"))
    assert names[-1] == "model.safetensors.index.json"
    assert len(names) == 3
    for name in ("../one.report.json", *names):
        other = work / "two" / name.replace("one.", "two.")
        assert (work / "one" / name).read_bytes() == other.read_bytes(), name
    assert sorted(StoredTensors.of(work / "two")) == ["0.bias", "0.weight", "1.bias", "1.weight"]


def test_one_process_fails(torchrun: Callable, work: Path, write: Callable, listing: Callable) -> None:
    """All stop, one tells, nothing is written."""
    write("model.py", "import os\nassert os.environ['RANK'] == '0', 'no disk here'\n" + SHARDED.lstrip())
    done = torchrun(*APPLY, "-o", "out/model.safetensors", "model.py")
    assert done.returncode == 1
    (line,) = ours(done.stderr)
    assert line.startswith("error: rank 1 of 2: ")
    assert "no disk here" in line
    assert listing() == ["model.py"]
