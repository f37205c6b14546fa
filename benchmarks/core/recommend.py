"""``initkit recommend`` on a model of a billion parameters: CPU time beyond the import of torch."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUNS = 5
LIMIT_S = 2.0
MODEL = """
from torch import nn

def model(width=2048, layers=20):
    layer = lambda: nn.TransformerEncoderLayer(width, 16, 4 * width, batch_first=True)
    return nn.Sequential(nn.Embedding(32000, width), *[layer() for _ in range(layers)], nn.Linear(width, 32000))
"""


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.py").write_text(MODEL)
        programs = {
            "import torch": ["-c", "import torch"],
            "initkit recommend": ["-m", "initkit_cli", "recommend", "--json", "model.py"],
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        said = ""
        for number in range(RUNS + 1):
            for name, words in programs.items():
                spent, out = _cpu_seconds(words, folder)
                said = out or said
                if number:  # the first round fills caches
                    times[name].append(spent)
    beyond = [b - a for a, b in zip(*times.values(), strict=True)]
    found = json.loads(said)
    return {
        "runs": RUNS,
        "limit_s": LIMIT_S,
        "rows": [
            {
                "parameters": found["parameters"],
                "recipes_asked": len(found["offers"]),
                "torch_s": round(statistics.median(times["import torch"]), 2),
                "beyond_s": round(statistics.median(beyond), 2),
                "beyond_least_s": round(min(beyond), 2),
                "beyond_most_s": round(max(beyond), 2),
            }
        ],
        "within_limit": statistics.median(beyond) <= LIMIT_S,
    }


def _cpu_seconds(words: list[str], folder: str) -> tuple[float, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True, cwd=folder, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout
