"""Tokenizers of all kinds as one kind: a ``tokenizers.Tokenizer`` that cuts the same text into the same ids."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from initkit import NeedError
from initkit_tokenizer.families import byte_of_char
from initkit_tokenizer.roles import said_by

Read = tuple[Tokenizer, dict[str, str]]
_KINDS = (
    "a tokenizers.Tokenizer, a tokenizer of transformers, a SentencePieceProcessor, a tiktoken.Encoding, or the path "
    "of a tokenizer.json, of a sentencepiece model or of a folder that holds one"
)
_SAMPLE = 'The "first" words, of 2 lines.'
_GONE = "\ue000"
_POSSESSIVE = re.compile(r"((?:\\p\{\w+\}|\[(?:\\.|[^\]\\])*\]|\\?.)\{\d+(?:,\d*)?\})\+")
"""``x{1,3}+`` never gives back what it took; the other engine repeats it, and writes ``(?>x{1,3})`` instead."""


def backend_of(tokenizer: Any, name: str) -> Read:
    """A tokenizer in the common form, and the roles that it names: ``{"eos": "</s>"}``.

    Args:
        tokenizer: of any kind that :meth:`initkit_tokenizer.Vocabulary.of` reads.
        name: what errors call it.

    Raises:
        NeedError: it is of no such kind, or cannot be read.
    """
    if isinstance(tokenizer, Tokenizer):
        return tokenizer, {}
    if isinstance(tokenizer, (str, os.PathLike)):
        return _from_path(Path(tokenizer), name)
    made = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(made, Tokenizer):
        return made, said_by(tokenizer)
    if hasattr(tokenizer, "_mergeable_ranks") and hasattr(tokenizer, "_pat_str"):
        return _of_ranks(tokenizer), {}
    if hasattr(tokenizer, "serialized_model_proto"):
        return _of_sentencepiece(tokenizer, None, name)
    if hasattr(tokenizer, "get_vocab"):
        return _of_slow(tokenizer, name), said_by(tokenizer)
    raise NeedError(f"{name}: {type(tokenizer).__name__} is no tokenizer; it must be {_KINDS}")


def _from_path(path: Path, name: str) -> Read:
    file = path / "tokenizer.json" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        return _from_folder(path, name)
    if not file.is_file():
        raise NeedError(f"{name}: there is no file {file}")
    if file.suffix == ".model":
        return _of_sentencepiece(_processor(file, name), None, name)
    try:
        made = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the Rust side raises bare Exception
        raise NeedError(f"{name}: cannot read {file}: {' '.join(str(error).split())}") from None
    return made, _said_beside(file, name)


def _said_beside(file: Path, name: str) -> dict[str, str]:
    config = file.with_name("tokenizer_config.json")
    if not config.is_file():
        return {}
    try:
        entries = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NeedError(f"{name}: cannot read {config}: {error}") from None
    said: dict[str, str] = {}
    for key, value in entries.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            said[key.removesuffix("_token")] = text
    return said


def _from_folder(folder: Path, name: str) -> Read:
    """A folder with other files than a tokenizer.json, as transformers reads it."""
    begins = ("vocab.", "tokenizer", "spiece", "sentencepiece")
    held = [file for file in sorted(folder.iterdir()) if file.name.startswith(begins)]
    if not held:
        raise NeedError(f"{name}: there is no file {folder / 'tokenizer.json'}, nor another tokenizer in that folder")
    only = [file for file in held if file.suffix == ".model"]
    if len(only) == 1 and not (folder / "tokenizer_config.json").is_file():
        return _of_sentencepiece(_processor(only[0], name), None, name)
    from transformers import AutoTokenizer

    try:
        made = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - transformers raises whatever its readers do
        reason = " ".join(str(error).split())[:300]
        raise NeedError(f"{name}: transformers cannot read the tokenizer in {folder}: {reason}") from None
    return backend_of(made, name)


def _of_ranks(encoding: Any) -> Tokenizer:
    """A tiktoken encoding: any two neighbours merge whose bytes are a token, the lowest rank first."""
    chars = {byte: char for char, byte in byte_of_char().items()}
    ranks: Mapping[bytes, int] = encoding._mergeable_ranks

    def text(token: bytes) -> str:
        return "".join(chars[byte] for byte in token)

    merges = [
        (text(token[:cut]), text(token[cut:]))
        for token, _ in sorted(ranks.items(), key=lambda one: one[1])
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    vocabulary = {text(token): rank for token, rank in ranks.items()}
    specials: Mapping[str, int] = encoding._special_tokens
    # In the model's own vocabulary they have the ids that they are to have.
    made = Tokenizer(models.BPE(vocab={**vocabulary, **specials}, merges=merges, ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_POSSESSIVE.sub(r"(?>\1)", encoding._pat_str)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(sorted(specials, key=lambda token: specials[token]))
    return made


def _processor(file: Path, name: str) -> Any:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise NeedError(f"{name}: reading {file} needs sentencepiece: pip install sentencepiece protobuf") from None
    try:
        return SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as error:
        raise NeedError(f"{name}: cannot read {file}: {' '.join(str(error).split())}") from None


def _of_sentencepiece(processor: Any, ids: Mapping[str, int] | None, name: str) -> Read:
    """A sentencepiece model.

    Args:
        processor: a ``SentencePieceProcessor``.
        ids: where they are other than the model's own, by piece, added tokens too.
        name: what errors call it.
    """
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        raise NeedError(f"{name}: a sentencepiece model needs protobuf: pip install protobuf") from None
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(processor.serialized_model_proto())
    pieces = {piece.piece: piece for piece in proto.pieces}
    places = ids if ids is not None else {piece.piece: i for i, piece in enumerate(proto.pieces)}
    unknown = next((piece.piece for piece in proto.pieces if piece.type == piece.UNKNOWN), None)
    bytes_too = any(piece.type == piece.BYTE for piece in proto.pieces)
    if proto.trainer_spec.model_type == proto.trainer_spec.UNIGRAM:
        made = Tokenizer(_unigram(places, pieces, unknown, bytes_too))
    elif proto.trainer_spec.model_type == proto.trainer_spec.BPE:
        merges = list(_merges({text: pieces[text].score for text in places if text in pieces}))
        made = Tokenizer(models.BPE(vocab=dict(places), merges=merges, unk_token=unknown, fuse_unk=True,
                                    byte_fallback=bytes_too))  # fmt: skip
    else:
        raise NeedError(f"{name}: sentencepiece models of words or characters are not read; unigram and BPE are")
    spec = proto.normalizer_spec
    steps: list[Any] = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    made.normalizer = normalizers.Sequence(steps) if steps else None
    made.pre_tokenizer = pre_tokenizers.Metaspace(
        prepend_scheme="always" if spec.add_dummy_prefix else "never", split=False
    )
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    held = [(text, pieces[text]) for text in places if text in pieces]
    control = [text for text, piece in held if piece.type in (piece.CONTROL, piece.UNKNOWN)]
    made.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in control])
    own = [text for text, piece in held if piece.type == piece.USER_DEFINED]
    made.add_tokens([AddedToken(text, normalized=False) for text in own])
    roles = {role: getattr(processor, f"{role}_id")() for role in ("bos", "eos", "pad", "unk")}
    return made, {role: processor.id_to_piece(i) for role, i in roles.items() if i >= 0}


def _unigram(places: Mapping[str, int], pieces: Mapping[str, Any], unknown: str | None, bytes_too: bool) -> Any:
    """Ids are places in its list; a gap is filled with what no text holds."""
    listed = [(f"{_GONE}{i}", -1e9) for i in range(max(places.values()) + 1)]
    for text, i in places.items():
        listed[i] = (text, pieces[text].score if text in pieces else 0.0)
    unk = None if unknown is None else places.get(unknown)
    return models.Unigram(listed, unk_id=unk, byte_fallback=bytes_too)


def _merges(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Neighbours that merge: any two whose text is a piece, the best score first."""
    for text in sorted(scores, key=lambda one: -scores[one]):
        for cut in range(1, len(text)):
            if text[:cut] in scores and text[cut:] in scores:
                yield text[:cut], text[cut:]


