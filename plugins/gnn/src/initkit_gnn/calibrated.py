"""Layer-sequential calibration on the user's graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from torch import nn

import initkit
from initkit import Fill, Item, Job, Recipe
from initkit_gnn.calibration import Calibration
from initkit_gnn.gains import Activation, gain_of
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Matrix, claimed_matrices, find_layers
from initkit_gnn.offsets import offsets
from initkit_gnn.sampling import sampled
from initkit_gnn.trace import trace
from initkit_gnn.virgo import check_width


@dataclass(frozen=True)
class Calibrated(Recipe):
    """Layer-sequential calibration: scale each layer until its output has the target size on the graph.

    Starts from Kaiming or semi-orthogonal weights with offsets 0. In the order of execution, with z the layer's
    output before the activation and s = √(mean z²), the layer's q stacked weights are multiplied by (t/s)^(1/q)
    until |s/t - 1| < tolerance, and the model goes on with the calibrated output. One forward pass in all, for any
    ``nn.Module`` and any message-passing layer; no formula is needed.

    With ``mode="backward"`` the gradients dLoss/dz of a cross-entropy with random labels are made equally large in
    all layers, from the last down, and the first layer then sets the size of the outputs.

    Args:
        target: t, the root mean square of every layer's output (of the logits in the backward mode).
        start: ``kaiming`` or ``orthogonal`` (gain as the activation's).
        mode: ``forward`` or ``backward``.
        activation: gives the gain of the start.
        bias: offsets are 0 (``zero``); ``keep`` leaves them and calibrates with them.
        tolerance: on s/t.
        max_tries: calls of a layer at most; linear layers need two, attention may need more.
        max_nodes: a larger graph is calibrated on the subgraph of that many random nodes.

    Source: Mishkin, Matas, All you need is a good init, ICLR 2016, carried over to graphs.
    """

    bibtex: ClassVar[str] = """@inproceedings{mishkin2016all,
  title = {All you need is a good init},
  author = {Mishkin, Dmytro and Matas, Jiri},
  booktitle = {International Conference on Learning Representations},
  year = {2016},
  eprint = {1511.06422},
  archivePrefix = {arXiv}
}"""

    target: Annotated[float, Gt(0)] = 0.1
    start: Literal["kaiming", "orthogonal"] = "kaiming"
    mode: Literal["forward", "backward"] = "forward"
    activation: Activation = "relu"
    bias: Literal["zero", "keep"] = "zero"
    tolerance: Annotated[float, Gt(0)] = 1e-2
    max_tries: Annotated[int, Ge(1)] = 4
    max_nodes: Annotated[int, Ge(2)] = 200_000

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weight matrices of message-passing layers."""
        return claimed_matrices(model)

    def plan(self, model: nn.Module, *, graph: Any) -> Iterator[Item]:
        """Yield the offsets, the calibrating job and a fill for each weight matrix.

        Args:
            model: with message-passing layers.
            graph: with features, as the model's forward takes them; whatever :meth:`initkit_gnn.Graph.of` reads.
        """
        layers = find_layers(model)
        read = Graph.of(graph)
        traced = trace(model, layers, read, graph)
        check_width(traced.layers[0], read)
        notes = list(traced.notes)
        if traced.normalised:
            notes.append(f"{', '.join(traced.normalised)} normalises, which undoes the scale of the layer before it")
        for note in notes:
            warnings.warn(f"gnn/calibrated: {note}", stacklevel=2)
        gain = gain_of(self.activation)
        starts: dict[str, initkit.Draw] = {}
        for layer in traced.layers:
            yield from offsets(layer, self.bias)
            for matrix in layer.matrices:
                starts[layer.full(matrix.name)] = self._start(gain, matrix)

        def run(ctx: initkit.JobContext) -> dict[str, Any]:
            data = sampled(graph, read, self.max_nodes, ctx)
            return Calibration(self, traced.layers, starts, data, ctx).run()

        size = (
            "gradients equal in all layers"
            if self.mode == "backward"
            else f"√(mean z²) = {self.target:g} in each layer"
        )
        job = Job("calibrate", run, f"scales {len(traced.layers)} layers on the graph: {size}")
        yield job
        for name, draw in starts.items():
            yield Fill(name, job[name], why=f"{draw.describe()}, scaled until {size}")

    def _start(self, gain: float, matrix: Matrix) -> initkit.Draw:
        if self.start == "orthogonal":
            return initkit.Orthogonal(gain)
        return initkit.Normal(gain / math.sqrt(matrix.fan_in))
