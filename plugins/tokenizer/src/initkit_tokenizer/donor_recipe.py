"""What recipes share that read new rows off a donor's embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from initkit import CommitError, Item
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.donors import Donor
from initkit_tokenizer.task import RowTask


@dataclass(frozen=True)
class Pairs:
    """What both models say of tokens.

    Args:
        anchors: the donor's rows of tokens that both vocabularies have, (N, D), float32.
        values: this model's rows of the same tokens, (N, d), float32.
        wanted: the donor's rows of the new tokens, (n, D), float32.
        old_ids: old ids of the anchors, (N,).
    """

    anchors: Tensor
    values: Tensor
    wanted: Tensor
    old_ids: Tensor


@dataclass(frozen=True)
class DonorRecipe(RowRecipe):
    """New rows from the embeddings of a model that was trained with the new tokenizer.

    Args: the options that all recipes of this plugin share.
    """

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any, donor: Any) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            donor: a model that was trained with the new tokenizer, or its tables, in any form that
                :meth:`initkit_tokenizer.Donor.of` reads.
        """
        yield from self.items(model, old_tokenizer, tokenizer, donor=Donor.of(donor))

    def rows(self, task: RowTask) -> Tensor:
        """Rows from the donor's; the mean for a bias and for tokens that the donor never trained."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        pairs = pairs_of(task, self.id)
        for place in torch.nonzero(pairs.wanted.abs().amax(1) == 0).flatten().tolist():
            task.fall_back(place, "the donor's row is zero")
        task.facts["anchors"] = len(pairs.anchors)
        return self.transfer(task, pairs)

    def transfer(self, task: RowTask, pairs: Pairs) -> Tensor:
        """Values of the new tokens' rows, (n, d), float32."""
        raise NotImplementedError(f"{type(self).__name__} gives no rows")


def pairs_of(task: RowTask, who: str) -> Pairs:
    """Rows of both models for the tokens that they share; special tokens and untrained rows are left out.

    Raises:
        NeedError: the donor has too few rows.
        CommitError: fewer than two tokens are shared; a row of the donor that is used holds NaN.
    """
    donor: Donor = task.needs["donor"].check(task.plan)
    table = donor.table(task.role)
    usable = set(task.trained.tolist()) - set(task.plan.old_special_ids)
    found = [(new, ids[0]) for new, ids in sorted(task.plan.copied.items()) if ids[0] in usable]
    theirs = table[[new for new, _ in found]].to(task.old.device, torch.float32)
    wanted = table[[token.id for token in task.plan.new]].to(task.old.device, torch.float32)
    for rows, owners in ((theirs, [new for new, _ in found]), (wanted, [token.id for token in task.plan.new])):
        broken = torch.nonzero(~torch.isfinite(rows).all(1)).flatten().tolist()
        if broken:
            raise CommitError(f"donor: row {owners[broken[0]]} holds NaN or infinity")
    alive = theirs.abs().amax(1) > 0 if found else torch.zeros(0, dtype=torch.bool)
    if int(alive.sum()) < 2:
        raise CommitError(
            f"recipe {who}: the donor and this model share {int(alive.sum())} trained tokens, at least 2 are needed"
        )
    ids = torch.tensor([old for _, old in found], device=task.old.device)[alive]
    return Pairs(theirs[alive], task.old[ids].to(torch.float32), wanted, ids)
