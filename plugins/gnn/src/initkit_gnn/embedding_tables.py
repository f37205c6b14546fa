"""Which tensors of a model are embedding tables of a graph's nodes, and which row belongs to which node."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from initkit import NeedError, PlanError
from initkit.slots import Slots, slots_of
from initkit_gnn.gensim_slots import CONTEXT, is_gensim, row_keys

_CONTEXT_WORDS = {"context", "contexts", "ctx", "output", "outputs", "out", "neg", "negative", "target", "targets", "v"}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a model.

    Attributes:
        node: name of the tensor that holds the nodes' vectors.
        context: name of that with the context (output) vectors, or None.
        shape: of both as they are now, (rows, d).
        dtype: of the node table.
        nodes: the node of each row, or None where row i is node i.
        modules: the ``nn.Embedding`` modules of these tensors, by tensor name.
    """

    node: str
    context: str | None
    shape: tuple[int, int]
    dtype: torch.dtype
    nodes: npt.NDArray[np.int64] | None = None
    modules: tuple[tuple[str, str], ...] = ()


def claimed_tables(model: Any) -> list[str]:
    """Names of the embedding tables of a model whose only matrices are such tables; [] for any other model."""
    if is_gensim(model):
        return [name for name, slot in slots_of(model).items() if slot.present]
    if not isinstance(model, nn.Module):
        return []
    slots = slots_of(model)
    tables = _embeddings(model, slots)
    others = [name for name, slot in slots.items() if slot.parameter and len(slot.shape) > 1 and name not in tables]
    return [] if others else [name for name in tables if slots[name].shape[1] > 1]


def find_tables(model: Any, graph: Any, nodes: int, table: str | None, context: str, trained: int | None) -> Tables:
    """Find the tables.

    Among ``nn.Embedding`` modules (and the weight of one ``Linear`` with N outputs), those with N rows of more than
    one number count. Of two with one shape, that whose name has a word such as ``context``, ``ctx``, ``output`` or
    ``out``, ``neg``, ``target`` or a single ``v`` is the context table.

    Args:
        model: an ``nn.Module``, or gensim's ``Word2Vec`` or ``KeyedVectors``.
        graph: as the user gave it; a networkx graph names its nodes for gensim's keys.
        nodes: N.
        table: name of the module or tensor, or None to look for it.
        context: ``auto`` to look for it, ``none``, or its name.
        trained: how many rows are trained already; a table may then have as many rows, or N.

    Raises:
        NeedError: the graph does not fit the table.
        PlanError: there is no table, or it cannot be told which it is.
    """
    slots = slots_of(model)
    if is_gensim(model):
        return _of_gensim(model, slots, graph, nodes, table, context)
    if not isinstance(model, nn.Module):
        raise PlanError(f"gnn/graph_partition: {type(model).__name__} has no embedding table that it knows")
    embeddings = _embeddings(model, slots)
    fitting = {name for name in embeddings if _fits(slots[name].shape, nodes, trained)}
    if table is not None:
        node = _named(slots, table, "table")
        _check_rows(node, slots[node].shape, nodes, trained)
    else:
        if not fitting:
            raise _no_table(model, embeddings, slots, nodes)
        inputs = sorted(name for name in fitting if not _like_context(name)) or sorted(fitting)
        if len(inputs) > 1:
            raise PlanError(
                f"gnn/graph_partition: {', '.join(inputs)} all have {nodes} rows; set table= to the name of the "
                "nodes' table and context= to that of the context table or to 'none'"
            )
        node = inputs[0]
    shape = slots[node].shape
    found: str | None = None
    if context == "auto":
        outputs = {name for name in fitting if name != node and slots[name].shape == shape}
        linear = [name for name in _softmax_layers(model, slots) if slots[name].shape == shape and name != node]
        others = sorted(name for name in outputs if _like_context(name)) or (linear if len(linear) == 1 else [])
        if len(others) > 1:
            raise PlanError(
                f"gnn/graph_partition: {', '.join(others)} may all be the context table; set context= to its name or "
                "to 'none'"
            )
        found = others[0] if others else None
    elif context != "none":
        found = _named(slots, context, "context")
        if slots[found].shape != shape:
            raise PlanError(
                f"gnn/graph_partition: context {found} {tuple(slots[found].shape)} has another shape than table "
                f"{node} {tuple(shape)}"
            )
        if found == node:
            raise PlanError(f"gnn/graph_partition: table and context are both {node}; set context='none'")
    modules = tuple((name, embeddings[name]) for name in (node, found) if name in embeddings)
    return Tables(node, found, (shape[0], shape[1]), slots[node].dtype, None, modules)


