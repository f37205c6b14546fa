"""Pieces of text that hold new tokens, cut by the old tokenizer and by the new one, and where both cuts meet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from initkit_tokenizer.vocabulary import Vocabulary

_LINES = 256


@dataclass(frozen=True)
class Snippet:
    """One piece of text, twice.

    Args:
        teacher: ids of old tokens.
        student: i >= 0 is the old row i, -1 - j is new token j.
        pairs: places (in ``teacher``, in ``student``) after which the same text has been read.
    """

    teacher: tuple[int, ...]
    student: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def framed(self, before: tuple[int, ...], after: tuple[int, ...]) -> Snippet:
        """The snippet between the old tokenizer's start and end tokens, the same on both sides.

        Args:
            before: ids of old tokens.
            after: likewise.
        """
        shift, t, s = len(before), len(self.teacher), len(self.student)
        pairs = [(i, i) for i in range(shift)]
        pairs += [(i + shift, j + shift) for i, j in self.pairs]
        pairs += [(shift + t + k, shift + s + k) for k in range(len(after))]
        return Snippet((*before, *self.teacher, *after), (*before, *self.student, *after), tuple(pairs))


class Wanted:
    """How many snippets each new token has, and which ones still need some.

    Args:
        places: of the tokens that are to be learned.
        each: snippets that a token needs.
    """

    def __init__(self, places: Iterable[int], each: int) -> None:
        self.counts = dict.fromkeys(places, 0)
        self._each = each
        self._open = set(self.counts)

    def __bool__(self) -> bool:
        return bool(self._open)

    def among(self, student: Iterable[int]) -> list[int]:
        """Places in a cut whose tokens need more snippets."""
        return [place for place, row in enumerate(student) if row < 0 and -1 - row in self._open]

    def enter(self, tokens: Iterable[int]) -> None:
        """Count one more snippet for some tokens."""
        for token in tokens:
            if token in self.counts:
                self.counts[token] += 1
                if self.counts[token] >= self._each:
                    self._open.discard(token)


def aligned_snippets(
    corpus: Iterable[str], old: Vocabulary, new: Vocabulary, rows: Mapping[int, int], wanted: Wanted, length: int
) -> Iterator[Snippet]:
    """Windows of the corpus that hold wanted tokens, cut by both tokenizers, until all are found.

    Positions are paired where a token of each ends at the same character.

    Args:
        corpus: texts.
        old: the vocabulary that the teacher reads.
        new: the student's.
        rows: for each id of the new vocabulary the old row (>= 0) or -1 - j for new token j.
        wanted: counts what has been found.
        length: the most old tokens in a window.
    """
    reads, marks = old.reader(), new.reader()
    lines = iter(corpus)
    while wanted and (part := list(itertools.islice(lines, _LINES))):
        cuts = marks.encode_batch(part, add_special_tokens=False)
        students = [[rows[i] for i in cut.ids] for cut in cuts]
        held = [place for place, student in enumerate(students) if wanted.among(student)]
        teachers = reads.encode_batch([part[place] for place in held], add_special_tokens=False)
        for place, teacher in zip(held, teachers, strict=True):
            pairs = matched(ends(teacher.offsets), ends(cuts[place].offsets))
            for window in windows(teacher.ids, students[place], pairs, length):
                if wanted.among(window.student):
                    wanted.enter({-1 - row for row in window.student if row < 0})
                    yield window


def merged_snippets(
    corpus: Iterable[str], old: Vocabulary, phrases: Mapping[tuple[int, ...], int], wanted: Wanted, length: int
) -> Iterator[Snippet]:
    """Windows of exactly ``length`` old tokens around wanted phrases, which the student reads as one token each.

    Args:
        corpus: texts.
        old: the vocabulary that cuts them.
        phrases: ids of old tokens to -1 - j for new token j.
        wanted: counts what has been found; a snippet counts for the token it was cut out for.
        length: of a window.
    """
    reads = old.reader()
    lines = iter(corpus)
    while wanted and (part := list(itertools.islice(lines, _LINES))):
        for cut in reads.encode_batch(part, add_special_tokens=False):
            ids = tuple(cut.ids)
            student, mask = merged(ids, phrases)
            last = [place for place, kept in enumerate(mask) if kept]
            for place in wanted.among(student):
                token = -1 - student[place]
                if not wanted.among([student[place]]):
                    continue
                end = last[place] + 1
                begin = last[place - 1] + 1 if place else 0
                free = length - (end - begin)
                if free < 0:
                    continue
                before = min(begin, free // 2)
                window = ids[begin - before : end + min(len(ids) - end, free - before)]
                if len(window) < length:
                    continue
                wanted.enter([token])
                made, kept = merged(window, phrases)
                where = [i for i, one in enumerate(kept) if one]
                yield Snippet(window, made, tuple(zip(where, range(len(made)), strict=True)))


def merged(ids: Sequence[int], phrases: Mapping[tuple[int, ...], int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Replace phrases from left to right, the longest first.

    Args:
        ids: of tokens.
        phrases: ids to one new id.

    Returns:
        the ids that result; for each old place 1 where a token of the result ends, else 0.

    Source: Dobler, Elliott, de Melo, arXiv 2505.20133, their code.
    """
    longest = max(map(len, phrases), default=0)
    made: list[int] = []
    mask = [0] * len(ids)
    place = 0
    while place < len(ids):
        sizes = range(min(longest, len(ids) - place), 0, -1)
        size = next((size for size in sizes if tuple(ids[place : place + size]) in phrases), 0)
        made.append(phrases[tuple(ids[place : place + size])] if size else ids[place])
        place += size or 1
        mask[place - 1] = 1
    return tuple(made), tuple(mask)


def ends(offsets: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The last token that ends at each character; where the next one goes on with the same character, none does.

    Args:
        offsets: first character and the one after the last, for each token.
    """
    found: dict[int, int] = {}
    for place, (_, end) in enumerate(offsets):
        if place + 1 < len(offsets) and offsets[place + 1][0] < end:
            continue
        found[end] = place
    return found


def matched(one: Mapping[int, int], two: Mapping[int, int]) -> list[tuple[int, int]]:
    """Places of two cuts that end at the same character, ascending."""
    return [(one[end], two[end]) for end in sorted(one.keys() & two.keys()) if end]


def windows(
    teacher: Sequence[int], student: Sequence[int], pairs: Sequence[tuple[int, int]], length: int
) -> Iterator[Snippet]:
    """Cut a text into windows of at most ``length`` old tokens, each from one pair to another.

    A stretch without a pair that is longer than a window is left out.
    """
    first = (0, 0)
    held: list[tuple[int, int]] = []
    for i, j in [*pairs, (len(teacher) + length, len(student) + length)]:
        if i - first[0] >= length:
            if held:
                end = held[-1]
                yield Snippet(
                    tuple(teacher[first[0] : end[0] + 1]),
                    tuple(student[first[1] : end[1] + 1]),
                    tuple((a - first[0], b - first[1]) for a, b in held),
                )
                first = (end[0] + 1, end[1] + 1)
                held = []
            if i - first[0] >= length:
                first = (i + 1, j + 1)
                continue
        held.append((i, j))
