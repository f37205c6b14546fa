"""The encoder of ``hidden_words`` gets its 600 words back from its own states: by its outputs, and by learning.

Lines, words and measure are those of ``hidden_words``. ``cross_init`` takes the encoder's output for a word's pieces as
its row, as it is or at the length of other rows; ``token_distillation`` learns rows, from the mean of the pieces on, on
other text. A seed chooses the lines, with them the words.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from typing import Any

import numpy as np

import initkit
from benchmarks.tokenizer._encoder import encoder
from benchmarks.tokenizer._text import corpus
from benchmarks.tokenizer.hidden_words import LINES, WORDS, embed, frequent, similarity
from initkit_tokenizer import Vocabulary
from initkit_tokenizer.hiding import hidden

SEEDS = (0, 1, 2)
SNIPPETS = 4
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("mean", {}),
    "subword": ("subword", {}),
    "cross_init": ("cross_init", {}),
    "cross_init, renorm=true": ("cross_init", {"renorm": True}),
    "token_distillation": ("token_distillation", {"snippets": SNIPPETS, "min_snippets": 2}),
}


def run() -> dict[str, Any]:
    tokenizer, model = encoder()
    test = [line for line in corpus("en").test if len(line) > 60]
    results: dict[str, dict[str, list[Any]]] = {name: {"cosine": [], "seconds": [], "length": []} for name in ROWS}
    taught: list[dict[str, Any]] = []
    for seed in SEEDS:
        lines = [test[int(place)] for place in np.random.default_rng(seed).permutation(len(test))[:LINES]]
        full = Vocabulary.of(tokenizer)
        rest = hidden(full, frequent(lines, tokenizer))
        truth = embed(model, tokenizer, lines)
        for name, (recipe, options) in ROWS.items():
            made = copy.deepcopy(model)
            needs = {"corpus": corpus("en").train} if recipe == "token_distillation" else {}
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = initkit.apply(
                    made,
                    initkit.recipe(f"tokenizer/{recipe}", **options),
                    tokenizer=full,
                    old_tokenizer=rest,
                    seed=seed,
                    **needs,
                )
            (row,) = report.notes[f"tokenizer/{recipe} rows"]
            results[name]["seconds"].append(round(time.perf_counter() - begin, 1))
            results[name]["cosine"].append(similarity(truth, embed(made, tokenizer, lines)))
            results[name]["length"].append(row["norm, new/old"])
            if needs:
                taught.append(
                    {"seed": seed, **report.notes["tokenizer/token_distillation snippets"][0], **_losses(row)}
                )
            print(seed, name, {key: values[-1] for key, values in results[name].items()}, flush=True)
    return {
        "seeds": list(SEEDS),
        "words": WORDS,
        "lines": LINES,
        "snippets": SNIPPETS,
        "text": corpus("en").facts(),
        "rows": [
            {
                "recipe": name,
                **values,
                "mean": round(statistics.mean(values["cosine"]), 4),
                "std": round(statistics.stdev(values["cosine"]), 4),
            }
            for name, values in results.items()
        ],
        "learned": taught,
    }


def _losses(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("steps", "loss, first", "loss, last")}
