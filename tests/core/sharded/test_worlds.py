"""Models that one, two and four processes hold together, on the CPU with gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORLD = Path(__file__).parent / "world.py"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_world(count: int, tmp_path: Path) -> None:
    """Every case of ``world.py`` goes well on every rank."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORLD), str(rank), str(count), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [rank.communicate(timeout=240)[1] for rank in ranks]
    results = {rank: json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(count)}
    failed = [
        f"{name} on rank {rank}:\n{words}"
        for rank, cases in results.items()
        for name, words in cases.items()
        if words != "ok"
    ]
    assert not failed, "\n".join(failed)
    assert all(len(cases) > 25 for cases in results.values()), said
    assert [rank.returncode for rank in ranks] == [0] * count, said
