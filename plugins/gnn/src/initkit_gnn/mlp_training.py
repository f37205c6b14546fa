"""The training job of the MLP start: the model without edges, on copies of its parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from initkit import CommitError, JobContext
from initkit_gnn.calling import arguments_of
from initkit_gnn.edgeless import EdgelessGraph, Edges, uncached
from initkit_gnn.graph import Graph
from initkit_gnn.mlp_state import State, Vault
from initkit_gnn.sampling import sampled
from initkit_gnn.supervision import SCORES, Supervision
from initkit_gnn.variance import round_scale

if TYPE_CHECKING:
    from initkit_gnn.mlpinit import MlpInit

# They normalise over all rows that come together, as BatchNorm does in training.
_OVER_ROWS = ("GraphNorm", "PairNorm", "InstanceNorm", "MeanSubtractionNorm", "DiffGroupNorm", "GraphSizeNorm")
_PROBE = 6
_VALIDATION_ROWS = 8192


class Training:
    """Trains the model's weights as an MLP; the model itself is never written to.

    Args:
        options: the recipe.
        starts: parameters by name, in the order of the model.
        given: the graph as the user gave it.
        graph: the graph as read.
        labels: of the nodes, with the split.
        edges: of the edgeless call.
        ctx: of the job.
    """

    def __init__(
        self,
        options: MlpInit,
        starts: Mapping[str, Tensor],
        given: Any,
        graph: Graph,
        labels: Supervision,
        edges: Edges,
        ctx: JobContext,
    ) -> None:
        self._options, self._given, self._graph, self._labels, self._ctx = options, given, graph, labels, ctx
        self._model: nn.Module = ctx.model
        double = any(value.dtype == torch.float64 for value in starts.values())
        self._dtype = torch.float64 if double else torch.float32
        self._edges = edges
        self._rows = EdgelessGraph(given, graph, edges, self._dtype, ctx.device)
        self._fixed = {n: self._own(p) for n, p in self._model.named_parameters() if n not in starts}
        self._starts = {name: self._own(value) for name, value in starts.items()}

    def run(self, facts: dict[str, Any], remarks: Sequence[str]) -> dict[str, Tensor]:
        """Return the trained parameters and the running statistics by name; notes what was found."""
        with uncached(self._model), self._ctx.undisturbed(train=True, grad=True):
            remarks = [*remarks, *self._check_rows()]
            state = self._trained()
            threshold = self._labels.threshold(self._options.margin)
            skip = state.best_score < threshold
            found = {} if skip else {**state.best, **self._statistics(state.best)}
        score, chance = round_scale(state.best_score), round_scale(self._labels.chance())
        words = f"{SCORES[self._labels.task]} {score:.3g} on the validation nodes, chance {chance:.3g}"
        verdict = (
            f"the MLP is near chance: {words}" if skip else f"kept the weights of epoch {state.best_epoch}: {words}"
        )
        self._note(facts, remarks, state, threshold, verdict)
        if self._options.start == "present":
            for name in self._unmoved(state):
                self._ctx.keep(name, "without edges no gradient reaches it")
        if skip:
            warnings.warn(f"gnn/mlpinit: nothing was changed, {verdict}", stacklevel=2)
            self._keep(f"not changed, {verdict}")
        return found

    def _own(self, tensor: Tensor) -> Tensor:
        dtype = self._dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.detach().to(self._ctx.device, dtype, copy=True)

    def _call(self, values: Mapping[str, Tensor], buffers: dict[str, Tensor], data: Any) -> Tensor:
        args, kwargs = arguments_of(self._model, data)
        out = self._ctx.call({**self._fixed, **values, **buffers}, *args, **kwargs)
        outputs: Tensor = out[0] if isinstance(out, (tuple, list)) else out
        return outputs

    def _buffers(self) -> dict[str, Tensor]:
        return {name: self._own(buffer) for name, buffer in self._model.named_buffers()}

    def _check_rows(self) -> list[str]:
        """Refuse a model that mixes rows even without edges, and outputs that do not fit the labels.

        Returns:
            What the user should know of it.
        """
        train = self._labels.train
        nodes = train[torch.from_numpy(self._ctx.stream("probe").permutation(len(train))[:_PROBE])]
        x = self._rows.rows(nodes).x
        if x.layout == torch.strided and x.is_floating_point():  # equal rows would tell nothing
            noise = torch.from_numpy(self._ctx.stream("noise").normals(0, x.numel())).view(x.shape)
            x = x + (x.double().square().mean().sqrt().cpu() * noise).to(x.device, x.dtype)
        over_rows = {name: m for name, m in self._model.named_modules() if _normalises_over_rows(m)}
        handles = [m.register_forward_hook(lambda _, args, out: args[0]) for m in over_rows.values()]
        self._model.eval()
        try:
            with torch.no_grad():
                whole = self._probe(nodes, x)
                self._labels.check_outputs(whole, len(nodes))
                middle = len(nodes) // 2
                sparse = x.layout != torch.strided
                parts = [
                    self._probe(nodes[a:b], self._rows.rows(nodes[a:b]).x if sparse else x[a:b])
                    for a, b in ((0, middle), (middle, len(nodes)))
                ]
        finally:
            self._model.train()
            for handle in handles:
                handle.remove()
        apart = torch.cat(parts)
        largest = float(whole.abs().max())
        if apart.shape != whole.shape or float((apart - whole).abs().max()) > 1e-4 * largest:
            raise CommitError(
                f"gnn/mlpinit: {type(self._model).__name__} mixes the rows of a graph even without edges "
                f"(edges={self._edges!r}), so it is no MLP; it cannot be started as one"
            )
        if not over_rows:
            return []
        return [f"{', '.join(over_rows)} normalises over all nodes; in the MLP over the rows of a batch"]

    def _probe(self, nodes: Tensor, x: Tensor) -> Tensor:
        data = self._rows.rows(nodes)
        data.x = x
        try:
            return self._call(self._starts, self._buffers(), data).detach()
        except Exception as error:
            cause = " ".join(str(error).split())[:200]
            raise CommitError(
                f"gnn/mlpinit: {type(self._model).__name__} cannot be called on {len(nodes)} rows without edges "
                f"(edges={self._edges!r}; {type(error).__name__}: {cause}); it must take features, edges and node "
                "attributes of any number of nodes"
            ) from error

    def _trained(self) -> State:
        options, ctx = self._options, self._ctx
        state = State(self._starts, self._buffers())
        vault = Vault(options, self._starts, self._graph, self._labels, ctx)
        vault.restore(state)
        values = {name: value.clone().requires_grad_() for name, value in state.values.items()}
        optimizer = torch.optim.Adam(
            values.values(), lr=options.lr, weight_decay=options.weight_decay, fused=ctx.device.type == "cpu"
        )
        state.give_moments(optimizer, values)
        good = state.snapshot(optimizer, values) if vault.path else state
        try:
            for epoch in ctx.progress(range(state.epoch + 1, options.epochs + 1), "training as an MLP", options.epochs):
                if state.epoch - state.gained >= options.patience:
                    break
                loss = self._epoch(epoch, values, state.buffers, optimizer)
                score, validation_loss = self._validated(values, state.buffers)
                if not math.isfinite(loss + validation_loss):
                    raise CommitError(vault.save_after_nan(good, epoch))
                state.enter(epoch, loss, score, validation_loss, values)
                if vault.path:
                    good = state.snapshot(optimizer, values)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(vault.save_after_interrupt(good)) from None
        state.values = {name: value.detach() for name, value in values.items()}
        return state

    def _epoch(
        self, epoch: int, values: dict[str, Tensor], buffers: dict[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> float:
        stream = self._ctx.stream(f"epoch {epoch}")
        # Dropout draws from torch's own state, which is restored afterwards; a seed an epoch lets training go on.
        torch.manual_seed(stream.sub("dropout").integer_seed())
        order = stream.permutation(len(self._labels.train))
        total = torch.zeros((), dtype=torch.float64, device=self._ctx.device)
        # Parts of nearly one size, and never of a single row, on which BatchNorm cannot train.
        count = max(1, min(math.ceil(len(order) / self._options.batch), len(order) // 2))
        for part in np.array_split(order, count):
            nodes = self._labels.train[torch.from_numpy(part)]
            loss = self._labels.loss(self._call(values, buffers, self._rows.rows(nodes)), nodes)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach() * len(nodes)
        return float(total) / len(order)

    def _validated(self, values: dict[str, Tensor], buffers: dict[str, Tensor]) -> tuple[float, float]:
        val = self._labels.val
        self._model.eval()
        with torch.no_grad():
            blocks = torch.split(val, _VALIDATION_ROWS)
            parts = [self._call(values, buffers, self._rows.rows(nodes)) for nodes in blocks]
        self._model.train()
        outputs = torch.cat(parts)
        return self._labels.score(outputs, val), float(self._labels.loss(outputs.double(), val))

    def _statistics(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The running statistics of normalisations on the graph with its edges."""
        layers = {
            name: m
            for name, m in self._model.named_modules()
            if isinstance(m, _NormBase) and m.running_mean is not None
        }
        if not layers:
            return {}
        data = sampled(self._given, self._graph, self._graph.num_nodes, self._ctx)
        for name, value in data.to_dict().items():
            if isinstance(value, Tensor) and value.is_floating_point():
                data[name] = value.to(self._dtype)
        buffers = self._buffers()
        momenta = [(m, m.momentum) for m in layers.values()]
        self._model.eval()
        try:
            for m in layers.values():
                m.train()
                m.momentum = 1.0  # this pass alone
            with torch.no_grad():
                self._call(values, buffers, data)
        finally:
            for m, momentum in momenta:
                m.momentum = momentum
            self._model.train()
        return {n: buffers[n] for name in layers for n in (f"{name}.running_mean", f"{name}.running_var")}

    def _unmoved(self, state: State) -> list[str]:
        return [name for name, value in state.values.items() if torch.equal(value, self._starts[name])]

    def _keep(self, why: str) -> None:
        for name in self._starts:
            self._ctx.keep(name, why)
        for name, module in self._model.named_modules():
            if isinstance(module, _NormBase) and module.running_mean is not None:
                self._ctx.keep(f"{name}.running_mean", why)
                self._ctx.keep(f"{name}.running_var", why)

    def _note(
        self, facts: dict[str, Any], remarks: Sequence[str], state: State, threshold: float, verdict: str
    ) -> None:
        still = self._unmoved(state)
        found = {
            "verdict": verdict,
            "score": SCORES[self._labels.task],
            "validation": round_scale(state.best_score),
            "chance": round_scale(self._labels.chance()),
            "threshold": round_scale(threshold),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            **facts,
            "label_rate": round_scale(facts["label_rate"]),
            "edges": self._edges,
        }
        if still:
            found["without_gradient"] = still
        if remarks:
            found["remarks"] = list(remarks)
        self._ctx.note("gnn/mlpinit", found)
        self._ctx.note("gnn/mlpinit epochs", state.history)


def _normalises_over_rows(module: nn.Module) -> bool:
    kind = type(module)
    graph_mode = kind.__module__.startswith("torch_geometric") and getattr(module, "mode", None) == "graph"
    return kind.__name__.startswith(_OVER_ROWS) or (graph_mode and kind.__name__ == "LayerNorm")
