"""Transforms of torch_geometric that give a graph random features."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from initkit import NeedError, OptionError
from initkit_gnn.random_columns import Distribution, Fan, RandomColumns, dense
from initkit_gnn.resampling import RFP, RNI, Resample, Resampler
from initkit_gnn.segments import Segments, read_graphs


@functional_transform("random_node_features")
class RandomNodeFeatures(BaseTransform):  # type: ignore[misc]
    """Random node features as a transform: ``x`` becomes ``[x | R]``, or R alone with ``ratio=1``.

    Use it before a loader (each access of a graph draws anew, in workers too) or, with ``resample="fixed"``, as a
    ``pre_transform`` whose result is cached. To draw at every forward pass and to average over draws in evaluation,
    wrap the model in :class:`initkit_gnn.WithRandomFeatures` instead.

    Args:
        width: K; int(ratio · width) columns are random.
        ratio: the random share, in (0, 1]; 1 replaces ``x``.
        distribution: ``normal``, ``uniform``, ``xavier_normal`` or ``xavier_uniform``.
        fan: Xavier's number of nodes: of each ``graph``, or of the whole ``batch``.
        resample: ``forward``: anew at every call; ``epoch``: after :meth:`set_epoch`; ``fixed``: never.
        seed: of the streams.
        attr_name: where the features go; None is ``x``, joined with what is there; another attribute holds R alone.

    Source: Abboud, Ceylan, Grohe, Lukasiewicz, IJCAI 2021 (arXiv 2010.01179).
    """

    def __init__(
        self,
        width: int = 64,
        ratio: float = 0.5,
        distribution: Distribution = "normal",
        fan: Fan = "graph",
        resample: Resample = "forward",
        seed: int = 0,
        attr_name: str | None = None,
    ) -> None:
        from initkit_gnn.rni import Rni

        Rni(width=width, ratio=ratio, distribution=distribution, fan=fan)  # checks the options
        self.columns = RandomColumns(width, ratio, distribution, fan)
        self.resampler = Resampler(RNI, seed, resample)
        self.attr_name = attr_name

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; reaches loader workers too."""
        self.resampler.set_epoch(epoch)

    def forward(self, data: Data) -> Data:
        """Return the graph with the features; called on a shallow copy."""
        check_homogeneous(data, "RandomNodeFeatures")
        num_nodes = count_nodes(data)
        segments = Segments.of(data, num_nodes)
        x = data.x
        dtype = x.dtype if x is not None and x.is_floating_point() else torch.float32
        stream, rows = self.resampler.training(segments, data.get("n_id"))
        features = self.columns.sample(stream, segments, dtype, rows)
        if data.edge_index is not None:
            features = features.to(data.edge_index.device)
        if self.attr_name is not None:
            data[self.attr_name] = features
            return data
        if x is not None and self.columns.ratio < 1:
            own = dense(x, num_nodes, dtype)
            features = torch.cat([own, features.to(own.device)], dim=1)
        data.x = features
        return data

    def __repr__(self) -> str:
        c = self.columns
        return (
            f"{type(self).__name__}(width={c.width}, ratio={c.ratio:g}, distribution={c.distribution!r}, "
            f"resample={self.resampler.resample!r}, seed={self.resampler.seed})"
        )


def check_homogeneous(data: Any, name: str) -> None:
    """Refuse what is no ``Data``.

    Raises:
        NeedError: it is a ``HeteroData`` or something else.
    """
    if not isinstance(data, Data):
        raise NeedError(
            f"{name} takes a PyG Data or Batch, not a {type(data).__name__}; "
            "of a HeteroData, transform data.to_homogeneous()"
        )


def count_nodes(data: Data) -> int:
    """The number of nodes of a ``Data``.

    Raises:
        NeedError: it has none.
    """
    with warnings.catch_warnings():  # PyG warns when it takes the largest index + 1; so do we take it
        warnings.simplefilter("ignore")
        num_nodes = data.num_nodes
    if not num_nodes:
        raise NeedError("graph: it has no nodes (num_nodes = 0); give a graph with at least one node")
    return int(num_nodes)


@functional_transform("random_feature_propagation")
class RandomFeaturePropagation(BaseTransform):  # type: ignore[misc]
    """Propagated random features as a transform: ``x`` becomes ``[x | features]``.

    Computed as recipe ``gnn/rfp`` does, whose options it takes by name; each graph of a ``Batch`` by itself. For one
    graph, ``fixed`` gives the features that the recipe writes under the same seed.

    Args:
        resample: ``fixed``: R_0 is the same at every call (to be cached, as a ``pre_transform``); ``forward``: anew
            at every call; ``epoch``: after :meth:`set_epoch`.
        seed: of the streams.
        attr_name: where the features go; None is ``x``, joined with what is there (needs one trajectory).
        options: those of the recipe: ``width``, ``steps``, ``operator``, ``norm``, ``filter`` and so on. The
            operator may be whatever :func:`initkit_gnn.operators.operator` takes.

    Source: Eliasof, Frasca, Bevilacqua, Treister, Chechik, Maron, ICML 2023 (arXiv 2303.02918).
    """

    def __init__(
        self, *, resample: Resample = "fixed", seed: int = 0, attr_name: str | None = None, **options: Any
    ) -> None:
        from initkit_gnn.rfp import settings_of

        self.settings = settings_of(options)
        if attr_name is None and self.settings.trajectories > 1:
            raise OptionError("trajectories > 1 make a tensor of three dimensions: give attr_name, where it goes")
        self.resampler = Resampler(RFP, seed, resample)
        self.attr_name = attr_name

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; reaches loader workers too."""
        self.resampler.set_epoch(epoch)

    def forward(self, data: Data) -> Data:
        """Return the graph with the features; called on a shallow copy."""
        from initkit_gnn.propagated import propagated, starts

        check_homogeneous(data, "RandomFeaturePropagation")
        count_nodes(data)
        graph, segments = read_graphs(data)
        stream, rows = self.resampler.training(segments, data.get("n_id"))
        blocks = starts(self.settings, stream, segments, rows)
        features, seen = propagated(graph, segments, self.settings, blocks, stream)
        warning = seen.warning(self.settings.width)
        if warning:
            warnings.warn(f"RandomFeaturePropagation: {warning}", stacklevel=2)
        if data.edge_index is not None:
            features = features.to(data.edge_index.device)
        if self.attr_name is not None:
            data[self.attr_name] = features
        elif data.x is None:
            data.x = features
        else:
            own = dense(data.x, graph.num_nodes, features.dtype)
            data.x = torch.cat([own, features.to(own.device, own.dtype)], dim=1)
        return data

    def __repr__(self) -> str:
        s = self.settings
        return f"{type(self).__name__}(width={s.width}, steps={s.steps}, norm={s.norm!r}, filter={s.filter!r})"
