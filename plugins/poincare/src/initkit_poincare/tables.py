"""Tables of points: embeddings, prototypes and hyperplane points on a Poincaré ball."""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from initkit import PlanError
from initkit._names import joined, walk
from initkit.errors import listed
from initkit_poincare.curvature import Curvature, checked, curvature_of, is_ball, is_lorentz
from initkit_poincare.manifold_slots import inner
from initkit_poincare.planning import clamp_of, largest_radius

PLAIN_CLAMP = 1e-5
"""ε of the projection in code that trains plain tables, as of Poincaré embeddings."""


@dataclass(frozen=True)
class Table:
    """A table of points, one a row.

    Attributes:
        name: of the tensor.
        rows: number of points.
        dim: of the ball.
        dtype: of the tensor.
        ball: its manifold, or None for a plain table that was named.
        padding: row that stays at the origin, or None.
        embedding: whether rows are looked up (else they are prototypes or hyperplane points).
    """

    name: str
    rows: int
    dim: int
    dtype: torch.dtype
    ball: Any = None
    padding: int | None = None
    embedding: bool = True

    @property
    def label(self) -> str:
        """``emb.weight (1000, 10)``."""
        return f"{self.name} ({self.rows}, {self.dim})"

    def curvature(self, said: float | None) -> Curvature:
        """The curvature in force: the manifold's, else what was said, else 1.

        Raises:
            PlanError: it is not positive, on the meta device, or said otherwise than the manifold has it.
        """
        if self.ball is None:
            return Curvature(checked(1.0 if said is None else said, self.label))
        found = curvature_of(self.ball, self.label)
        if said is not None and not math.isclose(said, found.c, rel_tol=1e-4):
            raise PlanError(f"{self.label}: c={said:g} was said, but its manifold has {found.words}; leave c out")
        return found

    def clamp(self, said: float | None = None) -> float:
        """ε of the projection that the table's library applies."""
        if said is not None:
            return said
        return PLAIN_CLAMP if self.ball is None else clamp_of(self.dtype)

    def largest_radius(self, said: float | None = None) -> float:
        """The largest radius, at c = 1, that no projection changes."""
        return largest_radius(self.dtype, self.clamp(said))


def find_tables(model: Any, named: str | None = None) -> list[Table]:
    """Return a model's tables of points, in the order of registration, each once.

    Args:
        model: whose two-dimensional parameters on a ball are found, and embeddings with a ball beside them.
        named: a glob over tensor names; takes plain tables too.

    Raises:
        PlanError: there is none.
    """
    found = all_tables(model, plain=named is not None)
    if named is not None:
        found = [table for table in found if fnmatch.fnmatchcase(table.name, named)]
        if not found:
            plain = [table.name for table in all_tables(model, plain=True)]
            raise PlanError(f"table={named!r} matches no table of points; there are {listed(plain) or 'none'}")
    if not found:
        plain = [table.name for table in all_tables(model, plain=True)]
        hint = f"; to take a plain table, name it: table={plain[0]!r}" if plain else ""
        lorentz = " (tables on the Lorentz model are not filled)" if _has_lorentz(model) else ""
        raise PlanError(f"{type(model).__name__} has no table of points on a Poincaré ball{lorentz}{hint}")
    return found


def all_tables(model: Any, *, plain: bool = False) -> list[Table]:
    """Tables by attributes and shapes alone; plain ``nn.Embedding`` weights too where asked."""
    if not isinstance(model, nn.Module):
        return []
    found: list[Table] = []
    seen: set[int] = set()
    for _, prefix, module in walk(model):
        for attribute, parameter in module._parameters.items():
            if parameter is None or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if len(parameter.shape) != 2 or min(parameter.shape) < 1:
                continue
            table = _table(joined(prefix, attribute), module, parameter, plain)
            if table is not None:
                found.append(table)
    return found


def _table(name: str, module: nn.Module, parameter: Any, plain: bool) -> Table | None:
    rows, dim = (int(size) for size in parameter.shape)
    ball = getattr(parameter, "manifold", None) if _has_manifold(parameter) else None
    looked_up = isinstance(module, nn.Embedding) or hasattr(module, "num_embeddings")
    if ball is None and looked_up:
        ball = next((b for word in ("ball", "manifold") if is_ball(b := getattr(module, word, None))), None)
    if not is_ball(ball):
        if not (plain and looked_up and ball is None):
            return None
        ball = None
    padding = getattr(module, "padding_idx", None) if looked_up else None
    return Table(name, rows, dim, inner(parameter).dtype, ball, padding, not hasattr(module, "num_planes"))


def _has_manifold(parameter: Any) -> bool:
    return "manifold" in getattr(parameter, "__dict__", {})


def _has_lorentz(model: Any) -> bool:
    parameters: Any = model.parameters() if isinstance(model, nn.Module) else []
    return any(_has_manifold(p) and is_lorentz(p.manifold) for p in parameters)


def fitted(points: torch.Tensor, c: float, limit: float, dtype: torch.dtype) -> torch.Tensor:
    """Points in float64, in the table's dtype, none of them beyond a radius even after rounding.

    Args:
        points: (n, d) in the ball of curvature -c.
        c: of the ball.
        limit: the largest radius, at c = 1.
        dtype: of the table.
    """
    largest = math.tanh(limit / 2) / math.sqrt(c)
    made = points.to(dtype)
    for _ in range(4):
        norms = made.to(torch.float64).norm(dim=-1, keepdim=True)
        over = norms > largest
        if not bool(over.any()):
            break
        shrunk = made.to(torch.float64) * (largest / norms) * (1 - torch.finfo(dtype).eps)
        made = torch.where(over, shrunk.to(dtype), made)
    return made
