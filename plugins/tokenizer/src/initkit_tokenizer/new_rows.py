"""Where new tokens stand among the old ones: their lengths, their neighbours, and rows that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from initkit import InitError, NotMeasured, Plot, Scene, Table, Verdict
from initkit_tokenizer import statistics
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.reporting import LONG, SHORT
from initkit_tokenizer.vocab_plan import VocabPlan, make_plan
from initkit_tokenizer.vocabulary import Vocabulary

SHOWN, BLOCK = 12, 1024


def new_rows(scene: Scene, *, tokenizer: Any, old_tokenizer: Any) -> Iterator[Table | Verdict]:
    """Yield lengths of new rows beside old ones, how many are equal, and the old token nearest to each of some.

    Args:
        scene: of a model that has its new rows.
        tokenizer: the model's.
        old_tokenizer: the one before.
    """
    found = grown(scene, tokenizer, old_tokenizer)
    if found is None:
        return
    tensors, plan = found
    names = Vocabulary.of(tokenizer).tokens
    rows = []
    for tensor in (one for one in tensors.tensors if one.role != "bias"):
        table = scene.slots[tensor.name].read().movedim(tensor.axis, 0).reshape(tensors.rows, -1)
        new, old = _ids([token.id for token in plan.new], table), _ids(list(plan.copied), table)
        lengths, before = _lengths(table, new), _lengths(table, old)
        equal = len(new) - statistics.distinct(table[new])
        best, place = nearest(table, new, old)
        rows.append(
            {
                "tensor": tensor.name,
                "new rows": len(new),
                "norm, new": float(lengths.mean()),
                "norm, old": float(before.mean()),
                "equal to another": equal,
                "cosine to the nearest old": float(best.mean()),
            }
        )
        yield from _verdicts(rows[-1])
        yield Table(
            f"neighbours in {tensor.name}",
            [
                {
                    "token": plan.new[i].token,
                    "nearest old": names[int(old[place[i]])],
                    "cosine": float(best[i]),
                    "norm": float(lengths[i]),
                }
                for i in range(0, len(new), -(-len(new) // SHOWN))
            ],
            words="some new tokens and the old ones nearest to them",
        )
    yield Table(
        "new_rows",
        rows,
        words="rows of new tokens beside those of old ones",
        plot=Plot("bars", "tensor", ("norm, new", "norm, old")),
        compare=("norm, new", "equal to another", "cosine to the nearest old"),
    )


def grown(scene: Scene, tokenizer: Any, old_tokenizer: Any) -> tuple[VocabTensors, VocabPlan] | None:
    """The tensors and the plan of a model that has its new rows; None of one without an embedding.

    Raises:
        NotMeasured: it has no rows for the new tokens yet, or none is new.
    """
    try:
        tensors = VocabTensors.of(scene.model)
    except InitError:
        return None
    plan = make_plan(old_tokenizer, tokenizer)
    if not plan.new:
        raise NotMeasured("no token is new")
    if plan.new_size > tensors.rows:
        raise NotMeasured(f"the model has {tensors.rows} rows, the new tokenizer needs {plan.new_size}: apply a recipe")
    return tensors, plan


def nearest(table: Tensor, new: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine to the nearest old row and its place in ``old``, for each new one, in blocks."""
    unit = functional.normalize(table[old].float(), dim=1)
    found = [(functional.normalize(table[part].float(), dim=1) @ unit.T).max(dim=1) for part in torch.split(new, BLOCK)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def _verdicts(row: dict[str, Any]) -> Iterator[Verdict]:
    where, ratio = row["tensor"], row["norm, new"] / row["norm, old"] if row["norm, old"] else 0.0
    if row["new rows"] > 1 and row["equal to another"]:
        yield Verdict("NOTE", f"{row['equal to another']} of {row['new rows']} new rows are equal to another", where)
    if not SHORT <= ratio <= LONG:
        yield Verdict("WARN", f"new rows are {ratio:.2g} times as long as old ones", where)
    else:
        yield Verdict("PASS", f"new rows are {ratio:.2g} times as long as old ones", where)


def _lengths(table: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([table[part].float().norm(dim=1) for part in torch.split(rows, BLOCK)])


def _ids(ids: list[int], table: Tensor) -> Tensor:
    return torch.tensor(ids, dtype=torch.long, device=table.device)
