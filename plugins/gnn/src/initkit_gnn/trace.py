"""The order in which a model runs its message-passing layers, and which feeds which.

A structural copy of the model runs once on four nodes, its message-passing layers replaced by stand-ins of the same
output width. Each stand-in's output starts an autograd graph of its own, so that the ancestors of a layer's input
tell which layers feed it. No values of the model are read and none of its tensors is copied.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

import initkit
from initkit_gnn.calling import call_model
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer

_NODES = 4
_NORMS = (
    "BatchNorm",
    "LayerNorm",
    "GraphNorm",
    "PairNorm",
    "InstanceNorm",
    "MeanSubtractionNorm",
    "DiffGroupNorm",
    "GraphSizeNorm",
)


@dataclass(frozen=True)
class Trace:
    """Layers in the order of execution.

    Attributes:
        layers: each once, in the order of the first call.
        notes: what the user should know of the order, one sentence each.
        skips: connections other than from each layer to the next, in words.
        normalised: names of normalisation layers.
        linears: names of ``Linear`` layers outside the message-passing ones, in the order of execution.
        branch_ends: names of the layers whose output is added to what their own branch started from.
    """

    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    normalised: tuple[str, ...] = ()
    linears: tuple[str, ...] = ()
    branch_ends: tuple[str, ...] = ()


def trace(model: nn.Module, layers: Sequence[Layer], graph: Graph, given: Any) -> Trace:
    """Find the order of the layers; registration order, with a note, where the model cannot be run.

    Args:
        model: the user's model.
        layers: of :func:`initkit_gnn.layers.find_layers`.
        graph: the graph as read.
        given: the graph as the user gave it; its further attributes are shown to the model.
    """
    if len(layers) == 1 and layers[0].name == "":
        return Trace(tuple(layers))
    try:
        run = _Run(model, layers, graph, given)
    except Exception as error:  # noqa: BLE001 - a user's forward may raise anything
        cause = " ".join(str(error).split())[:160]
        note = f"the model could not be run on a sample ({type(error).__name__}: {cause})"
        return Trace(tuple(layers), (f"layers are taken in registration order: {note}",))
    unused = [layer.name for layer in layers if layer.name not in run.order]
    by_name = {layer.name: layer for layer in layers}
    ordered = [by_name[name] for name in run.order]
    notes = run.notes()
    if unused:
        notes.append(f"never called, left as they are: {', '.join(unused)}")
    if not ordered:
        return Trace(tuple(layers), ("no message-passing layer was called on a sample: registration order is taken",))
    return Trace(
        tuple(ordered), tuple(notes), run.skips(), tuple(run.normalised), tuple(run.linears), tuple(run.branch_ends)
    )


class _Run:
    """One run of the copy with stand-ins."""

    def __init__(self, model: nn.Module, layers: Sequence[Layer], graph: Graph, given: Any) -> None:
        self.order: list[str] = []
        self.linears: list[str] = []
        self.branch_ends: list[str] = []
        self._sources: dict[str, set[str]] = {}
        self._twice: list[str] = []
        self._leaves: dict[int, str] = {}
        self._keep: list[torch.Tensor] = []
        double = initkit.structural_copy(model)
        device = next((t.device for t in (*double.parameters(), *double.buffers())), torch.device("cpu"))
        double.eval()
        for layer in layers:
            self._stand_in(double.get_submodule(layer.name), layer)
        inside = tuple(f"{layer.name}." for layer in layers)
        for name, module in double.named_modules():
            if isinstance(module, nn.Linear) and not name.startswith(inside):
                module.register_forward_hook(lambda m, args, out, name=name: self.linears.append(name))
        data = _sample(graph, given, layers[0].d_in, device)
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        if data.x.is_floating_point():
            data.x = data.x.to(dtype).requires_grad_()
            self._leaves[id(data.x)] = "input"
        with torch.enable_grad():
            self._out = self._from(call_model(double, data))
        norms = [name for name, m in model.named_modules() if initkit.kind_name(m).startswith(_NORMS)]
        # PyG's normalisations hold torch's inside them: the outer one is what the user knows.
        self.normalised = [name for name in norms if name.rpartition(".")[0] not in norms]

    def _stand_in(self, module: nn.Module, layer: Layer) -> None:
        def forward(x: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            inputs = x[0] if isinstance(x, (tuple, list)) else x
            if layer.name in self.order:
                self._twice.append(layer.name)
            else:
                self.order.append(layer.name)
                self._sources[layer.name] = self._from(inputs)
            leaf = torch.zeros(len(inputs), layer.d_out, device=inputs.device, dtype=inputs.dtype, requires_grad=True)
            self._leaves[id(leaf)] = layer.name
            self._keep.append(leaf)
            return leaf.clone()  # no leaf, so that in-place activations may follow

        module.forward = forward

    def _from(self, found: Any) -> set[str]:
        """Names of the layers (and ``input``) that a tensor, or a nest of them, comes from."""
        names = {self._leaves[id(t)] for t in _tensors(found) if id(t) in self._leaves}
        seen: set[Any] = set()
        for t in _tensors(found):
            names |= self._below(t.grad_fn, seen)
        for node in seen:
            if type(node).__name__.startswith("AddBackward"):
                self._note_branch([self._below(following, set()) for following, _ in node.next_functions])
        return names

    def _below(self, root: Any, seen: set[Any]) -> set[str]:
        """Names of the layers (and ``input``) below a node of the autograd graph that are not in ``seen`` yet."""
        names: set[str] = set()
        stack = [root]
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) in self._leaves:
                names.add(self._leaves[id(leaf)])
            stack.extend(following for following, _ in node.next_functions)
        return names

    def _note_branch(self, sides: list[set[str]]) -> None:
        """Enter the end of a residual branch: one side of the sum is a layer that comes from the other side."""
        if len(sides) != 2:
            return
        for branch, other in (sides, sides[::-1]):
            ends = branch - other - {"input"}
            if other and ends and all(other <= self._ancestors(end) for end in ends):
                self.branch_ends.extend(sorted(ends - set(self.branch_ends)))

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        stack = [name]
        while stack:
            for source in self._sources.get(stack.pop(), set()) - found:
                found.add(source)
                stack.append(source)
        return found

    def skips(self) -> tuple[str, ...]:
        """Connections that a plain chain of layers does not have."""
        found = []
        for before, name in itertools.pairwise(self.order):
            extra = sorted(self._sources[name] - {before})
            if extra:
                found.append(f"{name} also reads {', '.join(extra)}")
        jumping = sorted(self._out & set(self.order[:-1]))
        if jumping:
            found.append(f"the output also reads {', '.join(jumping)}")
        return tuple(found)

    def notes(self) -> list[str]:
        """Layers that are called more than once."""
        return [f"{name} is called more than once; it counts once" for name in dict.fromkeys(self._twice)]


def _sample(graph: Graph, given: Any, width: int, device: torch.device) -> Data:
    """Four nodes in a ring with the user's widths and further attributes."""
    ring = torch.arange(_NODES, device=device)
    around = torch.cat([torch.stack([ring, ring.roll(1)]), torch.stack([ring.roll(1), ring])], 1)
    data = Data(edge_index=around, num_nodes=_NODES)
    if graph.x is not None:
        data.x = torch.zeros((_NODES, *graph.x.shape[1:]), dtype=graph.x.dtype, device=device)
    else:  # of a width that the model is likely to start with
        data.x = torch.zeros((_NODES, width), device=device)
    if graph.edge_weight is not None:
        data.edge_weight = torch.ones(around.shape[1], device=device)
    data.batch = torch.zeros(_NODES, dtype=torch.long, device=device)
    for name, value in _attributes(given).items():
        if name in data or not isinstance(value, torch.Tensor) or value.ndim == 0:
            continue
        rows = {graph.num_nodes: _NODES, graph.num_edges: around.shape[1]}.get(value.shape[0])
        if rows is not None:
            data[name] = torch.zeros((rows, *value.shape[1:]), dtype=value.dtype, device=device)
    return data


def _attributes(given: Any) -> dict[str, Any]:
    return dict(given.to_dict()) if isinstance(given, Data) else dict(given) if isinstance(given, dict) else {}


def _tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if isinstance(found, dict):
        return [t for value in found.values() for t in _tensors(value)]
    if isinstance(found, (tuple, list)):
        return [t for value in found for t in _tensors(value)]
    return []
