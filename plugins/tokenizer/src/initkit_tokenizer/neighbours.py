"""Nearest rows by cosine, and weighted sums of rows: in blocks, as matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from initkit import CommitError

BLOCK = 1024
"""Rows that are compared at a time, where that makes a table of all cosines."""
TILES = {"cpu": (128, 16384), "cuda": (4096, 65536)}
"""Queries and anchors that are compared at a time: on a processor their cosines stay in its cache."""
GROUPS = (8, 64)
"""Fewest and most scores whose largest is found before single ones are looked at."""
SPARE = 22
"""Anchors that a first look takes beyond those wanted, at least."""
HALF_ERROR = 2**-6
"""More than a cosine's error in bfloat16: two factors and the product are each rounded to 8 bits, 3/256."""
GATHERED = 2**20
"""Numbers that a weighted sum gathers at a time (4 MB in float32)."""
TINY = 1e-8


def unit(vectors: Tensor) -> Tensor:
    """Rows divided by (norm + 1e-8), float32."""
    vectors = vectors.to(torch.float32)
    made: Tensor = vectors / (vectors.norm(dim=1, keepdim=True) + TINY)
    return made


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest scores of each row and their places, best first, as :func:`torch.topk` has them.

    A row's k largest lie in the k groups with the largest maxima, so that most scores are read once, for a maximum.

    Args:
        scores: (n, N), N >= k.
    """
    count = scores.shape[1]
    least, most = GROUPS
    size = min(most, max(least, 1 << round(math.log2(count / k) / 2)))  # as many groups as scores in k of them
    groups = count // size
    if groups < 2 * k:
        found = torch.topk(scores, k, dim=1)
        return found.values, found.indices
    peaks = torch.unflatten(scores[:, : groups * size], 1, (groups, size)).amax(2)
    inside = torch.arange(size, device=scores.device)
    chosen = torch.topk(peaks, k, dim=1, sorted=False).indices.unsqueeze(2) * size + inside
    rest = torch.arange(groups * size, count, device=scores.device).expand(len(scores), -1)
    places = torch.cat([chosen.flatten(1), rest], dim=1)
    found = torch.topk(scores.gather(1, places), k, dim=1)
    return found.values, places.gather(1, found.indices)


def nearest(queries: Tensor, anchors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k anchors of largest cosine for each query, best first.

    Where the hardware multiplies bfloat16 several times as fast, that is a first look: a few anchors more than wanted
    are taken by it and compared in float32. A query for which another anchor may have been missed, by the bound of
    bfloat16's error, is compared with all in float32.

    Args:
        queries: (n, D).
        anchors: (N, D), N >= k.

    Returns:
        cosines, (n, k), float32; places in ``anchors``, (n, k).
    """
    anchors = unit(anchors)
    looked_at = k + max(SPARE, k // 2)
    half = _Columns(anchors, torch.bfloat16) if _fast_half(anchors.device) and len(anchors) > 4 * looked_at else None
    exact = _Columns(anchors, torch.float32) if half is None else None
    values = torch.empty(len(queries), k, device=anchors.device)
    places = torch.empty(len(queries), k, dtype=torch.long, device=anchors.device)
    tall = TILES.get(anchors.device.type, TILES["cpu"])[0]
    for start in range(0, len(queries), tall):
        rows = torch.arange(start, min(start + tall, len(queries)), device=anchors.device)
        part = unit(queries[start : start + tall])
        if half is not None:
            seen, near = half.largest(part, looked_at)
            cosines = torch.bmm(anchors[near], part.unsqueeze(2)).squeeze(2)
            top = torch.topk(cosines, k, dim=1)
            values[rows], places[rows] = top.values, near.gather(1, top.indices)
            least = seen[:, -1].float()
            doubtful = ~((least > 0) & (least + HALF_ERROR < top.values[:, -1]))
            rows, part = rows[doubtful], part[doubtful]
        if len(rows):
            exact = exact or _Columns(anchors, torch.float32)
            values[rows], places[rows] = exact.largest(part, k)
    return values, places


class _Columns:
    """Anchors as columns, some at a time, that queries are multiplied with into one piece of memory.

    Args:
        anchors: of length one, (N, D).
        dtype: of the products.
    """

    def __init__(self, anchors: Tensor, dtype: torch.dtype) -> None:
        tall, self.wide = TILES.get(anchors.device.type, TILES["cpu"])
        self.columns = [part.T.to(dtype).contiguous() for part in torch.split(anchors, self.wide)]
        self.tile = torch.empty(tall * min(self.wide, len(anchors)), dtype=dtype, device=anchors.device)

    def largest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest products of each query, best first, and their places; at most as many queries as a tile has.

        In bfloat16 they are compared as integers of 16 bits, several times as fast: the order of their bits is that of
        positive numbers, so what is found means something only where all of it is positive.
        """
        queries = queries.to(self.tile.dtype)
        found: list[tuple[Tensor, Tensor]] = []
        for number, column in enumerate(self.columns):
            shape = len(queries), column.shape[1]
            products = torch.mm(queries, column, out=self.tile[: shape[0] * shape[1]].view(shape))
            ordered = products.view(torch.int16) if products.dtype == torch.bfloat16 else products
            best, where = largest(ordered, min(k, shape[1]))
            found.append((best, where + number * self.wide))
        best, where = (torch.cat([pair[side] for pair in found], dim=1) for side in (0, 1))
        top = torch.topk(best, k, dim=1)
        return top.values.view(self.tile.dtype), where.gather(1, top.indices)


def _fast_half(device: torch.device) -> bool:
    """Whether products in bfloat16 are several times as fast as in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    native = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(asked is not None and asked() for asked in native)


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
    width = min(first, len(anchors))
    cosines, places = nearest(queries, anchors, width)
    weights = sparsemax(cosines)
    while width < len(anchors) and len(weights):
        full = weights[:, -1] > 0
        if not bool(full.any()):
            break
        more = min(2 * width, len(anchors))
        grown, places = (torch.nn.functional.pad(part, (0, more - width)) for part in (weights, places))
        cosines, places[full] = nearest(queries[full], anchors, more)
        grown[full] = sparsemax(cosines)
        weights, width = grown, more
    used = max(1, int((weights > 0).sum(1).max())) if len(weights) else 1
    return weights[:, :used], places[:, :used]


def weighted_rows(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Sums of rows, w_1 E[i_1] + ... + w_k E[i_k].

    Args:
        table: E, (V, d), any float type; it is read by index alone, so its rows may be in a file.
        ids: (n, k).
        weights: (n, k), float32.

    Returns:
        (n, d), float32.
    """
    if isinstance(table, Tensor) and table.dtype == weights.dtype == torch.float32 and ids.numel():
        summed: Tensor = torch.nn.functional.embedding_bag(ids, table, per_sample_weights=weights, mode="sum")
        return summed
    made = torch.empty(len(ids), table.shape[1], device=table.device)
    step = max(1, GATHERED // max(1, ids.shape[1] * table.shape[1]))
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        gathered = table[ids[part].flatten()].to(torch.float32).view(*ids[part].shape, -1)
        made[part] = torch.bmm(weights[part].unsqueeze(1), gathered).squeeze(1)
    return made
