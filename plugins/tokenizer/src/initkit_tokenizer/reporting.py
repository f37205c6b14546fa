"""What the report says of rows: how many came from where, how long they are, and what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from initkit_tokenizer import statistics
from initkit_tokenizer.vocab_plan import VocabPlan

if TYPE_CHECKING:
    from initkit import JobContext
    from initkit_tokenizer.task import RowTask

SHORT, LONG = 0.2, 5.0
"""Mean norms of new rows, as shares of old ones, outside of which a remark is made."""
SHOWN = 50


def row_table(task: RowTask, made: Tensor) -> dict[str, Any]:
    """Counts and sizes of one tensor's rows.

    Args:
        task: of the tensor.
        made: the computed rows, float32.
    """
    if not task.count or task.role == "bias":
        return row_counts(task)
    distinct = statistics.distinct(made.to(task.old.dtype))
    return row_counts(task, float(made.norm(dim=1).mean()), distinct)


def row_counts(task: RowTask, norm: float | None = None, distinct: int | None = None) -> dict[str, Any]:
    """Counts and sizes of one tensor's rows, of which the computed ones need not be at hand.

    Args:
        task: of the tensor.
        norm: mean length of the computed rows, where they have one.
        distinct: how many of them differ.
    """
    layout = task.layout
    row: dict[str, Any] = {
        "tensor": task.tensor.name,
        "role": task.role,
        "copied": sum(source >= 0 for source in layout.copy),
        "computed": task.count - len(task.fallbacks),
        "fallback": len(task.fallbacks),
        "averaged": len(layout.averaged),
        "padded": len(layout.padded),
    }
    if norm is not None:
        old = torch.cat([task.old[part].float().norm(dim=1) for part in torch.split(task.trained, 4096)]).mean()
        row["norm, new/old"] = _digits(norm / float(old)) if float(old) else None
        row["distinct"] = distinct
    return row | task.facts


def remarks_of(plan: VocabPlan, table: Sequence[Mapping[str, Any]], *, short: bool) -> list[str]:
    """What a reader should look at.

    Args:
        plan: of the tokens.
        table: of :func:`row_table`.
        short: whether short rows are to be expected.
    """
    found = list(plan.warnings)
    if plan.unchanged:
        found.append("both tokenizers have the same tokens in the same places: no row changes")
    for row in table:
        ratio = row.get("norm, new/old")
        if ratio is not None and not (0.0 if short else SHORT) <= ratio <= LONG:
            found.append(f"new rows of {row['tensor']} are {ratio:g} times as long as old ones")
    return found


def say(
    ctx: JobContext,
    recipe: str,
    plan: VocabPlan,
    table: Sequence[Mapping[str, Any]],
    reasons: Mapping[tuple[int, str], str],
    remarks: Sequence[str],
) -> None:
    """Put counts, fallbacks with their reasons, loose matches and remarks into the report."""
    ctx.note(f"{recipe} tokens", [plan.counts()])
    ctx.note(f"{recipe} rows", [dict(row) for row in table])
    if plan.roles:
        ctx.note(
            f"{recipe} special tokens",
            [{"role": role, "new": new, "old": old} for role, new, old in plan.roles],
        )
    if plan.fuzzy:
        ctx.note(
            f"{recipe} loose matches", [{"rule": rule, "new": new, "old": old} for rule, new, old in plan.fuzzy[:SHOWN]]
        )
    if reasons:
        counted = Counter(why for _, why in reasons)
        examples = {why: [text for (_, w), text in reasons.items() if w == why] for why in counted}
        ctx.note(
            f"{recipe} fallback rows",
            [
                {"why": why, "tokens": n, "such as": ", ".join(examples[why][:5])}
                for why, n in counted.most_common(SHOWN)
            ],
        )
    lossy = [token for token in plan.new if token.kind == "pieces" and token.why]
    if lossy:
        ctx.note(f"{recipe} lossy pieces", [{"token": token.token, "why": token.why} for token in lossy[:SHOWN]])
    if remarks:
        ctx.note(f"{recipe} remarks", [{"remark": remark} for remark in remarks])


def _digits(value: float) -> float:
    return float(f"{value:.7g}")
