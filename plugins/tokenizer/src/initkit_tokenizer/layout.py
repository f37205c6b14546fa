"""From tokens to rows: where each row of a vocabulary's tensor comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from initkit import PlanError
from initkit_tokenizer.vocab_plan import VocabPlan


@dataclass(frozen=True)
class RowLayout:
    """The rows of a tensor with a vocabulary axis, before and after.

    Rows are never lost: a tensor that has more rows than its tokenizer needs keeps them, unless it is told to shrink.

    Args:
        old_rows: rows of the present tensor.
        rows: rows of the new one.
        copy: for each new row the old row that it is, bit for bit, or -1.
        computed: new rows that a recipe gives, ascending; row ``computed[i]`` is token ``plan.new[i]``.
        averaged: new rows that are means of several old ones.
        padded: new rows that no token owns and that had an owner or did not exist.
    """

    old_rows: int
    rows: int
    copy: tuple[int, ...]
    computed: tuple[int, ...]
    averaged: Mapping[int, tuple[int, ...]]
    padded: tuple[int, ...]

    @property
    def fresh(self) -> list[int]:
        """Rows that are written, ascending: computed, averaged and padded."""
        return [row for row, source in enumerate(self.copy) if source < 0]

    @classmethod
    def of(cls, plan: VocabPlan, old_rows: int, *, multiple: int = 1, shrink: bool = False) -> RowLayout:
        """Lay a plan out on a tensor.

        Args:
            plan: of the tokens.
            old_rows: of the present tensor.
            multiple: the new number of rows is a multiple of it.
            shrink: drop rows beyond what the new tokenizer (and ``multiple``) needs.

        Raises:
            PlanError: the old tokenizer has more tokens than the tensor has rows.
        """
        if plan.old_size > old_rows:
            raise PlanError(
                f"the old tokenizer needs {plan.old_size} rows, the model's embedding has {old_rows}: this is not the "
                f"tokenizer that the model was made with"
            )
        wanted = plan.new_size if shrink else max(plan.new_size, old_rows)
        rows = -(-wanted // multiple) * multiple
        computed = tuple(token.id for token in plan.new)
        averaged = {i: ids for i, ids in plan.copied.items() if len(ids) > 1}
        owned, was_owned = {*plan.copied, *computed}, set(plan.old_ids)
        copy, padded = [-1] * rows, []
        for i, ids in plan.copied.items():
            if len(ids) == 1:
                copy[i] = ids[0]
        for row in range(rows):
            if row in owned:
                continue
            if row < old_rows and row not in was_owned:
                copy[row] = row  # padding before and after
            else:
                padded.append(row)
        return cls(old_rows, rows, tuple(copy), computed, averaged, tuple(padded))
