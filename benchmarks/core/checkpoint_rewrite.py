"""A checkpoint of 4.2 GB (3.9 GiB) is rewritten by a process that may take 256 MiB beyond what its imports take.

A language model in bfloat16, embedding and head of 512 MiB each and 30 layers, in shards of 1 GB, made by a program
that never holds more than a tensor. ``head`` draws the head anew and passes everything else on; ``all`` draws every
matrix; ``rows`` gives the embedding 8,192 more rows; ``whole`` draws a tensor of each of ten layers that must be made
whole (an orthogonal one). Each way runs in a process of its own on one thread, under ``RLIMIT_AS``; a control shows
that the limit holds no tensor of 512 MiB. Memory is the peak of resident memory beyond what imports take, as Linux
says it. A plain copy of the files, with ``fsync`` as all ways have it, goes in turn with the others; the two slow ways
go once.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import initkit
from initkit import Fill, Normal, Orthogonal, Recipe, Rows
from initkit.shards import StoredTensors, TensorSpec, pieces_of, write_shards

WIDTH, INNER, LAYERS, TOKENS, ADDED = 2048, 5632, 32, 131_072, 8_192
SEED = 0
ROOM = 256 << 20
ROUNDS = {"copy": 2, "head": 2, "rows": 2, "whole": 1, "all": 1}


class Layer(nn.Module):
    """The matrices of a layer."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("q", "k", "v", "o"):
            self.add_module(name, nn.Linear(WIDTH, WIDTH, bias=False))
        for name, inner, outer in (("gate", WIDTH, INNER), ("up", WIDTH, INNER), ("down", INNER, WIDTH)):
            self.add_module(name, nn.Linear(inner, outer, bias=False))


def build() -> nn.Module:
    """The model without values."""
    with torch.device("meta"):
        parts = {
            "embed": nn.Embedding(TOKENS, WIDTH),
            "layers": nn.ModuleList([Layer() for _ in range(LAYERS)]),
            "head": nn.Linear(WIDTH, TOKENS, bias=False),
        }
        return nn.ModuleDict(parts)


@dataclass(frozen=True)
class Some(Recipe):
    """Some of the tensors."""

    way: str = "head"

    def plan(self, model: Any) -> Iterator[Fill]:
        """Yield what the way says."""
        if self.way == "rows":
            rows = len(model["embed"].weight)
            draw = Rows([*range(rows), *[-1] * ADDED], Normal(0.02))
            yield Fill("embed.weight", draw, why="more tokens", resize=(rows + ADDED, WIDTH))
        for name, parameter in model.named_parameters():
            if self.way == "all" or (self.way == "head" and name.startswith("head")):
                yield Fill(name, Normal(0.02), why=f"{parameter.numel()} numbers")
            elif self.way == "whole" and name.endswith("q.weight") and len(name) == len("layers.0.q.weight"):
                yield Fill(name, Orthogonal(), why="made whole")


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make(place / "old")
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ROUNDS}
        for number in range(max(ROUNDS.values())):
            for way in [way for way, rounds in ROUNDS.items() if number < rounds]:
                found[way].append(_alone(place, way))
                print(way, found[way][-1], flush=True)
                shutil.rmtree(place / way)
        return figures(place, found)


def figures(place: Path, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """What was measured, and whether the limit held."""
    stored = StoredTensors.of(place / "old")
    control = _alone(place, "control")
    rows = [
        {
            "way": way,
            "peak_mb": round(max(one["peak_mb"] for one in runs)),
            "seconds": round(statistics.median(one["seconds"] for one in runs), 1),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in runs), 1),
            "all": runs,
        }
        for way, runs in found.items()
    ]
    return {
        "seeds": [SEED],
        "threads": 1,
        "checkpoint_bytes": stored.size,
        "parameters": stored.size // 2,
        "largest_tensor_bytes": max(one.size for one in stored.values()),
        "shards": len(stored.shards),
        "room_bytes": ROOM,
        "added_rows": ADDED,
        "limit_holds_the_largest_tensor": bool(control["holds"]),
        "rows": rows,
    }


def make(folder: Path) -> None:
    """Write the checkpoint, a tensor at a time."""
    folder.mkdir()
    torch.manual_seed(SEED)
    specs = [TensorSpec.of(name, torch.bfloat16, p.shape) for name, p in build().named_parameters()]

    def values(spec: TensorSpec) -> Any:
        return pieces_of(torch.empty(spec.shape, dtype=torch.bfloat16).uniform_(-0.03, 0.03))

    write_shards(folder, specs, values, max_shard_size="1GB")


def _alone(place: Path, way: str) -> dict[str, float]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-m", "benchmarks.core.checkpoint_rewrite", str(place), way]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def work(place: Path, way: str) -> dict[str, float]:
    """One way, in this process."""
    torch.linalg.qr(torch.zeros(4, 4, dtype=torch.float64))  # loads what it needs
    initkit.plan_rewrite(place / "old", Some("whole"), model=build())
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + ROOM,) * 2)
    before = _status("VmHWM")
    start, cpu = time.perf_counter(), time.process_time()
    if way == "control":
        return {"holds": float(_holds())}
    if way == "copy":
        _copy(place / "old", place / way)
    else:
        initkit.rewrite(place / "old", place / way, Some(way), model=build(), seed=SEED)
    return {
        "peak_mb": round((_status("VmHWM") - before) / 1e6, 1),
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def _holds() -> bool:
    try:
        torch.zeros(TOKENS, WIDTH, dtype=torch.bfloat16)
    except RuntimeError:
        return False
    return True


def _copy(old: Path, new: Path) -> None:
    new.mkdir()
    for file in old.iterdir():
        shutil.copyfile(file, new / file.name)
        with (new / file.name).open("rb") as copied:
            os.fsync(copied.fileno())


def _status(key: str) -> int:
    """A number of this process in bytes; unlike ``getrusage`` it counts nothing of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), sys.argv[2])))
