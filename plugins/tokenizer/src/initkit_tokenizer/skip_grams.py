"""Pairs of tokens that stand near each other in a text, as skip-gram models learn from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initkit.streams import Stream
from initkit_tokenizer.vocabulary import Vocabulary

Ids = NDArray[np.int64]
_LINES = 2048
_CENTRES = 1 << 18
POWER = 0.75
"""Of counts, for the tokens that negatives are drawn from."""


@dataclass(frozen=True)
class Text:
    """A text as ids, one line after the other.

    Args:
        ids: (tokens,).
        lines: number of each token's line, (tokens,).
        counts: of each id, (V,).
    """

    ids: Ids
    lines: Ids
    counts: Ids

    @classmethod
    def read(cls, corpus: Iterable[str], vocabulary: Vocabulary, size: int) -> Text:
        """Cut a corpus.

        Args:
            corpus: lines.
            vocabulary: that cuts them, without special tokens.
            size: V, more than its largest id.
        """
        reader = vocabulary.reader()
        lines = iter(corpus)
        parts: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        while part := list(itertools.islice(lines, _LINES)):
            for cut in reader.encode_batch(part, add_special_tokens=False):
                parts.append(np.array(cut.ids, dtype=np.int32))
                lengths.append(len(parts[-1]))
        ids = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
        return cls(ids, np.repeat(np.arange(len(lengths)), lengths), np.bincount(ids, minlength=size))


@dataclass(frozen=True)
class SkipGrams:
    """Pairs of a centre and a token of its context, in the order of the text, and what negatives are drawn by.

    Args:
        pairs: ids, (P, 2).
        sums: running sums of counts^0.75, (V,), float64, the last one 1.
    """

    pairs: NDArray[np.int32]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, text: Text, window: int, threshold: float, stream: Stream) -> SkipGrams:
        """Pair each centre with the tokens of its line that are at most ``window`` places away.

        Args:
            text: cut.
            window: the most places between two tokens of a pair.
            threshold: a token that occurs n times is a centre with probability sqrt(threshold/n).
            stream: decides which.
        """
        chance = np.sqrt(threshold / np.maximum(text.counts, 1))
        centres = np.flatnonzero(stream.uniforms(0, len(text.ids)) < chance[text.ids])
        away = np.array([step for step in range(-window, window + 1) if step])
        parts = []
        for start in range(0, len(centres), _CENTRES):
            part = centres[start : start + _CENTRES, None]
            near = part + away
            inside = (near >= 0) & (near < len(text.ids))
            near = near.clip(0, max(0, len(text.ids) - 1))
            inside &= text.lines[near] == text.lines[part]
            both = np.stack([np.broadcast_to(text.ids[part], near.shape)[inside], text.ids[near[inside]]], axis=1)
            parts.append(both.astype(np.int32))
        weights = text.counts.astype(np.float64) ** POWER
        pairs = np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int32)
        return cls(pairs, weights.cumsum() / max(weights.sum(), 1e-300))

    def __len__(self) -> int:
        return len(self.pairs)

    def negatives(self, stream: Stream, start: int, count: int) -> Ids:
        """Ids with probabilities in proportion to counts^0.75, each by its own number of the stream.

        Args:
            stream: of the draws.
            start: number of the first.
            count: how many.
        """
        return np.searchsorted(self.sums, stream.uniforms(start, count), side="right").clip(0, len(self.sums) - 1)


@dataclass(frozen=True)
class Batches:
    """Batches of pairs with negatives, the same for one seed wherever training begins.

    Args:
        grams: pairs.
        size: of a batch.
        negatives: for each pair.
        epochs: how often each pair comes.
        shuffled: in a new order each epoch, or in that of the text.
        stream: of orders and negatives.
    """

    grams: SkipGrams
    size: int
    negatives: int
    epochs: int
    shuffled: bool
    stream: Stream

    @property
    def each(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.grams) // self.size)

    def __len__(self) -> int:
        return self.epochs * self.each

    def after(self, step: int) -> Iterator[tuple[Ids, Ids, Ids]]:
        """Centres (B,), contexts (B,) and negatives (B, negatives) of all steps from one on."""
        for epoch in range(step // max(1, self.each), self.epochs):
            order = None
            if self.shuffled:
                order = self.stream.sub(f"order of epoch {epoch}").permutation(len(self.grams))
            drawn = self.stream.sub(f"negatives of epoch {epoch}")
            first = step - epoch * self.each if epoch == step // self.each else 0
            for place in range(first, self.each):
                begin, end = place * self.size, min((place + 1) * self.size, len(self.grams))
                which = slice(begin, end) if order is None else order[begin:end]
                pairs = self.grams.pairs[which].astype(np.int64)
                ids = self.grams.negatives(drawn, begin * self.negatives, (end - begin) * self.negatives)
                yield pairs[:, 0], pairs[:, 1], ids.reshape(end - begin, self.negatives)
