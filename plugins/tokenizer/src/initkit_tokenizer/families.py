"""Families of tokenizers: how a token's string stands for bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

Family = Literal["byte_level", "metaspace", "wordpiece", "plain"]

SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_of_char() -> dict[str, int]:
    """The inverse of GPT-2's table: 188 printable bytes stand for themselves, the other 68 are U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(0x100 + i): byte for i, byte in enumerate(rest)})
    return table


def family_of(spec: Mapping[str, Any]) -> Family:
    """Read the family from the parts of a ``tokenizer.json``: never from a class name or from counts.

    Args:
        spec: the parsed file.
    """
    parts = [part for where in ("pre_tokenizer", "decoder", "normalizer") for part in _flat(spec.get(where))]
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return "byte_level"
    if (spec.get("model") or {}).get("type") == "WordPiece":
        return "wordpiece"
    replaces = any(
        part.get("type") == "Replace" and SPACE in (part.get("content"), _pattern(part.get("pattern")))
        for part in parts
    )
    return "metaspace" if "Metaspace" in kinds or replaces else "plain"


def lower_cases(spec: Mapping[str, Any]) -> bool:
    """Whether text is lower-cased or loses its accents before it is looked up."""
    for part in _flat(spec.get("normalizer")):
        if part.get("type") in ("Lowercase", "StripAccents"):
            return True
        if part.get("type") == "BertNormalizer" and (part.get("lowercase") or part.get("strip_accents")):
            return True
    return False


def text_bytes(token: str, family: Family, *, continuing: str = "##", word_end: str = "") -> bytes:
    """The bytes that a token stands for; the start of a word has a leading space (0x20).

    Args:
        token: as it stands in the vocabulary.
        family: of its tokenizer.
        continuing: what marks a WordPiece token that goes on with a word.
        word_end: what marks the last piece of a word (``</w>``); it becomes a trailing space.
    """
    ended = bool(word_end) and token.endswith(word_end)
    if ended:
        token = token[: -len(word_end)]
    tail = b" " if ended else b""
    if family == "byte_level":
        table = byte_of_char()
        if all(char in table for char in token):
            return bytes(table[char] for char in token) + tail
        return token.encode() + tail
    if family == "metaspace":
        return token.replace(SPACE, " ").encode() + tail
    if family == "wordpiece":
        if continuing and token.startswith(continuing) and len(token) > len(continuing):
            return token[len(continuing) :].encode()
        return b" " + token.encode()
    return token.encode() + tail


def fallback_byte(token: str) -> int | None:
    """The byte of a token such as ``<0x0A>``, or None."""
    found = _BYTE.fullmatch(token)
    return int(found[1], 16) if found else None


def _flat(part: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(part, Mapping):
        return
    yield part
    for key in ("pretokenizers", "decoders", "normalizers"):
        for inner in part.get(key) or ():
            yield from _flat(inner)


def _pattern(pattern: Any) -> str:
    return str(pattern.get("String", pattern.get("Regex", ""))) if isinstance(pattern, Mapping) else str(pattern or "")
