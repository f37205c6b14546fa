"""A small causal model's English vocabulary doubles: bits per byte before and after 30 steps, by recipe.

The model of ``german`` keeps its 4096 tokens and gets as many longer ones, of the same text. A donor (96 wide, two
layers) was trained in the new vocabulary for 191 steps: a weak one. Word vectors are of the same text. A seed gives
every start the same trained model, donor and batches; lower is better.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from benchmarks.tokenizer._causal import bits_per_byte, blocks_of, tokenizer_of, trained
from benchmarks.tokenizer._starts import Case, bits, measured, table
from benchmarks.tokenizer._text import corpus
from benchmarks.tokenizer._vectors import fasttext
from benchmarks.tokenizer.german import TRAINED, vectors_of
from initkit_tokenizer import make_plan

SEEDS = (0, 1, 2)
SIZE, GROWN, STEPS = 4096, 8192, 30
DONOR_STEPS = 191
ROWS = (
    "zeros",
    "mean",
    "multivariate, compat=hf",
    "subword",
    "subword, weights=exp",
    "wechsel",
    "focus",
    "hybrid",
    "fit",
    "auto",
    "map",
    "omp, k=8",
)
RESIZED = "transformers' resize_token_embeddings"


def run() -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in (*ROWS, RESIZED)}
    own: dict[str, list[float]] = {"old model": [], "donor": []}
    for seed in SEEDS:
        case = case_of(seed)
        own["old model"].append(round(bits_per_byte(case.model, case.old, case.test), 4))
        own["donor"].append(round(bits_per_byte(case.needs["donor"]["donor"], case.new, case.test), 4))
        for label in ROWS:
            found[label].append(measured(case, label))
            print(seed, label, found[label][-1], flush=True)
        found[RESIZED].append(resized(case))
    plan = make_plan(case.old, case.new)
    return {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "sizes": [SIZE, GROWN],
        "shared tokens": len(plan.copied),
        "text": {"en": corpus("en").facts()},
        "bits of the trained models": own,
        "rows": table(found),
    }


def resized(case: Case) -> dict[str, Any]:
    """The library's own way."""
    model = copy.deepcopy(case.model)
    torch.manual_seed(case.seed)
    model.resize_token_embeddings(case.new.get_vocab_size())
    return {**bits(case, model), "seconds": 0.0, "notes": {}}


def case_of(seed: int) -> Case:
    """Everything of a seed."""
    needs = {
        "vectors": {"static_vectors": vectors_of(fasttext("en"))},
        "donor": {"donor": trained("grown", "en", GROWN, steps=DONOR_STEPS, seed=seed + 20, hidden=96, layers=2)},
    }
    return Case(
        name="growth",
        model=trained("english", "en", SIZE, steps=TRAINED, seed=seed),
        old=tokenizer_of("en", SIZE),
        new=tokenizer_of("en", GROWN),
        data=blocks_of("en", GROWN),
        test=corpus("en").test,
        needs=needs,
        steps=STEPS,
        seed=seed,
    )
