"""Poincaré embeddings that start near the origin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import nn

from initkit import Fill, Item, Recipe, Uniform
from initkit_poincare.tables import Table, all_tables, find_tables

NICKEL = """@inproceedings{nickel2017poincare,
  title = {Poincar{\\'e} Embeddings for Learning Hierarchical Representations},
  author = {Nickel, Maximillian and Kiela, Douwe},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1705.08039},
  archivePrefix = {arXiv}
}"""
BOUNDS = {"paper": 1e-3, "code": 1e-4}


@dataclass(frozen=True)
class TableRecipe(Recipe):
    """A recipe that fills tables of points."""

    table: str | None = None
    c: Annotated[float, Gt(0)] | None = None

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Tables on a Poincaré ball whose rows are looked up."""
        return [table.name for table in all_tables(model) if table.embedding]

    def tables(self, model: Any) -> list[Table]:
        """The tables that are filled: those named, else embeddings on a ball."""
        found = find_tables(model, self.table)
        return found if self.table is not None else [table for table in found if table.embedding] or found


@dataclass(frozen=True)
class EmbeddingUniform(TableRecipe):
    """Poincaré embeddings that start in a tiny cube about the origin.

    Each coordinate is uniform in ±r/√c, r = 10⁻³ in the paper and 10⁻⁴ in its code, which both take c = 1. A padding
    row is the origin.

    Args:
        bound: r as the ``paper`` has it or as its ``code`` does.
        table: glob over names of tensors; None takes all embeddings on a ball, a name takes plain tables too.
        c: curvature of a plain table; None is 1 there, and the manifold's elsewhere.

    Source: Nickel, Kiela, Poincaré Embeddings for Learning Hierarchical Representations, NeurIPS 2017
    (arXiv 1705.08039).
    """

    bibtex: ClassVar[str] = NICKEL

    bound: Literal["paper", "code"] = "paper"

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each table.

        Args:
            model: with embeddings on a Poincaré ball.
        """
        for table in self.tables(model):
            curvature = table.curvature(self.c)
            r = BOUNDS[self.bound] / math.sqrt(curvature.c)
            draw = Uniform(-r, r)
            if table.padding is not None:
                bounds = torch.full((table.rows, 1), r, dtype=torch.float64)
                bounds[table.padding] = 0.0
                draw = Uniform(-bounds, bounds)
            yield Fill(table.name, draw, why=f"r/√c with r = {BOUNDS[self.bound]:g}, {curvature.words}")
