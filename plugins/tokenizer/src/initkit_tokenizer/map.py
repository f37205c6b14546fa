"""A linear map from a donor's space, fitted on the shared tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from initkit_tokenizer.donor_recipe import DonorRecipe, Pairs
from initkit_tokenizer.ridge import Ridge
from initkit_tokenizer.task import RowTask


@dataclass(frozen=True)
class Map(DonorRecipe):
    """New rows by a linear map from a donor's space that is fitted on the tokens both vocabularies have.

    With D and B the donor's and this model's rows of shared tokens and mu their means,

        W = argmin ||(D - mu_D) W - (B - mu_B)||² + lam ||D - mu_D||²/D_d ||W||²,   row = mu_B + (t - mu_D) W,

    where lam is chosen among 0.01, 0.1, 0.3, 1, 3 by five folds of shared tokens. A head of its own is mapped from the
    donor's head. The report says how far held-out rows are from the truth, as a share of the mean's error.

    Args:
        kind: ``ridge`` as above; ``procrustes`` a rotation between the leading principal axes of both and one scale.

    Source: ours. ``procrustes`` is the idea of Schönemann, Psychometrika 31 (1966), on principal components.
    """

    bibtex: ClassVar[str] = """@article{schonemann1966generalized,
  title = {A generalized solution of the orthogonal {Procrustes} problem},
  author = {Schoenemann, Peter H.},
  journal = {Psychometrika},
  volume = {31},
  pages = {1--10},
  year = {1966}
}"""

    short: ClassVar[bool] = True

    kind: Literal["ridge", "procrustes"] = "ridge"

    def transfer(self, task: RowTask, pairs: Pairs) -> Tensor:
        """mu_B + (t - mu_D) W."""
        if self.kind == "procrustes":
            return procrustes(pairs.anchors, pairs.values, pairs.wanted)
        order = task.ctx.stream(f"folds {task.tensor.name}").permutation(len(pairs.anchors)).tolist()
        ridge = Ridge.fit(pairs.anchors, pairs.values, order)
        task.facts["penalty"] = ridge.penalty
        task.facts["squared error on held-out tokens, as a share of the mean's"] = float(f"{ridge.error:.7g}")
        return ridge(pairs.wanted)


def procrustes(anchors: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """Rotate the leading principal axes of one space onto another's, with the scale of least squares.

    Args:
        anchors: (N, D).
        values: (N, d).
        wanted: (n, D).

    Returns:
        (n, d), float32.
    """
    a, b = anchors.to(torch.float64), values.to(torch.float64)
    a_mean, b_mean = a.mean(0), b.mean(0)
    kept = min(a.shape[1], b.shape[1], len(a))
    a_axes = torch.linalg.svd(a - a_mean, full_matrices=False).Vh[:kept]
    b_axes = torch.linalg.svd(b - b_mean, full_matrices=False).Vh[:kept]
    left, right = (a - a_mean) @ a_axes.T, (b - b_mean) @ b_axes.T
    u, singular, vh = torch.linalg.svd(left.T @ right)
    scale = singular.sum() / left.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    turned = (wanted.to(torch.float64) - a_mean) @ a_axes.T @ (u @ vh) * scale
    made: Tensor = b_mean + turned @ b_axes
    return made.to(torch.float32)
