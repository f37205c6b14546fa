"""What a graph does to variance, layer by layer, whatever the weights are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from initkit import Plot, Scene, Table, Verdict
from initkit_gnn.gains import gain_of
from initkit_gnn.graph import Graph
from initkit_gnn.layers import claimed_matrices, find_layers
from initkit_gnn.trace import trace
from initkit_gnn.variance import round_scale, virgo_variances
from initkit_gnn.virgo import engine_layer

FAR = 4.0
"""A layer whose weights have a variance this many times off the formula's, on average over depth."""


def factors(scene: Scene, *, graph: Any) -> Iterator[Table | Verdict]:
    """Yield each layer's graph factors, and the variance of its weights beside what would keep signal or gradient.

    The factors are c_l/c_(l-1) forward and b_k/b_(k-1) backward of Li et al., ICML 2023 (see ``gnn/virgo``), for
    ReLU between the layers.

    Args:
        scene: of a model with message-passing layers.
        graph: whatever :meth:`initkit_gnn.Graph.of` reads.
    """
    if not claimed_matrices(scene.model):
        return
    read = Graph.of(graph)
    traced = trace(scene.module, find_layers(scene.module), read, graph)
    steps = [engine_layer(layer, read) for layer in traced.layers]
    found = virgo_variances(read, steps, traced.layers[-1].d_out, variant="mean", gain=gain_of("relu"))
    forward, backward = found.forward_factors or (), found.backward_factors or ()
    rows = []
    for i, layer in enumerate(traced.layers):
        message = next(matrix for matrix in layer.matrices if matrix.role == "message")
        weight = scene.slots[layer.full(message.name)].read().double()
        rows.append(
            {
                "layer": layer.name or "model",
                "forward factor": round_scale(forward[i]),
                "backward factor": round_scale(backward[i]),
                "Var[w]": float(weight.square().mean()),
                "keeps signal": (found.forward or ())[i],
                "keeps gradient": (found.backward or ())[i],
            }
        )
    yield Table(
        "factors",
        rows,
        words="what aggregation does to variance, and the weight variance that would undo it under ReLU",
        plot=Plot("line", "layer", ("Var[w]", "keeps signal", "keeps gradient"), log=("y",)),
        compare=("Var[w]",),
    )
    if len(rows) > 1:
        yield _verdict(rows)


def _verdict(rows: list[dict[str, Any]]) -> Verdict:
    ratios = {
        word: math.exp(math.fsum(math.log(max(row["Var[w]"], 1e-300) / row[column]) for row in rows) / len(rows))
        for word, column in (("signal", "keeps signal"), ("gradient", "keeps gradient"))
    }
    word, ratio = min(ratios.items(), key=lambda pair: abs(math.log(pair[1])))
    if 1 / FAR < ratio < FAR:
        return Verdict("PASS", f"weight variances are {ratio:.2g} times what keeps the {word}, on average over layers")
    total = ratio ** len(rows)
    return Verdict(
        "WARN",
        f"weight variances are {ratio:.2g} times what keeps the {word} on this graph, on average over layers: "
        f"{total:.2g} in all after {len(rows)} layers; gnn/virgo sets them",
    )
