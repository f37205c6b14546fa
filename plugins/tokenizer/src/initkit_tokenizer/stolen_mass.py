"""How much probability new tokens take from the old ones before any training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from initkit import NotMeasured, Scene, Table, Verdict
from initkit.probing.inputs import output_of
from initkit_tokenizer.new_rows import grown

MUCH = 0.5


def stolen_mass(scene: Scene, *, tokenizer: Any, old_tokenizer: Any) -> Iterator[Table | Verdict]:
    """Yield the probability of all new tokens together, by position, and log Z'/Z beside the bound of mean rows.

    Z sums exp(logit) over old tokens, Z' over all: KL(before ‖ after) = log Z'/Z. Rows at the
    mean keep it at or below log(1 + n/V).

    Args:
        scene: of a model that has its new rows, with inputs.
        tokenizer: the model's.
        old_tokenizer: the one before.
    """
    found = grown(scene, tokenizer, old_tokenizer)
    if found is None:
        return
    tensors, plan = found
    inputs = scene.given_inputs()
    with scene.undisturbed() as model:
        logits = output_of(scene.call(model, inputs)).float()
    if logits.shape[-1] != tensors.rows:
        raise NotMeasured(f"the output {tuple(logits.shape)} has not one logit for each of {tensors.rows} rows")
    share = torch.softmax(logits, -1)[..., [token.id for token in plan.new]].sum(-1).flatten()
    grown_by = -torch.log1p(-share.double().clamp(max=1 - 1e-12))
    bound = math.log1p(len(plan.new) / len(plan.copied))
    row = {
        "tokens": "new",
        "count": len(plan.new),
        "mean probability": float(share.mean()),
        "largest": float(share.max()),
        "log Z'/Z, mean": float(grown_by.mean()),
        "log Z'/Z, largest": float(grown_by.max()),
        "bound of mean rows": bound,
    }
    yield Table(
        "stolen_mass",
        [row],
        words="probability that new tokens take before training",
        compare=("mean probability", "log Z'/Z, mean"),
    )
    largest = float(grown_by.max())
    words = (
        f"new tokens take {float(share.mean()):.2g} of the probability (at most {float(share.max()):.2g}): log Z'/Z is "
        f"at most {largest:.2g}, mean rows keep it below {bound:.2g}"
    )
    if largest <= bound * (1 + 1e-4):
        yield Verdict("PASS", words)
    elif float(share.mean()) > MUCH:
        yield Verdict("WARN", words)
    else:
        yield Verdict("NOTE", words)
