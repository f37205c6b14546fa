"""Which old token a new one is."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from initkit import NeedError
from initkit_tokenizer.vocabulary import TokenKey, Vocabulary

Ids = tuple[int, ...]


class Matcher:
    """Old tokens by key.

    Args:
        old: the vocabulary that is searched.
        duplicates: whether the lowest id of equal keys is taken, or all are averaged.
        ignore_case: whether :meth:`loose` forgives case.
        ignore_space: whether :meth:`loose` forgives a leading space.
    """

    def __init__(
        self, old: Vocabulary, *, duplicates: Literal["lowest", "mean"], ignore_case: bool, ignore_space: bool
    ) -> None:
        self._all = duplicates == "mean"
        self._case, self._space = ignore_case, ignore_space
        self._by_key: dict[TokenKey, list[int]] = defaultdict(list)
        self._folded: dict[bytes, list[int]] = defaultdict(list)
        self._bare: dict[bytes, list[int]] = defaultdict(list)
        for i in sorted(old.keys):
            key = old.keys[i]
            self._by_key[key].append(i)
            if key.kind in ("text", "added"):
                self._folded[_fold(key.payload)].append(i)
                self._bare[key.payload.removeprefix(b" ")].append(i)

    def exact(self, key: TokenKey) -> Ids:
        """Old tokens with this key; an ordinary added token is the text that it stands for, too."""
        keys = [key]
        if key.kind in ("text", "added"):
            keys.append(TokenKey("added" if key.kind == "text" else "text", key.payload))
        for one in keys:
            if one in self._by_key:
                return self._taken(self._by_key[one])
        return ()

    def loose(self, key: TokenKey) -> tuple[str, Ids]:
        """The rule and the old tokens that match when it is applied; ("", ()) where none does or none is asked for."""
        if key.kind not in ("text", "added"):
            return "", ()
        if self._case and (ids := self._folded.get(_fold(key.payload))):
            return "case", self._taken(ids)
        bare = key.payload.removeprefix(b" ")
        if self._space and bare and (ids := self._bare.get(bare)):
            return "space", self._taken(ids)
        return "", ()

    def _taken(self, ids: list[int]) -> Ids:
        return tuple(ids) if self._all else (ids[0],)


class Roles:
    """Special tokens that do the same work under other names.

    Args:
        old: whose tokens are searched.
        new: whose tokens ask.
    """

    def __init__(self, old: Vocabulary, new: Vocabulary) -> None:
        self._old, self._new = old, new
        self._ids = {text: i for i, text in sorted(old.tokens.items(), reverse=True)}

    def match(self, token: str) -> tuple[str, Ids]:
        """The role and the old token that bears it; ("", ()) where there is none.

        Raises:
            NeedError: names alone leave two old tokens for the role.
        """
        for role, texts in self._new.roles.items():
            if token not in texts:
                continue
            old = self._old.roles.get(role, ())
            if len(old) > 1:
                raise NeedError(
                    f"old_tokenizer: {' and '.join(map(repr, old))} may both be the {role} token that {token!r} stands "
                    f"for; say which with copy_of={{{token!r}: {old[0]!r}}}"
                )
            if old:
                return role, (self._ids[old[0]],)
        return "", ()


def _fold(payload: bytes) -> bytes:
    try:
        return payload.decode().casefold().encode()
    except UnicodeDecodeError:
        return payload
