"""Directions about a node, as far apart from each other as can be."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch

from initkit import Stream

Floats = npt.NDArray[np.float64]
STEPS = 200
MOST_OPTIMISED = 1024
"""More directions than this are random: a step of the optimiser costs the square of their number."""


def sphere(count: int, dim: int, seed: int = 0, device: torch.device | None = None) -> Floats:
    """Return ``count`` unit vectors (count, dim) with a large least angle between them.

    In two dimensions equal angles; up to dim + 1 a regular simplex (cos = -1/(count - 1)) and up to 2·dim a part of the
    cross-polytope (90°), both provably optimal (Rankin, The closest packing of spherical caps in n dimensions, 1955);
    beyond, what at most 200 steps of gradient descent on a softened greatest cosine find from seeded random vectors.

    Args:
        count: at least 1.
        dim: at least 2.
        seed: of the random vectors.
        device: where the optimiser runs.
    """
    if dim == 2:
        angles = 2 * math.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if count <= dim + 1:
        return simplex(count, dim)
    if count <= 2 * dim:
        axes = np.repeat(np.eye(dim), 2, axis=0)
        axes[1::2] *= -1
        return np.asarray(axes[:count])
    return _optimised(count, dim, seed, str(device or "cpu"))


def least_angle(count: int, dim: int) -> float:
    """The least angle between ``count`` directions, in radians; π for a single one. An estimate beyond 2·dim."""
    if count < 2:
        return math.pi
    if dim == 2:
        return 2 * math.pi / count
    if count <= dim + 1:
        return math.acos(-1 / (count - 1))
    if count <= 2 * dim:
        return math.pi / 2
    found = _optimised(count, dim, 0, "cpu")
    cosines = found @ found.T
    np.fill_diagonal(cosines, -1.0)
    return math.acos(min(1.0, float(cosines.max())))


def simplex(count: int, dim: int) -> Floats:
    """A regular simplex of unit vectors in the first count - 1 coordinates (Helmert's basis)."""
    points = np.zeros((count, dim))
    if count == 1:
        points[0, 0] = 1.0
        return points
    for k in range(1, count):
        scale = 1 / math.sqrt(k * (k + 1))
        points[:k, k - 1] = scale
        points[k, k - 1] = -k * scale
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


@functools.lru_cache(maxsize=256)
def _optimised(count: int, dim: int, seed: int, device: str) -> Floats:
    start = Stream(seed, f"directions:{count}x{dim}").normals(0, count * dim).reshape(count, dim)
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    if count > MOST_OPTIMISED:
        return np.asarray(start)
    with torch.enable_grad():
        x = torch.from_numpy(start).to(device).requires_grad_()
        optimiser = torch.optim.Adam([x], lr=0.1)
        own = torch.eye(count, dtype=torch.bool, device=x.device)
        best, best_cosine = x.detach().clone(), math.inf
        for step in range(STEPS):
            unit = x / x.norm(dim=1, keepdim=True)
            cosines = (unit @ unit.T).masked_fill(own, -2.0)
            greatest = float(cosines.detach().max())
            if greatest < best_cosine:
                best, best_cosine = unit.detach().clone(), greatest
            sharp = 10.0 * 30.0 ** (step / STEPS)
            loss = torch.logsumexp(sharp * cosines.reshape(-1), 0) / sharp
            optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / STEPS) + 1e-3
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return np.asarray(best.cpu().numpy())
