"""A module that gives any model random node features at every forward pass."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GraphConv
from torch_geometric.nn import Sequential as PygSequential

import initkit
from initkit import NeedError, OptionError
from initkit_gnn.calling import call_model
from initkit_gnn.random_columns import Distribution, Fan, RandomColumns, dense
from initkit_gnn.resampling import RNI, Resample, Resampler
from initkit_gnn.segments import Segments
from initkit_gnn.transforms import count_nodes

Average = Literal["softmax", "sigmoid", "mean"]
HIDDEN = 32  # width of the authors' first deterministic layer


class WithRandomFeatures(nn.Module):
    """A model with random node features, drawn anew at every forward pass, averaged over draws in evaluation.

    Call it as the model is called, with ``(x, edge_index, ...)``, or with a ``Data``, of which the model gets what its
    ``forward`` asks for. The model must take features of width d + k, k = int(ratio · width), or ``width`` with
    ``ratio=1`` or ``project=True``. Without ``x`` (None, or a ``Data`` that has none) it gets R alone.

    Training draws follow ``resample``. Evaluation (``eval()``) uses draws of its own, the same in every call, so that
    it can be repeated and does not depend on how long training went on; a graph gets the same features whatever
    batch it comes in. With several draws the result is, in the form of logits,

        softmax:  log of the mean over draws of softmax(logits);   sigmoid:  logit of the mean of sigmoid(logits)

    No gradient flows into R, and features keep the dtype of ``x`` (float32 without ``x`` or with integers; under
    autocast its dtype). Ranks of a distributed run draw from streams of their own. ``state_dict`` holds the number
    of draws made, so that a resumed run goes on with fresh ones.

    Args:
        model: whose first or so-named argument is ``x``, or which takes a ``Data``.
        width: K; int(ratio · width) columns are random.
        ratio: the random share, in (0, 1]; 1 replaces ``x``.
        distribution: ``normal``, ``uniform``, ``xavier_normal`` or ``xavier_uniform``.
        fan: Xavier's number of nodes: of each ``graph``, or of the whole ``batch``.
        resample: in training: ``forward``: at every call; ``epoch``: after :meth:`set_epoch`; ``fixed``: never.
        draws: m, how many draws evaluation averages over.
        average: ``softmax`` (classes), ``sigmoid`` (independent logits) or ``mean`` (of outputs as they are).
        seed: of the streams.
        project: the authors' two graph layers, in_channels → 32 → width - k, make the deterministic columns.
        in_channels: d, with ``project=True``.
        activation: after each layer of the projection.

    Raises:
        OptionError: an option out of range, or two that do not go together.

    Source: Abboud, Ceylan, Grohe, Lukasiewicz, IJCAI 2021 (arXiv 2010.01179).
    """

    def __init__(
        self,
        model: nn.Module,
        width: int = 64,
        ratio: float = 0.5,
        *,
        distribution: Distribution = "normal",
        fan: Fan = "graph",
        resample: Resample = "forward",
        draws: int = 1,
        average: Average = "softmax",
        seed: int = 0,
        project: bool = False,
        in_channels: int | None = None,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
    ) -> None:
        super().__init__()
        from initkit_gnn.rni import Rni

        Rni(width=width, ratio=ratio, distribution=distribution, fan=fan, draws=draws)
        if average not in get_args(Average):
            raise OptionError(f"average={average!r} is unknown; choose one of {', '.join(get_args(Average))}")
        self.model = model
        self.columns = RandomColumns(width, ratio, distribution, fan)
        self.resampler = Resampler(RNI, seed, resample)
        self.draws, self.average, self.activation = draws, average, activation
        self.projection: nn.ModuleList | None = None
        if project:
            self.projection = _projection(in_channels, width - self.columns.count, seed)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: with ``resample="epoch"`` training draws anew."""
        self.resampler.set_epoch(epoch)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model with random features: once in training, ``draws`` times in evaluation."""
        call = _Call(self.model, args, kwargs)
        if self.training:
            return call.run(self._features(call, *self.resampler.training(call.segments, call.n_id)))
        return self.vote([self.draw(j, *args, **kwargs) for j in range(self.draws)])

    def draw(self, number: int, *args: Any, **kwargs: Any) -> Any:
        """Call the model with the features of one numbered draw of evaluation, whatever the mode."""
        call = _Call(self.model, args, kwargs)
        return call.run(self._features(call, *self.resampler.numbered(number, call.segments, call.n_id)))

    def vote(self, outputs: list[Any]) -> Any:
        """Average outputs of several draws; one is returned as it is.

        Raises:
            OptionError: the outputs are no tensors, or ``softmax`` is asked for of a single logit.
        """
        if len(outputs) == 1:
            return outputs[0]
        if not all(isinstance(one, Tensor) for one in outputs):
            raise OptionError(f"draws={len(outputs)} averages tensors; the model returns {type(outputs[0]).__name__}")
        stack = torch.stack(outputs)
        if self.average == "mean":
            return stack.mean(dim=0)
        count = torch.tensor(float(len(outputs)), dtype=stack.dtype, device=stack.device).log()
        if self.average == "sigmoid":
            yes, no = (nn.functional.logsigmoid(side * stack).logsumexp(dim=0) - count for side in (1, -1))
            return yes - no
        if stack.shape[-1] == 1:
            raise OptionError('average="softmax" of a single logit is always 1; use average="sigmoid" or "mean"')
        return stack.log_softmax(dim=-1).logsumexp(dim=0) - count

    def _features(self, call: _Call, stream: initkit.Stream, rows: Tensor | None) -> Tensor:
        x, device = call.x, call.device
        dtype = x.dtype if x is not None and x.is_floating_point() else _dtype(device)
        with torch.no_grad():
            random = self.columns.sample(stream, call.segments, dtype, rows).to(device)
        if self.columns.ratio == 1 or x is None:
            return random
        own = dense(x, call.segments.num_nodes, dtype)
        if self.projection is not None:
            for layer in self.projection:
                own = self.activation(layer(own, call.edge_index))
        return torch.cat([own.to(random.dtype), random], dim=1)

    def get_extra_state(self) -> Tensor:
        """Epoch and draws made so far, int64."""
        return self.resampler.state

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a saved state."""
        self.resampler.state = state

    def extra_repr(self) -> str:
        """The options."""
        c = self.columns
        return (
            f"width={c.width}, ratio={c.ratio:g}, distribution={c.distribution!r}, "
            f"resample={self.resampler.resample!r}, draws={self.draws}, seed={self.resampler.seed}"
        )


