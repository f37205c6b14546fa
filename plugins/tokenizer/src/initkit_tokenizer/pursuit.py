"""Orthogonal matching pursuit for many targets at once, on the Gram matrix of the atoms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DEPENDENT = 1e-6
"""An atom whose part orthogonal to those picked is a smaller share of its length is passed over."""
REACHED = 1e-6
"""Share of a target's length at which its residual counts as zero."""
WORKSPACE = 2**28
"""Numbers that a block of targets may take (1 GB in float32)."""


@dataclass(frozen=True)
class Sparse:
    """Sparse codes.

    Args:
        picks: atoms in the order of their picking, (n, k); -1 where a target needed fewer.
        coefficients: of the picks, (n, k), 0 where there is none.
        residuals: length of what remains of each target, (n,).
    """

    picks: Tensor
    coefficients: Tensor
    residuals: Tensor


def pursue(atoms: Tensor, targets: Tensor, k: int, *, normalized: bool = False) -> Sparse:
    """Write each target as a combination of at most k atoms, picked greedily.

    With D the atoms as rows, t a target and r what remains of it (t at first), k times: the atom of largest |D r|
    joins those picked, coefficients are refitted by least squares, r is what they leave. Correlations D r follow from
    the Gram matrix D Dᵀ alone: the columns of the picked atoms, orthogonalised as they come (a Cholesky
    factor that grows by a row), are subtracted from D t. So a step costs O(n N j), whatever the length of an atom.

    Args:
        atoms: D, (N, width).
        targets: (n, width), of the same type.
        k: the most atoms for a target, at most N.
        normalized: whether an atom's correlation is divided by its length, as textbooks do; else long atoms win.

    Returns:
        picks stop early where the residual is at most 1e-6 of the target, and pass over atoms that depend linearly on
        those picked.
    """
    gram = atoms @ atoms.T
    count = len(atoms)
    per_target = max(1, (k + 4) * count)
    step = max(1, WORKSPACE // per_target)
    parts = [_block(atoms, gram, targets[i : i + step], k, normalized) for i in range(0, len(targets), step)]
    if not parts:
        empty = targets.new_zeros(0, k)
        return Sparse(empty.long(), empty, targets.new_zeros(0))
    return Sparse(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("picks", "coefficients", "residuals"))
    )


def _block(atoms: Tensor, gram: Tensor, targets: Tensor, k: int, normalized: bool) -> Sparse:
    n, count = len(targets), len(atoms)
    rows = torch.arange(n, device=targets.device)
    squares = gram.diagonal()
    lengths = squares.clamp_min(0).sqrt()
    correlations = targets @ atoms.T  # D r
    left = targets.square().sum(1)
    enough = REACHED**2 * left
    # Row j holds D q_j, with q_j the j-th picked atom made orthogonal to those before it and of length one.
    directions = targets.new_zeros(n, k, count)
    triangle = targets.new_zeros(n, k, k)
    projections = targets.new_zeros(n, k)
    picks = torch.full((n, k), -1, dtype=torch.long, device=targets.device)
    closed = (lengths == 0).expand(n, count).clone()
    active = (left > enough) & (left > 0)
    for j in range(k):
        pick, size, fresh = _pick(correlations, closed, gram, squares, lengths, directions[:, :j], normalized, active)
        active = active & (size > 0)
        if not bool(active.any()):
            break
        triangle[:, j, :j] = directions[rows, :j, pick]
        scale = torch.where(active, size.reciprocal(), torch.zeros_like(size))
        direction = fresh * scale.unsqueeze(1)
        projection = correlations[rows, pick] * scale
        triangle[:, j, j] = torch.where(active, size, torch.ones_like(size))
        triangle[:, j, :j] *= active.unsqueeze(1)
        directions[:, j] = direction
        projections[:, j] = projection
        correlations -= projection.unsqueeze(1) * direction
        left = (left - projection.square()).clamp_min(0)
        picks[:, j] = torch.where(active, pick, picks[:, j])
        closed[rows, pick] = True
        active = active & (left > enough)
    for j in range(k):  # steps that never came leave an identity behind
        triangle[:, j, j] = torch.where(picks[:, j] < 0, torch.ones_like(left), triangle[:, j, j])
    # The targets' projections are c L: with P = L Q the picked atoms, t ~ c P = (c L) Q.
    coefficients = torch.linalg.solve_triangular(
        triangle.transpose(1, 2), projections.unsqueeze(2), upper=True
    ).squeeze(2)
    coefficients = torch.where(picks < 0, torch.zeros_like(coefficients), coefficients)
    made = torch.bmm(coefficients.unsqueeze(1), atoms[picks.clamp_min(0)]).squeeze(1)
    return Sparse(picks, coefficients, (targets - made).norm(dim=1))


def _pick(
    correlations: Tensor,
    closed: Tensor,
    gram: Tensor,
    squares: Tensor,
    lengths: Tensor,
    directions: Tensor,
    normalized: bool,
    active: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The next atom of each target, the length of its new part, and that part's inner product with all atoms.

    An atom without a new part is closed and another taken in its place; length 0 says that none is left.
    """
    rows = torch.arange(len(correlations), device=correlations.device)
    while True:
        scores = correlations.abs()
        if normalized:
            scores = scores / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)
        scores = scores.masked_fill(closed, -1)
        best, pick = scores.max(1)
        along = directions[rows, :, pick]
        square = squares[pick] - along.square().sum(1)
        size = square.clamp_min(0).sqrt()
        precise = max(DEPENDENT, 8 * torch.finfo(lengths.dtype).eps ** 0.5)
        dependent = active & (best >= 0) & (size < precise * lengths[pick])
        if not bool(dependent.any()):
            break
        closed[rows[dependent], pick[dependent]] = True
    size = torch.where(best >= 0, size, torch.zeros_like(size))
    fresh = gram[pick] - torch.bmm(along.unsqueeze(1), directions).squeeze(1)
    return pick, size, fresh
