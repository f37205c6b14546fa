"""A small causal language model, made, trained and measured alike in all benchmarks that need one.

A Llama without tied embeddings in a byte-level vocabulary. Text is a row of ids in which each paragraph stands after an
``<eos>``, cut into blocks of 128; a step takes 16 of them, each block once until all were seen.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.tokenizer._packages import cache_folder
from benchmarks.tokenizer._text import corpus
from initkit_tokenizer.vocabulary import Vocabulary

BLOCK, BATCH = 128, 16
TESTED = 60_000
"""Bytes of held-out text that are measured."""


def byte_level(lines: list[str], size: int) -> Any:
    """A byte-level BPE tokenizer trained on the lines; <pad> is 0, <eos> 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<pad>", "<eos>"], initial_alphabet=sorted(alphabet), show_progress=False
    )
    made.train_from_iterator(lines, trainer)
    return made


@cache
def tokenizer_of(language: str, size: int) -> Any:
    """:func:`byte_level` on a language's training text."""
    return byte_level(corpus(language).train, size)


@cache
def blocks_of(language: str, size: int) -> Tensor:
    """:func:`blocks` of a language's training text, cut by :func:`tokenizer_of`."""
    return blocks(tokenizer_of(language, size), corpus(language).train)


def blocks(tokenizer: Any, lines: list[str]) -> Tensor:
    """All lines as blocks of ids, (n, 128); what does not fill a block is dropped."""
    eos = tokenizer.token_to_id("<eos>")
    ids = [i for one in tokenizer.encode_batch(lines, add_special_tokens=False) for i in (eos, *one.ids)]
    return torch.tensor(ids[: len(ids) // BLOCK * BLOCK]).reshape(-1, BLOCK)


def llama(vocabulary: int, *, hidden: int = 128, layers: int = 3, seed: int) -> LlamaForCausalLM:
    """An untrained model: as wide again by 2.625 inside, four heads."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 21 // 8,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=BLOCK,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM, data: Tensor, *, steps: int, rate: float, warm: int, horizon: int, seed: int
) -> None:
    """AdamW (0.9, 0.95), weight decay 0.01, gradients clipped at 1; linear warm-up, then a cosine to 0 at ``horizon``.

    Args:
        data: blocks of ids.
        steps: how many are made.
        rate: the highest learning rate.
        warm: steps of warm-up.
        horizon: at least ``steps``.
        seed: of the order of blocks.
    """
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0, step - warm) / (horizon - warm)))
        ),
    )
    model.train()
    for step in range(steps):
        places = order[torch.arange(step * BATCH, (step + 1) * BATCH) % len(order)]
        batch = data[places]
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()


@torch.no_grad()
def bits_per_byte(model: LlamaForCausalLM, tokenizer: Any, lines: list[str]) -> float:
    """On the first 60 kB of lines, each counted with one byte more; the first token of a block is not predicted."""
    chosen, size = [], 0
    for line in lines:
        chosen.append(line)
        size += len(line.encode()) + 1
        if size >= TESTED:
            break
    model.eval()
    data = blocks(tokenizer, chosen)
    eos = sum(len(one.ids) + 1 for one in tokenizer.encode_batch(chosen, add_special_tokens=False))
    nats = sum(float(model(input_ids=part, labels=part).loss) * len(part) for part in data.split(32))
    return nats / len(data) * eos / size / math.log(2)


def trained(name: str, language: str, size: int, *, steps: int, seed: int, **shape: int) -> LlamaForCausalLM:
    """A model trained from scratch, at 3e-3 with 50 steps of warm-up on a cosine of 1000; kept in the cache."""
    tokenizer, lines = tokenizer_of(language, size), corpus(language).train
    key = fingerprint(Vocabulary.of(tokenizer), len(lines), sum(map(len, lines)), steps, seed, shape)
    folder = cache_folder() / f"{name}-{seed}-{key}"
    if not (folder / "model.safetensors").exists():
        model = llama(tokenizer.get_vocab_size(), seed=seed, **shape)
        train(model, blocks_of(language, size), steps=steps, rate=3e-3, warm=50, horizon=1000, seed=seed)
        model.save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder).eval()  # type: ignore[no-any-return]


class Memory:
    """Measurements by what they were made from, kept in the cache: equal rows need no second training.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self.path = cache_folder() / f"{name}.json"
        self.held: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, key: str) -> Any:
        return self.held.get(key)

    def put(self, key: str, value: Any) -> None:
        fresh = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.held = {**fresh, **self.held, key: value}
        scratch = self.path.with_suffix(".part")
        scratch.write_text(json.dumps(self.held))
        scratch.replace(self.path)


def fingerprint(*parts: Any) -> str:
    """A short name for models (by their tensors), vocabularies and plain values."""
    made = hashlib.blake2b(digest_size=10)
    for part in parts:
        if isinstance(part, torch.nn.Module):
            for name, tensor in sorted(part.state_dict().items()):
                made.update(name.encode())
                made.update(tensor.contiguous().numpy().tobytes())
        elif isinstance(part, Vocabulary):
            made.update(repr(sorted(part.tokens.items())).encode())
        else:
            made.update(repr(part).encode())
    return made.hexdigest()
