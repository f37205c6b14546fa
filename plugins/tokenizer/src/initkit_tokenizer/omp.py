"""Orthogonal matching pursuit: a donor's sparse codes, read with this model's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import CommitError
from initkit_tokenizer.donor_recipe import DonorRecipe, Pairs
from initkit_tokenizer.neighbours import weighted_rows
from initkit_tokenizer.pursuit import pursue, pursue_each
from initkit_tokenizer.task import RowTask

TRIED = (2, 4, 8, 16, 32, 64)
HELD_OUT = 2000


@dataclass(frozen=True)
class Omp(DonorRecipe):
    """Each new token as a sparse combination of shared tokens in a donor's space, read with this model's rows.

    The donor was trained with the new tokenizer. Its row t of a new token is written as a combination of at most k of
    its rows of tokens that both vocabularies have, by orthogonal matching pursuit; the same coefficients combine this
    model's rows of those tokens. A head of its own is made from the donor's head. The coefficients need not suit this
    model: ``k="auto"`` measures it on shared tokens that are held out, and says when the mean row would be no worse.

    Args:
        k: tokens of a combination; ``auto`` takes the number among 2, 4, ..., 64 of least error on held-out shared
            tokens (a tenth, at most 2000), for each tensor.
        normalize_atoms: pick by the cosine, as textbooks do; else by the inner product, which favours long rows.
        max_anchors: the most shared tokens, lowest ids first; a matrix of that size squared is made.

    Source: Goddard, Fernandes Neto, Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit, 2025
    (arXiv 2506.06607); Rubinstein, Zibulevsky, Elad, Batch-OMP, Technion CS-2008-08, for the form with the Gram matrix.
    """

    bibtex: ClassVar[str] = """@misc{goddard2025omp,
  title = {Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit},
  author = {Goddard, Charles and Fernandes Neto, Fernando},
  year = {2025},
  eprint = {2506.06607},
  archivePrefix = {arXiv}
}"""

    k: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    normalize_atoms: bool = False
    max_anchors: Annotated[int, Ge(2)] = 30000

    def transfer(self, task: RowTask, pairs: Pairs) -> Tensor:
        """Codes in the donor's space, sums in this model's."""
        anchors, values = pairs.anchors[: self.max_anchors], pairs.values[: self.max_anchors]
        k = self._measured(task, anchors, values) if self.k == "auto" else self.k
        if k > len(anchors):
            raise CommitError(
                f"recipe {self.id}, {task.tensor.name}: k={k}, but only {len(anchors)} tokens are shared; take "
                f"k={len(anchors)} or less"
            )
        if 2 * k > anchors.shape[1]:
            task.ctx.note(
                f"{self.id} remarks",
                [{"remark": f"k={k} is more than half of the donor's {anchors.shape[1]} dimensions: beware"}],
            )
        task.facts["k"] = k
        found = pursue(anchors, pairs.wanted, k, normalized=self.normalize_atoms)
        return weighted_rows(values, found.picks.clamp_min(0), found.coefficients)

    def _measured(self, task: RowTask, anchors: Tensor, values: Tensor) -> int:
        order = torch.tensor(
            task.ctx.stream(f"held out {task.tensor.name}").permutation(len(anchors)).tolist(), device=anchors.device
        )
        cut = min(HELD_OUT, max(1, len(anchors) // 10))
        held, kept = order[:cut], order[cut:].sort().values
        base = (values[held] - values[kept].mean(0)).norm()
        errors: dict[int, float] = {}
        tried = [k for k in TRIED if k <= min(len(kept), anchors.shape[1])]
        codes = pursue_each(anchors[kept], anchors[held], tried, normalized=self.normalize_atoms)
        for k, found in zip(tried, codes, strict=True):
            guess = weighted_rows(values[kept], found.picks.clamp_min(0), found.coefficients)
            errors[k] = float(f"{float((guess - values[held]).norm() / base):.7g}")
        if not errors:
            return 1
        best = min(errors, key=lambda k: errors[k])
        rows: list[dict[str, Any]] = [
            {"tensor": task.tensor.name, "k": k, "error, as a share of the mean's": error}
            for k, error in errors.items()
        ]
        task.ctx.note(f"{self.id} choice of k", rows)
        if errors[best] >= 1:
            task.ctx.note(
                f"{self.id} remarks",
                [
                    {
                        "remark": f"{task.tensor.name}: for no k are held-out rows nearer than the mean row "
                        f"({errors[best]:.3g} times as far at k={best}); tokenizer/map or subword may do better"
                    }
                ],
            )
        return best
