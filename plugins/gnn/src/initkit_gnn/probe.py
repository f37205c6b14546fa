"""The operator of a layer that nobody described, read off the layer itself.

With every weight matrix 0 but one, that one constant 1/fan_in, and all offsets 0, a layer maps features that are equal
in all columns, X = a 1^T, to (M_j a) 1^T. So its forward pass yields M_j a and its vector-Jacobian product M_j^T a,
exactly, for each weight matrix j; independent matrices add in quadrature.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from initkit import PlanError
from initkit._functional import call_with
from initkit_gnn.calling import call_layer
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer
from initkit_gnn.operators import Operator


class Probed(Operator):
    """A layer's operator by calling the layer.

    Args:
        layer: of a model; its weights are not read.
        graph: on which it works.

    Raises:
        PlanError: the layer cannot be called with features and edges alone, or is not linear in its input.
    """

    root = True  # several matrices in quadrature: a' is never the bare M a

    def __init__(self, layer: Layer, graph: Graph) -> None:
        self.label = f"probed {type(layer.module).__name__}"
        self.size = graph.num_nodes
        self.device = graph.device
        self._layer, self._graph = layer, graph
        self._blank = {
            name: torch.zeros(t.shape, dtype=torch.float64, device=self.device)
            for name, t in layer.module.named_parameters()
        }
        self._carry = [m for m in layer.matrices if m.role == "message"]
        self._check()

    def _weights(self, name: str, fan_in: int) -> dict[str, Tensor]:
        return {**self._blank, name: torch.full_like(self._blank[name], 1 / fan_in)}

    def _call(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        edge_weight = self._graph.edge_weight
        edges = self._graph.edge_index.to(self.device)
        layer = _Caller(self._layer.module, edges, None if edge_weight is None else edge_weight.double())
        state = {f"layer.{name}": value for name, value in weights.items()}
        module = self._layer.module
        was = [(m, m.training) for m in module.modules()]
        try:
            module.eval()
            out: Tensor = call_with(layer, state, x)
        finally:
            for m, mode in was:
                m.training = mode
        return out

    def _check(self) -> None:
        where = f"layer {self._layer.name} ({type(self._layer.module).__name__})"
        advice = "describe it with initkit_gnn.register, or use gnn/calibrated, which measures"
        if any(b.is_meta for b in self._layer.module.buffers()):
            raise PlanError(
                f"{where}: its operator is found by running it, and its buffers are on the meta device; {advice}"
            )
        carried = False
        a = torch.linspace(-1, 2, self.size, dtype=torch.float64, device=self.device)
        for matrix in self._carry:
            weights = self._weights(matrix.name, matrix.fan_in)
            try:
                once, twice = (self._call(weights, self._wide(s * a)) for s in (1.0, -2.0))
            except Exception as error:
                cause = " ".join(str(error).split())[:160]
                raise PlanError(
                    f"{where}: its operator is unknown, and it cannot be called with node features and edges alone "
                    f"({type(error).__name__}: {cause}); {advice}"
                ) from error
            if once.shape != (self.size, self._layer.d_out):
                raise PlanError(
                    f"{where}: it gave shape {tuple(once.shape)} instead of {(self.size, self._layer.d_out)}; {advice}"
                )
            scale = float(once.abs().max())
            carried = carried or scale > 0
            if not torch.allclose(twice, -2 * once, rtol=1e-8, atol=1e-8 * scale):
                raise PlanError(f"{where}: it is not linear in its input, so it has no operator; {advice}")
        if not carried:
            raise PlanError(f"{where}: no weight matrix alone carries its input to its output; {advice}")

    def _wide(self, a: Tensor) -> Tensor:
        return a[:, None].expand(-1, self._layer.d_in).contiguous()

    def linear(self, a: Tensor, *, transposed: bool = False) -> Tensor:
        """Return the root of the summed squares of ``M_j a``, or of ``M_j^T a``."""
        return self.step(a, transposed=transposed)

    def step(self, a: Tensor, *, transposed: bool = False, correlation: float = 1.0) -> Tensor:
        """Return the amplitude after the layer; ``transposed`` for gradients.

        Raises:
            PlanError: ``correlation`` below 1, which needs the operator's entries.
        """
        if correlation != 1:
            raise PlanError(f"{self.label}: neighbour_correlation below 1 needs the operator's entries; use 1")
        power = torch.zeros_like(a)
        for matrix in self._carry:
            weights = self._weights(matrix.name, matrix.fan_in)
            power.add_((self._back(weights, a) if transposed else self._call(weights, self._wide(a))[:, 0]).square())
        return power.sqrt_()

    def _back(self, weights: dict[str, Tensor], g: Tensor) -> Tensor:
        x = self._wide(torch.ones_like(g)).requires_grad_()
        with torch.enable_grad():
            out = self._call(weights, x)
            cotangent = torch.zeros_like(out)
            cotangent[:, 0] = g
            (found,) = torch.autograd.grad(out, x, cotangent)
        return found.sum(1)

    def squares(self, power: Tensor, *, transposed: bool = False) -> Tensor:
        """Raise: a probed layer does not show its entries."""
        raise PlanError(f"{self.label}: neighbour_correlation below 1 needs the operator's entries; use 1")


class _Caller(nn.Module):
    """Calls a layer on fixed edges, so that its parameters can be replaced by name."""

    def __init__(self, layer: nn.Module, edge_index: Tensor, weight: Tensor | None) -> None:
        super().__init__()
        self.layer, self._edges, self._weight = layer, edge_index, weight

    def forward(self, x: Tensor) -> Tensor:
        return call_layer(self.layer.forward, x, self._edges, self._weight)
