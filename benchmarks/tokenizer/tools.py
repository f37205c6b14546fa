"""Tokens for tools in a small causal model: does its head find the right one before any row is trained?

The Llama of ``starts``, trained on Python's documentation in 1,000 byte-level tokens, gets a token for each of the 50
most frequent identifiers (letters and underscores, at least 6 characters, of several old tokens) of the training text.
On held-out paragraphs, at each place where such a word follows, the final hidden state gives logits over the tools'
output rows alone; measured is the mean reciprocal rank of the right tool and how often it is the first. Then the tools'
rows alone are trained for a few steps on places in the training text, with and without the regulariser. A seed gives
all starts the same trained model and batches.
"""

from __future__ import annotations

import copy
import re
import statistics
import warnings
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

import initkit
from benchmarks.tokenizer._ranks import ranks, table
from benchmarks.tokenizer.starts import LENGTH, STEPS, trained
from initkit_tokenizer import prior_penalty
from initkit_tokenizer.example import TEXT, byte_level

SEEDS = (0, 1, 2)
TOOLS, LETTERS = 50, 6
MORE, BATCH, RATE = 20, 64, 1e-3
TIE = 1e-5  # of logits, as float32 sums them
STARTS = ("tool_token", "subword", "mean", "normal")
WORD = re.compile(r"[A-Za-z_]+")


def run() -> dict[str, Any]:
    paragraphs = [part for topic in TEXT for part in topic.split("\n\n") if len(part) > 40]
    train = [part for i, part in enumerate(paragraphs) if i % 12]
    test = [part for i, part in enumerate(paragraphs) if i % 12 == 0]
    old = byte_level(train, 1000)
    names, counts = tools(train, old)
    new = copy.deepcopy(old)
    if new.add_tokens(names) != len(names):
        raise RuntimeError("a tool is a token already")
    ids: list[int] = [new.vocab[name] for name in names]
    seen, wanted = places(train, names)
    held, right = places(test, names)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in SEEDS:
        model = trained(old, train, seed)
        states, learned = final_states(model, old, held), final_states(model, old, seen)
        for name in STARTS:
            rows = made(name, model, old, new, ids, seed)
            row = {"before": ranks(states @ rows.T, right, TIE)}
            for kind, strength in (("after", 0.0), ("after, regularised", 1e-2)):
                row[kind] = ranks(states @ fit(rows, learned, wanted, strength, seed).T, right, TIE)
            found.setdefault(name, []).append({f"{k}, {m}": v for k, one in row.items() for m, v in one.items()})
            print(seed, name, found[name][-1], flush=True)
    chance = ranks(torch.zeros(len(right), TOOLS), right, TIE)
    frequent = ranks(torch.tensor([float(n) for n in counts]).expand(len(right), -1), right, TIE)
    return {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "more": MORE,
        "tools": names,
        "places": {"held out": len(right), "training": len(wanted)},
        "pieces": round(statistics.mean(len(old(name, add_special_tokens=False).input_ids) for name in names), 2),
        "chance": chance,
        "by frequency": frequent,
        "rows": [{"start": name, **table(runs)} for name, runs in found.items()],
    }


def tools(text: list[str], tokenizer: Any) -> tuple[list[str], list[int]]:
    """The most frequent identifiers that take several old tokens, and their counts."""
    counts = Counter(word for part in text for word in WORD.findall(part) if len(word) >= LETTERS)
    chosen = []
    for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        cuts = tokenizer([word, f" {word}"], add_special_tokens=False).input_ids
        if min(map(len, cuts)) > 1:
            chosen.append((word, count))
        if len(chosen) == TOOLS:
            break
    return [word for word, _ in chosen], [count for _, count in chosen]


def places(text: list[str], names: list[str]) -> tuple[list[str], Tensor]:
    """What is read before each tool of the text, without the space between, and which tool follows."""
    number = {name: place for place, name in enumerate(names)}
    found = [
        (before, number[match.group()])
        for part in text
        for match in WORD.finditer(part)
        if match.group() in number and (before := part[: match.start()].removesuffix(" "))
    ]
    return [before for before, _ in found], torch.tensor([tool for _, tool in found])


@torch.no_grad()
def final_states(model: LlamaForCausalLM, tokenizer: Any, before: list[str]) -> Tensor:
    """Final hidden states, after the norm, at the last token of each text, (texts, d)."""
    cut = [ids[-LENGTH:] for ids in tokenizer(before, add_special_tokens=False).input_ids]
    found = []
    for start in range(0, len(cut), 64):
        part = cut[start : start + 64]
        longest = max(map(len, part))
        ids = torch.tensor([one + [0] * (longest - len(one)) for one in part])  # what follows is not seen
        states = model.model(input_ids=ids).last_hidden_state
        found.append(states[torch.arange(len(part)), torch.tensor([len(one) - 1 for one in part])])
    return torch.cat(found)


def made(name: str, model: LlamaForCausalLM, old: Any, new: Any, ids: list[int], seed: int) -> Tensor:
    """Output rows of the tools, (tools, d)."""
    changed = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initkit.apply(changed, f"tokenizer/{name}", tokenizer=new, old_tokenizer=old, seed=seed)
    rows: Tensor = changed.lm_head.weight.detach()[ids].clone()
    return rows


def fit(rows: Tensor, states: Tensor, right: Tensor, strength: float, seed: int) -> Tensor:
    """The tools' rows after a little training, all else fixed."""
    weight = rows.clone().requires_grad_()
    penalty = prior_penalty(rows, strength=strength)
    numbers = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([weight], lr=RATE)
    for _ in range(MORE):
        batch = torch.randint(len(right), (BATCH,), generator=numbers)
        loss = torch.nn.functional.cross_entropy(states[batch] @ weight.T, right[batch])
        if strength:
            loss = loss + penalty(weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach()
