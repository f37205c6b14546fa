"""Every form a user may have a graph in, taken apart into the arguments of ``Graph``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from initkit.errors import NeedError, listed
from initkit_gnn.checks import check_square


def is_list_of_graphs(given: Any) -> bool:
    """Tell a list or tuple of graphs from the pair ``(edge_index, edge_weight)``."""
    if isinstance(given, list):
        return not _is_index_list(given)
    if not isinstance(given, tuple):
        return False
    return not (len(given) == 2 and _is_array(given[0]) and (given[1] is None or _is_array(given[1])))


def _is_index_list(given: Any) -> bool:
    return isinstance(given, list) and len(given) == 2 and all(isinstance(row, list) for row in given)


def _is_array(given: Any) -> bool:
    return isinstance(given, np.ndarray) or (isinstance(given, Tensor) and given.layout == torch.strided)


def parts_of(given: Any, weight_name: str | None, edge_type: tuple[str, str, str] | None) -> dict[str, Any]:
    """Take a graph apart.

    Args:
        given: any single graph that ``Graph.of`` reads.
        weight_name: the attribute or key that holds the weights, if not ``edge_weight``.
        edge_type: which edges of a ``HeteroData``.

    Returns:
        ``edge_index`` and, where known, ``edge_weight``, ``weight_name`` (for messages), ``x``, ``num_nodes``.
    """
    kinds = {c.__name__ for c in type(given).__mro__}
    if "HeteroData" in kinds:
        return _of_hetero(given, weight_name, edge_type)
    if edge_type is not None:
        raise NeedError(f"graph: edge_type={edge_type!r} goes with HeteroData, not with {type(given).__name__}")
    if isinstance(given, Mapping) and not type(given).__module__.startswith("networkx"):
        return _of_mapping(given, weight_name)
    if hasattr(given, "edge_index") or hasattr(given, "adj_t"):
        return _of_data(given, weight_name)
    if weight_name is not None:
        raise NeedError(f"graph: edge_weight={weight_name!r}, but a {type(given).__name__} has no named attributes")
    if type(given).__module__.startswith("networkx"):
        return _of_networkx(given)
    if isinstance(given, Tensor) and given.layout != torch.strided:
        return _of_torch_sparse(given)
    if sp.issparse(given):
        return _of_scipy(given)
    if _is_array(given) or _is_index_list(given):
        return {"edge_index": given}
    if isinstance(given, tuple):
        return {"edge_index": given[0], "edge_weight": given[1]}
    raise NeedError(
        f"graph: cannot read a {type(given).__name__}; give a PyG Data, an edge_index of shape (2, E), "
        "the pair (edge_index, edge_weight), or a SciPy or torch sparse adjacency matrix"
    )


def _of_data(data: Any, weight_name: str | None) -> dict[str, Any]:
    edges = getattr(data, "edge_index", None)
    name = weight_name or "edge_weight"
    weight = getattr(data, name, None)
    if weight_name is not None and weight is None:
        raise NeedError(f"graph: edge_weight={weight_name!r}, but the data has no attribute of that name")
    parts: dict[str, Any]
    if edges is not None:
        parts = {"edge_index": edges, "edge_weight": weight, "weight_name": name}
    elif getattr(data, "adj_t", None) is not None:
        parts = _of_adjacency(data.adj_t)
    else:
        raise NeedError("graph: the data has neither edge_index nor adj_t; set data.edge_index")
    with warnings.catch_warnings():  # PyG warns when it takes the largest index + 1; so do we take it
        warnings.simplefilter("ignore")
        size = getattr(data, "num_nodes", None)
    return {**parts, "x": getattr(data, "x", None), "num_nodes": size}


def _of_adjacency(matrix: Any) -> dict[str, Any]:
    """Read ``adj_t`` of PyG's ToSparseTensor: a torch sparse tensor or torch_sparse's SparseTensor."""
    if isinstance(matrix, Tensor):
        return _of_torch_sparse(matrix)
    target, source, value = matrix.coo()
    return {"edge_index": torch.stack((source, target)), "edge_weight": value}


def _of_hetero(data: Any, weight_name: str | None, edge_type: tuple[str, str, str] | None) -> dict[str, Any]:
    known = listed(repr(kind) for kind in data.edge_types)
    if edge_type is None:
        raise NeedError(f"graph: HeteroData has several edge types; choose one with edge_type=, of {known}")
    edge_type = cast(tuple[str, str, str], tuple(edge_type))
    if edge_type not in data.edge_types:
        raise NeedError(f"graph: edge_type={edge_type!r} is not in the HeteroData, which has {known}")
    if edge_type[0] != edge_type[2]:
        raise NeedError(
            f"graph: edge_type={edge_type!r} joins two node types; only edges within one node type make a square "
            "operator, so choose such a type or pass data.to_homogeneous()"
        )
    parts = _of_data(data[edge_type], weight_name)
    nodes = data[edge_type[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size = nodes.num_nodes
    return {**parts, "x": nodes.get("x"), "num_nodes": size}


def _of_networkx(given: Any) -> dict[str, Any]:
    number = {node: i for i, node in enumerate(given.nodes)}
    pairs = [(number[a], number[b]) for a, b in given.edges()]
    if not given.is_directed():
        pairs += [(b, a) for a, b in pairs if a != b]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return {"edge_index": edges, "num_nodes": len(number)}


def _of_mapping(given: Mapping[str, Any], weight_name: str | None) -> dict[str, Any]:
    if "edge_index" not in given:
        raise NeedError(f"graph: no key 'edge_index'; the keys are {listed(repr(k) for k in given)}")
    name = weight_name or "edge_weight"
    if weight_name is not None and weight_name not in given:
        raise NeedError(f"graph: edge_weight={weight_name!r}, but there is no such key")
    size = given.get("num_nodes")
    return {
        "edge_index": given["edge_index"],
        "edge_weight": given.get(name),
        "weight_name": name,
        "x": given.get("x"),
        "num_nodes": None if size is None else int(size),
    }


def _of_scipy(matrix: Any) -> dict[str, Any]:
    check_square(matrix.shape)
    coo = sp.coo_array(matrix)
    row, column = coo.coords
    return _of_entries(torch.from_numpy(np.stack((column, row))), torch.from_numpy(coo.data), coo.shape[0])


def _of_torch_sparse(matrix: Tensor) -> dict[str, Any]:
    check_square(matrix.shape)
    coo = matrix.detach().to_sparse().coalesce()
    return _of_entries(coo.indices().flip(0), coo.values(), matrix.shape[0])


def _of_entries(edges: Tensor, value: Tensor, size: int) -> dict[str, Any]:
    """A matrix whose stored entries are all 1 is an unweighted graph."""
    ones = not value.is_complex() and bool((value == 1).all())
    return {"edge_index": edges, "edge_weight": None if ones else value, "num_nodes": size}


def as_tensor(given: Any, name: str) -> Tensor:
    """Return a tensor or array as a plain tensor, without a copy where that is possible."""
    if isinstance(given, Tensor):
        plain = given.detach()
        return plain if type(plain) is Tensor else plain.as_subclass(Tensor)
    try:
        array = np.asarray(given)
        if array.dtype.kind == "u":
            array = array.astype(np.int64)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if not array.flags.writeable or any(step < 0 for step in array.strides):
            array = array.copy()  # torch takes neither
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise NeedError(f"graph: {name} of type {type(given).__name__} is no numeric tensor or array") from error
