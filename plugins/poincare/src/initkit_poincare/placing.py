"""Draws of the plugin: a block placed in zeros, and the directions and lengths of a matrix' columns."""

from __future__ import annotations

import math
from typing import Any

import torch

from initkit import Draw, Normal, Stream
from initkit.draws.base import Lookup, Shape, number


def rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A float64 tensor in another dtype: float32 rounded once, half types through float32 as everywhere."""
    return values.to(dtype) if dtype == torch.float64 else values.to(torch.float32).to(dtype)


class ScaledEye(Draw):
    """``scale`` times a unit matrix, padded with zeros where it is not square.

    Args:
        scale: the diagonal.
    """

    random = False

    def __init__(self, scale: float) -> None:
        self.scale = float(scale)

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the matrix."""
        return rounded(torch.eye(*shape, dtype=torch.float64) * self.scale, dtype)

    @property
    def std(self) -> float:
        """The diagonal."""
        return self.scale

    def parts(self) -> tuple[Any, ...]:
        """The diagonal."""
        return (self.scale,)

    def describe(self) -> str:
        """``0.5·I``."""
        return f"{number(self.scale)}·I"


class Placed(Draw):
    """A block at some rows and columns, zeros elsewhere.

    Args:
        block: what is placed.
        rows: of each copy; all copies are equal.
        columns: of every copy.
    """

    def __init__(self, block: Draw, rows: list[slice], columns: slice | list[int]) -> None:
        self.block, self.rows, self.columns = block, list(rows), columns
        self.random = block.random

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return zeros with the block in its places."""
        made = torch.zeros(tuple(shape), dtype=dtype)
        values = self.block.sample(self._inner(shape), dtype, stream, device=device)
        for rows in self.rows:
            made[rows, self.columns] = values
        return made

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Whatever the block says of its shape."""
        return self.block.problem(self._inner(shape), dtype)

    def _inner(self, shape: Shape) -> Shape:
        empty = torch.empty(tuple(shape), dtype=torch.bool, device="meta")
        return tuple(empty[self.rows[0], self.columns].shape)

    @property
    def std(self) -> float:
        """The block's."""
        return self.block.std

    def parts(self) -> tuple[Any, ...]:
        """The block and its places."""
        return (self.block, str(self.rows), str(self.columns))

    def describe(self) -> str:
        """``0.5·I in zeros``."""
        copies = f", {len(self.rows)} times" if len(self.rows) > 1 else ""
        return f"{self.block.describe()} in zeros{copies}"


class UnitColumns(Draw):
    """The columns of another draw, each divided by its length; a column of zeros becomes a random direction.

    The directions of a weight-normalised layer, whose lengths are :class:`ColumnLengths` of the same draw. A column
    of zeros with length 0 would leave both gradients at exactly 0 for ever.

    Args:
        draw: of the effective matrix (n, m).
        empty: whether it has columns of zeros.
    """

    def __init__(self, draw: Draw, empty: bool = False) -> None:
        self.draw, self.empty = draw, empty
        self.random = draw.random or empty

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the directions."""
        z = self.draw.sample(shape, torch.float64, stream, device=device)
        empty = z.norm(dim=0) == 0
        if bool(empty.any()):
            z[:, empty] = Normal(1.0).sample((shape[0], int(empty.sum())), torch.float64, stream.sub("empty"))
        return rounded(z / z.norm(dim=0), dtype)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Whatever the draw says."""
        return self.draw.problem(shape, dtype)

    @property
    def std(self) -> float:
        """1/√n would be an entry's; a column's length is 1."""
        return 1.0

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve the draw."""
        return UnitColumns(self.draw.resolve(lookup), self.empty)

    def jobs(self) -> list[Any]:
        """Jobs of the draw."""
        return self.draw.jobs()

    def parts(self) -> tuple[Any, ...]:
        """The draw, and whether columns are empty."""
        return (self.draw, self.empty)

    def describe(self) -> str:
        """``directions of 0.5·I``."""
        return f"directions of {self.draw.describe()}"


class ColumnLengths(Draw):
    """The lengths of another draw's columns.

    Args:
        draw: of the matrix (n, m).
        rows: n.
        name: tensor on whose stream the matrix is drawn.
    """

    def __init__(self, draw: Draw, rows: int, name: str) -> None:
        self.draw, self.rows, self.name = draw, rows, name
        self.random = draw.random

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the lengths (m)."""
        other = Stream(stream.seed, self.name)
        z = self.draw.sample((self.rows, *shape), torch.float64, other, device=device)
        return rounded(z.norm(dim=0), dtype)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Whatever the draw says."""
        return self.draw.problem((self.rows, *shape), dtype)

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve the draw."""
        return ColumnLengths(self.draw.resolve(lookup), self.rows, self.name)

    def jobs(self) -> list[Any]:
        """Jobs of the draw."""
        return self.draw.jobs()

    @property
    def std(self) -> float:
        """The matrix' scale times √n, where it has one."""
        return self.draw.std * math.sqrt(self.rows)

    def parts(self) -> tuple[Any, ...]:
        """The draw, n and the stream's name."""
        return (self.draw, self.rows, self.name)

    def describe(self) -> str:
        """``lengths of 0.5·I``."""
        return f"lengths of the columns of {self.draw.describe()}"
