"""Bits per byte of a small causal model whose vocabulary grows, or is replaced, before and after a little training.

A Llama of two layers is trained on Python's own documentation (it ships with Python) in a byte-level vocabulary of
1,000 tokens. Then it moves to 2,000 tokens of the same kind (the vocabulary grows), or to 1,600 of SentencePiece's kind
(it is replaced). Bits per byte on held-out paragraphs, as the new tokenizer cuts them; lower is better. A seed gives
every start the same trained model and batches. "transformers" is ``resize_token_embeddings`` as it is.
"""

from __future__ import annotations

import copy
import math
import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import initkit
from initkit_tokenizer.example import TEXT, byte_level, sentencepiece

SEEDS = (0, 1, 2)
STEPS, MORE, BATCH, LENGTH = 400, 60, 16, 64
RATE = 3e-3
"""The highest learning rate of a model from scratch."""
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("mean", {}),
    "multivariate": ("multivariate", {}),
    "multivariate, compat=hf": ("multivariate", {"compat": "hf"}),
    "noisy_mean": ("noisy_mean", {}),
    "normal_per_dim": ("normal_per_dim", {}),
    "normal": ("normal", {}),
    "zeros": ("zeros", {}),
    "subword": ("subword", {}),
    "subword, exp": ("subword", {"weights": "exp"}),
    "subword, head=mean": ("subword", {"head": "mean"}),
    "cw2v": ("cw2v", {}),
    "cw2v, lr=0.005": ("cw2v", {"lr": 0.005}),
    "cw2v, compat=authors": ("cw2v", {"compat": "authors"}),
}


def run() -> dict[str, Any]:
    paragraphs = [part for topic in TEXT for part in topic.split("\n\n") if len(part) > 40]
    train = [part for i, part in enumerate(paragraphs) if i % 12]
    test = [part for i, part in enumerate(paragraphs) if i % 12 == 0]
    old = byte_level(train, 1000)
    targets = {"grows": byte_level(train, 2000), "replaced": sentencepiece(train, 1600)}
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    base = []
    for seed in SEEDS:
        model = trained(old, train, seed)
        base.append(bits(model, old, test))
        for case, new in targets.items():
            for name, start in starts(case).items():
                changed = start(copy.deepcopy(model), old, new, train, seed)
                before = bits(changed, new, test)
                fit(changed, new, train, MORE, 1e-3, seed + 100)
                found.setdefault((case, name), []).append({"before": before, "after": bits(changed, new, test)})
                print(seed, case, name, found[case, name][-1], flush=True)
    rows = [
        {
            "case": case,
            "start": name,
            **{f"{when}_mean": round(statistics.mean(one[when] for one in runs), 4) for when in ("before", "after")},
            **{f"{when}_std": round(statistics.stdev(one[when] for one in runs), 4) for when in ("before", "after")},
            **{when: [round(one[when], 4) for one in runs] for when in ("before", "after")},
        }
        for (case, name), runs in found.items()
    ]
    sizes = {"old": len(old), **{case: len(new) for case, new in targets.items()}}
    return {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "more": MORE,
        "sizes": sizes,
        "old_bits": [round(value, 4) for value in base],
        "rows": rows,
    }


def starts(case: str) -> dict[str, Callable[[LlamaForCausalLM, Any, Any, list[str], int], LlamaForCausalLM]]:
    found: dict[str, Callable[..., LlamaForCausalLM]] = {name: _recipe(*start) for name, start in STARTS.items()}
    if case == "grows":
        found["transformers"] = _transformers
    return found


def _recipe(name: str, options: dict[str, Any]) -> Callable[..., LlamaForCausalLM]:
    def start(model: LlamaForCausalLM, old: Any, new: Any, text: list[str], seed: int) -> LlamaForCausalLM:
        needs = {"corpus": text} if name == "cw2v" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = initkit.recipe(f"tokenizer/{name}", **options)
            initkit.apply(model, made, tokenizer=new, old_tokenizer=old, seed=seed, **needs)
        return model

    return start


def _transformers(model: LlamaForCausalLM, old: Any, new: Any, text: list[str], seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    model.resize_token_embeddings(len(new))
    return model


def trained(tokenizer: Any, text: list[str], seed: int) -> LlamaForCausalLM:
    model = untrained(tokenizer, seed)
    fit(model, tokenizer, text, STEPS, RATE, seed)
    return model


def untrained(tokenizer: Any, seed: int) -> LlamaForCausalLM:
    """The model as transformers makes it: all matrices normal of deviation 0.02."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4
    )
    return LlamaForCausalLM(config)


def stream(tokenizer: Any, text: list[str]) -> Tensor:
    """All paragraphs as one row of ids, each ended by a line break."""
    ids = tokenizer([part + "\n" for part in text], add_special_tokens=False).input_ids
    return torch.tensor([i for part in ids for i in part])


def fit(model: LlamaForCausalLM, tokenizer: Any, text: list[str], steps: int, rate: float, seed: int) -> None:
    for _ in training(model, tokenizer, text, steps, rate, seed):
        pass
    model.eval()


def training(
    model: LlamaForCausalLM, tokenizer: Any, text: list[str], steps: int, rate: float, seed: int
) -> Iterator[int]:
    """Train, and yield how many steps were made after each."""
    ids = stream(tokenizer, text)
    numbers = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    warm = max(steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps)),
    )
    for step in range(steps):
        model.train()
        begin = torch.randint(len(ids) - LENGTH, (BATCH,), generator=numbers)
        batch = ids[begin[:, None] + torch.arange(LENGTH)]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield step + 1


@torch.no_grad()
def bits(model: LlamaForCausalLM, tokenizer: Any, text: list[str], length: int = 128) -> float:
    """Bits per byte on the text, in blocks."""
    model.eval()
    ids = stream(tokenizer, text)
    ids = ids[: len(ids) // length * length].reshape(-1, length)
    size = sum(len(part.encode()) + 1 for part in text)
    nats, count = 0.0, 0
    for block in ids.split(16):
        loss = model(input_ids=block, labels=block).loss
        nats += float(loss) * block.shape[0] * (length - 1)
        count += block.shape[0] * (length - 1)
    return nats / count * len(stream(tokenizer, text)) / size / math.log(2)