def _dtype(device: torch.device) -> torch.dtype:
    """The dtype of features where x has none: autocast's, else float32."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


def _projection(in_channels: int | None, out_channels: int, seed: int) -> nn.ModuleList:
    """The authors' two layers, GraphConv with the neighbours' mean; parameters from streams of the seed."""
    if in_channels is None:
        raise OptionError("project=True needs in_channels, the width of x")
    if out_channels < 1:
        raise OptionError("project=True with ratio=1 leaves no column for the projection; take ratio < 1")
    with torch.random.fork_rng(devices=[]):  # building a layer draws from torch's global state
        layers = nn.ModuleList(
            [GraphConv(in_channels, HIDDEN, aggr="mean"), GraphConv(HIDDEN, out_channels, aggr="mean")]
        )
    initkit.apply(layers, "gnn/pyg_default", seed=seed)
    return layers


class _Call:
    """The arguments of a call of the model: where x is, which nodes belong together."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._model, self._args, self._kwargs = model, list(args), dict(kwargs)
        given = args[0] if args else kwargs.get("data")
        if isinstance(given, Data):
            self._data: Data | None = given
            self.x, self.edge_index, self.n_id = given.x, given.edge_index, given.get("n_id")
            self.segments = Segments.of(given, count_nodes(given))
        else:
            self._data = None
            named = self._named()
            self.x, self.edge_index, self.n_id = named.get("x"), named.get("edge_index"), named.get("n_id")
            self.segments = Segments.of(named, self._count(named))
        tensors = [t for t in (self.x, self.edge_index) if isinstance(t, Tensor)]
        self.device = tensors[0].device if tensors else torch.device("cpu")

    def _named(self) -> dict[str, Any]:
        """The arguments by the names of the model's forward; the first two are x and edge_index whatever theirs."""
        names = (
            list(self._model.signature.param_dict)
            if isinstance(self._model, PygSequential)
            else list(inspect.signature(self._model.forward).parameters)
        )
        found = dict(zip(names, self._args, strict=False)) | self._kwargs
        for name, place in (("x", 0), ("edge_index", 1)):
            if name not in found and place < len(self._args):
                found[name] = self._args[place]
        return found

    def _count(self, named: dict[str, Any]) -> int:
        for name in ("x", "batch"):
            value = named.get(name)
            if isinstance(value, Tensor):
                return len(value)
        edges = named.get("edge_index")
        if isinstance(edges, Tensor) and edges.numel():
            return int(edges.max()) + 1
        raise NeedError("graph: the number of nodes is unknown; call the model with x, batch or a Data")

    def run(self, features: Tensor) -> Any:
        """Call the model with features in place of x."""
        if self._data is not None:
            data = copy.copy(self._data)
            data.x = features
            if len(self._args) == 1 and not self._kwargs:
                return call_model(self._model, data)
            args = [data, *self._args[1:]] if self._args else []
            kwargs = self._kwargs if self._args else {**self._kwargs, "data": data}
            return self._model(*args, **kwargs)
        if self._args:
            return self._model(features, *self._args[1:], **self._kwargs)
        return self._model(**{**self._kwargs, "x": features})
