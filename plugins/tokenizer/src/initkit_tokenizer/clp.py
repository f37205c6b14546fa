"""CLP-Transfer: means of all shared rows, weighted by the cosine in a donor's space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from initkit import CommitError
from initkit_tokenizer.donor_recipe import DonorRecipe, Pairs
from initkit_tokenizer.neighbours import BLOCK, unit
from initkit_tokenizer.task import RowTask


@dataclass(frozen=True)
class Clp(DonorRecipe):
    """New rows as means of all shared tokens' rows, weighted by their cosines in a donor's space.

    Row = sum_j s_j E_j / sum_j s_j over all tokens that both vocabularies have, s_j = cosine of the donor's rows, signs
    kept. Where the cosines nearly cancel, weights explode: that is an error, not a row.

    Args: the options that all recipes of this plugin share.

    Source: Ostendorff, Rehm, Efficient Language Model Training through Cross-Lingual and Progressive Transfer Learning,
    2023 (arXiv 2301.09626).
    """

    bibtex: ClassVar[str] = """@misc{ostendorff2023efficient,
  title = {Efficient Language Model Training through Cross-Lingual and Progressive Transfer Learning},
  author = {Ostendorff, Malte and Rehm, Georg},
  year = {2023},
  eprint = {2301.09626},
  archivePrefix = {arXiv}
}"""

    short: ClassVar[bool] = True

    def transfer(self, task: RowTask, pairs: Pairs) -> Tensor:
        """Weighted means over all anchors, in blocks."""
        anchors = unit(pairs.anchors)
        made = torch.empty(task.count, task.width, device=pairs.values.device)
        for start in range(0, task.count, BLOCK):
            part = slice(start, start + BLOCK)
            cosines = unit(pairs.wanted[part]) @ anchors.T
            total = cosines.sum(1, keepdim=True)
            lost = (total.abs() < 1e-3 * cosines.abs().sum(1, keepdim=True)).flatten()
            for place in torch.nonzero(lost).flatten().tolist():
                if start + place not in task.fallbacks:
                    raise CommitError(
                        f"recipe {self.id}, {task.tensor.name}: the cosines of {task.plan.new[start + place].token!r} "
                        f"to the shared tokens cancel; take tokenizer/map"
                    )
            made[part] = cosines @ pairs.values / torch.where(total == 0, torch.ones_like(total), total)
        return made
