"""Nearest rows by cosine, and weighted sums of rows: in blocks, as matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from initkit import CommitError

BLOCK = 1024
"""Rows that are compared at a time."""
GATHERED = 2**25
"""Numbers that a weighted sum gathers at a time (128 MB in float32)."""
TINY = 1e-8


def unit(vectors: Tensor) -> Tensor:
    """Rows divided by (norm + 1e-8), float32."""
    vectors = vectors.to(torch.float32)
    made: Tensor = vectors / (vectors.norm(dim=1, keepdim=True) + TINY)
    return made


def nearest(queries: Tensor, anchors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k anchors of largest cosine for each query, best first.

    Args:
        queries: (n, D).
        anchors: (N, D), N >= k.

    Returns:
        cosines, (n, k), float32; places in ``anchors``, (n, k).
    """
    anchors = unit(anchors)
    values = torch.empty(len(queries), k, device=anchors.device)
    places = torch.empty(len(queries), k, dtype=torch.long, device=anchors.device)
    for start in range(0, len(queries), BLOCK):
        part = slice(start, start + BLOCK)
        found = torch.topk(unit(queries[part]) @ anchors.T, k, dim=1)
        values[part], places[part] = found.values, found.indices
    return values, places


def softmax_weights(queries: Tensor, anchors: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor]:
    """WECHSEL's weights: softmax(cosine/temperature) over the k nearest anchors.

    Returns:
        weights, (n, k), rows sum to 1; places in ``anchors``, (n, k).

    Raises:
        CommitError: there are fewer than k anchors.
    """
    if k > len(anchors):
        raise CommitError(f"k={k}: only {len(anchors)} old tokens have a vector; take k={len(anchors)} or less")
    cosines, places = nearest(queries, anchors, k)
    return torch.softmax(cosines / temperature, dim=1), places


def sparsemax(scores: Tensor) -> Tensor:
    """Euclidean projection of each row on the simplex (Martins and Astudillo, ICML 2016, algorithm 1).

    Args:
        scores: (n, N), each row sorted, largest first.
    """
    steps = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    sums = scores.cumsum(1)
    support = (1 + steps * scores > sums).sum(1, keepdim=True)
    threshold = (sums.gather(1, support - 1) - 1) / support
    return (scores - threshold).clamp_min(0)


def sparsemax_weights(queries: Tensor, anchors: Tensor, first: int = 128) -> tuple[Tensor, Tensor]:
    """FOCUS' weights: sparsemax of the cosines to all anchors, exactly.

    Only the largest cosines are sorted. Where the support takes all of them, twice as many are looked at.

    Args:
        queries: (n, D).
        anchors: (N, D).
        first: how many cosines are sorted at first.

    Returns:
        weights, (n, width); places in ``anchors``, (n, width); ``width`` is that of the widest support.
    """
    anchors = unit(anchors)
    blocks: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(queries), BLOCK):
        cosines = unit(queries[start : start + BLOCK]) @ anchors.T
        width = min(first, len(anchors))
        while True:
            top = torch.topk(cosines, width, dim=1)
            weights = sparsemax(top.values)
            if width == len(anchors) or not bool((weights[:, -1] > 0).any()):
                break
            width = min(2 * width, len(anchors))
        used = max(1, int((weights > 0).sum(1).max()))
        blocks.append((weights[:, :used], top.indices[:, :used]))
    widest = max((weights.shape[1] for weights, _ in blocks), default=1)
    grown = [[torch.nn.functional.pad(part, (0, widest - part.shape[1])) for part in pair] for pair in blocks]
    if not grown:
        return torch.zeros(0, 1, device=anchors.device), torch.zeros(0, 1, dtype=torch.long, device=anchors.device)
    return torch.cat([pair[0] for pair in grown]), torch.cat([pair[1] for pair in grown])


def weighted_rows(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Sums of rows, w_1 E[i_1] + ... + w_k E[i_k].

    Args:
        table: E, (V, d), any float type.
        ids: (n, k).
        weights: (n, k), float32.

    Returns:
        (n, d), float32.
    """
    made = torch.empty(len(ids), table.shape[1], device=table.device)
    step = max(1, GATHERED // max(1, ids.shape[1] * table.shape[1]))
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        gathered = table[ids[part]].to(torch.float32)
        made[part] = torch.bmm(weights[part].unsqueeze(1), gathered).squeeze(1)
    return made
