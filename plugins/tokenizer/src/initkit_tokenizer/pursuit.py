"""Orthogonal matching pursuit for many targets at once, on the Gram matrix of the atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DEPENDENT = 1e-6
"""An atom whose part orthogonal to those picked is a smaller share of its length is passed over."""
REACHED = 1e-6
"""Share of a target's length at which its residual counts as zero."""
FEWEST = 8
"""Targets of a block at least: below, calls cost more than memory that lies far."""
WORKSPACE = {"cpu": 2**22, "cuda": 2**28}
"""Numbers that a block of targets may take: on a processor they stay in its cache, which makes all the difference."""
TILE = 512
"""Rows and columns of the Gram matrix that are made at a time, half of which mirror the other half."""
LARGEST = 2**30
"""Entries of a Gram matrix that is kept whole (4 GB in float32)."""


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
    return pursue_each(atoms, targets, (k,), normalized=normalized)[0]


def pursue_each(atoms: Tensor, targets: Tensor, ks: Sequence[int], *, normalized: bool = False) -> list[Sparse]:
    """The codes of :func:`pursue` for several k from one run: those of a smaller k are a larger one's first picks.

    Args:
        atoms: (N, width).
        targets: (n, width), of the same type.
        ks: the most atoms for a target.
        normalized: as in :func:`pursue`.
    """
    if not ks:
        return []
    most = max(ks)
    space = _Atoms.of(atoms, picks=len(targets) * most)
    step = max(FEWEST, WORKSPACE.get(atoms.device.type, WORKSPACE["cpu"]) // ((most + 3) * len(atoms)))
    parts = [_Block(space, part, most, normalized).codes(ks) for part in torch.split(targets, step) if len(part)]
    if not parts:
        return [Sparse(targets.new_zeros(0, k).long(), targets.new_zeros(0, k), targets.new_zeros(0)) for k in ks]
    return [
        Sparse(*(torch.cat([getattr(codes, name) for codes in found]) for name in Sparse.__annotations__))
        for found in zip(*parts, strict=True)
    ]


@dataclass(frozen=True)
class _Atoms:
    """Atoms with their inner products.

    Args:
        atoms: D, (N, width).
        gram: D Dᵀ, or None: then the rows that are asked for are made each time.
        squares: squared lengths, (N,).
    """

    atoms: Tensor
    gram: Tensor | None
    squares: Tensor

    @classmethod
    def of(cls, atoms: Tensor, picks: int) -> _Atoms:
        """The Gram matrix whole, where its rows would else be made more than once.

        Args:
            atoms: (N, width).
            picks: how many of its rows will be asked for at most.
        """
        count = len(atoms)
        if 2 * picks < count or count**2 > LARGEST:
            return cls(atoms, None, atoms.square().sum(1))
        gram = atoms.new_empty(count, count)
        for start in range(0, count, TILE):
            here = slice(start, start + TILE)
            for other in range(0, start + 1, TILE):
                there = slice(other, other + TILE)
                torch.mm(atoms[here], atoms[there].T, out=gram[here, there])
                if other < start:
                    gram[there, here] = gram[here, there].T
        return cls(atoms, gram, gram.diagonal().clone())

    def rows(self, picks: Tensor) -> Tensor:
        """Inner products of some atoms with all, (n, N)."""
        return self.atoms[picks] @ self.atoms.T if self.gram is None else self.gram.index_select(0, picks)


class _Block:
    """The pursuit of some targets.

    Args:
        space: the atoms.
        targets: (n, width).
        k: the most picks.
        normalized: as in :func:`pursue`.
    """

    def __init__(self, space: _Atoms, targets: Tensor, k: int, normalized: bool) -> None:
        n, count = len(targets), len(space.atoms)
        self.space, self.targets = space, targets
        self.rows = torch.arange(n, device=targets.device)
        self.lengths = space.squares.clamp_min(0).sqrt()
        smallest = torch.finfo(targets.dtype).tiny
        self.weights = self.lengths.clamp_min(smallest).reciprocal() if normalized else None
        self.correlations = targets @ space.atoms.T  # D r
        self.scores = torch.empty_like(self.correlations)
        # Row j holds D q_j, with q_j the j-th picked atom made orthogonal to those before it and of length one.
        self.directions = targets.new_empty(n, k, count)
        self.triangle = torch.eye(k, dtype=targets.dtype, device=targets.device).repeat(n, 1, 1)
        self.projections = targets.new_zeros(n, k)
        self.picks = torch.full((n, k), -1, dtype=torch.long, device=targets.device)
        # Atoms that are passed over; those picked are not among them.
        self.closed = (self.lengths == 0).expand(n, count).clone() if bool((self.lengths == 0).any()) else None
        self._pursue(k)

    def _pursue(self, k: int) -> None:
        left = self.targets.square().sum(1)
        enough = REACHED**2 * left
        active = (left > enough) & (left > 0)
        for j in range(k):
            pick, size, along = self._pick(j, active)
            active = active & (size > 0)
            if not bool(active.any()):
                break
            scale = torch.where(active, size.reciprocal(), torch.zeros_like(size))
            direction = self.directions[:, j]
            torch.mul(self.space.rows(pick), scale.unsqueeze(1), out=direction)
            if j:
                self.directions[:, j : j + 1].baddbmm_(
                    (along * scale.unsqueeze(1)).unsqueeze(1), self.directions[:, :j], alpha=-1
                )
            projection = self.correlations[self.rows, pick] * scale
            self.correlations.addcmul_(projection.unsqueeze(1), direction, value=-1)
            self.triangle[:, j, :j] = along * active.unsqueeze(1)
            self.triangle[:, j, j] = torch.where(active, size, torch.ones_like(size))
            self.projections[:, j] = projection
            self.picks[:, j] = torch.where(active, pick, -1)
            left = (left - projection.square()).clamp_min(0)
            active = active & (left > enough)

    def _pick(self, j: int, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next atom of each target, the length of its new part, and its inner products with the j parts before.

        An atom without a new part is closed and another taken in its place; length 0 says that none is left.
        """
        torch.abs(self.correlations, out=self.scores)
        if self.weights is not None:
            self.scores.mul_(self.weights)
        if j:
            self.scores.scatter_(1, self.picks[:, :j].clamp_min(0), -1)
        if self.closed is not None:
            self.scores.masked_fill_(self.closed, -1)
        precise = max(DEPENDENT, 8 * torch.finfo(self.scores.dtype).eps ** 0.5)
        while True:
            best, pick = self.scores.max(1)
            along = self.directions[self.rows, :j, pick]
            size = (self.space.squares[pick] - along.square().sum(1)).clamp_min(0).sqrt()
            dependent = active & (best >= 0) & (size < precise * self.lengths[pick])
            if not bool(dependent.any()):
                break
            if self.closed is None:
                self.closed = torch.zeros_like(self.scores, dtype=torch.bool)
            self.closed[self.rows[dependent], pick[dependent]] = True
            self.scores[self.rows[dependent], pick[dependent]] = -1
        return pick, torch.where(best >= 0, size, torch.zeros_like(size)), along

    def codes(self, ks: Sequence[int]) -> list[Sparse]:
        """What the first k picks make of the targets, for each k."""
        found = []
        for k in ks:
            picks = self.picks[:, :k]
            # The targets' projections are c L: with P = L Q the picked atoms, t ~ c P = (c L) Q.
            coefficients = torch.linalg.solve_triangular(
                self.triangle[:, :k, :k].transpose(1, 2), self.projections[:, :k].unsqueeze(2), upper=True
            ).squeeze(2)
            coefficients = torch.where(picks < 0, torch.zeros_like(coefficients), coefficients)
            made = torch.bmm(coefficients.unsqueeze(1), self.space.atoms[picks.clamp_min(0)]).squeeze(1)
            found.append(Sparse(picks, coefficients, (self.targets - made).norm(dim=1)))
        return found
