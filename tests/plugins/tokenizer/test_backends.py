"""Tokenizers of all kinds: the common form cuts text as they do, and stands for the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from initkit import NeedError
from initkit_tokenizer import Vocabulary, make_plan
from initkit_tokenizer.example import byte_level
from initkit_tokenizer.families import byte_of_char

LINES = [line for name in sorted(topics)[:30] for line in topics[name].splitlines() if line.strip("* =-~")]
LINES += ["größer Straße 東京 😀 naïve", "  two  spaces ", "ﬁne ½ 日本 xyz", "12345 67890", "a\tb"]
GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"""
    r"""\s+(?!\S)|\s"""
)


@pytest.fixture(scope="module")
def ranks() -> dict[bytes, int]:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False))
    table = byte_of_char()
    return {bytes(table[char] for char in text): i for text, i in made.get_vocab().items()}


@pytest.mark.parametrize("pattern", [GPT2, CL100K])
def test_tiktoken_encodings(ranks: dict[bytes, int], pattern: str) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    special = {"<|endoftext|>": 900, "<|im_start|>": 902}
    encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    vocabulary = Vocabulary.of(encoding)
    assert vocabulary.family == "byte_level"
    assert {key.payload: i for i, key in vocabulary.keys.items() if key.kind == "text"} == ranks
    assert {vocabulary.tokens[i]: i for i, key in vocabulary.keys.items() if key.kind == "special"} == special
    assert vocabulary.roles == {"eos": ("<|endoftext|>",)}
    reader = vocabulary.reader()
    for line in LINES:
        assert reader.encode(line, add_special_tokens=False).ids == encoding.encode_ordinary(line), line


def trained(kind: str, **options: Any) -> Any:
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=made, vocab_size=700, model_type=kind, minloglevel=2, **options
    )
    return sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())


PLAIN = {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "normalization_rule_name": "identity"}


@pytest.mark.parametrize("options", [{}, {"byte_fallback": True}, PLAIN], ids=["", "bytes", "plain"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_models(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    processor = trained(kind, user_defined_symbols=["<sep>"], **options)
    vocabulary = Vocabulary.of(processor)
    assert vocabulary.family == "metaspace"
    assert [vocabulary.tokens[i] for i in range(700)] == [processor.id_to_piece(i) for i in range(700)]
    kinds = {vocabulary.tokens[i]: key.kind for i, key in vocabulary.keys.items()}
    assert {kinds[text] for text in ("<unk>", "<s>", "</s>")} == {"special"}
    assert kinds["<sep>"] == "added"
    assert vocabulary.roles["eos"] == ("</s>",)
    if options == {"byte_fallback": True}:
        assert vocabulary.keys[processor.piece_to_id("<0xFF>")].payload == b"\xff"
    reader = vocabulary.reader()
    differ = [line for line in LINES if reader.encode(line, add_special_tokens=False).ids != processor.encode(line)]
    assert len(differ) <= (0 if kind == "bpe" else 0.002 * len(LINES))  # pieces of one score: any cut is best
    (tmp_path / "some.model").write_bytes(processor.serialized_model_proto())
    assert Vocabulary.of(tmp_path / "some.model").keys == vocabulary.keys
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "tokenizer.model").write_bytes(processor.serialized_model_proto())
    assert Vocabulary.of(tmp_path / "folder").keys == vocabulary.keys
    plan = make_plan(processor, byte_level(LINES, 800))
    assert plan.counts()["copied"] > 250
    assert {token.kind for token in plan.new} <= {"pieces", "fallback"}


def test_other_sentencepiece_models_are_refused() -> None:
    with pytest.raises(NeedError, match="of words or characters are not read; unigram and BPE are"):
        Vocabulary.of(trained("word", hard_vocab_limit=False))


def slow(name: str, folder: Path) -> Any:
    import transformers
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    if name == "bert":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "im", "##port", "##s", "a", "größe", "##r", "."]
        (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
        return BertTokenizerLegacy(str(folder / "vocab.txt"), do_lower_case=True, strip_accents=False)
    if name == "byt5":
        return transformers.ByT5Tokenizer()
    (folder / "some.model").write_bytes(trained("bpe", byte_fallback=True).serialized_model_proto())
    kind = {"gpt_sw3": "GPTSw3Tokenizer", "plbart": "PLBartTokenizer", "siglip": "SiglipTokenizer"}[name]
    return getattr(transformers, kind)(vocab_file=str(folder / "some.model"))


@pytest.mark.parametrize(
    ("name", "family"),
    [("bert", "wordpiece"), ("byt5", "byte_level"), ("gpt_sw3", "metaspace"), ("plbart", "metaspace")],
)
def test_slow_tokenizers_of_transformers(name: str, family: str, tmp_path: Path) -> None:
    tokenizer = slow(name, tmp_path)
    vocabulary = Vocabulary.of(tokenizer)
    assert vocabulary.family == family
    assert set(vocabulary.tokens) == set(tokenizer.get_vocab().values())
    assert vocabulary.role_id("eos") == (tokenizer.eos_token_id if name != "bert" else 3)
    assert vocabulary.lower is (name == "bert")
    reader = vocabulary.reader()
    for line in [*LINES[:60], "The imports: größer."]:
        expected = tokenizer.encode(line, add_special_tokens=False)
        assert reader.encode(line, add_special_tokens=False).ids == expected, line
    if name == "byt5":
        assert vocabulary.keys[3 + 0xC3].payload == b"\xc3"
        plan = make_plan(tokenizer, byte_level(LINES, 400))
        assert plan.counts()["fallback"] == 0  # every token is spelt by bytes


def test_text_that_is_prepared_in_python_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="SiglipTokenizer prepares text in a way of its own"):
        Vocabulary.of(slow("siglip", tmp_path))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    with pytest.raises(NeedError, match="CanineTokenizer is a slow tokenizer that transformers has no fast form of"):
        Vocabulary.of(transformers.CanineTokenizer())
    with pytest.raises(NeedError, match="there is no file .*nor another tokenizer in that folder"):
        Vocabulary.of(tmp_path)
    pytest.importorskip("sentencepiece")
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        with pytest.raises(NeedError, match=r"cannot read .*tokenizer\.model"):
            Vocabulary.of(path)
    with pytest.raises(NeedError, match=r"there is no file .*missing\.json"):
        Vocabulary.of(tmp_path / "missing.json")
