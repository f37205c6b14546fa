"""Mamba-2 on the copy task: four symbols, 56 blanks, then the symbols again.

The model is transformers' Mamba2ForCausalLM: hidden size 32, two layers, eight heads; AdamW with learning rate 3e-3,
350 steps of 32 sequences, gradients clipped at 1. A seed gives every start the same weights and data; starts differ in
A and dt alone. ``spoiled`` has the dynamics that several of transformers' classes are released with (bias of dt 1 in
every head, A = 1..heads), ``repaired`` is that after ssm/repair, ``authors`` are the authors' formulas written out in
torch, ``transformers`` is what Mamba2Config starts with.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import Mamba2Config, Mamba2ForCausalLM

import initkit
from benchmarks.ssm import _copying

SEEDS = [0, 1, 2, 3, 4]
STARTS = ("spoiled", "repaired", "authors", "transformers")
EXPECTED = [("repaired", "at_least", 0.5), ("spoiled", "below", 0.2)]  # before anything was run


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_copying.row(start, lambda seed, start=start: build(seed, start), SEEDS) for start in STARTS]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "chance": 1 / _copying.SYMBOLS,
        "protocol": _copying.PROTOCOL,
        "rows": rows,
        "expected": [_compared(rows, *one) for one in EXPECTED],
    }


def build(seed: int, start: str) -> Mamba2ForCausalLM:
    """The model with one of the starts; all weights but A and dt are equal for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Mamba2ForCausalLM(
            Mamba2Config(
                vocab_size=_copying.SYMBOLS + 2,
                hidden_size=32,
                num_hidden_layers=2,
                num_heads=8,
                head_dim=8,
                expand=2,
                state_size=16,
                n_groups=1,
                chunk_size=32,
                rescale_prenorm_residual=False,
                pad_token_id=None,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
    if start in ("spoiled", "repaired"):
        _spoil(model)
    if start == "repaired":
        initkit.apply(model, "ssm/repair", seed=seed)
    if start == "authors":
        _authors(model, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def _spoil(model: nn.Module) -> None:
    for layer in model.backbone.layers:  # type: ignore[union-attr]
        layer.mixer.dt_bias.fill_(1.0)
        layer.mixer.A_log.copy_(torch.arange(1, 9).log())


@torch.no_grad()
def _authors(model: nn.Module, numbers: torch.Generator) -> None:
    for layer in model.backbone.layers:  # type: ignore[union-attr]
        dt = torch.exp(torch.rand(8, generator=numbers) * math.log(100) + math.log(1e-3))
        layer.mixer.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        layer.mixer.A_log.copy_((torch.rand(8, generator=numbers) * 15 + 1).log())


def _compared(rows: list[dict[str, Any]], start: str, how: str, bound: float) -> dict[str, Any]:
    mean = next(row["accuracy_mean"] for row in rows if row["start"] == start)
    return {"start": start, how: bound, "found": mean, "met": mean >= bound if how == "at_least" else mean < bound}
