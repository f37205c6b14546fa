"""Word vectors that benchmarks train themselves, kept in the cache as fastText's own files."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.tokenizer._causal import fingerprint, tokenizer_of
from benchmarks.tokenizer._packages import cache_folder
from benchmarks.tokenizer._text import corpus

SETTINGS: dict[str, Any] = {
    # fastText's own defaults, where gensim's differ, but for the bucket (2,000,000).
    "vector_size": 100, "sg": 1, "window": 5, "alpha": 0.05, "negative": 5, "sample": 1e-4, "min_count": 5,
    "min_n": 3, "max_n": 6, "bucket": 200_000, "epochs": 5, "seed": 0, "workers": 1,
}  # fmt: skip
OF_TOKENS: dict[str, Any] = {"sg": 0, "negative": 10, "epochs": 3, "min_count": 10}
"""Where FOCUS' package differs."""


def words_of(line: str) -> list[str]:
    """Words, and marks one by one, as they are written."""
    return re.findall(r"\w+|[^\w\s]", line)


@cache
def fasttext(language: str, *, lower: bool = False) -> Path:
    """Skip-gram vectors of the words of a language's training text.

    Args:
        language: ``en`` or ``de``.
        lower: whether the text is lower-cased first.
    """
    text = [words_of(line.lower() if lower else line) for line in corpus(language).train]
    return _trained(f"{language}{'-lower' * lower}", text, SETTINGS)


@cache
def of_tokens(language: str, size: int) -> Path:
    """FOCUS' vectors: a bag of words over training text that a byte-level tokenizer has cut, its tokens as words."""
    cut = tokenizer_of(language, size).encode_batch(corpus(language).train, add_special_tokens=False)
    return _trained(f"{language}-{size}-tokens", [one.tokens for one in cut], {**SETTINGS, **OF_TOKENS})


def _trained(name: str, text: list[list[str]], settings: dict[str, Any]) -> Path:
    from gensim.models import FastText
    from gensim.models.fasttext import save_facebook_model

    path = cache_folder() / f"{name}-{fingerprint(settings, len(text), sum(map(len, text)))}.bin"
    if not path.exists():
        scratch = path.with_suffix(".part")
        save_facebook_model(FastText(text, **settings), str(scratch))
        scratch.rename(path)
    return path
