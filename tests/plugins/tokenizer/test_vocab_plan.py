"""Matching of tokens across families, pieces of new tokens, rows of special roles; against plain oracles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from initkit import NeedError, PlanError
from initkit_tokenizer import RowLayout, TokenKey, VocabPlan, Vocabulary, make_plan
from initkit_tokenizer.example import byte_level, sentencepiece
from initkit_tokenizer.families import byte_of_char, fallback_byte
from initkit_tokenizer.pieces import Cutter

TEXT = [
    *[topics[name] for name in sorted(topics)][:12],
    "größer Straße Müller über schön naïve café déjà vu größer Straße Müller über schön naïve café déjà vu " * 20,
    "東京 日本語 東京 日本語 Привет мир Привет мир 😀😀 😀 " * 20,
]


def wordpiece(text: Sequence[str], size: int, *, lower: bool = False) -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        text, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    return made


@pytest.fixture(scope="module")
def families() -> dict[str, Any]:
    return {
        "byte_level": byte_level(TEXT, 900),
        "metaspace": sentencepiece(TEXT, 1100),
        "wordpiece": wordpiece(TEXT, 900),
    }


def spelt(tokenizer: Any, i: int) -> bytes | None:
    """What a token stands for, worked out without the code under test; None for special ones and lone bytes."""
    made = getattr(tokenizer, "backend_tokenizer", tokenizer)
    text = made.id_to_token(i)
    if any(text == token.content for token in made.get_added_tokens_decoder().values()) and not text.startswith("<0x"):
        return None
    kind = json.loads(made.to_str())["model"]["type"]
    if kind == "WordPiece":
        return text[2:].encode() if text.startswith("##") else b" " + text.encode()
    if text.startswith("<0x"):
        byte = bytes([int(text[3:5], 16)])
        known = byte.decode("latin-1") in made.get_vocab() or (byte == b" " and "▁" in made.get_vocab())
        return None if byte < b"\x80" and known else byte
    if made.pre_tokenizer.__class__.__name__ == "ByteLevel":
        table = {}
        extra = 0
        for byte in range(256):  # GPT-2's rule, in its own words
            if chr(byte).isprintable() and byte not in (0x20, 0xA0, 0xAD):
                table[chr(byte)] = byte
            else:
                table[chr(256 + extra)] = byte
                extra += 1
        return bytes(table[char] for char in text)
    return text.replace("▁", " ").encode()


@pytest.mark.parametrize("old", ["byte_level", "metaspace", "wordpiece"])
@pytest.mark.parametrize("new", ["byte_level", "metaspace", "wordpiece"])
def test_the_overlap_of_two_families_is_exact(families: dict[str, Any], old: str, new: str) -> None:
    plan = make_plan(families[old], families[new])
    source: dict[bytes, int] = {}
    for i in sorted(Vocabulary.of(families[old]).tokens):
        payload = spelt(families[old], i)
        if payload is not None:
            source.setdefault(payload, i)
    expected = {
        i: (source[payload],)
        for i in Vocabulary.of(families[new]).tokens
        if (payload := spelt(families[new], i)) is not None and payload in source
    }
    ordinary = {i: ids for i, ids in plan.copied.items() if spelt(families[new], i) is not None}
    assert ordinary == expected
    assert len(expected) > 300
    if old == new:
        assert plan.unchanged
        assert plan.counts()["copied"] == len(Vocabulary.of(families[old]))


@pytest.mark.parametrize("old", ["byte_level", "metaspace", "wordpiece"])
@pytest.mark.parametrize("new", ["byte_level", "metaspace", "wordpiece"])
def test_pieces_spell_the_token(families: dict[str, Any], old: str, new: str) -> None:
    plan = make_plan(families[old], families[new])
    keys = Vocabulary.of(families[old]).keys
    for token in plan.new:
        if token.kind != "pieces":
            assert token.kind == "special" or token.why
            continue
        joined = b"".join(keys[i].payload for i in token.pieces)
        if old == "wordpiece":  # which has no token for a space, and marks every sign as a word
            assert token.why or joined.replace(b" ", b"") == b"".join(token.payload.split())
        else:
            assert joined == token.payload, token
            assert not token.why
    if old != "wordpiece":
        assert plan.counts()["fallback"] == 0


def test_bytes_of_byte_level_tokens_are_those_of_the_encoder() -> None:
    assert set(byte_of_char()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_of_char().values()) == list(range(256))
    for text in ("größer", " öff", "東京", "\n\t"):
        pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert bytes(byte_of_char()[char] for char in pieces[0][0]) == text.encode()


@given(st.text(min_size=1, max_size=12))
def test_byte_level_cuts_any_text_without_loss(text: str) -> None:
    vocabulary, cutter = _byte_level()
    cut = cutter.cut([text.encode()])[0]
    assert b"".join(vocabulary.keys[i].payload for i in cut.ids) == text.encode()
    assert not cut.lossy


@cache
def _byte_level() -> tuple[Vocabulary, Cutter]:
    vocabulary = Vocabulary.of(byte_level(TEXT[:3], 400))
    return vocabulary, Cutter(vocabulary)


def test_broken_utf8_is_cut_into_bytes(families: dict[str, Any]) -> None:
    for family in ("byte_level", "metaspace"):
        vocabulary = Vocabulary.of(families[family])
        cut = Cutter(vocabulary).cut([b" \xc3"])[0]
        assert [vocabulary.keys[i].payload for i in cut.ids] == [b" ", b"\xc3"]
    assert Cutter(Vocabulary.of(families["wordpiece"])).cut([b"\xc3"])[0].ids == ()


def test_fallback_bytes_stand_for_text_only_where_no_token_does(families: dict[str, Any]) -> None:
    vocabulary = Vocabulary.of(families["metaspace"])
    ids = {text: i for i, text in vocabulary.tokens.items()}
    assert vocabulary.keys[ids["<0x61>"]] == TokenKey("byte", b"a")
    assert vocabulary.keys[ids["<0xC3>"]] == TokenKey("text", b"\xc3")
    assert fallback_byte("<0x0A>") == 10
    assert fallback_byte("<0x0A") is None


def test_roles_are_matched_under_other_names(families: dict[str, Any]) -> None:
    plan = make_plan(families["byte_level"], families["metaspace"])
    assert ("eos", "</s>", "<|endoftext|>") in plan.roles
    assert [token.token for token in plan.new if token.kind == "special"] == ["<unk>", "<s>"]
    plan = make_plan(families["wordpiece"], families["metaspace"])
    assert set(plan.roles) == {("unk", "<unk>", "[UNK]"), ("bos", "<s>", "[CLS]"), ("eos", "</s>", "[SEP]")}


def test_a_role_with_two_candidates_is_asked_for() -> None:
    old, new = byte_level(TEXT[:2], 300).backend_tokenizer, sentencepiece(TEXT[:2], 400)
    old.add_special_tokens(["<eos>"])
    with pytest.raises(NeedError, match=r"may both be the eos token.*copy_of"):
        make_plan(old, new)
    plan = make_plan(old, new, copy_of={"</s>": "<eos>"})
    assert plan.copied[new.convert_tokens_to_ids("</s>")] == (old.token_to_id("<eos>"),)
    with pytest.raises(NeedError, match="the old tokenizer has no token '<eo>'; did you mean '<eos>'"):
        make_plan(old, new, copy_of={"</s>": "<eo>"})


def test_a_vocabulary_that_grows() -> None:
    old = byte_level(TEXT, 700)
    new = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(old.backend_tokenizer.to_str()), eos_token="<|endoftext|>"
    )
    new.add_tokens(["<tool>", " größer", "function"])
    new.add_special_tokens({"pad_token": "<pad>"})
    plan = make_plan(old, new)
    assert plan.grows
    assert not plan.unchanged
    assert [token.token for token in plan.new][-1] == "<pad>"
    assert {token.token: token.kind for token in plan.new}["<pad>"] == "special"
    keys = Vocabulary.of(old).keys
    tool = next(token for token in plan.new if token.token == "<tool>")
    assert b"".join(keys[i].payload for i in tool.pieces) == b"<tool>"
    # An added token that spells an ordinary one is that token.
    assert all(token.token != "function" for token in plan.new) == ("function" in old.get_vocab())


def test_duplicates_take_the_lowest_id_or_are_averaged() -> None:
    old = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    old.add_tokens([AddedToken("a b", normalized=False)])
    source = Vocabulary.of(old)
    twice = Vocabulary(
        tokens={0: "a", 1: "b", 2: "a2"},
        keys={0: TokenKey("text", b"a"), 1: TokenKey("text", b"b"), 2: TokenKey("text", b"a")},
        family="plain", roles={}, lower=False, _spec=source._spec,
    )  # fmt: skip
    assert make_plan(twice, twice).copied == {0: (0,), 1: (1,), 2: (0,)}
    assert make_plan(twice, twice, duplicates="mean").copied == {0: (0, 2), 1: (1,), 2: (0, 2)}


def test_loose_matches_are_opt_in_and_reported() -> None:
    old = Tokenizer(models.WordLevel({"Berlin": 0, "▁haus": 1, "<unk>": 2}, unk_token="<unk>"))
    old.pre_tokenizer = pre_tokenizers.Metaspace()
    new = Tokenizer(models.WordLevel({"berlin": 0, "haus": 1, "<unk>": 2}, unk_token="<unk>"))
    new.pre_tokenizer = pre_tokenizers.Metaspace()
    assert set(make_plan(old, new).copied) == {2}
    plan = make_plan(old, new, ignore_case=True, ignore_space=True)
    assert plan.fuzzy == (("case", "berlin", "Berlin"), ("space", "haus", "▁haus"))
    assert plan.copied == {0: (0,), 1: (1,), 2: (2,)}


def test_lower_casing_is_said(families: dict[str, Any]) -> None:
    plan = make_plan(wordpiece(TEXT, 700, lower=True), families["byte_level"])
    assert "lower-cases" in plan.warnings[0]
    lossy = [token for token in plan.new if token.kind == "pieces" and token.why]
    assert any(token.text.strip() != token.text.strip().lower() for token in lossy)


def test_the_plan_survives_json(families: dict[str, Any]) -> None:
    plan = make_plan(families["metaspace"], families["byte_level"])
    assert VocabPlan.from_json(plan.to_json()) == plan
    assert make_plan(families["metaspace"], families["byte_level"]).to_json() == plan.to_json()


def test_tokenizers_come_from_files_too(tmp_path: Path, families: dict[str, Any]) -> None:
    families["metaspace"].save_pretrained(tmp_path / "folder")
    from_folder = Vocabulary.of(tmp_path / "folder")
    assert from_folder.keys == Vocabulary.of(families["metaspace"]).keys
    assert from_folder.roles == Vocabulary.of(families["metaspace"]).roles
    assert Vocabulary.of(tmp_path / "folder" / "tokenizer.json").keys == from_folder.keys
    with pytest.raises(NeedError, match=r"there is no file .*tokenizer\.json"):
        Vocabulary.of(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(NeedError, match="cannot read"):
        Vocabulary.of(tmp_path)
    with pytest.raises(NeedError, match="int is no tokenizer"):
        Vocabulary.of(3)


def test_gaps_are_refused_beyond_a_limit() -> None:
    gap = Tokenizer(models.WordLevel({"a": 0, "b": 2000, "[UNK]": 2001}, unk_token="[UNK]"))
    with pytest.raises(NeedError, match=r"between 0 and 2000 \(1999 rows would stay unused\).*max_gap=1999"):
        make_plan(gap, gap)
    assert RowLayout.of(make_plan(gap, gap, max_gap=1999), 2002).copy[1000] == 1000


def test_rows_are_never_lost_unless_asked_for() -> None:
    old = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2}, unk_token="a"))
    new = Tokenizer(models.WordLevel({"c": 0, "a": 1, "d": 3}, unk_token="a"))
    plan = make_plan(old, new)
    layout = RowLayout.of(plan, 6)
    assert layout.copy == (2, 0, -1, -1, 4, 5)  # 2: b is gone and no token owns it; 3: new; 4, 5: padding stays
    assert layout.computed == (3,)
    assert layout.padded == (2,)
    assert RowLayout.of(plan, 6, shrink=True).copy == (2, 0, -1, -1)
    assert RowLayout.of(plan, 6, multiple=4).rows == 8
    assert RowLayout.of(plan, 6, multiple=4).padded == (2, 6, 7)
    with pytest.raises(PlanError, match="needs 3 rows, the model's embedding has 2"):
        RowLayout.of(plan, 2)


def test_the_family_can_be_said() -> None:
    marked = Tokenizer(models.WordLevel({"cat": 0, "##s": 1, "[UNK]": 2}, unk_token="[UNK]"))
    spaced = Tokenizer(models.WordLevel({"▁cat": 0, "s": 1, "<unk>": 2}, unk_token="<unk>"))
    assert Vocabulary.of(marked).family == Vocabulary.of(spaced).family == "plain"
    assert set(make_plan(marked, spaced).copied) == set()
    plan = make_plan(marked, spaced, old_family="wordpiece", new_family="metaspace")
    assert plan.copied == {0: (0,), 1: (1,)}
    read = Vocabulary.of(Vocabulary.of(marked), family="wordpiece")
    assert read.keys == Vocabulary.of(marked, family="wordpiece").keys
