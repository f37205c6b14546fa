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

    With D and B the donor's and this model's rows of shared tokens, mu their means and U S V^T the singular value
    decomposition of (D - mu_D)^T (B - mu_B),

        row = mu_B + s (t - mu_D) R,   R = U V^T,   s = ||B - mu_B|| / ||(D - mu_D) R||:

    the rotation that fits the shared tokens best, and the scale at which their rows are as far spread as this model's.
    Least squares would shrink rows towards the mean, by more the less the donor says of this model, and lose what tells
    new tokens apart. A head of its own is mapped from the donor's head.

    Args:
        kind: ``similarity`` as above; ``ridge`` a regression, (B - mu_B) ~ (D - mu_D) W, whose penalty among 0.01, 0.1,
            0.3, 1, 3 times ||D - mu_D||^2/D_d is chosen by five folds of shared tokens, and the report says how far
            held-out rows are from the truth; ``procrustes`` a rotation between the leading principal axes of both and
            the scale of least squares.

    Source: ours. The rotation is that of Schönemann, Psychometrika 31 (1966); ``procrustes`` is the same on principal
    components.
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

    kind: Literal["similarity", "ridge", "procrustes"] = "similarity"

    def transfer(self, task: RowTask, pairs: Pairs) -> Tensor:
        """The donor's rows of new tokens, mapped."""
        if self.kind == "similarity":
            made, scale, shared = similarity(pairs.anchors, pairs.values, pairs.wanted)
            task.facts["scale"] = float(f"{scale:.7g}")
            task.facts["correlation on shared tokens"] = float(f"{shared:.7g}")
            return made
        if self.kind == "procrustes":
            return procrustes(pairs.anchors, pairs.values, pairs.wanted)
        order = task.ctx.stream(f"folds {task.tensor.name}").permutation(len(pairs.anchors)).tolist()
        ridge = Ridge.fit(pairs.anchors, pairs.values, order)
        task.facts["penalty"] = ridge.penalty
        task.facts["squared error on held-out tokens, as a share of the mean's"] = float(f"{ridge.error:.7g}")
        return ridge(pairs.wanted)


def similarity(anchors: Tensor, values: Tensor, wanted: Tensor) -> tuple[Tensor, float, float]:
    """Rotate one space onto another and scale it so that its spread is the other's.

    Args:
        anchors: (N, D).
        values: (N, d).
        wanted: (n, D).

    Returns:
        (n, d), float32; the scale; the correlation of mapped anchors with values, at most 1, which is also the share of
        the scale that least squares would take.
    """
    a, b = anchors.to(torch.float64), values.to(torch.float64)
    a_mean, b_mean = a.mean(0), b.mean(0)
    a, b = a - a_mean, b - b_mean
    u, singular, vh = torch.linalg.svd(a.T @ b, full_matrices=False)
    rotation = u @ vh
    lengths = (a @ rotation).norm().clamp_min(torch.finfo(torch.float64).tiny)
    scale = b.norm() / lengths
    made: Tensor = b_mean + scale * (wanted.to(torch.float64) - a_mean) @ rotation
    shared = singular.sum() / (lengths * b.norm()).clamp_min(torch.finfo(torch.float64).tiny)
    return made.to(torch.float32), float(scale), float(shared)


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
