"""What an inspection costs against a plain forward and backward pass of the same model, on one thread."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import initkit
from initkit.probing import record
from initkit.probing.inputs import output_of
from initkit.probing.spectra import Ranks

ROUNDS = 9
LIMIT = 1.5


def mlp() -> tuple[nn.Module, tuple[Tensor, ...]]:
    layers = [part for _ in range(8) for part in (nn.Linear(1024, 1024), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(1024, 10)), (torch.randn(512, 1024),)


def convolutions() -> tuple[nn.Module, tuple[Tensor, ...]]:
    widths = [3, 64, 64, 128, 128]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)), (
        torch.randn(32, 3, 32, 32),
    )


def transformer() -> tuple[nn.Module, tuple[Tensor, ...]]:
    layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
    model = nn.Sequential(nn.Embedding(1000, 256), nn.TransformerEncoder(layer, 4, enable_nested_tensor=False))
    return nn.Sequential(model, nn.Linear(256, 1000)), (torch.randint(0, 1000, (16, 128)),)


def graph() -> tuple[nn.Module, tuple[Tensor, ...]]:
    from torch_geometric.nn.models import GCN

    edges = torch.randint(0, 5000, (2, 50000))
    return GCN(256, 256, num_layers=8, out_channels=10), (torch.randn(5000, 256), edges)


MODELS = {
    "MLP, 8×1024": mlp,
    "convolutions, 4 layers": convolutions,
    "transformer, 4×256": transformer,
    "GCN, 8×256": graph,
}


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_row(name, build) for name, build in MODELS.items()]
    finally:
        torch.set_num_threads(threads)
    return {
        "rounds": ROUNDS,
        "seed": 0,
        "limit": LIMIT,
        "rows": rows,
        "pass_within_limit": all(row["recorded"] <= LIMIT for row in rows),
    }


def _row(name: str, build: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]) -> dict[str, Any]:
    torch.manual_seed(0)
    model, inputs = build()
    weights = list(model.parameters())

    def plain() -> None:
        out = output_of(model(*inputs))
        torch.autograd.grad(out.sum(), weights, allow_unused=True)

    def inspected() -> None:
        initkit.inspect(model, inputs, probes="core/signal")

    def recorded() -> None:
        real = record.ranks
        record.ranks = lambda matrix: Ranks(0.0, 0.0, 0.0)
        try:
            inspected()
        finally:
            record.ranks = real

    works = {"plain": plain, "recorded": recorded, "inspected": inspected}
    times: dict[str, list[float]] = {key: [] for key in works}
    for number in range(ROUNDS + 1):
        for key, work in works.items():
            begin = time.process_time()
            work()
            if number:  # the first round fills caches
                times[key].append(time.process_time() - begin)
    plain_s, recorded_s, inspected_s = (statistics.median(times[key]) for key in works)
    ratios = sorted(r / p for r, p in zip(times["recorded"], times["plain"], strict=True))
    return {
        "model": name,
        "parameters": sum(p.numel() for p in weights),
        "plain_ms": round(plain_s * 1e3, 1),
        "recorded": round(statistics.median(ratios), 2),
        "recorded_least": round(ratios[0], 2),
        "recorded_most": round(ratios[-1], 2),
        "with_ranks": round(inspected_s / plain_s, 2),
        "ranks_ms": round((inspected_s - recorded_s) * 1e3, 1),
    }
