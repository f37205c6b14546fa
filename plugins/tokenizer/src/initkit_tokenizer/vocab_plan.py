"""Which rows: for each token of a new vocabulary the old token it is, or the pieces that it is made of.

The plan is data alone: it is made from two tokenizers before any tensor is touched, and says nothing of values. A
recipe takes it and gives rows for :attr:`VocabPlan.new`; :mod:`initkit_tokenizer.layout` turns it into the rows of a
tensor. Both cases, a vocabulary that grows and one that is replaced, are the same path: tokens are matched by what they
stand for, and ids follow from that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from initkit import NeedError
from initkit.errors import did_you_mean, listed
from initkit_tokenizer.families import Family
from initkit_tokenizer.matching import Matcher, Roles
from initkit_tokenizer.pieces import Cutter
from initkit_tokenizer.vocabulary import Vocabulary

NewKind = Literal["pieces", "special", "fallback"]


@dataclass(frozen=True)
class NewToken:
    """A token whose row is to be computed.

    Args:
        id: in the new vocabulary.
        token: its string there.
        surface: the bytes it stands for, in hexadecimal (they need not be UTF-8).
        pieces: ids of the old tokens that spell it, in order; () unless ``kind`` is ``pieces``.
        kind: ``pieces``; ``special``: a special token with no counterpart; ``fallback``: no old token spells any part.
        why: of a fallback, or how the pieces differ from the bytes; "" else.
    """

    id: int
    token: str
    surface: str
    pieces: tuple[int, ...]
    kind: NewKind
    why: str = ""

    @property
    def payload(self) -> bytes:
        """The bytes it stands for."""
        return bytes.fromhex(self.surface)

    @property
    def text(self) -> str:
        """The bytes as text, broken characters replaced."""
        return self.payload.decode("utf-8", "replace")


@dataclass(frozen=True)
class VocabPlan:
    """What becomes of each token of the new vocabulary.

    Args:
        old_size: rows that the old tokenizer needs (largest id + 1).
        new_size: rows that the new tokenizer needs.
        copied: new id to the old ids whose row it takes; more than one is averaged.
        new: tokens to compute, by ascending id.
        roles: special tokens matched by role alone: ``(role, new token, old token)``.
        fuzzy: tokens matched by an opt-in rule: ``(rule, new token, old token)``.
        dropped: old ids that no new token takes.
        old_ids: ids that the old tokenizer owns.
        old_special_ids: those of its special tokens.
        special_ids: id of each role in the new vocabulary, where the tokenizer is clear about it.
        warnings: in words.
    """

    old_size: int
    new_size: int
    copied: Mapping[int, tuple[int, ...]]
    new: tuple[NewToken, ...]
    roles: tuple[tuple[str, str, str], ...] = ()
    fuzzy: tuple[tuple[str, str, str], ...] = ()
    dropped: tuple[int, ...] = ()
    old_ids: tuple[int, ...] = ()
    old_special_ids: tuple[int, ...] = ()
    special_ids: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether every token keeps its id and none is new."""
        return not self.new and not self.dropped and all(ids == (i,) for i, ids in self.copied.items())

    @property
    def grows(self) -> bool:
        """Whether every old token keeps its id."""
        return all(self.copied.get(i) == (i,) for i in self.old_ids)

    def counts(self) -> dict[str, int]:
        """How many tokens are copied, matched by role or loosely, computed from pieces, special, fallback, dropped."""
        kinds = [token.kind for token in self.new]
        return {
            "copied": len(self.copied),
            "by role": len(self.roles),
            "by loose match": len(self.fuzzy),
            "from pieces": kinds.count("pieces"),
            "special": kinds.count("special"),
            "fallback": kinds.count("fallback"),
            "lossy pieces": sum(token.kind == "pieces" and bool(token.why) for token in self.new),
            "dropped": len(self.dropped),
        }

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> VocabPlan:
        """The plan of :meth:`to_json`."""
        raw: dict[str, Any] = json.loads(text)
        raw["copied"] = {int(i): tuple(ids) for i, ids in raw["copied"].items()}
        raw["new"] = tuple(NewToken(**{**one, "pieces": tuple(one["pieces"])}) for one in raw["new"])
        for key in ("roles", "fuzzy"):
            raw[key] = tuple(tuple(one) for one in raw[key])
        for key in ("dropped", "old_ids", "old_special_ids", "warnings"):
            raw[key] = tuple(raw[key])
        return cls(**raw)


