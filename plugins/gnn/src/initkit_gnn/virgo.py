"""Virgo: variances that keep signals and gradients alive on the graph at hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from torch import nn

from initkit import Constant, Fill, Item, Job, JobContext, Keep, NeedError, Normal, Recipe, Uniform, kind_name
from initkit_gnn import variance
from initkit_gnn.gains import Activation, gain_of
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer, claimed_matrices, find_layers
from initkit_gnn.offsets import offsets
from initkit_gnn.probe import Probed
from initkit_gnn.trace import Trace, trace


@dataclass(frozen=True)
class Virgo(Recipe):
    """Variance-stable message passing: scale each layer by what the graph does to variance.

    With P the layer's operator, x̄ the mean over feature columns and 1 the vector of ones,
    c_k = ‖P^k x̄‖² and b_k = ‖(Pᵀ)^k 1‖²:

        forward    v_l = gain²/d_in(l) · c_(l-1)/c_l
        backward   v_L = N/((C-1) b_1),  v_(L-k) = gain²/d_out(L-k) · b_k/b_(k+1)
        harmonic   2/(1/v_forward + 1/v_backward);  mean  (v_forward + v_backward)/2

    Weights are drawn with variance v_l. It fixes the size of signals and gradients, not oversmoothing: a ReLU GCN
    without offsets is positively homogeneous, so no choice of variances changes the directions of node states.

    Args:
        variant: which direction to keep stable; backward is what helps deep networks most.
        operator: ``model`` follows each layer's own aggregation; ``gcn`` is the authors' choice, the GCN matrix for
            every layer (and v_1 = gain²/d_in forward).
        distribution: of the weights.
        bias: ``zero`` or ``keep`` (the authors').
        signal: x̄ as the ``mean`` of the columns, their ``rms``, or ``ones``.
        activation: between the layers; gives the gain of ``torch.nn.init.calculate_gain`` (2 = gain² for ReLU).
        neighbour_correlation: 1 is Virgo; 0 takes neighbours' states as independent (experimental).
        classes: C, the number of outputs; None takes the last layer's width.
        include_head: whether ``Linear`` layers outside the message passing are drawn too, with v = gain²/fan_in
            (1/fan_in for the last).

    Source: Li, Song, Song, Wipf, On the Initialization of Graph Neural Networks, ICML 2023 (arXiv 2312.02622);
    ``operator="model"`` is our extension to other layers.
    """

    bibtex: ClassVar[str] = """@inproceedings{li2023virgo,
  title = {On the Initialization of Graph Neural Networks},
  author = {Li, Jiahang and Song, Yakun and Song, Xiang and Wipf, David Paul},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2312.02622},
  archivePrefix = {arXiv}
}"""

    variant: variance.Variant = "backward"
    operator: variance.Source = "model"
    distribution: Literal["uniform", "normal"] = "uniform"
    bias: Literal["zero", "keep"] = "zero"
    signal: Literal["mean", "rms", "ones"] = "mean"
    activation: Activation = "relu"
    neighbour_correlation: Annotated[float, Ge(0), Le(1)] = 1.0
    classes: Annotated[int, Ge(1)] | None = None
    include_head: bool = False

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weight matrices of message-passing layers."""
        return claimed_matrices(model)

    def plan(self, model: nn.Module, *, graph: Any) -> Iterator[Item]:
        """Yield a fill for each weight matrix, in the order of execution.

        Args:
            model: with message-passing layers.
            graph: whatever :meth:`initkit_gnn.Graph.of` reads; with features unless ``signal="ones"``.
        """
        layers = find_layers(model)
        read = Graph.of(graph)
        traced = trace(model, layers, read, graph)
        check_width(traced.layers[0], read)
        steps = [engine_layer(layer, read, self.operator) for layer in traced.layers]
        found = variance.virgo_variances(
            read,
            steps,
            self.classes or traced.layers[-1].d_out,
            variant=self.variant,
            operator=self.operator,
            gain=gain_of(self.activation),
            signal=self.signal,
            neighbour_correlation=self.neighbour_correlation,
        )
        notes = [*traced.notes, *_broken_assumptions(traced), *found.notes]
        for note in notes:
            warnings.warn(f"gnn/virgo: {note}", stacklevel=2)
        for i, layer in enumerate(traced.layers):
            yield from self._layer(layer, i, found)
        if self.include_head:
            yield from self._head(model, traced)
        table = _table(traced, found)
        yield Job(
            "graph_factors", lambda ctx: _note(ctx, table, notes), "adds the table of graph factors to the report"
        )

    def _layer(self, layer: Layer, i: int, found: variance.Variances) -> Iterator[Item]:
        v = found.variance[i]
        factors = [
            f"{word} κ = {factors[i]:.4g}"
            for word, factors in (("forward", found.forward_factors), ("backward", found.backward_factors))
            if factors is not None
        ]
        for matrix in layer.matrices:
            name = layer.full(matrix.name)
            if matrix.role == "inner" or (matrix.role == "last" and self.operator == "model"):
                if self.operator == "gcn":
                    yield Keep(name, "inside the layer: the authors leave it")
                    continue
                inner = variance.round_scale(gain_of(self.activation) ** 2 / matrix.fan_in)
                yield Fill(name, self._draw(inner), why=f"Var[w] = {inner:.4g}: gain²/fan_in, fan_in {matrix.fan_in}")
                continue
            # The mean over heads of independent maps has a share of their variance; the model's own operator undoes it.
            scaled = v * layer.averaged if self.operator == "model" else v
            why = f"Var[w] = {scaled:.4g}: {self.variant}, fan {matrix.fan_in}→{matrix.fan_out}, {', '.join(factors)}"
            yield Fill(name, self._draw(variance.round_scale(scaled)), why=why)
        yield from offsets(layer, self.bias)

    def _head(self, model: nn.Module, traced: Trace) -> Iterator[Item]:
        for name in dict.fromkeys(traced.linears):
            linear: Any = model.get_submodule(name)
            last = name == traced.linears[-1]
            v = variance.round_scale((1.0 if last else gain_of(self.activation) ** 2) / linear.in_features)
            why = f"Var[w] = {v:.4g}: {'1' if last else 'gain²'}/fan_in, fan_in {linear.in_features}"
            yield Fill(f"{name}.weight", self._draw(v), why=why)
            if linear.bias is not None and self.bias == "zero":
                yield Fill(f"{name}.bias", Constant(0.0), why="no offset")

    def _draw(self, v: float) -> Normal | Uniform:
        std = math.sqrt(v)
        return Uniform.with_std(std) if self.distribution == "uniform" else Normal(std)


