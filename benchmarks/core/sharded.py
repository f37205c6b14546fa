"""What one rank of a sharded model costs: its own part, or the whole of each tensor to keep a part of it.

Every rank runs one way in a fresh process; memory is what the process's peak rises by over what it had with torch
imported and the process group made.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, DEPTH, VOCABULARY = 1024, 24, 16384
REPETITIONS = 3
WORLDS = (1, 2, 4)
WAYS = {
    "initkit": "initkit.apply on a meta model after fully_shard: its own part alone",
    "tensor": "each tensor whole on every rank (torch's normal_), its part kept",
    "model": "the whole model on every rank (torch's normal_), then fully_shard",
}


def run() -> dict[str, Any]:
    """Peak memory and time of a rank, by way and number of ranks; ratios are to the rank's part, and to ``tensor``."""
    load = os.getloadavg()[0]
    rows = []
    for count in WORLDS:
        found = {way: _world(way, count) for way in WAYS}
        for way, ranks in found.items():
            part = statistics.mean(rank["part_mb"] for rank in ranks)
            peak = max(rank["peak_mb"] for rank in ranks)
            busy = statistics.median(rank["processor_s"] for rank in ranks)
            base = statistics.median(rank["processor_s"] for rank in found["tensor"])
            rows.append(
                {
                    "ranks": count,
                    "way": way,
                    "part_mb": round(part, 1),
                    "peak_mb": round(peak, 1),
                    "peak_over_part": round(peak / part, 2),
                    "processor_s": round(busy, 2),
                    "processor_ratio": round(busy / base, 2),
                    "report_s": round(statistics.median(rank["report_s"] for rank in ranks), 2),
                }
            )
    return {
        "seeds": [0],
        "parameters": WIDTH * WIDTH * DEPTH + WIDTH * VOCABULARY,
        "repetitions": REPETITIONS,
        "threads": 1,
        "ways": WAYS,
        "load_before": round(load, 2),  # other work on the machine, in processors
        "rows": rows,
    }


def _world(way: str, count: int) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "FATAL"}
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.core.sharded", way, str(count), folder]
        ranks = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(count)]
        codes = [rank.wait() for rank in ranks]
        if any(codes):
            raise RuntimeError(f"{way} with {count} ranks: exit codes {codes}")
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(count)]


def _rank(way: str, count: int, folder: Path, rank: int) -> None:
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_tensor

    import initkit
    from initkit import Fill, Normal
    from initkit.ranks.parts import Parts

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=count)

    class Small(initkit.Recipe):
        """Small normal weights."""

        def plan(self, model: nn.Module) -> Any:
            for name, _ in model.named_parameters():
                yield Fill(name, Normal(0.02), why="small")

    def build() -> nn.Module:
        layers = [nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH)]
        return nn.Sequential(nn.Embedding(VOCABULARY, WIDTH), *layers)

    def shard(model: nn.Sequential) -> nn.Sequential:
        for layer in model:
            fully_shard(layer)
        return fully_shard(model)

    report = 0.0
    measure = Parts.statistics

    def measured(*arguments: Any) -> Any:
        nonlocal report
        began = time.process_time()
        try:
            return measure(*arguments)
        finally:
            report += time.process_time() - began

    Parts.statistics = measured  # type: ignore[method-assign]

    def ours() -> nn.Module:
        with torch.device("meta"):
            model = build()
        initkit.apply(shard(model), Small(), seed=0)
        return model

    def by_tensor() -> nn.Module:
        with torch.device("meta"):
            model = shard(build())
        model.to_empty(device="cpu")
        torch.manual_seed(0)
        for parameter in model.parameters():
            whole = torch.empty(parameter.shape).normal_(std=0.02)
            part = distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
            with torch.no_grad():
                parameter.to_local().copy_(part.to_local())
        return model

    def by_model() -> nn.Module:
        with torch.device("meta"):
            model = build()
        model.to_empty(device="cpu")
        torch.manual_seed(0)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.02)
        return shard(model)

    work: Callable[[], nn.Module] = {"initkit": ours, "tensor": by_tensor, "model": by_model}[way]
    dist.barrier()
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    times = []
    for repetition in range(REPETITIONS):
        began = time.process_time()
        model = work()
        times.append(time.process_time() - began)
        if repetition == 0:
            peak = _memory("VmHWM") - before
            part = sum(p.to_local().nbytes for p in model.parameters()) / 1e6  # type: ignore[attr-defined]
        del model
        dist.barrier()
    found = {
        "part_mb": part,
        "peak_mb": peak,
        "processor_s": statistics.median(times),
        "report_s": report / REPETITIONS,
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def _memory(line: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(next(row for row in text.splitlines() if row.startswith(line)).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    _rank(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
