"""The causal model of ``starts`` learns its new rows from itself: bits per byte before and after a little training.

Models, tokenizers, text and measure are those of ``starts``; the corpus is the text that the model was trained on. A
seed gives every start the same trained model and batches; lower is better.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from typing import Any

import initkit
from benchmarks.tokenizer.starts import MORE, STEPS, bits, fit, trained
from initkit_tokenizer.example import TEXT, byte_level, sentencepiece

SEEDS = (0, 1, 2)
SNIPPETS = 25
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("mean", {}),
    "subword": ("subword", {}),
    "token_distillation": ("token_distillation", {}),
    "token_distillation, cross_entropy=none": ("token_distillation", {"cross_entropy": "none"}),
    "token_distillation, cross_entropy=both": ("token_distillation", {"cross_entropy": "both"}),
    "token_distillation, compat=authors": ("token_distillation", {"compat": "authors", "min_snippets": 5}),
}


def run() -> dict[str, Any]:
    paragraphs = [part for topic in TEXT for part in topic.split("\n\n") if len(part) > 40]
    train = [part for i, part in enumerate(paragraphs) if i % 12]
    test = [part for i, part in enumerate(paragraphs) if i % 12 == 0]
    old = byte_level(train, 1000)
    targets = {"grows": byte_level(train, 2000), "replaced": sentencepiece(train, 1600)}
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in SEEDS:
        model = trained(old, train, seed)
        for case, new in targets.items():
            for name, (recipe, options) in ROWS.items():
                changed = copy.deepcopy(model)
                learns = recipe == "token_distillation"
                given = {"snippets": SNIPPETS, **options} if learns else options
                begin = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    report = initkit.apply(
                        changed,
                        initkit.recipe(f"tokenizer/{recipe}", **given),
                        tokenizer=new,
                        old_tokenizer=old,
                        seed=seed,
                        **({"corpus": [part + "\n" for part in train]} if learns else {}),
                    )
                seconds = round(time.perf_counter() - begin, 1)
                before = bits(changed, new, test)
                fit(changed, new, train, MORE, 1e-3, seed + 100)
                notes = report.notes["tokenizer/token_distillation snippets"][0] if learns else {}
                one = {"before": before, "after": bits(changed, new, test), "seconds": seconds, "learned": notes}
                found.setdefault((case, name), []).append(one)
                print(seed, case, name, one, flush=True)
    return {
        "seeds": list(SEEDS),
        "steps": STEPS,
        "more": MORE,
        "snippets": SNIPPETS,
        "sizes": {"old": len(old), **{case: len(new) for case, new in targets.items()}},
        "rows": [_row(case, name, runs) for (case, name), runs in found.items()],
    }


def _row(case: str, name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case, "start": name}
    for when in ("before", "after"):
        values = [round(one[when], 4) for one in runs]
        row |= {when: values, f"{when}_mean": round(statistics.mean(values), 4)}
        row[f"{when}_std"] = round(statistics.stdev(values), 4)
    row["seconds"] = [one["seconds"] for one in runs]
    row["learned"] = [one["learned"] for one in runs]
    return row
