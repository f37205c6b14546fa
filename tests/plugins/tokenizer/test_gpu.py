"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import initkit
from initkit_tokenizer.example import byte_level, sentencepiece

TEXT = ["the cat sat on the mat and the dog sat on the log " * 20, "größer als die Straße " * 20]
V = 300
WORK: dict[str, tuple[str, ...]] = {
    "mean": (),
    "multivariate": ("mm",),
    "subword": ("_embedding_bag_forward_only",),
    "tool_token": ("mm",),
    "wechsel": ("mm", "topk"),
    "focus": ("topk",),
    "omp": ("mm", "baddbmm_"),
    "map": ("mm",),
    "clp": ("mm",),
    "auto": (),
}


@pytest.fixture(scope="module")
def needs() -> dict[str, Any]:
    return {"old_tokenizer": byte_level(TEXT, V), "tokenizer": sentencepiece(TEXT, 350)}


def llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=None,
        )
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WORK)
def test_new_rows(alike: Callable[..., None], name: str, needs: dict[str, Any]) -> None:
    given = dict(needs)
    words = list(given["tokenizer"].get_vocab())
    generator = torch.Generator().manual_seed(0)
    if name in ("wechsel", "focus"):
        given["static_vectors"] = {w.lstrip("▁"): torch.randn(8, generator=generator).numpy() for w in words}
    if name in ("omp", "map", "clp"):
        rows = max(given["tokenizer"].get_vocab().values()) + 1
        given["donor"] = {part: torch.randn(rows, 12, generator=generator) for part in ("input", "head")}
    # A word with and without its space has one vector: where such a tie is the tenth neighbour, it shall weigh nothing.
    options = {"temperature": 0.01} if name == "wechsel" else {}
    alike(llama, initkit.recipe(f"tokenizer/{name}", **options), rtol=1e-3, atol=1e-5, there=WORK[name], **given)
