"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

import initkit
from initkit.testing import Case, parametrize_with_checks


def words(*tokens: str, special: str = "") -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [(token[:1], token[1:]) for token in tokens if token[:1] in vocabulary and token[1:] in vocabulary]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    if special:
        made.add_special_tokens([special])
    return made


OLD = words("a", "b", "c", "d", "ab")
NEW = words("c", "b", "a", "d", "ab", "cab", special="<tool>")  # ids move too


class Tied(nn.Module):
    """An embedding tied to its head, which has a bias, and a layer between."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.middle = nn.Linear(4, 4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.middle(self.embedding(ids)))
        return out


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=6, bos_token_id=0, eos_token_id=1, **sizes))


def cases() -> list[Case]:
    found = []
    for card in initkit.recipes():
        if card.plugin != "tokenizer":
            continue
        needs: dict[str, Any] = {"tokenizer": NEW, "old_tokenizer": OLD}
        if card.name == "eigennoise":
            found.append(Case(initkit.recipe(card.id, tail_scale=0.1), Tied))
            continue
        if card.name not in PAIRS:
            continue
        if card.name == "description":
            needs["descriptions"] = {"<tool>": "cad"}
        if card.name == "token_distillation":
            needs["corpus"] = ["cabdab", "abcab", "dcab"] * 4
        found.append(Case(card.id, llama if card.name in HIDDEN else Tied, needs))
    return found


PAIRS = {
    "mean", "subword", "multivariate", "noisy_mean", "normal_per_dim", "normal", "zeros", "description", "tool_token",
    "cross_init", "token_distillation",
}  # fmt: skip
HIDDEN = {"tool_token", "cross_init", "token_distillation"}


@parametrize_with_checks(cases())
def test_battery(check: Any, case: Case) -> None:
    check(case)


def test_the_plugin_takes_models_with_embeddings_alone() -> None:
    cards = {card.name: card for card in initkit.recipes() if card.plugin == "tokenizer"}
    assert cards["mean"].claims(Tied()) == ["embedding.weight", "head.bias"]
    assert cards["mean"].claims(nn.Linear(3, 4)) == []
    with pytest.raises(initkit.PlanError, match="has no embedding"):
        initkit.plan(nn.Linear(3, 4), "tokenizer/mean", tokenizer=NEW, old_tokenizer=OLD)
