"""Graphs from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from initkit import NeedError
from initkit_gnn.streaming import StreamedGraph

_KINDS = ".npz, .npy, .safetensors, .csv and .txt"


def load_graph(path: str | Path) -> Data | StreamedGraph:
    """Read a graph from a file.

    ``.npz`` and ``.safetensors`` hold ``edge_index`` (2, E) or a SciPy CSR matrix as ``scipy.sparse.save_npz`` writes
    it (A[target, source]), and where present ``edge_weight``, ``x`` (or a CSR of it: ``x_indptr``, ``x_indices``,
    ``x_shape``, ``x_data``), ``y`` and more, which are kept. ``.csv`` and ``.txt`` are edge lists: source, target and
    perhaps a weight. ``.npy`` is an ``edge_index`` alone, which may be larger than memory: it stays on disk.

    Raises:
        NeedError: the file is missing, broken or holds no graph.
    """
    file = Path(path)
    if not file.is_file():
        raise NeedError(f"graph: there is no file {file}")
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return _from_arrays({name: arrays[name] for name in arrays.files}, file)
        if file.suffix == ".safetensors":
            return _from_arrays({name: t.numpy() for name, t in load_file(file).items()}, file)
        if file.suffix in (".csv", ".txt"):
            return _from_edge_list(file)
        if file.suffix == ".npy":
            return StreamedGraph(file)
    except (OSError, ValueError) as error:
        if isinstance(error, NeedError):
            raise
        raise NeedError(f"graph: cannot read {file}: {' '.join(str(error).split())}") from None
    raise NeedError(f"graph: cannot read {file.name}: a graph comes from {_KINDS} (pickles are not opened)")


def _from_arrays(arrays: dict[str, Any], file: Path) -> Data:
    if "edge_index" in arrays:
        edge_index = torch.from_numpy(arrays.pop("edge_index").astype(np.int64))
        data = Data(edge_index=edge_index)
    elif {"indptr", "indices"} <= set(arrays):
        data = _from_csr(arrays)
    else:
        raise NeedError(f"graph: {file.name} has no edge_index (it has {', '.join(sorted(arrays)) or 'nothing'})")
    if "x_indptr" in arrays:
        indices, indptr = arrays.pop("x_indices").astype(np.int64), arrays.pop("x_indptr")
        values = arrays.pop("x_data", np.ones(len(indices), np.float32))
        shape = tuple(int(size) for size in arrays.pop("x_shape"))
        data.x = torch.from_numpy(sp.csr_matrix((values, indices, indptr), shape=shape).toarray())
    for name, array in arrays.items():
        if array.dtype.kind in "iufb":
            tensor = torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array)
            data[name] = tensor
    return data


def _from_csr(arrays: dict[str, Any]) -> Data:
    indptr, indices = arrays.pop("indptr"), arrays.pop("indices").astype(np.int64)
    target = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    data = Data(edge_index=torch.from_numpy(np.stack([indices, target])), num_nodes=len(indptr) - 1)
    values = arrays.pop("data", None)
    if values is not None and not bool((values == 1).all()):
        data.edge_weight = torch.from_numpy(values.astype(np.float32))
    for name in ("format", "shape"):
        arrays.pop(name, None)
    return data


def _from_edge_list(file: Path) -> Data:
    text = file.read_text(encoding="utf-8").replace(",", " ")
    rows = np.loadtxt(text.splitlines(), ndmin=2, comments=("#", "%"))
    if rows.shape[1] not in (2, 3):
        raise NeedError(
            f"graph: {file.name} has {rows.shape[1]} columns; an edge list has source, target and maybe a weight"
        )
    if bool((rows[:, :2] != np.floor(rows[:, :2])).any()):
        raise NeedError(f"graph: {file.name} has node numbers that are no integers")
    data = Data(edge_index=torch.from_numpy(rows[:, :2].T.astype(np.int64).copy()))
    if rows.shape[1] == 3:
        data.edge_weight = torch.from_numpy(rows[:, 2].astype(np.float32))
    return data
