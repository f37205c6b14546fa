"""Wrapped normal points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt
from scipy import stats
from torch import nn

from initkit import Draw, Fill, Item, Normal, OptionError, PlanError, Stream
from initkit.draws.base import Shape, number
from initkit_poincare.embedding_uniform import TableRecipe
from initkit_poincare.geometry import expmap, radius
from initkit_poincare.tables import Table, find_tables, fitted

DEFAULT_RADIUS = 0.1
BEYOND = 1e-6
"""Probability with which a point may fall beyond what its table holds; such a point is pulled back to the limit."""


def std_of_radius(mean: float, dim: int) -> float:
    """σ at which the mean length of an N(0, σ²I_d) vector is ``mean``."""
    return mean * math.exp(math.lgamma(dim / 2) - math.lgamma((dim + 1) / 2)) / math.sqrt(2)


class WrappedNormalPoints(Draw):
    """Rows exp_μ(v/λ_μ) with v ~ N(0, diag σ²), so that the distance from μ is ‖v‖.

    Args:
        std: σ, a number or one for each coordinate.
        c: the ball has curvature -c.
        mean: μ (d), or None for the origin.
        limit: largest radius, at c = 1.
        padding: row that is the origin, or None.
    """

    def __init__(
        self, std: torch.Tensor, c: float, mean: torch.Tensor | None, limit: float, padding: int | None = None
    ) -> None:
        self.scale, self.c, self.mean, self.limit, self.padding = std, c, mean, limit, padding

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the points; computed in float64, cast once, none beyond the limit."""
        v = Normal(self.scale).sample(shape, torch.float64, stream)
        mean = torch.zeros(shape[-1], dtype=torch.float64) if self.mean is None else self.mean
        conformal = 2 / (1 - self.c * mean.square().sum())
        points = expmap(mean.expand(tuple(shape)), v / conformal, self.c)
        if self.padding is not None:
            points[self.padding] = 0.0
        return fitted(points, self.c, self.limit, dtype)

    @property
    def std(self) -> float:
        """Root mean square of σ."""
        return float(self.scale.square().mean().sqrt())

    def parts(self) -> tuple[Any, ...]:
        """All arguments."""
        return (self.scale, self.c, self.mean, self.limit, self.padding)

    def describe(self) -> str:
        """``wrapped N(0, 0.03²)``."""
        where = "0" if self.mean is None else "μ"
        return f"wrapped N({where}, {number(self.std)}²)"


@dataclass(frozen=True)
class WrappedNormal(TableRecipe):
    """Points of the ball from a wrapped normal distribution of a chosen centre and radius.

    v ~ N(0, diag σ²) in an orthonormal frame at the centre μ, x = exp_μ(v/λ_μ): the distance of x from μ is ‖v‖ for
    every curvature. With ``radius`` its mean is that, σ = radius · Γ(d/2)/(√2 Γ((d+1)/2)). Its logarithmic density is
    log N(v) - (d-1) log(sinh(√c‖v‖)/(√c‖v‖)). For embeddings, and by name for prototypes and hyperplane points.

    Args:
        radius: mean distance from μ; None is 0.1/√c where no std is given.
        std: σ, a number or one for each coordinate.
        mean: μ, a point of the ball; None is the origin.
        table: glob over names of tensors; None takes all embeddings on a ball, a name takes plain tables too.
        c: curvature of a plain table; None is 1 there, and the manifold's elsewhere.
        clamp: ε of the projection to norms of (1-ε)/√c; None is the library's, 0 none.

    Source: Nagano et al., A Wrapped Normal Distribution on Hyperbolic Space, ICML 2019 (arXiv 1902.02992); Mathieu et
    al., Continuous Hierarchical Representations with Poincaré VAEs, NeurIPS 2019 (arXiv 1901.06033).
    """

    bibtex: ClassVar[str] = """@inproceedings{nagano2019wrapped,
  title = {A Wrapped Normal Distribution on Hyperbolic Space for Gradient-Based Learning},
  author = {Nagano, Yoshihiro and Yamaguchi, Shoichiro and Fujita, Yasuhiro and Koyama, Masanori},
  booktitle = {International Conference on Machine Learning},
  year = {2019},
  eprint = {1902.02992},
  archivePrefix = {arXiv}
}"""

    radius: Annotated[float, Gt(0)] | None = None
    std: Annotated[float, Gt(0)] | tuple[Annotated[float, Gt(0)], ...] | None = None
    mean: tuple[float, ...] | None = None
    clamp: Annotated[float, Ge(0)] | None = None

    def check(self) -> None:
        """Refuse both scales at once."""
        super().check()
        if self.radius is not None and self.std is not None:
            raise OptionError(f"recipe {self.id}: radius={self.radius} and std={self.std}: give one of them")

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each table.

        Args:
            model: with embeddings, prototypes or hyperplane points on a Poincaré ball.
        """
        tables = self.tables(model) if self.table is None else find_tables(model, self.table)
        for table in tables:
            draw, words = self._draw(table)
            yield Fill(table.name, draw, why=words)

    def _draw(self, table: Table) -> tuple[Draw, str]:
        curvature = table.curvature(self.c)
        c, root = curvature.c, math.sqrt(curvature.c)
        mean = self._mean(table, c)
        if self.std is not None:
            std = torch.tensor(self.std, dtype=torch.float64)
            if std.ndim and len(std) != table.dim:
                raise PlanError(f"{table.label}: std has {len(std)} numbers, the points {table.dim} coordinates")
            words = f"std {draw_words(std)}"
        else:
            wanted = DEFAULT_RADIUS / root if self.radius is None else self.radius
            std = torch.tensor(std_of_radius(wanted, table.dim), dtype=torch.float64)
            words = f"mean distance {wanted:.4g}"
        limit = table.largest_radius(self.clamp)
        room = limit / root - (0.0 if mean is None else float(radius(mean, c)))
        tail = float(stats.chi.ppf(1 - BEYOND, table.dim))
        if room <= 0 or float(std.max()) * tail > room:
            most = max(room, 0.0) / tail * (table.dim**0.5)
            kind = str(table.dtype).removeprefix("torch.")
            raise PlanError(
                f"{table.label}: points of {words} would reach the boundary of what a {kind} table holds, radius "
                f"{limit / root:.4g} at {curvature.words}; the largest admissible mean distance is about {most:.3g}"
            )
        return WrappedNormalPoints(std, c, mean, limit, table.padding), f"{words}, {curvature.words}"

    def _mean(self, table: Table, c: float) -> torch.Tensor | None:
        if self.mean is None:
            return None
        mean = torch.tensor(self.mean, dtype=torch.float64)
        if mean.shape != (table.dim,):
            raise PlanError(f"{table.label}: mean has {len(self.mean)} numbers, the points {table.dim} coordinates")
        if not bool(c * mean.square().sum() < 1):
            raise PlanError(f"{table.label}: mean has norm {float(mean.norm()):.4g}, the ball ends at {c**-0.5:.4g}")
        return mean


def draw_words(std: torch.Tensor) -> str:
    """A scale in words."""
    return f"{float(std):.4g}" if std.ndim == 0 else f"of {len(std)} coordinates"
