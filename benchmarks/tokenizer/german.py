"""A small causal model moves from English to German: bits per byte before and after 60 steps, by recipe.

The model (Llama, 128 wide, three layers, embeddings not tied) is trained on a million tokens of English (LibreOffice's
help and manual pages) in a byte-level vocabulary of 4096; it moves to a German vocabulary of as many, of which some
1,200 tokens are the same. A donor (96 wide, two layers) was trained on German for 374 steps. Word vectors of both
languages are fastText's, trained on the same text, brought together by a dictionary. A seed gives every start the same
trained model, donor and batches; lower is better.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.tokenizer._causal import bits_per_byte, blocks_of, tokenizer_of, trained
from benchmarks.tokenizer._starts import STARTS, Case, cancelling, measured, paired, table, without_cancelling
from benchmarks.tokenizer._text import corpus, dictionary
from benchmarks.tokenizer._vectors import fasttext, of_tokens
from initkit_tokenizer import StaticVectors, make_plan

SEEDS = (0, 1, 2)
SIZE, STEPS = 4096, 60
TRAINED, DONOR_STEPS = 479, 374
BY_OMP = tuple(label for label in STARTS if label.startswith("omp"))
WITHOUT_DONOR = (
    "fit",
    "hybrid",
    "hybrid, weights_of_pieces=exp",
    "hybrid, neighbours=focus, vectors_of=tokens, weights_of_pieces=exp",
    "auto",
)
RIVALS = (
    ("wechsel, anchors=all", "focus, anchors=all"),
    ("wechsel", "focus", "focus, vectors_of=tokens"),
)
"""As published, but for the overlap that WECHSEL's package does not copy; and as they are here."""


def run() -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in STARTS}
    own: dict[str, list[float]] = {"old model, English": [], "donor, German": []}
    left_out = []
    for seed in SEEDS:
        case = case_of(seed)
        left_out.append(cancelling(case))
        english, german = corpus("en"), corpus("de")
        own["old model, English"].append(round(bits_per_byte(case.model, case.old, english.test), 4))
        own["donor, German"].append(round(bits_per_byte(case.needs["donor"]["donor"], case.new, german.test), 4))
        for label, runs in found.items():
            runs.append(measured(case, label))
            print(seed, label, runs[-1], flush=True)
    rows = table(found)
    plan = make_plan(case.old, case.new)
    return {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "size": SIZE,
        "shared tokens": len(plan.copied),
        "dictionary": len(dictionary()),
        "text": {"en": corpus("en").facts(), "de": corpus("de").facts()},
        "bits of the trained models": own,
        "cancelling rows": left_out,
        "rows": rows,
        "map against omp": paired(rows, "map", BY_OMP),
        "without a donor": [paired(rows, label, rivals) for rivals in RIVALS for label in WITHOUT_DONOR],
    }


def case_of(seed: int) -> Case:
    """Everything of a seed."""
    old, new = tokenizer_of("en", SIZE), tokenizer_of("de", SIZE)
    donor = trained("german", "de", SIZE, steps=DONOR_STEPS, seed=seed + 10, hidden=96, layers=2)
    needs: dict[str, dict[str, Any]] = {
        "vectors": {
            "static_vectors": vectors_of(fasttext("de")),
            "old_static_vectors": vectors_of(fasttext("en")),
            "dictionary": dictionary(),
        },
        "vectors of tokens": {"static_vectors": vectors_of(of_tokens("de", SIZE))},
        "donor": {"donor": donor},
        "donor without rows that cancel": {"donor": without_cancelling(donor, old, new)},
    }
    return Case(
        name="german",
        model=trained("english", "en", SIZE, steps=TRAINED, seed=seed),
        old=old,
        new=new,
        data=blocks_of("de", SIZE),
        test=corpus("de").test,
        needs=needs,
        steps=STEPS,
        seed=seed,
    )


vectors_of = cache(StaticVectors.of)
