"""Tokens that two vocabularies share, and pieces of those they do not: by bytes, and as other tools find them.

Three tokenizers of 4000 tokens each are trained on the same English text: byte-level BPE, BPE that marks words with "▁"
and falls back on bytes (marks of punctuation apart), and WordPiece. For each pair and direction: how many tokens of the
new vocabulary find an old one, how many of these stand for other bytes, and how many with the same bytes are missed. A
token's bytes are worked out here, from the form of its family, not by the code under test.

Then a German byte-level vocabulary for an English one: how many new tokens are cut into pieces that spell other bytes.
"FVT's rule" strips the word mark and cuts what is left, as the authors' code does. Peers that are not installed are
left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.tokenizer._causal import byte_level
from benchmarks.tokenizer._text import corpus
from initkit_tokenizer import make_plan

SIZE, GERMAN = 4000, 4096
MARKS = ("##", "Ġ", "▁")
Matches = dict[int, int]
Finder = Callable[[PreTrainedTokenizerFast, PreTrainedTokenizerFast], Matches]


def run() -> dict[str, Any]:
    english = corpus("en")
    made = {
        "byte-level": wrapped(byte_level(english.train, SIZE), eos_token="<eos>", pad_token="<pad>"),
        "metaspace": metaspace(english.train, SIZE),
        "WordPiece": wordpiece(english.train, SIZE),
    }
    rows = [
        {"old": one, "new": two, **{name: judged(made[one], made[two], find) for name, find in finders().items()}}
        for one in made
        for two in made
        if one != two
    ]
    for row in rows:
        print(row, flush=True)
    old, new = (wrapped(byte_level(corpus(language).train, GERMAN)) for language in ("en", "de"))
    pieces = cut(old, new)
    print(pieces, flush=True)
    return {
        "seeds": [0],
        "size": SIZE,
        "text": {language: corpus(language).facts() for language in ("en", "de")},
        "peers": {name: version(name) for name in ("deepfocus", "mergekit") if importlib.util.find_spec(name)},
        "rows": rows,
        "pieces": pieces,
    }


def wrapped(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    """A tokenizer of transformers, of no model's class."""
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]


def metaspace(lines: list[str], size: int) -> PreTrainedTokenizerFast:
    """BPE with "▁" for spaces, byte fallback and the special tokens of Llama 2; no token goes past a mark."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    parts = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    made.pre_tokenizer = pre_tokenizers.Sequence(parts)  # type: ignore[assignment]
    made.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback()])  # type: ignore[assignment]
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    return wrapped(made, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def wordpiece(lines: list[str], size: int) -> PreTrainedTokenizerFast:
    """WordPiece as BERT's, case kept."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)  # type: ignore[assignment]
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    made.decoder = decoders.WordPiece()  # type: ignore[assignment]
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names["mask_token"] = "[MASK]"
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(names.values()), show_progress=False)
    made.train_from_iterator(lines, trainer)
    return wrapped(made, **names)


def spelt(tokenizer: PreTrainedTokenizerFast) -> dict[int, bytes]:
    """What each token stands for; special tokens, and bytes of the fallback that a token of its own has, left out."""
    special = {*tokenizer.all_special_ids}
    names = {i: text for text, i in tokenizer.get_vocab().items() if i not in special}
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind == "WordPiece":
        return {i: text[2:].encode() if text.startswith("##") else f" {text}".encode() for i, text in names.items()}
    if type(tokenizer.backend_tokenizer.pre_tokenizer).__name__ == "ByteLevel":
        shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's printable bytes
        hidden = [byte for byte in range(256) if byte not in shown]
        table = {chr(byte): byte for byte in shown} | {chr(256 + k): byte for k, byte in enumerate(hidden)}
        return {i: bytes(table[char] for char in text) for i, text in names.items()}
    lone = {i: bytes([int(text[3:5], 16)]) for i, text in names.items() if text.startswith("<0x") and len(text) == 6}
    plain = {i: text.replace("▁", " ").encode() for i, text in names.items() if i not in lone}
    return plain | {i: byte for i, byte in lone.items() if byte not in set(plain.values())}


def judged(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast, find: Finder) -> dict[str, int]:
    """Ordinary tokens of the new vocabulary: how many find an old one, a wrong one, and how many miss theirs."""
    before, after = spelt(old), spelt(new)
    found = {i: source for i, source in find(old, new).items() if i in after}
    there = set(before.values())
    wrong = {i for i, source in found.items() if before.get(source) != after[i]}
    missed = sum(payload in there for i, payload in after.items() if i not in found)
    return {"found": len(found), "wrong": len(wrong), "missed": missed}


def finders() -> dict[str, Finder]:
    """Each way to match tokens that is at hand."""
    made: dict[str, Finder] = {"initkit": _ours}
    if importlib.util.find_spec("deepfocus"):
        made["deepfocus"] = _deepfocus
    if importlib.util.find_spec("mergekit"):
        made["mergekit"] = _mergekit
    return made


def _ours(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> Matches:
    return {i: ids[0] for i, ids in make_plan(old, new).copied.items()}


def _deepfocus(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> Matches:
    from deepfocus.focus import get_overlapping_tokens

    shared, _ = get_overlapping_tokens(new, old, match_symbols=False, exact_match_all=True, fuzzy_match_all=False)
    return {token.target.id: token.source[0].id for token in shared.values()}


def _mergekit(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> Matches:
    from mergekit.tokenizer.normalization import normalized_vocabulary

    source = normalized_vocabulary(old)
    return {i: source[token] for token, i in normalized_vocabulary(new).items() if token in source}


def cut(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> dict[str, Any]:
    """New tokens by what their pieces spell: of all, and of those that are not ASCII."""
    before, after = spelt(old), spelt(new)
    plan = make_plan(old, new)
    fresh = [token.id for token in plan.new if token.id in after]
    ways: dict[str, Mapping[int, Sequence[int]]] = {
        "initkit": {token.id: token.pieces for token in plan.new},
        "FVT's rule": {
            i: old(_stripped(new.convert_ids_to_tokens(i)), add_special_tokens=False).input_ids for i in fresh
        },
    }
    if importlib.util.find_spec("mergekit"):
        ways["mergekit"] = _mergekit_pieces(old, new, fresh)
    foreign = [i for i in fresh if not after[i].isascii()]
    rows = []
    for name, pieces in ways.items():
        wrong = {i for i in fresh if b"".join(before.get(k, b"\0") for k in pieces[i]) != after[i]}
        rows.append({"way": name, "wrong": len(wrong), "wrong, not ASCII": len(wrong & set(foreign))})
    return {"new tokens": len(fresh), "not ASCII": len(foreign), "rows": rows}


def _stripped(text: Any) -> str:
    for mark in MARKS:
        text = text.replace(mark, "")
    return str(text)


def _mergekit_pieces(
    old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast, fresh: Sequence[int]
) -> dict[int, list[int]]:
    from mergekit.tokenizer.normalization import normalized_vocabulary, unnormalize_token

    names = {i: unnormalize_token(token) for token, i in normalized_vocabulary(new).items()}
    return {i: old(names[i], add_special_tokens=False).input_ids for i in fresh}
