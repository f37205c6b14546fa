"""Propagated random features of a graph, or of each graph of a batch: the whole computation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from initkit import NeedError, Normal, OptionError, Stream
from initkit_gnn import operators
from initkit_gnn.chebyshev import automatic_cutoff, filtered
from initkit_gnn.graph import Graph
from initkit_gnn.propagation import Norm, normalised, trajectory
from initkit_gnn.random_columns import RandomColumns
from initkit_gnn.segments import Segments
from initkit_gnn.spectrum import PROBES, Density, density

NAMES = {"gcn": "gcn", "adj": "adjacency", "rw": "rowwise", "lap_shift": "lap_shift"}
Precision = Literal["auto", "float32", "float64"]
Filter = Literal["power", "chebyshev"]
Scale = Literal["sqrt_n", "none"]
SMALL = 2**22  # entries of a block up to which "auto" computes in float64
Progress = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class Propagation:
    """Settings of propagated features; see :class:`initkit_gnn.rfp.Rfp`."""

    width: int = 16
    steps: int = 16
    operator: Any = "gcn"
    norm: Norm = "qr"
    include_r0: bool | None = None
    scale: Scale = "sqrt_n"
    trajectories: int = 1
    filter: Filter = "power"
    cutoff: float | Literal["auto"] = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.filter == "power" and self.cutoff != "auto":
            raise OptionError(f"cutoff={self.cutoff:g} goes with filter='chebyshev', not with filter='power'")

    @property
    def has_r0(self) -> bool:
        """Whether R_0 is among the columns; unless said, with the trajectory and not with the filter."""
        return self.filter == "power" if self.include_r0 is None else self.include_r0

    @property
    def blocks(self) -> int:
        """How many blocks of ``width`` columns a trajectory has."""
        return (self.steps if self.filter == "power" else 1) + self.has_r0

    def shape(self, num_nodes: int) -> tuple[int, ...]:
        """Of the features: (N, columns), or (N, trajectories, columns)."""
        columns = self.width * self.blocks
        return (num_nodes, columns) if self.trajectories == 1 else (num_nodes, self.trajectories, columns)


@dataclass
class Found:
    """What a computation found besides the features.

    Attributes:
        short: graphs that have fewer independent columns than asked for.
        graphs: all graphs.
        cutoffs: of the filter, one for each graph.
    """

    short: int = 0
    graphs: int = 1
    cutoffs: list[float] = field(default_factory=list)

    def warning(self, width: int) -> str | None:
        """One sentence where columns are missing."""
        if not self.short:
            return None
        where = "the graph has" if self.graphs == 1 else f"{self.short} of {self.graphs} graphs have"
        return f"{where} fewer than {width} independent columns (few nodes, or an operator of low rank); the rest is 0"


def starts(options: Propagation, stream: Stream, segments: Segments, rows: Tensor | None = None) -> list[Tensor]:
    """R_0 of each trajectory, float32 (N, k), from the sub-streams ``R0/0``, ``R0/1``, ...

    Args:
        options: the settings.
        stream: whose sub-streams are read.
        segments: of the batch.
        rows: for each node the row of the stream that it reads; None is its own number.
    """
    columns = RandomColumns(options.width, 1.0, "normal", "graph")
    return [columns.sample(stream.sub(f"R0/{b}"), segments, rows=rows) for b in range(options.trajectories)]


def operator_of(graph: Graph, given: Any) -> operators.Operator:
    """Return the operator of a name, a function of the graph, or whatever :func:`operators.operator` takes."""
    if isinstance(given, str):
        if given not in NAMES:
            raise OptionError(f"operator={given!r} is unknown; choose one of {', '.join(NAMES)}")
        return operators.operator(graph, NAMES[given])
    if callable(given) and not isinstance(given, operators.Operator):
        given = given(graph)
    return operators.operator(graph, given)


def propagated(
    graph: Graph,
    segments: Segments,
    options: Propagation,
    blocks: list[Tensor],
    stream: Stream,
    *,
    device: torch.device | None = None,
    out: Any = None,
    progress: Progress | None = None,
) -> tuple[Any, Found]:
    """Compute propagated features.

    Args:
        graph: the graph, or the graphs of a batch side by side.
        segments: which nodes belong to which graph.
        options: the settings.
        blocks: R_0 of each trajectory, (N, k).
        stream: its sub-stream ``lanczos`` makes the probes for the spectrum.
        device: where to compute; None is the graph's.
        out: where to write, an array or tensor of ``options.shape``, such as ``numpy.lib.format.open_memmap`` makes
            for features larger than memory; None makes a float32 tensor.
        progress: shows how far it is.

    Returns:
        The features, on the CPU, and what was found on the way.
    """
    graph = graph if device is None else _on(graph, device)
    step = operator_of(graph, options.operator)
    shape = options.shape(graph.num_nodes)
    if out is None:
        out = torch.empty(shape)
    elif tuple(out.shape) != shape:
        raise OptionError(f"out has shape {tuple(out.shape)}, the features have {shape}")
    found = Found(graphs=segments.count)
    dtype = _dtype(options, blocks[0])
    root = 1.0 if options.scale == "none" else segments.spread(segments.sizes.double().sqrt()[:, None])
    cut = (
        _cut(step, graph, segments, options, stream.sub("lanczos"), dtype, found)
        if options.filter == "chebyshev"
        else None
    )
    short = torch.zeros(segments.count, dtype=torch.bool, device=graph.device)
    total = len(blocks) * options.steps
    ticks = iter(progress(range(total), "propagating", total) if progress else range(total))

    def multiply(block: Tensor) -> Tensor:
        next(ticks, None)
        return step.many(block)

    for b, start in enumerate(blocks):
        block = start.to(graph.device, dtype)
        place = 0
        if options.has_r0:
            _put(out, b, place, start, 1.0, options)
            place += 1
        if cut is None:
            for one in trajectory(multiply, block, options.steps, options.norm, segments):
                _put(out, b, place, one.block, root, options)
                short |= one.ranks < options.width
                place += 1
        else:
            one = normalised(filtered(multiply, block, options.steps, *cut, segments), options.norm, segments)
            _put(out, b, place, one.block, root, options)
            short |= one.ranks < options.width
    next(ticks, None)
    there = segments.sizes.to(short.device) > 0
    found.short = int((short & there).sum())
    return out, found


def _put(out: Any, trajectory: int, place: int, block: Tensor, root: float | Tensor, options: Propagation) -> None:
    """Write a block times ``root`` (a number, or a column) to its columns."""
    columns = slice(place * options.width, (place + 1) * options.width)
    index: Any = (slice(None), columns) if options.trajectories == 1 else (slice(None), trajectory, columns)
    if isinstance(root, Tensor):
        root = float(root) if root.numel() == 1 else root.to(block.device, block.dtype)
    target = out[index]
    if isinstance(target, Tensor) and target.device == block.device and target.dtype == block.dtype:
        torch.mul(block, root, out=target)
    else:
        values = (block * root).cpu()
        target[...] = values.numpy() if isinstance(target, np.ndarray) else values


def _on(graph: Graph, device: torch.device) -> Graph:
    """The graph on another device; itself where it is there, or where its edges are on disk."""
    if type(graph) is not Graph or device.type == "mps":
        return graph
    here = graph.edge_index.device
    if here.type == device.type and (device.index is None or device.index == here.index):
        return graph
    weight = None if graph.edge_weight is None else graph.edge_weight.to(device)
    return Graph(graph.num_nodes, graph.edge_index.to(device), weight)


def _dtype(options: Propagation, block: Tensor) -> torch.dtype:
    if options.precision == "auto":
        return torch.float64 if block.numel() <= SMALL else torch.float32
    return torch.float64 if options.precision == "float64" else torch.float32


def _cut(
    step: operators.Operator,
    graph: Graph,
    segments: Segments,
    options: Propagation,
    probes: Stream,
    dtype: torch.dtype,
    found: Found,
) -> tuple[Tensor, Tensor, Tensor]:
    """The filter's low end, cutoff and high end, for each graph."""
    twin = step
    if options.operator == "rw":  # similar to the symmetric matrix, so of the same spectrum
        twin = operators.gcn(graph, add_self_loops=False)
    if not (twin.self_transposed or _looks_symmetric(twin, probes)):
        raise NeedError(
            "graph: filter='chebyshev' needs a symmetric operator, that is an undirected graph; make it undirected "
            "(torch_geometric.utils.to_undirected) or take filter='power'"
        )
    needed = options.cutoff == "auto" or options.operator not in ("gcn", "rw", "lap_shift")
    spectrum: Density | None = None
    if needed:
        vectors = Normal(1.0).sample((graph.num_nodes, PROBES), dtype, probes).to(graph.device)
        spectrum = density(twin.many, vectors, segments)
    ones = torch.ones(segments.count, dtype=torch.float64, device=graph.device)
    if options.operator in ("gcn", "rw", "lap_shift"):
        low, high = (0.0 * ones if options.operator == "lap_shift" else -ones), ones
    else:
        assert spectrum is not None
        margin = 0.01 * (spectrum.high - spectrum.low).clamp(min=1e-9)
        low, high = spectrum.low - margin, spectrum.high
    if options.cutoff == "auto":
        assert spectrum is not None
        cutoff = automatic_cutoff(_within(spectrum, low, high), options.width, options.steps)
        cutoff = torch.tensor([float(f"{value:.4g}") for value in cutoff.tolist()], dtype=torch.float64).to(low.device)
    else:  # of the way to the top of the spectrum, which is 1 for normalised operators
        cutoff = float(options.cutoff) * high
    found.cutoffs = cutoff.tolist()
    if bool((cutoff <= low).any()) or bool((cutoff >= high).any()):
        raise OptionError(f"cutoff={options.cutoff} is not inside the operator's spectrum, {_range(low, high)}")
    return low, cutoff, high


def _within(spectrum: Density, low: Tensor, high: Tensor) -> Density:
    points = spectrum.points.minimum(high[:, None]).maximum(low[:, None])
    return Density(points, spectrum.masses, spectrum.sizes, low, high)


def _range(low: Tensor, high: Tensor) -> str:
    return f"{float(low.max()):.3g} to {float(high.min()):.3g}"


def _looks_symmetric(step: operators.Operator, probes: Stream) -> bool:
    """Compare u·Mv with v·Mu for two random vectors."""
    pair = torch.from_numpy(probes.sub("symmetric").normals(0, 2 * step.size)).reshape(-1, 2).to(step.device)
    u, v = pair.unbind(1)
    one, two = float(u @ step.linear(v)), float(v @ step.linear(u))
    size = float(step.linear(u).norm() * v.norm())
    return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9 * size)