def _embeddings(model: nn.Module, slots: Slots) -> dict[str, str]:
    """Tensor name of every ``nn.Embedding`` of width 2 or more, with the module's name; tied ones once."""
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            tensor = f"{name}.weight" if name else "weight"
            if tensor in slots and slots[tensor].shape[1:] > (1,):
                found.setdefault(slots[tensor].name, name)
    return found


def _softmax_layers(model: nn.Module, slots: Slots) -> list[str]:
    names = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [slots[name].name for name in names if name in slots]


def _like_context(name: str) -> bool:
    words = {word.lower() for word in _WORDS.findall(name.removesuffix(".weight"))}
    return bool(words & _CONTEXT_WORDS)


def _fits(shape: tuple[int, ...], nodes: int, trained: int | None) -> bool:
    return len(shape) == 2 and shape[0] in (nodes, trained)


def _named(slots: Slots, name: str, option: str) -> str:
    for one in (name, f"{name}.weight"):
        if one in slots:
            if len(slots[one].shape) != 2:
                raise PlanError(
                    f"gnn/graph_partition: {option}={name!r} has shape {tuple(slots[one].shape)}, expected (rows, d)"
                )
            return slots[one].name
    return slots.find(name, f"gnn/graph_partition, option {option}").name


def _check_rows(name: str, shape: tuple[int, ...], nodes: int, trained: int | None) -> None:
    if not _fits(shape, nodes, trained):
        raise NeedError(
            f"graph: it has {nodes} nodes, but table {name} {tuple(shape)} has {shape[0]} rows; row i belongs to node "
            f"i{_advice(shape[0], nodes)}"
        )


def _advice(rows: int, nodes: int) -> str:
    if rows < nodes:
        return f": for a grown graph, set trained={rows}"
    return f": if some nodes have no edges, give the graph's num_nodes={rows}"


def _no_table(model: nn.Module, embeddings: dict[str, str], slots: Slots, nodes: int) -> Exception:
    if not embeddings:
        return PlanError(
            f"gnn/graph_partition: {type(model).__name__} has no nn.Embedding; set table= to the name of the "
            "(N, d) tensor that holds the nodes' vectors"
        )
    if len(embeddings) == 1:
        name = next(iter(embeddings))
        try:
            _check_rows(name, slots[name].shape, nodes, None)
        except NeedError as error:
            return error
    shown = ", ".join(f"{name} {tuple(slots[name].shape)}" for name in list(embeddings)[:6])
    return NeedError(f"graph: it has {nodes} nodes, but no embedding table has as many rows: {shown}")


def _of_gensim(model: Any, slots: Slots, graph: Any, nodes: int, table: str | None, context: str) -> Tables:
    node = next(iter(slots)) if table is None else _named(slots, table, "table")
    if not slots[node].present:
        raise PlanError("gnn/graph_partition: the vocabulary is empty; call build_vocab on the walks first")
    found: str | None = None
    if context == "auto":
        found = CONTEXT if CONTEXT in slots and node != CONTEXT else None
    elif context != "none":
        found = _named(slots, context, "context")
    shape = slots[node].shape
    return Tables(node, found, (shape[0], shape[1]), slots[node].dtype, _nodes_of_rows(model, graph, nodes))


def _nodes_of_rows(model: Any, graph: Any, nodes: int) -> npt.NDArray[np.int64]:
    """The node of each row: the key is its number, or its name in a networkx graph."""
    if type(graph).__module__.startswith("networkx"):
        number = {str(name): i for i, name in enumerate(graph.nodes)}
    else:
        number = {str(i): i for i in range(nodes)}
    keys = [str(key) for key in row_keys(model)]
    strange = next((key for key in keys if key not in number), None)
    if strange is not None:
        raise NeedError(
            f"graph: the vocabulary has the key {strange!r}, which is none of the graph's {nodes} nodes; keys must be "
            "node numbers, or give the networkx graph whose nodes have these names"
        )
    return np.array([number[key] for key in keys], np.int64)
