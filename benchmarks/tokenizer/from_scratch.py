"""Bits per byte of a small causal model from scratch, by the rows its embedding and head start from.

The model, text and training are those of ``starts``: a Llama of two layers, 1,000 tokens of Python's documentation, 400
steps. Everything but the two matrices with a row a token starts the same, as transformers makes it; a seed gives every
start the same other weights and batches. ``torch`` draws the embedding from N(0, 1) and the head uniformly, as its
layers do by themselves. Ranks are those of the tokens' counts in the training text, or the order of ids where it says
so. A tail of 0.63 gives each further column the length it has in a matrix of deviation 0.02. Lower is better.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from transformers import LlamaForCausalLM

import initkit
from benchmarks.tokenizer.starts import RATE, STEPS, bits, stream, training, untrained
from initkit_tokenizer.example import TEXT, byte_level

SEEDS = (0, 1, 2)
SIZE, EARLY = 1000, 100
TAIL = 0.63
TRANSFORMERS, TORCH, BY_IDS = "transformers' default", "torch's default", "ranks by ids"
ROWS: dict[str, dict[str, Any]] = {
    TRANSFORMERS: {},
    TORCH: {},
    "eigennoise, variant=raw": {"variant": "raw"},
    "eigennoise, variant=log": {"variant": "log"},
    f"eigennoise, variant=raw, tail_scale={TAIL}": {"variant": "raw", "tail_scale": TAIL},
    f"eigennoise, variant=log, tail_scale={TAIL}": {"variant": "log", "tail_scale": TAIL},
    f"eigennoise, variant=log, tail_scale={TAIL}, {BY_IDS}": {"variant": "log", "tail_scale": TAIL},
}


def run() -> dict[str, Any]:
    paragraphs = [part for topic in TEXT for part in topic.split("\n\n") if len(part) > 40]
    train = [part for i, part in enumerate(paragraphs) if i % 12]
    test = [part for i, part in enumerate(paragraphs) if i % 12 == 0]
    tokenizer = byte_level(train, SIZE)
    counts = torch.bincount(stream(tokenizer, train), minlength=len(tokenizer))
    found: dict[str, list[dict[int, float]]] = {label: [] for label in ROWS}
    for seed in SEEDS:
        for label, runs in found.items():
            model = untrained(tokenizer, seed)
            start(model, label, counts, seed)
            measured = {0: bits(model, tokenizer, test)}
            for step in training(model, tokenizer, train, STEPS, RATE, seed):
                if step in (EARLY, STEPS):
                    measured[step] = bits(model, tokenizer, test)
            runs.append(measured)
            print(seed, label, measured, flush=True)
    return {
        "seeds": list(SEEDS),
        "steps": [0, EARLY, STEPS],
        "size": len(tokenizer),
        "rows": [_row(label, runs) for label, runs in found.items()],
    }


def start(model: LlamaForCausalLM, label: str, counts: torch.Tensor, seed: int) -> None:
    """Write the rows of the embedding and of the head."""
    if label == TORCH:
        torch.manual_seed(seed + 1000)
        for matrix in (model.model.embed_tokens, model.lm_head):
            matrix.reset_parameters()
    elif label != TRANSFORMERS:
        needs: dict[str, Any] = {} if label.endswith(BY_IDS) else {"counts": counts}
        initkit.apply(model, initkit.recipe("tokenizer/eigennoise", **ROWS[label]), seed=seed, **needs)


def _row(label: str, runs: list[dict[int, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"start": label}
    for step in runs[0]:
        values = [round(one[step], 4) for one in runs]
        row[f"after {step}"] = {
            "bits": values,
            "mean": round(statistics.mean(values), 4),
            "std": round(statistics.stdev(values), 4),
        }
    return row