def engine_layer(layer: Layer, graph: Graph, source: variance.Source = "model") -> variance.Layer:
    """A layer of the model as the variance engine takes it.

    Args:
        layer: of the model.
        graph: on which it works, for layers whose operator is probed.
        source: ``gcn`` takes the GCN matrix whatever the layer is.
    """
    message = next(matrix for matrix in layer.matrices if matrix.role == "message")
    fans = message.fan_in, message.fan_out // layer.averaged
    if source == "gcn":
        return variance.Layer(*fans)
    if layer.kind is None:
        return variance.Layer(*fans, Probed(layer, graph))
    return variance.Layer(*fans, layer.kind, layer.options)


def check_width(first: Layer, graph: Graph) -> None:
    """Refuse features that do not fit the first layer.

    Raises:
        NeedError: the width of ``x`` is not the layer's input width.
    """
    if graph.x is not None and graph.x.ndim == 2 and graph.x.shape[1] != first.d_in and graph.x.is_floating_point():
        raise NeedError(
            f"graph: x has {graph.x.shape[1]} features, but {first.name or 'the layer'} "
            f"({type(first.module).__name__}) takes {first.d_in}"
        )


def _broken_assumptions(traced: Trace) -> list[str]:
    breaks = [*traced.skips]
    if traced.normalised:
        breaks.append(f"it normalises in {', '.join(traced.normalised)}")
    if not breaks:
        return []
    return [f"the formulas assume a plain chain of layers, but {'; '.join(breaks)}: gnn/calibrated measures instead"]


def _table(traced: Trace, found: variance.Variances) -> list[dict[str, Any]]:
    rows = []
    for i, layer in enumerate(traced.layers):
        row: dict[str, Any] = {
            "layer": layer.name,
            "type": kind_name(layer.module),
            "operator": layer.kind or "probed",
            "variance": found.variance[i],
        }
        if found.forward_factors is not None:
            row["forward_factor"] = variance.round_scale(found.forward_factors[i])
        if found.backward_factors is not None:
            row["backward_factor"] = variance.round_scale(found.backward_factors[i])
        rows.append(row)
    return rows


def _note(ctx: JobContext, table: list[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    ctx.note("gnn/virgo graph factors", table)
    if notes:
        ctx.note("gnn/virgo remarks", [{"remark": note} for note in notes])
    return {}
