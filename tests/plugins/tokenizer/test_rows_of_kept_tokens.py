"""What becomes of rows of tokens that are kept, padded, averaged, matched by role or loosely: on real tensors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

import initkit
from initkit_tokenizer import Vocabulary, make_plan
from initkit_tokenizer.example import TEXT as ENGLISH
from initkit_tokenizer.example import byte_level, sentencepiece

GERMAN = (
    "Die größere Straße führt über schöne Hügel und müde Füße; natürlich gehören äußere Gärten dazu, möglichst früh. "
    "Zwölf Bücher über Körper, Völker und Länder; jährlich können Schüler spätere Prüfungen bestätigen. "
)


def marked(*tokens: str) -> Tokenizer:
    made = Tokenizer(models.WordLevel({text: i for i, text in enumerate(tokens)}, unk_token=tokens[-1]))
    made.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    return made


def apply(rows: int, old: Any, new: Any, name: str = "mean", **options: Any) -> tuple[Any, Any, initkit.Report]:
    torch.manual_seed(0)
    model = nn.Embedding(rows, 6)
    before = model.weight.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe = initkit.recipe(f"tokenizer/{name}", **options)
        report = initkit.apply(nn.Sequential(model), recipe, old_tokenizer=old, tokenizer=new, seed=0)
    return model.weight.detach(), before, report


def test_duplicates_are_averaged_where_that_is_asked_for() -> None:
    old, new = marked("▁a", "b", " a", "<unk>"), marked("b", "▁a", "<unk>")
    rows, before, _ = apply(4, old, new)
    assert torch.equal(rows[1], before[0])  # the lowest id
    rows, before, report = apply(4, old, new, duplicates="mean")
    assert torch.allclose(rows[1], before[[0, 2]].mean(0))
    assert torch.equal(rows[[0, 2]], before[[1, 3]])
    assert report.notes["tokenizer/mean rows"][0]["averaged"] == 1


def test_loose_matches_copy_rows_and_are_listed() -> None:
    old, new = marked("▁Haus", "der", "<unk>"), marked("▁haus", "▁der", "<unk>")
    rows, before, report = apply(3, old, new)
    assert report.notes["tokenizer/mean tokens"][0]["by loose match"] == 0
    rows, before, report = apply(3, old, new, ignore_case=True, ignore_space=True)
    assert torch.equal(rows, before)
    assert report.notes["tokenizer/mean loose matches"] == [
        {"rule": "case", "new": "▁haus", "old": "▁Haus"},
        {"rule": "space", "new": "▁der", "old": "der"},
    ]


def test_rows_of_no_token_keep_their_place_and_bits() -> None:
    old, new = marked("▁a", "b", "<unk>"), marked("b", "▁a", "<unk>", "c")
    rows, before, report = apply(10, old, new)
    assert rows.shape == before.shape
    assert torch.equal(rows[[0, 1, 2]], before[[1, 0, 2]])
    assert torch.equal(rows[4:], before[4:])
    (note,) = report.notes["tokenizer/mean rows"]
    assert (note["copied"], note["computed"], note["padded"]) == (9, 1, 0)
    rows, _, report = apply(10, old, new, shrink=True, pad_to_multiple_of=4)
    assert rows.shape[0] == 4
    larger, before, report = apply(3, old, new, pad_to_multiple_of=8)
    (note,) = report.notes["tokenizer/mean rows"]
    assert (len(larger), note["padded"]) == (8, 4)
    assert torch.allclose(larger[4:], before.mean(0).expand(4, 6), atol=1e-6)


@pytest.fixture(scope="module")
def english_and_german() -> dict[str, PreTrainedTokenizerFast]:
    german = [GERMAN * 3, *GERMAN.split(".")] * 30
    return {
        "en, byte-level": byte_level(ENGLISH[:40], 900),
        "en, metaspace": sentencepiece(ENGLISH[:40], 1000),
        "de, byte-level": byte_level(german, 700),
        "de, metaspace": sentencepiece(german, 900),
    }


def bytes_of(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> bytes:
    """By the tokenizer's own decoder, a token at a time between two known ones, so that no space is lost."""
    made = tokenizer.backend_tokenizer
    names = [made.id_to_token(i) for i in ids]
    if type(made.pre_tokenizer).__name__ == "ByteLevel":
        return "".join(names).encode()  # one character a byte: equal strings are equal bytes
    return "".join(names).replace("▁", " ").encode()


@pytest.mark.parametrize("new", ["de, byte-level", "de, metaspace"])
@pytest.mark.parametrize("old", ["en, byte-level", "en, metaspace"])
def test_foreign_letters_are_cut_into_the_right_pieces(
    english_and_german: dict[str, PreTrainedTokenizerFast], old: str, new: str
) -> None:
    source, target = english_and_german[old], english_and_german[new]
    plan = make_plan(source, target)
    keys = Vocabulary.of(source).keys
    foreign = [token for token in plan.new if not token.payload.isascii()]
    assert len(foreign) > 40
    for token in foreign:
        assert token.kind == "pieces"
        assert b"".join(keys[i].payload for i in token.pieces) == token.payload
        if old == "en, byte-level" and new == "de, byte-level":
            assert bytes_of(source, token.pieces) == bytes_of(target, [token.id])


@pytest.mark.parametrize(("old", "new"), [("en, byte-level", "en, metaspace"), ("en, metaspace", "en, byte-level")])
def test_no_peer_finds_more(english_and_german: dict[str, PreTrainedTokenizerFast], old: str, new: str) -> None:
    normalization = pytest.importorskip("mergekit.tokenizer.normalization")
    source, target = english_and_german[old], english_and_german[new]
    ours = make_plan(source, target).copied
    theirs = normalization.normalized_vocabulary(source)
    found = {i: theirs[token] for token, i in normalization.normalized_vocabulary(target).items() if token in theirs}
    keys, wanted = Vocabulary.of(source).keys, Vocabulary.of(target).keys
    right = {i: old_id for i, old_id in found.items() if keys[old_id].payload == wanted[i].payload}
    assert right.items() <= {i: ids[0] for i, ids in ours.items()}.items()
    assert len(ours) > 1.5 * len(found)
