"""A word vector for each token: of its text, or of the words it occurs in; and a space that two languages share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initkit import NeedError
from initkit_tokenizer.static_vectors import Floats, StaticVectors
from initkit_tokenizer.vocabulary import Vocabulary

Source = Literal["auto", "text", "words", "tokens"]
MOST_WORDS = 50_000
"""Words of a table, the first ones, that tokens without a text of their own are looked for in."""


def text_of(payload: bytes) -> str:
    """A token's text without the space that marks a word's start; "" where it is no text."""
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        return ""


def token_vectors(vocabulary: Vocabulary, ids: Sequence[int], vectors: StaticVectors, source: Source) -> Floats:
    """Vectors of tokens, (n, D); zeros where nothing is known.

    Args:
        vocabulary: that the ids belong to.
        ids: of tokens.
        vectors: of words.
        source: ``text``: the vector of the token's text; ``words``: the mean of the vectors of all words that contain
            the token, weighted by how often they occur; ``auto``: the first, and the second where there is none;
            ``tokens``: the vector of the token's string, of a table that was trained on tokens.
    """
    if source == "tokens":
        return vectors.lookup([vocabulary.tokens[i] for i in ids], exact=True)
    if source == "words":
        found = np.zeros((len(ids), vectors.dim), dtype=np.float32)
    else:
        found = vectors.lookup([text_of(vocabulary.keys[i].payload) for i in ids])
    missing = np.flatnonzero(~found.any(1))
    if source != "text" and len(missing):
        means = _means_of_words(vocabulary, vectors)
        for row in missing.tolist():
            mean = means.get(ids[row])
            if mean is not None:
                found[row] = mean
    return found


def learned(vocabulary: Vocabulary, ids: Sequence[int], vectors: StaticVectors, source: Source) -> NDArray[np.bool_]:
    """Whether a token's vector was learned, (n,): it is a word's of the table, or a mean of such; not n-grams alone."""
    if source == "tokens":
        return np.array([vectors.place(vocabulary.tokens[i]) is not None for i in ids], dtype=bool)
    if source == "words":
        return np.ones(len(ids), dtype=bool)
    return ~vectors.spelt([text_of(vocabulary.keys[i].payload) for i in ids])


def decoded_vectors(vocabulary: Vocabulary, ids: Sequence[int], vectors: StaticVectors) -> Floats:
    """Vectors of what the tokenizer decodes each token alone to, spaces cut off, as it is written, (n, D).

    So ``##ing`` keeps its mark, a special token is a text, and broken UTF-8 is U+FFFD: the packages of WECHSEL and
    FOCUS ask for these.
    """
    whole = vocabulary.tokenizer()
    return vectors.lookup([whole.decode([i], skip_special_tokens=False).strip() for i in ids], exact=True)


def _means_of_words(vocabulary: Vocabulary, vectors: StaticVectors) -> dict[int, Floats]:
    cutter = vocabulary.cutter()
    sums: dict[int, Any] = {}
    weights: dict[int, float] = {}
    step = 4096
    for start in range(0, min(len(vectors.words), MOST_WORDS), step):
        words = vectors.words[start : min(start + step, MOST_WORDS)]
        rows = vectors.rows(range(start, start + len(words)))
        forms = cutter.encode_batch([*words, *(f" {word}" for word in words)], add_special_tokens=False)
        for place, form in enumerate(forms):
            word = place % len(words)
            count = float(vectors.counts[start + word])
            for i in set(form.ids):  # once a form, as often as the token may occur in it
                sums[i] = sums.get(i, 0.0) + count * rows[word].astype(np.float64)
                weights[i] = weights.get(i, 0.0) + count
    return {i: np.asarray(total / weights[i], dtype=np.float32) for i, total in sums.items() if weights[i] > 0}


def aligned(
    old: StaticVectors, new: StaticVectors, pairs: Sequence[tuple[str, str]]
) -> tuple[StaticVectors, dict[str, int]]:
    """The old vectors turned into the space of the new ones by a bilingual dictionary.

    R minimises ||A R - B||_F among orthogonal matrices, where the rows of A and B are the vectors of word pairs;
    nothing is centred or normalised. A pair counts in all nine combinations of its spellings (as it is, lower case,
    title case) that both tables hold, equal ones again.

    Args:
        old: vectors of the old language.
        new: vectors of the new one.
        pairs: an old word and a new one each.

    Returns:
        the turned vectors; how many pairs were given and used.

    Raises:
        NeedError: lengths differ; fewer pairs are known than a vector has numbers.
    """
    if old.dim != new.dim:
        raise NeedError(
            f"old_static_vectors have {old.dim} numbers, static_vectors {new.dim}: both must be of one length"
        )
    left: list[int] = []
    right: list[int] = []
    for source, target in pairs:
        for a, b in product(_spellings(source), _spellings(target)):
            i, j = old.place(a), new.place(b)
            if i is not None and j is not None:
                left.append(i)
                right.append(j)
    used = len(set(zip(left, right, strict=True)))
    if used < old.dim:
        raise NeedError(
            f"dictionary: {used} pairs are in both tables of {len(pairs)} given; a rotation of {old.dim} "
            f"dimensions needs at least {old.dim}"
        )
    product_matrix = old.rows(left).astype(np.float64).T @ new.rows(right).astype(np.float64)
    u, _, vt = np.linalg.svd(product_matrix)
    return old.rotated(np.asarray(u @ vt, dtype=np.float32)), {"pairs given": len(pairs), "pairs used": used}


def as_tensor(vectors: Floats, device: torch.device | str) -> Tensor:
    """The same numbers on a device."""
    return torch.from_numpy(np.ascontiguousarray(vectors)).to(device)


def _spellings(word: str) -> list[str]:
    return [word, word.lower(), word.title()]
