"""How long it takes to draw rows around the mean with the old rows' covariance, beside torch and transformers.

``sample``: 1,000 rows of 1,024 numbers from one and the same Cholesky factor: ``MultivariateNormal.sample`` makes one
matrix-vector product a row, ours is one matrix product. ``resize``: mean, covariance, factor and rows for a table of
32,768 x 1,024, as transformers' resizing does it and as ``tokenizer/multivariate`` does; for 100 new rows ours goes
straight from the data. ``large``: 128k x 4,096 in bfloat16, ours alone, with the memory it needs beyond the table.
Figures are medians over rounds, taken in turn, on one thread.
"""

from __future__ import annotations

import json
import os
import resource
import statistics as medians
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from initkit_tokenizer import statistics

ROUNDS, SEED = 3, 0
WIDTH, ROWS, TABLE = 1024, 1000, 32_768
LARGE = (131_072, 4096, 1000)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    table = torch.randn(TABLE, WIDTH, generator=generator) * 0.02
    every = torch.arange(TABLE)
    centre = statistics.mean(table, every)
    factor = torch.linalg.cholesky(1e-9 * statistics.covariance(table, every))
    normal = torch.distributions.MultivariateNormal(centre, scale_tril=factor)
    same = _difference(normal, centre, factor)
    ways: dict[str, Callable[[], object]] = {
        "sample: MultivariateNormal.sample": lambda: normal.sample((ROWS,)),
        "sample: ours": lambda: statistics.from_factor(torch.randn(ROWS, WIDTH), centre, factor, 1.0),
        "resize by 1,000 rows: transformers": lambda: _transformers(table, ROWS),
        "resize by 1,000 rows: ours, data": lambda: _data(table, every, ROWS),
        "resize by 1,000 rows: ours, factor": lambda: _factor(table, every, ROWS),
        "resize by 100 rows: transformers": lambda: _transformers(table, 100),
        "resize by 100 rows: ours, data": lambda: _data(table, every, 100),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, work in ways.items():
            start = time.process_time()
            work()
            seconds[way].append(time.process_time() - start)
            print(way, seconds[way][-1], flush=True)
    rows = [
        {"way": way, "seconds": round(medians.median(runs), 5), "all_seconds": [round(one, 5) for one in runs]}
        for way, runs in seconds.items()
    ]
    at = {row["way"]: row["seconds"] for row in rows}
    single = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.tokenizer.sampling_speed"]
    done = subprocess.run(command, env=single, capture_output=True, text=True, check=True)
    return {
        "seeds": [SEED],
        "threads": 1,
        "rows": rows,
        "largest_difference_in_std": same,
        "large": json.loads(done.stdout.splitlines()[-1]),
        "ratios": {
            "sample": round(at["sample: MultivariateNormal.sample"] / at["sample: ours"], 1),
            "resize by 1,000 rows, data": round(
                at["resize by 1,000 rows: transformers"] / at["resize by 1,000 rows: ours, data"], 1
            ),
            "resize by 1,000 rows, factor": round(
                at["resize by 1,000 rows: transformers"] / at["resize by 1,000 rows: ours, factor"], 1
            ),
            "resize by 100 rows": round(
                at["resize by 100 rows: transformers"] / at["resize by 100 rows: ours, data"], 1
            ),
        },
    }


def _difference(normal: torch.distributions.MultivariateNormal, centre: Tensor, factor: Tensor) -> float:
    """The largest difference of ten rows from the same numbers, in standard deviations."""
    torch.manual_seed(SEED)
    theirs = normal.sample((10,))
    torch.manual_seed(SEED)
    ours = statistics.from_factor(torch.randn(10, WIDTH), centre, factor, 1.0)
    return float((ours - theirs).abs().max() / factor.square().sum(1).sqrt().mean())


def _transformers(table: Tensor, count: int) -> object:
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = LlamaForCausalLM(small)
    old, new = nn.Embedding(1, WIDTH), nn.Embedding(1, WIDTH)
    old.weight.data, new.weight.data = table, torch.empty(len(table) + count, WIDTH)
    return model._init_added_embeddings_weights_with_mean(old, new, len(table), count)


def _data(table: Tensor, every: Tensor, count: int) -> Tensor:
    return statistics.from_data(lambda start, stop: torch.randn(count, stop - start), table, every, count, 1e-9)


def _factor(table: Tensor, every: Tensor, count: int) -> Tensor:
    factor = statistics.cholesky(statistics.covariance(table, every))
    assert factor is not None
    return statistics.from_factor(torch.randn(count, WIDTH), statistics.mean(table, every), factor, 1e-9)


def large() -> dict[str, Any]:
    """Time and peak memory of a table of a large model."""
    torch.set_num_threads(1)
    rows, width, count = LARGE
    generator = torch.Generator().manual_seed(SEED)
    table = torch.empty(rows, width, dtype=torch.bfloat16)
    for block in table.split(4096):
        block.copy_(torch.randn(block.shape, generator=generator) * 0.02)
    every = torch.arange(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    statistics.from_data(lambda a, b: torch.randn(count, b - a, generator=generator), table, every, count, 1e-5)
    data = time.process_time() - start
    between = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    factor = statistics.cholesky(statistics.covariance(table, every))
    assert factor is not None
    numbers = torch.randn(count, width, generator=generator)
    statistics.from_factor(numbers, statistics.mean(table, every), factor, 1e-5)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows,
        "width": width,
        "new": count,
        "table_mb": round(table.numel() * 2 / 1e6),
        "data_seconds": round(data, 1),
        "data_peak_mb": round((between - before) / 1024),
        "factor_seconds": round(time.process_time() - start, 1),
        "factor_peak_mb": round((after - before) / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(large()))
