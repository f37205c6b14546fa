"""A tokenizer's vocabulary in one form for all families: what bytes each token stands for, and how text is cut."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tokenizers import Tokenizer

from initkit import NeedError
from initkit_tokenizer.backends import backend_of
from initkit_tokenizer.families import Family, fallback_byte, family_of, lower_cases, text_bytes
from initkit_tokenizer.roles import roles_of_strings

Kind = Literal["text", "byte", "added", "special"]


@dataclass(frozen=True, order=True)
class TokenKey:
    """What a token is, whatever family its tokenizer belongs to.

    Args:
        kind: ``text``: the bytes it stands for, a word's start with a leading space; ``byte``: one byte that only byte
            fallback uses; ``added``: an ordinary added token; ``special``.
        payload: the bytes.
    """

    kind: Kind
    payload: bytes

    @property
    def words(self) -> str:
        """For messages and reports."""
        return self.payload.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, read. Make one with :meth:`of`.

    Attributes:
        tokens: string of each id; ids may have gaps.
        keys: :class:`TokenKey` of each id.
        family: how strings stand for bytes.
        roles: strings of special tokens by role (bos, eos, pad, unk, mask, cls, sep); several where names alone tell.
        lower: whether text is lower-cased or stripped of accents before it is looked up.
    """

    tokens: Mapping[int, str]
    keys: Mapping[int, TokenKey]
    family: Family
    roles: Mapping[str, tuple[str, ...]]
    lower: bool
    _spec: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, tokenizer: Any, *, family: Family | None = None, name: str = "tokenizer") -> Vocabulary:
        """Read a tokenizer.

        Args:
            tokenizer: a ``Vocabulary``, a ``tokenizers.Tokenizer``, a tokenizer of transformers, fast or slow, a
                ``SentencePieceProcessor``, a ``tiktoken.Encoding``, or the path of a ``tokenizer.json``, of a
                sentencepiece model or of a folder that holds one.
            family: overrides what the tokenizer's parts say; a ``Vocabulary`` is read anew where it has another one.
            name: what errors call it.

        Raises:
            NeedError: it is none of these, holds no token, two tokens have one id, or an id is 2³¹ or more.
        """
        if isinstance(tokenizer, Vocabulary):
            return tokenizer if family in (None, tokenizer.family) else tokenizer.read_as(family)
        made, said = backend_of(tokenizer, name)
        by_id: dict[int, str] = {}
        for text, i in made.get_vocab(with_added_tokens=True).items():
            if by_id.get(i, text) != text:
                raise NeedError(f"{name}: {by_id[i]!r} and {text!r} both have the id {i}")
            by_id[i] = text
        if not by_id:
            raise NeedError(f"{name}: it holds no token")
        if max(by_id) >= 2**31:
            raise NeedError(f"{name}: the id {max(by_id)} of {by_id[max(by_id)]!r} is 2**31 or more")
        tokens = {i: by_id[i] for i in sorted(by_id)}
        spec = json.loads(made.to_str())
        added = {token["id"]: token for token in spec.get("added_tokens") or ()}
        specials = {token["content"] for token in added.values() if token["special"]}
        kind = family or family_of(spec)
        return cls(
            tokens=tokens,
            keys=_keys(tokens, spec, kind, added),
            family=kind,
            roles=roles_of_strings(specials, said),
            lower=lower_cases(spec),
            _spec=spec,
        )

    def read_as(self, family: Family) -> Vocabulary:
        """The same tokens as those of another family."""
        added = {token["id"]: token for token in self._spec.get("added_tokens") or ()}
        return replace(self, family=family, keys=_keys(self.tokens, self._spec, family, added))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def size(self) -> int:
        """Largest id plus one: the rows that the tokenizer needs."""
        return max(self.tokens) + 1

    def role_id(self, role: str) -> int | None:
        """The id of the token that bears a role, where exactly one does."""
        texts = self.roles.get(role, ())
        return next((i for i, text in self.tokens.items() if text == texts[0]), None) if len(texts) == 1 else None

    def tokenizer(self) -> Tokenizer:
        """A copy of the tokenizer as it is."""
        return Tokenizer.from_str(json.dumps(dict(self._spec)))

    def cutter(self) -> Tokenizer:
        """A copy of the tokenizer that cuts a token's text as it stands in the middle of a sentence.

        No special tokens, no space put before, no truncation, no padding; normalisation as ever.
        """
        spec = copy.deepcopy(dict(self._spec))
        spec.update(truncation=None, padding=None, post_processor=None)
        spec["pre_tokenizer"] = _unprefixed(spec.get("pre_tokenizer"))
        spec["normalizer"] = _unprefixed(spec.get("normalizer"))
        # The cutter never sees special tokens as text would spell them; other added tokens cut as they do in text.
        spec["added_tokens"] = [token for token in spec.get("added_tokens") or () if not token["special"]]
        model = spec["model"]
        if isinstance(model, dict) and model.get("dropout"):
            model["dropout"] = None
        return Tokenizer.from_str(json.dumps(spec))

    def reader(self) -> Tokenizer:
        """A copy of the tokenizer that cuts whole texts as ever, neither cut off nor padded."""
        return Tokenizer.from_str(json.dumps({**self._spec, "truncation": None, "padding": None}))

    def frame(self, *, ends: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids that the tokenizer puts before and after a text; where it puts none, its start token, if it has one.

        Args:
            ends: whether its end token stands in, too.
        """
        added = self.reader().encode("a").special_tokens_mask
        ids = self.reader().encode("a").ids
        text = [place for place, special in enumerate(added) if not special]
        before, after = (ids[: text[0]], ids[text[-1] + 1 :]) if text else ([], [])
        roles = [("bos", "cls")] * (not before) + [("eos", "sep")] * (ends and not after)
        for pair in roles:
            known = [i for i in map(self.role_id, pair) if i is not None][:1]
            before, after = (known, after) if pair[0] == "bos" else (before, known)
        return tuple(before), tuple(after)

    @property
    def continuing(self) -> str:
        """What marks a WordPiece token that goes on with a word."""
        return str((self._spec.get("model") or {}).get("continuing_subword_prefix") or "##")


def _keys(
    tokens: Mapping[int, str], spec: Mapping[str, Any], family: Family, added: Mapping[int, Mapping[str, Any]]
) -> dict[int, TokenKey]:
    model = spec.get("model") or {}
    continuing = model.get("continuing_subword_prefix") or "##"
    word_end = model.get("end_of_word_suffix") or ""
    found: dict[int, TokenKey] = {}
    fallback: dict[int, int] = {}
    for i, token in tokens.items():
        byte = fallback_byte(token) if family == "metaspace" else None
        if byte is not None:  # trainers list them among the special tokens, converters among the ordinary ones
            fallback[i] = byte
        elif i in added:
            found[i] = TokenKey("special" if added[i]["special"] else "added", token.encode())
        else:
            found[i] = TokenKey("text", text_bytes(token, family, continuing=continuing, word_end=word_end))
    ordinary = {key.payload for key in found.values() if key.kind == "text"}
    for i, byte in fallback.items():
        single = bytes([byte])
        found[i] = TokenKey("byte" if single in ordinary else "text", single)
    return {i: found[i] for i in tokens}


def _unprefixed(part: Any) -> Any:
    """A pre-tokenizer or normalizer without what puts a space before the text."""
    if not isinstance(part, dict):
        return part
    if part.get("type") == "Prepend":
        return None
    if part.get("type") == "Metaspace":
        return {**{k: v for k, v in part.items() if k != "add_prefix_space"}, "prepend_scheme": "never"}
    if part.get("type") == "ByteLevel" and "add_prefix_space" in part:
        return {**part, "add_prefix_space": False}
    for key in ("pretokenizers", "normalizers"):
        if key in part:
            kept = [made for made in map(_unprefixed, part[key]) if made is not None]
            return {**part, key: kept} if kept else None
    return part


def longest_match(text: str, vocabulary: Mapping[str, int], mark: str) -> Sequence[int]:
    """WordPiece's greedy cut of text that goes on with a word; () where a part is unknown."""
    ids: list[int] = []
    start = 0
    while start < len(text):
        for end in range(len(text), start, -1):
            i = vocabulary.get(mark + text[start:end])
            if i is not None:
                ids.append(i)
                start = end
                break
        else:
            return ()
    return ids
