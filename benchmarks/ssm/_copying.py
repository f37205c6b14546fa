"""The copy task: four symbols, 56 blanks, then the symbols again; training and test of a language model on it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import initkit_ssm
from initkit import Stream

SYMBOLS, BLANKS, COPIED = 8, 56, 4
LENGTH = 2 * COPIED + BLANKS
STEPS, BATCH, RATE = 350, 32, 3e-3
PROTOCOL = {"steps": STEPS, "batch": BATCH, "learning_rate": RATE, "length": LENGTH}


def sequences(numbers: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Token ids (count, 64) and the symbols (count, 4)."""
    symbols = torch.randint(0, SYMBOLS, (count, COPIED), generator=numbers)
    blanks, asks = torch.full((count, BLANKS), SYMBOLS), torch.full((count, COPIED), SYMBOLS + 1)
    return torch.cat([symbols, blanks, asks], 1), symbols


def train(model: Any, seed: int, steps: int = STEPS) -> dict[str, Any]:
    """Train a causal language model; accuracy on 1,024 new sequences, and what the audit said before."""
    found = initkit_ssm.audit(model, length=LENGTH)
    stream = Stream(seed, "copy task")
    numbers = torch.Generator().manual_seed(stream.sub("train").integer_seed())
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    loss, begun = torch.zeros(()), time.process_time()
    for _ in range(steps):
        x, symbols = sequences(numbers, BATCH)
        logits = model(x, use_cache=False).logits[:, -COPIED:]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), symbols.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.process_time() - begun
    x, symbols = sequences(torch.Generator().manual_seed(stream.sub("test").integer_seed()), 1024)
    with torch.no_grad():
        answers = model(x, use_cache=False).logits[:, -COPIED:, :SYMBOLS].argmax(-1)
    return {
        "accuracy": round(float((answers == symbols).float().mean()), 4),
        "loss": round(float(loss.detach()), 4),
        "seconds": round(seconds, 1),
        "verdicts": [one.level for one in found.layers],
        "tau": sorted(float(f"{value:.4g}") for one in found.layers for value in one.tau.tolist()),
    }


def row(start: str, build: Callable[[int], Any], seeds: list[int], steps: int = STEPS) -> dict[str, Any]:
    """Train for every seed and summarise."""
    runs = [train(build(seed), seed, steps) for seed in seeds]
    accuracy = [one["accuracy"] for one in runs]
    print(f"{start}: {accuracy}", flush=True)
    return {
        "start": start,
        "accuracy": accuracy,
        "accuracy_mean": round(statistics.fmean(accuracy), 4),
        "accuracy_std": round(statistics.stdev(accuracy), 4),
        "loss": [one["loss"] for one in runs],
        "time_constants": [one["tau"] for one in runs],
        "verdicts": [one["verdicts"] for one in runs],
        "cpu_seconds": [one["seconds"] for one in runs],
    }