def _of_slow(tokenizer: Any, name: str) -> Tokenizer:
    """A tokenizer of transformers in Python."""
    processor = getattr(tokenizer, "sp_model", None)
    if hasattr(processor, "serialized_model_proto"):
        made, _ = _of_sentencepiece(processor, tokenizer.get_vocab(), name)
    elif hasattr(tokenizer, "wordpiece_tokenizer"):
        made = _of_wordpiece(tokenizer)
    else:
        made = _of_bytes(tokenizer) or _converted(tokenizer, name)
    named = {str(token) for token in tokenizer.all_special_tokens}
    for _, token in sorted(tokenizer.added_tokens_decoder.items()):
        (made.add_special_tokens if token.special or str(token) in named else made.add_tokens)([token])
    ours, theirs = (_ids(one) for one in (made, tokenizer))
    if ours != theirs:
        warnings.warn(
            f"{name}: {type(tokenizer).__name__} prepares text in a way of its own: {_SAMPLE!r} becomes {theirs}, "
            f"without that {ours}; new tokens are cut without it",
            stacklevel=2,
        )
    return made


def _ids(tokenizer: Any) -> list[int]:
    found = tokenizer.encode(_SAMPLE, add_special_tokens=False)
    return list(getattr(found, "ids", found))


def _of_wordpiece(tokenizer: Any) -> Tokenizer:
    made = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=str(tokenizer.unk_token)))
    basic = getattr(tokenizer, "basic_tokenizer", None)
    if basic is not None:
        made.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=bool(basic.tokenize_chinese_chars),
            strip_accents=basic.strip_accents,
            lowercase=bool(basic.do_lower_case),
        )
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    return made


def _of_bytes(tokenizer: Any) -> Tokenizer | None:
    """A vocabulary of the 256 bytes, each as the character of its number (ByT5's); None where it is another."""
    ids: Mapping[str, int] = tokenizer.get_vocab()
    if not all(chr(byte) in ids for byte in range(256)) or sum(len(text) == 1 for text in ids) > 256:
        return None
    chars = {byte: char for char, byte in byte_of_char().items()}
    vocabulary = {chars[ord(text)] if len(text) == 1 else text: i for text, i in ids.items()}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([text for text in ids if len(text) > 1])
    return made


def _converted(tokenizer: Any, name: str) -> Tokenizer:
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS, convert_slow_tokenizer

    kind = type(tokenizer).__name__
    if kind not in SLOW_TO_FAST_CONVERTERS:
        raise NeedError(
            f"{name}: {kind} is a slow tokenizer that transformers has no fast form of; save a tokenizer.json for it "
            f"and give its path"
        )
    try:
        made: Tokenizer = convert_slow_tokenizer(tokenizer)
    except Exception as error:  # noqa: BLE001 - converters raise whatever their readers do
        reason = " ".join(str(error).split())[:300]
        raise NeedError(f"{name}: transformers cannot make a fast form of {kind}: {reason}") from None
    return made
