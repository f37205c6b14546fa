"""Bits per byte of a causal model with a new vocabulary, by each recipe, before and after a little training."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

import initkit
from benchmarks.tokenizer._causal import Memory, bits_per_byte, blocks, fingerprint, train
from initkit_tokenizer import make_plan

RATE, WARM = 1e-3, 10


@dataclass(frozen=True)
class Start:
    """One row of a table.

    Args:
        recipe: its short name.
        options: of the recipe.
        needs: what it takes beside the tokenizers: ``vectors``, ``vectors of tokens``, ``donor``, or
            ``donor without rows that cancel``.
    """

    recipe: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


VECTORS = ("vectors",)
TOKENS = ("vectors of tokens",)
DONOR = ("donor",)
WITHOUT = ("donor without rows that cancel",)
STARTS: dict[str, Start] = {
    "zeros": Start("zeros"),
    "normal": Start("normal"),
    "mean": Start("mean"),
    "multivariate, compat=hf": Start("multivariate", {"compat": "hf"}),
    "subword": Start("subword"),
    "subword, weights=exp": Start("subword", {"weights": "exp"}),
    "wechsel, compat=authors": Start("wechsel", {"compat": "authors"}, VECTORS),
    "wechsel, anchors=all": Start("wechsel", {"anchors": "all"}, VECTORS),
    "wechsel": Start("wechsel", {}, VECTORS),
    "ofa": Start("ofa", {}, VECTORS),
    "focus, vectors_of=tokens": Start("focus", {"vectors_of": "tokens"}, TOKENS),
    "focus, anchors=all": Start("focus", {"anchors": "all"}, VECTORS),
    "focus": Start("focus", {}, VECTORS),
    "hybrid": Start("hybrid", {}, VECTORS),
    "hybrid, weights_of_pieces=exp": Start("hybrid", {"weights_of_pieces": "exp"}, VECTORS),
    "hybrid, neighbours=focus, vectors_of=tokens, weights_of_pieces=exp": Start(
        "hybrid", {"neighbours": "focus", "vectors_of": "tokens", "weights_of_pieces": "exp"}, TOKENS
    ),
    "fit": Start("fit", {}, VECTORS),
    "auto": Start("auto", {}, VECTORS),
    "auto, with a donor": Start("auto", {}, (*VECTORS, *DONOR)),
    "clp, cancelling rows left out": Start("clp", {}, WITHOUT),
    "map": Start("map", {}, DONOR),
    "map, kind=ridge": Start("map", {"kind": "ridge"}, DONOR),
    **{f"omp, k={k}": Start("omp", {"k": k}, DONOR) for k in (2, 8, 64)},
    "omp": Start("omp", {}, DONOR),
}


@dataclass(frozen=True)
class Case:
    """A model, its old and new tokenizer, and text of the new one.

    Args:
        name: of the benchmark.
        model: trained with ``old``.
        old: tokenizer.
        new: tokenizer.
        data: blocks of training text in new ids.
        test: held-out lines.
        needs: by the names that :class:`Start` uses, the recipe's needs.
        steps: of training after the start.
        seed: of the recipe and of the order of blocks.
    """

    name: str
    model: LlamaForCausalLM
    old: Any
    new: Any
    data: Tensor
    test: list[str]
    needs: Mapping[str, dict[str, Any]]
    steps: int
    seed: int


def measured(case: Case, label: str) -> dict[str, Any]:
    """Bits per byte ``before`` and ``after`` training, the recipe's ``seconds``, and what its report notes.

    Training follows from the start alone, so a start that was measured before is not trained again.
    """
    start = STARTS[label]
    model = copy.deepcopy(case.model)
    needs = {name: value for kind in start.needs for name, value in case.needs[kind].items()}
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = initkit.apply(
            model,
            initkit.recipe(f"tokenizer/{start.recipe}", **start.options),
            tokenizer=case.new,
            old_tokenizer=case.old,
            seed=case.seed,
            **needs,
        )
    seconds = round(time.perf_counter() - begin, 2)
    return {**bits(case, model), "seconds": seconds, "notes": chosen(report)}


def bits(case: Case, model: LlamaForCausalLM) -> dict[str, float]:
    """Bits per byte before and after training."""
    memory = Memory(case.name)
    key = fingerprint(model, case.data.shape, int(case.data.sum()), case.steps, case.seed, RATE, WARM, case.test[:9])
    known = memory.get(key)
    if known is None:
        before = bits_per_byte(model, case.new, case.test)
        train(model, case.data, steps=case.steps, rate=RATE, warm=WARM, horizon=case.steps, seed=case.seed + 100)
        known = {"before": before, "after": bits_per_byte(model, case.new, case.test)}
        memory.put(key, known)
    return {when: round(known[when], 4) for when in ("before", "after")}


def without_cancelling(donor: LlamaForCausalLM, old: Any, new: Any) -> LlamaForCausalLM:
    """A donor whose input rows are zero where ``clp`` would refuse a new token, which then gets the mean.

    The cosines of such a token to the shared ones cancel to less than 1/1000.
    """
    plan = make_plan(old, new)
    anchors = [token for token, ids in plan.copied.items() if ids[0] not in set(plan.old_special_ids)]
    wanted = torch.tensor([token.id for token in plan.new])
    changed: LlamaForCausalLM = copy.deepcopy(donor)
    rows: Tensor = changed.model.embed_tokens.weight.detach()
    units = torch.nn.functional.normalize(rows)
    cosines = units[wanted] @ units[anchors].T
    lost = cosines.sum(1).abs() < 1e-3 * cosines.abs().sum(1)
    rows[wanted[lost]] = 0
    return changed


def cancelling(case: Case) -> int:
    """How many rows :func:`without_cancelling` left out."""
    donor: LlamaForCausalLM = case.needs[WITHOUT[0]]["donor"]
    rows: Tensor = donor.model.embed_tokens.weight
    return int((rows.abs().amax(1) == 0).sum())


def chosen(report: Any) -> dict[str, Any]:
    """What a recipe chose by itself: the recipes of ``auto``, the k of ``omp``, penalties."""
    rows = next((rows for key, rows in report.notes.items() if key.endswith("rows")), [])
    kept = ("recipe", "k", "penalty", "without a vector")
    return {row["tensor"]: {key: row[key] for key in kept if key in row} for row in rows if "tensor" in row}


def table(found: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each start: values of all seeds, their mean and deviation."""
    rows: list[dict[str, Any]] = []
    for label, runs in found.items():
        row: dict[str, Any] = {"start": label, "seconds": [one["seconds"] for one in runs]}
        for when in ("before", "after"):
            values = [one[when] for one in runs]
            row[when] = values
            row[f"{when}_mean"] = round(statistics.mean(values), 4)
            row[f"{when}_std"] = round(statistics.stdev(values), 4) if len(values) > 1 else 0.0
        row["chosen"] = [one["notes"] for one in runs]
        rows.append(row)
    return rows


def paired(rows: Sequence[dict[str, Any]], better: str, others: Sequence[str]) -> dict[str, Any]:
    """By how much a start beats the best of others, seed by seed."""
    held = {row["start"]: row for row in rows}
    found: dict[str, Any] = {"start": better, "others": list(others)}
    for when in ("before", "after"):
        rival = min(others, key=lambda label: held[label][f"{when}_mean"])
        gains = [b - a for a, b in zip(held[better][when], held[rival][when], strict=True)]
        found[when] = {
            "best of the others": rival,
            "gains": [round(gain, 4) for gain in gains],
            "mean": round(statistics.mean(gains), 4),
            "std": round(statistics.stdev(gains), 4) if len(gains) > 1 else 0.0,
        }
    return found


__all__ = ["STARTS", "Case", "Start", "blocks", "cancelling", "measured", "paired", "table", "without_cancelling"]
