"""Other libraries run for real on the same models: the same numbers where we follow them, and where they differ."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

import initkit
from initkit_tokenizer import make_plan
from initkit_tokenizer.example import TEXT, sentencepiece

OLD, NEW = 300, 420


@pytest.fixture(scope="module")
def pair() -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    # Plain letters and single spaces: mergekit cuts all other bytes in the form that byte-level vocabularies give them.
    text = [" ".join(part.encode("ascii", "ignore").decode().split()) for part in TEXT[:8]]
    return tuple(without_special(text, size) for size in (OLD, NEW))  # type: ignore[return-value]


def without_special(text: list[str], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE without special tokens, which mergekit leans on and we do not."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=made)  # type: ignore[no-untyped-call]


def llama(vocabulary: int, width: int, *, tied: bool = False, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": width, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=tied, pad_token_id=None, **sizes))
    for table in (model.model.embed_tokens, model.lm_head):
        torch.nn.init.normal_(table.weight, mean=0.1)
    return model


def apply(model: Any, pair: Any, name: str, *, needs: dict[str, Any] | None = None, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe = initkit.recipe(f"tokenizer/{name}", **options)
        initkit.apply(model, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=0, **(needs or {}))
    return model


def resized(model: Any, rows: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.resize_token_embeddings(rows)
    return model


def grown(pair: Any) -> PreTrainedTokenizerFast:
    """The old tokenizer with some tokens more: what resizing is for."""
    new = copy.deepcopy(pair[0])
    new.add_tokens([f"<new {i}>" for i in range(9)])
    return new


@pytest.mark.parametrize("kind", ["llama", "llama, tied", "bert", "bert, untied"])
def test_transformers_resizing_of_tables_without_a_factor(kind: str, pair: Any) -> None:
    """Fewer rows than dimensions: all new rows are the mean, so no draw hides a difference."""
    new = grown(pair)
    if kind.startswith("bert"):
        torch.manual_seed(0)
        sizes = {"hidden_size": 400, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        theirs: Any = BertForMaskedLM(BertConfig(vocab_size=OLD, tie_word_embeddings=kind == "bert", **sizes))
        torch.nn.init.normal_(theirs.cls.predictions.bias, mean=0.3)
        torch.nn.init.normal_(theirs.cls.predictions.decoder.bias, mean=0.3)
    else:
        theirs = llama(OLD, 400, tied=kind == "llama, tied")
    ours = apply(copy.deepcopy(theirs), (pair[0], new), "multivariate", compat="hf")
    resized(theirs, len(new))
    found, expected = ours.state_dict(), theirs.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if kind == "bert, untied" and name == "cls.predictions.bias":
            continue  # a second bias that no logit sees; resizing puts the first in its place, here it is kept
        assert torch.allclose(found[name], value, atol=1e-6), name
    assert ours.config.vocab_size == theirs.config.vocab_size == len(new)


def test_transformers_resizing_of_tables_with_a_factor(pair: Any) -> None:
    """Other random numbers, the same distribution: mean, and a spread of sqrt(1e-9) times the rows'."""
    new = grown(pair)
    theirs = llama(OLD, 16)
    before = theirs.model.embed_tokens.weight.detach().clone()
    ours = apply(copy.deepcopy(theirs), (pair[0], new), "multivariate", compat="hf")
    torch.manual_seed(1)
    resized(theirs, len(new))
    for model in (ours, theirs):
        deviation = (model.model.embed_tokens.weight.detach()[OLD:] - before.mean(0)) / before.std(0, correction=0)
        assert float(deviation.std()) == pytest.approx(math.sqrt(1e-9), rel=0.3)
        assert torch.equal(model.model.embed_tokens.weight[:OLD], before)


@pytest.fixture(scope="module")
def surgeon(pair: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``mergekit-tokensurgeon`` with options, on folders of two models."""
    main = pytest.importorskip("mergekit.scripts.tokensurgeon").main
    root = tmp_path_factory.mktemp("surgeon")
    made = {"old": llama(OLD, 16), "donor": llama(NEW, 24, seed=1)}
    for (name, model), tokenizer in zip(made.items(), pair, strict=True):
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)

    def run(*options: str) -> dict[str, Tensor]:
        target = root / "-".join(options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main([str(root / "old"), str(root / "donor"), str(target), *options], standalone_mode=False)
        found = AutoModelForCausalLM.from_pretrained(target)
        return {"input": found.model.embed_tokens.weight.detach(), "head": found.lm_head.weight.detach()}

    return run, made


MERGEKIT: dict[str, tuple[tuple[str, ...], str, dict[str, Any]]] = {
    "zero": (("-a", "zero"), "zeros", {}),
    "mean": (("-a", "mean"), "mean", {"stat_rows": "all"}),
    "subword": (("-a", "subword"), "subword", {}),
    "subword, sum": (("-a", "subword", "-s", "sum"), "subword", {"weights": "sum"}),
    "subword, first and last": (("-a", "subword", "-s", "first_last"), "subword", {"weights": "first_last"}),
    "omp": (("-a", "omp", "-k", "6"), "omp", {"k": 6}),
}


@pytest.mark.parametrize("name", MERGEKIT)
def test_mergekit_s_transplant(name: str, surgeon: Any, pair: Any) -> None:
    run, given = surgeon
    options, recipe, ours = MERGEKIT[name]
    theirs = run(*options)
    needs = {"donor": given["donor"]} if recipe == "omp" else {}
    model = apply(copy.deepcopy(given["old"]), pair, recipe, needs=needs, **ours)
    made = {"input": model.model.embed_tokens.weight.detach(), "head": model.lm_head.weight.detach()}
    for role, table in made.items():
        assert table.shape == theirs[role].shape
        difference = (table - theirs[role]).norm(dim=1) / theirs[role].norm(dim=1).clamp_min(1.0)
        assert float(difference.max()) < (2e-3 if recipe == "omp" else 1e-5), role


def test_mergekit_s_weighted_mean_is_turned_round(surgeon: Any, pair: Any) -> None:
    run, given = surgeon
    theirs = run("-a", "subword", "-s", "weighted_mean")
    model = apply(copy.deepcopy(given["old"]), pair, "subword", weights="linear")
    fresh = (model.model.embed_tokens.weight - theirs["input"]).norm(dim=1) > 1e-4
    assert bool(fresh.any())  # theirs favours the first piece in the input, against its own comment
    table = given["old"].model.embed_tokens.weight.detach()
    for token in make_plan(*pair).new:
        if token.kind == "pieces":
            weights = torch.arange(len(token.pieces), 0, -1.0)
            row = (weights[:, None] * table[list(token.pieces)]).sum(0) / weights.sum()
            assert torch.allclose(theirs["input"][token.id], row, atol=1e-5)


def test_mergekit_misses_tokens_of_another_family(pair: Any) -> None:
    normalization = pytest.importorskip("mergekit.tokenizer.normalization")
    other = sentencepiece(TEXT[:8], 600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = set(normalization.normalized_vocabulary(pair[0])) & set(normalization.normalized_vocabulary(other))
    assert len(make_plan(pair[0], other).copied) > 1.5 * len(theirs)