def make_plan(
    old: Any,
    new: Any,
    *,
    duplicates: Literal["lowest", "mean"] = "lowest",
    ignore_case: bool = False,
    ignore_space: bool = False,
    copy_of: Mapping[str, str] | None = None,
    max_gap: int = 1024,
    old_family: Family | None = None,
    new_family: Family | None = None,
) -> VocabPlan:
    """Match the tokens of two tokenizers, and cut the new ones into old ones.

    Tokens are matched by the bytes they stand for, special ones by name and then by role. Where several old tokens
    stand for the same bytes the lowest id is taken.

    Args:
        old: the tokenizer that the model was made with, in any form that :meth:`Vocabulary.of` reads.
        new: the tokenizer that the model is to have.
        duplicates: ``mean`` averages the rows of old tokens that stand for the same bytes.
        ignore_case: tokens without a match may take an old one that differs in case alone.
        ignore_space: tokens without a match may take an old one that differs in its leading space alone.
        copy_of: new token to old token, as strings of the vocabularies; before all other rules.
        max_gap: the longest run of ids without a token that is allowed in the new vocabulary.
        old_family: how the old tokenizer's strings stand for bytes, where its parts do not tell.
        new_family: likewise, of the new one.

    Raises:
        NeedError: a tokenizer cannot be read; ids of the new one have a longer gap; a name of ``copy_of`` is unknown;
            a role fits two old tokens.
    """
    source = Vocabulary.of(old, family=old_family, name="old_tokenizer")
    target = Vocabulary.of(new, family=new_family, name="tokenizer")
    _check_gaps(target, max_gap)
    matcher = Matcher(source, duplicates=duplicates, ignore_case=ignore_case, ignore_space=ignore_space)
    roles = Roles(source, target)
    wished = _wishes(source, target, copy_of or {})
    copied: dict[int, tuple[int, ...]] = {}
    by_role: list[tuple[str, str, str]] = []
    fuzzy: list[tuple[str, str, str]] = []
    rest: list[int] = []
    for i, key in target.keys.items():
        ids = wished.get(i) or matcher.exact(key)
        if not ids and key.kind == "special":
            role, ids = roles.match(target.tokens[i])
            if ids:
                by_role.append((role, target.tokens[i], source.tokens[ids[0]]))
        if not ids:
            rule, ids = matcher.loose(key)
            if ids:
                fuzzy.append((rule, target.tokens[i], source.tokens[ids[0]]))
        if ids:
            copied[i] = ids
        else:
            rest.append(i)
    used = {i for ids in copied.values() for i in ids}
    return VocabPlan(
        old_size=source.size,
        new_size=target.size,
        copied=copied,
        new=_new_tokens(source, target, rest),
        roles=tuple(by_role),
        fuzzy=tuple(fuzzy),
        dropped=tuple(i for i in source.tokens if i not in used),
        old_ids=tuple(source.tokens),
        old_special_ids=tuple(i for i, key in source.keys.items() if key.kind == "special"),
        special_ids=_special_ids(target),
        warnings=_warnings(source, target),
    )


def _new_tokens(source: Vocabulary, target: Vocabulary, ids: Sequence[int]) -> tuple[NewToken, ...]:
    cuts = iter(Cutter(source).cut([target.keys[i].payload for i in ids if target.keys[i].kind != "special"]))
    found: list[NewToken] = []
    for i in ids:
        key = target.keys[i]
        if key.kind == "special":
            found.append(NewToken(i, target.tokens[i], key.payload.hex(), (), "special"))
            continue
        cut = next(cuts)
        kind: NewKind = "pieces" if cut.ids else "fallback"
        found.append(NewToken(i, target.tokens[i], key.payload.hex(), cut.ids, kind, cut.lossy))
    return tuple(found)


def _wishes(source: Vocabulary, target: Vocabulary, wanted: Mapping[str, str]) -> dict[int, tuple[int, ...]]:
    old = {text: i for i, text in source.tokens.items()}
    new = {text: i for i, text in target.tokens.items()}
    for text, vocabulary, whose in [
        *((text, new, "new") for text in wanted),
        *((text, old, "old") for text in wanted.values()),
    ]:
        if text not in vocabulary:
            raise NeedError(f"copy_of: the {whose} tokenizer has no token {text!r}{did_you_mean(text, vocabulary)}")
    return {new[a]: (old[b],) for a, b in wanted.items()}


def _special_ids(target: Vocabulary) -> dict[str, int]:
    found = {role: target.role_id(role) for role in target.roles}
    return {role: i for role, i in found.items() if i is not None}


def _check_gaps(target: Vocabulary, most: int) -> None:
    before = -1
    for i in target.tokens:
        if i - before - 1 > most:
            raise NeedError(
                f"tokenizer: no token has an id between {before} and {i} ({i - before - 1} rows would stay unused); "
                f"allow it with max_gap={i - before - 1}"
            )
        before = i


def _warnings(source: Vocabulary, target: Vocabulary) -> tuple[str, ...]:
    found = []
    if source.lower and not target.lower:
        found.append("the old tokenizer lower-cases its text: new tokens with capitals are cut as if they had none")
    doubtful = [role for role, texts in target.roles.items() if len(texts) > 1]
    if doubtful:
        found.append(f"the new tokenizer does not say which token is its {listed(doubtful)}; ids of those stay")
    return tuple(found)
