"""Rows from the encoder's own states: against a plain run of the model, and what is refused."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, processors
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPTextConfig,
    CLIPTextModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

import initkit
from initkit import CommitError, NeedError
from initkit_tokenizer import row_penalty

SIZES: dict[str, Any] = {
    "vocab_size": 8, "hidden_size": 4, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
}  # fmt: skip
MODELS = {
    "clip": lambda: CLIPTextModel(CLIPTextConfig(**SIZES, max_position_embeddings=20)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZES)),
    "gemma": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=2, num_key_value_heads=2)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(vocab_size=8, d_model=4, d_kv=2, d_ff=12, num_layers=1, num_heads=2)
    ),
}


def tokenizer(*tokens: str, special: str = "", frame: bool = True) -> Tokenizer:
    """Tokens by merges of letters, texts between ``<`` and ``>``."""
    vocabulary = {token: i for i, token in enumerate(["<", ">", *tokens])}
    merges = [
        (token[:cut], token[cut:])
        for token in tokens
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.add_special_tokens([special] if special else [])
    if frame:
        made.post_processor = processors.TemplateProcessing(single="< $A >", special_tokens=[("<", 0), (">", 1)])
    return made


KNOWN = ("a", "b", "c", "d", "ab", " ")
OLD, NEW = tokenizer(*KNOWN), tokenizer(*KNOWN, "abc", "dd")


def apply(model: nn.Module, *, needs: dict[str, Any] | None = None, **options: Any) -> initkit.Report:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        recipe = initkit.recipe("tokenizer/cross_init", **options)
        return initkit.apply(model, recipe, seed=3, **{"tokenizer": NEW, "old_tokenizer": OLD, **(needs or {})})


def states(name: str, model: Any, ids: list[int], embeds: Tensor | None = None) -> Tensor:
    """The last hidden states of a model, asked for in the words of its family."""
    given = {"input_ids": torch.tensor([ids])} if embeds is None else {"inputs_embeds": embeds[None]}
    with torch.no_grad():
        if name == "t5":
            return model.encoder(**given).last_hidden_state[0]
        if name == "clip":
            return model(**given).last_hidden_state[0]
        return model(**given, output_hidden_states=True).hidden_states[-1][0]


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_the_last_hidden_states(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    before = copy.deepcopy(model)
    apply(model)
    rows = model.get_input_embeddings().weight.detach()
    found = states(name, before, [0, 6, 4, 1])[1:3]  # < ab c >
    assert torch.allclose(rows[8], found.mean(0), atol=1e-6)
    assert torch.allclose(rows[9], states(name, before, [0, 5, 5, 1])[1:3].mean(0), atol=1e-6)
    last = copy.deepcopy(before)
    apply(last, position="last")
    assert torch.allclose(last.get_input_embeddings().weight[8], found[1], atol=1e-6)


def test_nothing_else_of_the_model_changes() -> None:
    model = MODELS["bert"]().train()
    model.bert.pooler = None
    model.bert.embeddings.position_embeddings.weight.requires_grad_(False)
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    state = torch.get_rng_state()
    apply(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == asked
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_descriptions_give_the_words() -> None:
    torch.manual_seed(0)
    model = MODELS["llama"]().eval()
    before = copy.deepcopy(model)
    new = tokenizer(*KNOWN, special="<x>")
    report = apply(model, needs={"tokenizer": new, "descriptions": {"<x>": "cad"}})
    expected = states("llama", before, [0, 4, 2, 5, 1])[1:4].mean(0)
    assert torch.allclose(model.model.embed_tokens.weight[8], expected, atol=1e-6)
    assert torch.allclose(model.lm_head.weight[8], before.lm_head.weight[[4, 2, 5]].mean(0), atol=1e-6)
    assert report.notes["tokenizer/cross_init rows"][0]["described"] == 1
    model = copy.deepcopy(before)
    report = apply(model, needs={"tokenizer": new})  # a special token without words gets the mean
    assert torch.allclose(model.model.embed_tokens.weight[8], before.model.embed_tokens.weight.mean(0), atol=1e-6)
    assert report.notes["tokenizer/cross_init rows"][0]["fallback"] == 1


@pytest.mark.parametrize("name", ["llama", "bert", "gemma"])
def test_means_of_names_are_read_as_rows(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    before = copy.deepcopy(model)
    new = tokenizer(*KNOWN, special="<first>")
    new.add_special_tokens(["<last>"])
    names = ["a", "d", "abc", "b"]  # with a space before: three of two pieces
    report = apply(model, needs={"tokenizer": new, "names": names})
    assert report.notes["tokenizer/cross_init rows"][0]["names"] == "3 of 4"
    table = before.get_input_embeddings().weight.detach()
    scale = 4**0.5 if name == "gemma" else 1.0
    means = torch.stack([table[7], table[[2, 5, 3]].mean(0)])
    embeds = scale * torch.stack([table[0], means[0], means[1], table[1]])
    expected = states(name, before, [], embeds)[1:3]
    assert torch.allclose(model.get_input_embeddings().weight[8:], expected, atol=1e-5)


def test_lengths_can_be_those_of_old_rows() -> None:
    torch.manual_seed(0)
    one, two = MODELS["llama"](), None
    two = copy.deepcopy(one)
    length = float(one.model.embed_tokens.weight.detach().norm(dim=1).mean())
    apply(one)
    report = apply(two, renorm=True)
    raw, scaled = one.model.embed_tokens.weight[8:].detach(), two.model.embed_tokens.weight[8:].detach()
    assert scaled.norm(dim=1).tolist() == pytest.approx([length] * 2, rel=1e-5)
    assert torch.allclose(nn.functional.cosine_similarity(raw, scaled), torch.ones(2))
    assert not report.notes.get("tokenizer/cross_init remarks")


def test_long_rows_are_said() -> None:
    with pytest.warns(UserWarning, match=r"new rows of .* are [\d.]+ times as long as old ones"):
        initkit.apply(MODELS["llama"](), "tokenizer/cross_init", tokenizer=NEW, old_tokenizer=OLD, seed=0)


def test_the_penalty_is_a_mean_of_distances() -> None:
    start = torch.tensor([[1.0, 2], [3, 4]])
    rows = torch.tensor([[1.0, 2], [6, 8]], requires_grad=True)
    penalty = row_penalty(start)
    start.zero_()  # it keeps a copy
    loss = penalty(rows)
    assert float(loss.detach()) == pytest.approx(1e-5 * 2.5)
    (grad,) = torch.autograd.grad(row_penalty(torch.zeros(2, 2), strength=2.0)(rows), [rows])
    assert torch.allclose(grad, rows.detach() / rows.detach().norm(dim=1, keepdim=True))


class Odd(nn.Module):
    """Its states are not as wide as its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.wide = nn.Embedding(8, 4), nn.Linear(4, 5)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.wide(self.embedding(ids))
        return out


class Asking(Odd):
    """It wants more than ids."""

    def forward(self, ids: Tensor, more: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(ids) + more


@pytest.mark.parametrize(
    ("needs", "error", "words"),
    [
        ({"names": ["abcd"], "descriptions": {"abc": "a"}}, NeedError, "two ways to give words"),
        ({"names": "abcd"}, NeedError, "str; a list of names is needed"),
        ({"names": []}, NeedError, "there is none"),
        ({"names": ["a", " "]}, NeedError, "name 1 is ' '"),
        ({"names": ["ab d", "abc"]}, CommitError, "none of 2 names has 2 pieces"),
        ({"descriptions": {"xx": "a"}}, NeedError, "'xx' is no new token"),
    ],
)
def test_bad_words_are_refused(needs: dict[str, Any], error: type[Exception], words: str) -> None:
    model = MODELS["llama"]()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=words):
        apply(model, needs=needs)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_models_that_give_no_such_states_are_refused() -> None:
    with pytest.raises(CommitError, match=r"the hidden states of Odd are \(2, 4, 5\), expected \(2, 4, 4\)"):
        apply(Odd())
    with pytest.raises(CommitError, match=r"Asking cannot be called with ids alone.*'more'"):
        apply(Asking())
