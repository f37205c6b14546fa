"""The old tokens that a new token's bytes are cut into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from initkit import NeedError
from initkit_tokenizer.vocabulary import Vocabulary, longest_match


@dataclass(frozen=True)
class Cut:
    """Pieces of one text.

    Args:
        ids: of the old tokens, in order; () when nothing but unknown remains.
        lossy: why the pieces do not spell the same bytes; "" when they do.
    """

    ids: tuple[int, ...]
    lossy: str = ""


class Cutter:
    """Cuts bytes with the old tokenizer: no special tokens, no space put before, a leading space kept.

    Args:
        old: the vocabulary that cuts.
    """

    def __init__(self, old: Vocabulary) -> None:
        self._old = old
        self._cutter = old.cutter()
        self._by_text = {text: i for i, text in sorted(old.tokens.items(), reverse=True)}
        unknown = old.roles.get("unk", ())
        self._unknown = {i for i, text in old.tokens.items() if text in unknown}
        self._single: dict[int, int] = {}
        for i, key in old.keys.items():
            single = len(key.payload) == 1 and key.kind in ("text", "byte")
            # Where a byte has an ordinary token and a fallback one, the fallback spells broken characters.
            if single and (key.payload[0] not in self._single or key.kind == "byte"):
                self._single[key.payload[0]] = i

    def cut(self, payloads: Sequence[bytes]) -> list[Cut]:
        """Pieces of each text, all encoded in one batch.

        Args:
            payloads: bytes; a word's start has a leading space.

        Raises:
            NeedError: the old tokenizer fails on the text.
        """
        found: list[Cut | None] = [None] * len(payloads)
        whole: list[tuple[int, str]] = []
        for place, payload in enumerate(payloads):
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                found[place] = self._bytes(payload)
                continue
            if self._old.family == "wordpiece" and text[:1] not in ("", " ") and not text.isspace():
                found[place] = self._continued(text)
            else:
                whole.append((place, text))
        for (place, text), ids in zip(whole, self._encode([text for _, text in whole]), strict=True):
            found[place] = self._judged(ids, text)
        return [cut for cut in found if cut is not None]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        try:
            return [one.ids for one in self._cutter.encode_batch(texts, add_special_tokens=False)]
        except Exception as error:  # noqa: BLE001 - the Rust side raises bare Exception
            raise NeedError(f"old_tokenizer: it cannot encode the new tokens: {' '.join(str(error).split())}") from None

    def _bytes(self, payload: bytes) -> Cut:
        ids = tuple(self._single[byte] for byte in payload if byte in self._single)
        if len(ids) < len(payload):
            return Cut((), "broken UTF-8, and the old vocabulary has no token for some of its bytes")
        return Cut(ids)

    def _continued(self, text: str) -> Cut:
        shown = self._normalised(text)
        ids = tuple(longest_match(shown, self._by_text, self._old.continuing))
        if not ids:
            return self._judged(self._encode([text])[0], text)
        return Cut(ids, "" if shown == text else f"read as {shown!r}")

    def _normalised(self, text: str) -> str:
        normalizer = self._cutter.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _judged(self, ids: Sequence[int], text: str) -> Cut:
        known = tuple(i for i in ids if i not in self._unknown)
        if not known:  # sentencepiece drops line breaks and spaces, but has tokens for their bytes
            spelt = self._bytes(text.encode())
            return spelt if spelt.ids else Cut((), "the old tokenizer knows no part of it")
        made, wanted = b"".join(self._old.keys[i].payload for i in known), text.encode()
        if self._old.family == "wordpiece":  # a space marks every word and sign there, spaces in the text or not
            made, wanted = made.replace(b" ", b""), b"".join(wanted.split())
        if made == wanted:
            return Cut(known)
        return Cut(known, f"the pieces spell {made.decode('utf-8', 'replace')!r}")
