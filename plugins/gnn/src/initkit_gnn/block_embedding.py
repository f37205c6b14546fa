"""The abstract graph of a partition, and vectors for its blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import scipy.sparse.linalg

from initkit import CommitError, Stream
from initkit_gnn.undirected import Undirected

Floats = npt.NDArray[np.float64]
Embedder = Callable[..., Any]

WINDOW = 5  # T of NetMF
DENSE = 3000  # the largest K for which all eigenvectors are computed
_ZERO = 1e-9  # singular values below this share of the largest are rounding errors


def abstract_graph(graph: Undirected, block: npt.NDArray[np.int64], count: int) -> sp.csr_array:
    """Sum edge weights between blocks: symmetric CSR (K, K), every edge in both directions, those inside kept.

    Source: Lin et al., WSDM 2020, section 4 (the abstract graph of GPA).
    """
    matrix = graph.matrix
    small = block.astype(np.int32)
    key = np.repeat(small, np.diff(matrix.indptr)).astype(np.int64)
    key *= count
    key += small[matrix.indices]
    if count <= DENSE:
        total = np.bincount(key, None if graph.ones else matrix.data, minlength=count * count)
        return sp.csr_array(total.reshape(count, count).astype(np.float64))
    pair, place = np.unique(key, return_inverse=True)
    total = np.bincount(place, None if graph.ones else matrix.data).astype(np.float64)
    return sp.csr_array((total, (pair // count, pair % count)), shape=(count, count))


def netmf(abstract: sp.csr_array, width: int, stream: Stream) -> tuple[Floats, Floats]:
    """Embed a small weighted graph by factorising what skip-gram factorises, in closed form.

    M = log max(vol(B)/T · Σ_(r=1..T) (D^-1 B)^r D^-1, 1) = U S V^T, T = 5; nodes get U √S and contexts V √S. M is
    symmetric, so its eigenvectors and the signs of its eigenvalues are U and V. In each column of U the entry of
    largest magnitude is positive.

    Args:
        abstract: B, symmetric (K, K), entries >= 0.
        width: d, the number of columns wanted.
        stream: the start of the Lanczos iteration where K > 3000.

    Returns:
        Vectors of nodes and of contexts, (K, at most d): columns of singular value 0 are left out.

    Source: Qiu et al., Network Embedding as Matrix Factorization, WSDM 2018, equation 10 with b = 1.
    """
    dense = abstract.toarray()
    degree = dense.sum(axis=1)
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    step = inverse[:, None] * dense
    power, total = step, step.copy()
    for _ in range(WINDOW - 1):
        power = power @ step
        total += power
    target = np.log(np.maximum(total * (inverse * degree.sum() / WINDOW), 1.0))
    target = (target + target.T) / 2
    if len(dense) <= DENSE:
        value, vector = np.linalg.eigh(target)
    else:
        start = stream.normals(0, len(dense))
        value, vector = scipy.sparse.linalg.eigsh(target, min(width, len(dense) - 1), which="LM", v0=start)
    order = np.argsort(-np.abs(value), kind="stable")[:width]
    value, vector = value[order], vector[:, order]
    kept = np.abs(value) > _ZERO * np.abs(value).max(initial=0.0)
    value, vector = value[kept], _signed(vector[:, kept])
    nodes = vector * np.sqrt(np.abs(value))
    return nodes, nodes * np.sign(value)


def _signed(vector: Floats) -> Floats:
    """Turn each column so that its entry of largest magnitude, the first of equal ones, is positive."""
    if not vector.size:
        return vector
    size = np.abs(vector)
    at = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    return cast(Floats, vector * np.sign(vector[at, np.arange(vector.shape[1])]))


def embedded(
    abstract: sp.csr_array, width: int, embed: Embedder | None, stream: Stream
) -> tuple[Floats, Floats | None]:
    """Return block vectors and context vectors of mean norm 1, (K, at most ``width``).

    Args:
        abstract: the abstract graph.
        width: d of the table.
        embed: None for :func:`netmf`, or a function ``embed(B, d, seed)`` that returns (K, at most d) numbers, or a
            pair of them for nodes and contexts. B is a SciPy CSR array (K, K).
        stream: seeds it.

    Raises:
        CommitError: the function returned something else, or every vector is 0.
    """
    if embed is None:
        found: tuple[Any, ...] = netmf(abstract, width, stream)
        name = "netmf"
    else:
        made = embed(abstract, width, stream.integer_seed())
        found = made if isinstance(made, tuple) else (made,)
        name = getattr(embed, "__name__", "embed")
        if len(found) not in (1, 2):
            raise CommitError(
                f"{name} returned {len(found)} arrays; it must return block vectors, or the pair of "
                "block and context vectors"
            )
    vectors = [_checked(one, abstract.shape[0], width, name) for one in found]
    return vectors[0], vectors[1] if len(vectors) > 1 else None


def _checked(given: Any, blocks: int, width: int, name: str) -> Floats:
    try:
        array = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise CommitError(f"{name} returned a {type(given).__name__}, which is no array of numbers") from error
    if array.ndim != 2 or array.shape[0] != blocks or array.shape[1] > width:
        raise CommitError(f"{name} returned shape {array.shape}, expected ({blocks}, at most {width})")
    if not np.isfinite(array).all():
        raise CommitError(f"{name} returned NaN or infinite values")
    mean = float(np.linalg.norm(array, axis=1).mean())
    if not mean > 0:
        raise CommitError(
            f"{name} sees no structure in the abstract graph of {blocks} blocks: every vector is 0; "
            "set blocks= to another number, or embed= to a function of your own"
        )
    return array / mean
