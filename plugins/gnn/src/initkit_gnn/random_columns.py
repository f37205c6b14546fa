"""Random node features: how many columns, their distribution and scale, and where they go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from initkit import NeedError, Normal, OptionError, Stream, Uniform
from initkit.streams import fill_runs
from initkit_gnn.segments import Segments

Distribution = Literal["normal", "uniform", "xavier_normal", "xavier_uniform"]
Fan = Literal["graph", "batch"]
Width = Annotated[int, Ge(1)]
Ratio = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class RandomColumns:
    """k = int(ratio · width) random columns; the other width - k are the features' own share.

    Attributes:
        width: K.
        ratio: in (0, 1]; 1 leaves no other column.
        distribution: ``normal`` N(0, 1), ``uniform`` U(-1, 1), or Xavier's with the number of nodes and k as fans.
        fan: whether Xavier's fan is the number of nodes of a node's own ``graph`` or of the whole ``batch``.

    Raises:
        OptionError: no column would be random.
    """

    width: int
    ratio: float
    distribution: Distribution
    fan: Fan

    def __post_init__(self) -> None:
        if self.count < 1:
            raise OptionError(
                f"ratio={self.ratio:g} of width={self.width} leaves no random column: int(ratio·width) = 0; "
                f"take ratio >= {1 / self.width:.3g}"
            )

    @property
    def count(self) -> int:
        """The number k of random columns."""
        return int(self.ratio * self.width)

    def draw(self, segments: Segments) -> Normal | Uniform:
        """The draw of R (N, k) for the nodes of a batch."""
        if self.distribution == "normal":
            return Normal(1.0)
        if self.distribution == "uniform":
            return Uniform(-1.0, 1.0)
        std = self._xavier(segments)
        return Normal(std) if self.distribution == "xavier_normal" else Uniform.with_std(std)

    def _xavier(self, segments: Segments) -> float | Tensor:
        """sqrt(2 / (nodes + k)), a number where it is the same for all nodes, else (N, 1)."""
        if self.fan == "batch" or segments.batch is None:
            return math.sqrt(2 / (segments.num_nodes + self.count))
        return (2 / (segments.own_sizes.double() + self.count)).sqrt()[:, None].cpu()

    def sample(
        self, stream: Stream, segments: Segments, dtype: torch.dtype = torch.float32, rows: Tensor | None = None
    ) -> Tensor:
        """Return R (N, k) on the CPU.

        Args:
            stream: of the numbers.
            segments: of the batch.
            dtype: of R.
            rows: for each node the row of the stream it reads, int64 (N,); None is its own number. Nodes with the
                same row get the same numbers, scaled for their graph.
        """
        shape = (segments.num_nodes, self.count)
        draw = self.draw(segments)
        if rows is None:
            return draw.sample(shape, dtype, stream)
        numbers = _rows(stream, draw.kind, rows.cpu(), self.count)
        if isinstance(draw, Normal):
            scale = torch.as_tensor(draw._scales["std"])
            numbers *= scale
        else:
            low, high = (torch.as_tensor(draw._scales[end]) for end in ("low", "high"))
            numbers.mul_(high - low).add_(low)
        return numbers.to(torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype).to(dtype)


def _rows(stream: Stream, kind: Literal["normal", "uniform"], rows: Tensor, width: int) -> Tensor:
    """Standard numbers of chosen rows of a stream laid out (rows, width): float64 (len(rows), width)."""
    wanted, place = torch.unique(rows, return_inverse=True)
    if len(wanted) and int(wanted[0]) < 0:
        raise NeedError("graph: n_id holds a negative number; nodes are numbered from 0")
    numbers = np.empty(len(wanted) * width)
    # Consecutive rows are one run; a batch's rows 0..n-1 are a single one.
    breaks = torch.nonzero(wanted.diff() != 1).flatten().add(1).tolist()
    starts = [0, *breaks] if len(wanted) else []
    ends = [*breaks, len(wanted)]
    runs = [(int(wanted[a]) * width, (b - a) * width) for a, b in zip(starts, ends, strict=False)]
    fill_runs(numbers, stream, runs, kind=kind)
    return torch.from_numpy(numbers).reshape(len(wanted), width)[place]


def dense(x: Tensor, num_nodes: int, dtype: torch.dtype) -> Tensor:
    """Return features as a dense matrix (N, d) of a floating type.

    Raises:
        NeedError: they have another number of dimensions or rows.
    """
    x = x if x.layout == torch.strided else x.to_dense()
    if x.ndim != 2 or x.shape[0] != num_nodes:
        raise NeedError(f"graph: x has shape {tuple(x.shape)}, expected ({num_nodes}, features)")
    return x if x.is_floating_point() else x.to(dtype)
