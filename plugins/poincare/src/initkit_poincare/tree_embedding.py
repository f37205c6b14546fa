"""Points for the nodes of a tree: breadth first, every edge exactly as long as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from initkit import Orthogonal, Stream
from initkit_poincare.directions import sphere
from initkit_poincare.numbers import Array, Numbers, mobius_add
from initkit_poincare.trees import Tree

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Children = Literal["spread", "given"]
ALIKE = 1e-24  # squared distance below which a reflection between two directions is no reflection at all


def embed_tree(
    tree: Tree,
    dim: int,
    tau: float,
    *,
    children: Children = "spread",
    seed: int = 0,
    device: torch.device | None = None,
) -> tuple[Floats, Numbers]:
    """Return points (nodes, dim) of the ball of curvature -1, and the numbers they were computed with.

    The root lies at the origin. About a node x with parent p and q children, directions s_0..s_q as far apart as can be
    are turned so that s_0 points to the parent, along (-x) ⊕ p; child i is x ⊕ tanh(τℓ_i/2) s_i, so that its edge has
    length τℓ_i exactly. Nodes of a level with equal numbers of children are placed at once. In more than two dimensions
    their directions share a random rotation, another for each level, so that the children of a node and of its child
    lie in planes that have little to do with each other.

    Sarkar, Low distortion Delaunay embedding of trees in hyperbolic plane, GD 2011; Sala, De Sa, Gu, Ré,
    Representation tradeoffs for hyperbolic embeddings, ICML 2018 (arXiv 1804.03329).

    Args:
        tree: with lengths ℓ.
        dim: at least 2.
        tau: τ, the length of an edge of length 1.
        children: their order around a node, see :func:`families`.
        seed: of the rotations, and of directions that are neither equal angles nor a simplex nor a cross-polytope.
        device: where those are optimised.
    """
    numbers = Numbers(tau * tree.height)
    points = numbers.zeros((len(tree), dim))
    reach = numbers.half_tanh(tau * tree.length)
    for parents, offspring in families(tree, children):
        group, count = offspring.shape
        around = sphere(count if parents[0] == tree.root else count + 1, dim, seed, device)
        if dim > 2:
            around = around @ _rotation(dim, f"{tree.level[parents[0]]}x{count}", seed)
        if parents[0] == tree.root:
            directions = np.broadcast_to(numbers.array(around), (group, count, dim))
        else:
            x, above = points[parents], points[tree.parent[parents]]
            upward = numbers.unit(mobius_add(-x, above))
            directions = _turned(numbers.array(around), upward)
        steps = reach[offspring][..., None] * directions
        points[offspring] = mobius_add(points[parents][:, None, :], steps)
    return numbers.floats(points), numbers


def families(tree: Tree, children: Children = "spread") -> Iterator[tuple[Ints, Ints]]:
    """Yield parents (g) and their children (g, q), level by level, a group for each number q of children.

    Args:
        tree: whose nodes are placed.
        children: their order, which in two dimensions is the order around the circle. ``spread`` puts the largest
            subtree opposite to the parent and halves the widest gap with each next one (van der Corput's sequence);
            ``given`` goes by number.
    """
    inner = tree.order[1:]
    place = np.empty(len(tree), dtype=np.int64)
    place[tree.order] = np.arange(len(tree))
    parent = tree.parent[inner]
    sizes = _subtree_sizes(tree)[inner] if children == "spread" else np.zeros_like(inner)
    by = np.lexsort((inner, -sizes, place[parent]))
    offspring, parent = inner[by], parent[by]
    starts = np.flatnonzero(np.diff(parent, prepend=-1))
    counts = np.diff(starts, append=len(parent))
    if children == "spread" and len(parent):
        rank = np.arange(len(parent)) - np.repeat(starts, counts)
        offspring = offspring[np.lexsort((_van_der_corput(int(counts.max()))[rank], place[parent]))]
    heads = parent[starts]
    levels = tree.level[heads]
    groups = np.lexsort((counts, levels))
    keys = np.stack([levels[groups], counts[groups]], axis=1)
    cuts = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
    for group in np.split(groups, cuts) if len(groups) else []:
        yield heads[group], offspring[starts[group][:, None] + np.arange(int(counts[group[0]]))]


def _van_der_corput(count: int) -> Floats:
    """1/2, 1/4, 3/4, 1/8, ...: each next number lies in a widest gap of those before."""
    left, digit, values = np.arange(1, count + 1), 0.5, np.zeros(count)
    while left.any():
        values += digit * (left & 1)
        left, digit = left >> 1, digit / 2
    return values


def _subtree_sizes(tree: Tree) -> Ints:
    sizes = [1] * len(tree)
    above = tree.parent.tolist()
    for node in tree.order[:0:-1].tolist():
        sizes[above[node]] += sizes[node]
    return np.asarray(sizes, dtype=np.int64)


def _rotation(dim: int, tag: str, seed: int) -> Floats:
    """A random orthogonal matrix."""
    stream = Stream(seed, f"rotation:{tag}")
    return np.asarray(Orthogonal().sample((dim, dim), torch.float64, stream).numpy())


def _turned(around: Array, upward: Array) -> Array:
    """Directions s_1.. (g, q, d) after the rotation (d = 2) or reflection from s_0 to each of ``upward`` (g, d)."""
    first, rest = around[0], around[1:]
    if around.shape[1] == 2:
        cosine, sine = upward[:, None, 0], upward[:, None, 1]  # s_0 is (1, 0)
        x, y = rest[None, :, 0], rest[None, :, 1]
        return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
    normal = first[None, :] - upward
    square = (normal * normal).sum(axis=-1, keepdims=True)
    there = square < ALIKE
    share = (rest[None, :, :] * normal[:, None, :]).sum(axis=-1) / np.where(there, 1, square)
    share = np.where(there, 0, 2 * share)
    return np.asarray(rest[None, :, :] - share[..., None] * normal[:, None, :])
