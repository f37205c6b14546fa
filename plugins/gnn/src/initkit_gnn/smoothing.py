"""Over-smoothing as it starts: the Dirichlet energy of node states by depth."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from initkit import NeedError, NotMeasured, Plot, Scene, Table, Verdict
from initkit.probing.inputs import Inputs, first_tensor
from initkit_gnn.calling import arguments_of
from initkit_gnn.graph import Graph
from initkit_gnn.layers import claimed_matrices, find_layers
from initkit_gnn.operators import Operator, operator

ALIKE = 0.05
"""A share of energy below this: node states differ by their degrees alone, to 95 %."""


def smoothing(scene: Scene, *, graph: Any) -> Iterator[Table | Verdict]:
    """Yield tr(Xᵀ(I - P)X)/‖X‖² of each message-passing layer's output X, (N, d), in evaluation mode.

    P = D^-½(A + I)D^-½ with D the degrees of A + I. The share lies in 0..2 on an undirected graph; 0 means that every
    row is √degree times the same vector. It does not depend on the scale of X.

    Cai & Wang, A Note on Over-Smoothing for Graph Neural Networks, 2020 (arXiv 2006.13318), divided by ‖X‖².

    Args:
        scene: of a model with message-passing layers.
        graph: whatever :meth:`initkit_gnn.Graph.of` reads.
    """
    if not claimed_matrices(scene.model):
        return
    read = Graph.of(graph)
    smooth = operator(read, "gcn")
    rows: list[dict[str, Any]] = []
    if read.x is not None and read.x.ndim == 2 and read.x.is_floating_point():
        rows.append({"layer": "features", "energy": energy_share(read.x, smooth)})
    rows += [
        {"layer": name, "energy": energy_share(out, smooth)}
        for name, out in _outputs(scene, graph)
        if out.ndim == 2 and len(out) == read.num_nodes
    ]
    if len(rows) < 2:
        raise NotMeasured("no message-passing layer gave one row a node")
    yield Table(
        "smoothing",
        rows,
        words="Dirichlet energy as a share of the states' energy; 0: all nodes alike",
        plot=Plot("line", "layer", ("energy",), labels={"energy": "Dirichlet energy / energy"}),
    )
    first, last = rows[0], rows[-1]
    if last["energy"] is None or first["energy"] is None:
        yield Verdict("FAIL", "node states are zero or not finite", str(last["layer"]))
    elif last["energy"] < ALIKE:
        alike = next(row for row in rows if row["energy"] is not None and row["energy"] < ALIKE)
        yield Verdict(
            "WARN",
            f"node states are alike from {alike['layer']} on: Dirichlet energy falls from {first['energy']:.2g} to "
            f"{last['energy']:.2g} of the whole (over-smoothing); scales of weights do not change it",
        )
    else:
        yield Verdict("PASS", f"node states stay apart: Dirichlet energy {last['energy']:.2g} of the whole at the end")


def energy_share(states: Tensor, smooth: Operator) -> float | None:
    """tr(Xᵀ(I - P)X)/‖X‖² for states X (N, d) and the operator P; None where X is zero or not finite."""
    x = states.detach().to(smooth.device, torch.float64)
    whole = float(x.square().sum())
    if not 0 < whole < float("inf"):
        return None
    return max(0.0, 1.0 - float((x * smooth.many(x)).sum()) / whole)


def _outputs(scene: Scene, graph: Any) -> list[tuple[str, Tensor]]:
    """The output of each message-passing layer's first call, in the order of execution."""
    found: dict[str, Tensor] = {}
    with contextlib.ExitStack() as stack:
        for layer in find_layers(scene.module):

            def keep(module: nn.Module, args: Any, out: Any, name: str = layer.name or "model") -> None:
                tensor = first_tensor(out)
                if tensor is not None:
                    found.setdefault(name, tensor.detach())

            hook: Callable[..., None] = keep
            stack.callback(layer.module.register_forward_hook(hook).remove)
        inputs = scene.inputs or _from_graph(scene, graph)
        with scene.undisturbed() as model:
            scene.call(model, inputs)
    return list(found.items())


def _from_graph(scene: Scene, graph: Any) -> Inputs:
    try:
        args, kwargs = arguments_of(scene.module, graph)
    except (NeedError, AttributeError) as error:
        raise NotMeasured(f"needs inputs, for the graph alone does not say how to call the model ({error})") from error
    return Inputs.of(args or kwargs, scene.device)
