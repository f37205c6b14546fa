"""Tree embeddings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import nn

from initkit import Fill, Item, Job, JobContext, NeedError, OptionError, PlanError
from initkit.errors import listed
from initkit_poincare.distortion import measured
from initkit_poincare.edges import Ints
from initkit_poincare.embedding_uniform import TableRecipe
from initkit_poincare.planning import ROOM, check_scale, largest_scale, scale_by_rule, scale_for
from initkit_poincare.tables import Table, fitted
from initkit_poincare.tree_embedding import Children, embed_tree
from initkit_poincare.trees import Cycles, Forest, Tree
from initkit_poincare.wrapped_normal import DEFAULT_RADIUS, WrappedNormalPoints, std_of_radius


@dataclass(frozen=True)
class Sarkar(TableRecipe):
    """Embedding tables that start from a tree: every edge equally long, branches as far apart as can be.

    Breadth first from the root at the origin: about a node x with parent p, directions s_0..s_q as far apart as can be
    (equal angles in the plane; a regular simplex or cross-polytope in more dimensions; optimised beyond) are turned so
    that s_0 points to the parent, and child i is x ⊕ tanh(τℓ_i/2) s_i. Every edge of length ℓ is then τℓ/√c long,
    exactly. The larger τ, the smaller the distortion, and the farther out the leaves lie.

    Without ``tau``, τ is 0.98 of the largest that the table's dtype and its library's projection hold, so that no
    projection moves a point. Up to radius 15 float64 is exact enough; beyond, as many decimal digits are used as the
    radius asks for. What came out (average and worst-case distortion, mean average precision) is in the report, beside
    the largest τ of the table and an estimate of the τ at which the worst-case distortion would be 1.1.

    Args:
        tau: length of an edge of length 1, at c = 1; None is the largest that fits.
        epsilon: takes τ from the rule for the plane that bounds the worst-case distortion by 1 + epsilon.
        root: a node, ``center`` (least height, so the largest τ) or ``first``.
        children: their order around a node: ``spread`` keeps large subtrees apart, ``given`` goes by number.
        cycles: for a graph that is no tree: ``error``; ``first_parent`` keeps each child's first edge (child, parent);
            ``bfs_tree`` shortest paths from the centre.
        forest: for several trees: ``error``, or ``virtual_root`` joins their centres at a node that is in no row.
        forest_gap: length of the joining edges.
        extra: rows without a node: ``keep``, or ``wrapped_normal`` points about the origin.
        table: name of the tensor, where there are several, or a plain one.
        c: curvature of a plain table; None is 1 there, and the manifold's elsewhere.
        clamp: ε of the projection to norms of (1-ε)/√c; None is the library's, 0 none.

    Source: Sarkar, Low Distortion Delaunay Embedding of Trees in Hyperbolic Plane, GD 2011; Sala, De Sa, Gu, Ré,
    Representation Tradeoffs for Hyperbolic Embeddings, ICML 2018 (arXiv 1804.03329); van Spengler, Mettes,
    Low-distortion and GPU-compatible Tree Embeddings in Hyperbolic Space, ICML 2025 (arXiv 2502.17130).
    """

    bibtex: ClassVar[str] = """@inproceedings{sala2018representation,
  title = {Representation Tradeoffs for Hyperbolic Embeddings},
  author = {Sala, Frederic and De Sa, Chris and Gu, Albert and R{\\'e}, Christopher},
  booktitle = {International Conference on Machine Learning},
  year = {2018},
  eprint = {1804.03329},
  archivePrefix = {arXiv}
}"""

    tau: Annotated[float, Gt(0)] | None = None
    epsilon: Annotated[float, Gt(0)] | None = None
    root: int | str = "center"
    children: Children = "spread"
    cycles: Cycles = "error"
    forest: Forest = "error"
    forest_gap: Annotated[float, Gt(0)] = 1.0
    extra: Literal["keep", "wrapped_normal"] = "keep"
    clamp: Annotated[float, Ge(0)] | None = None

    def check(self) -> None:
        """Refuse two scales at once."""
        super().check()
        if self.tau is not None and self.epsilon is not None:
            raise OptionError(f"recipe {self.id}: tau={self.tau} and epsilon={self.epsilon}: give one of them")

    def plan(self, model: nn.Module, *, tree: Any, nodes: Sequence[Any] | None = None) -> Iterator[Item]:
        """Yield the embedding job and a fill of the table.

        Args:
            model: with an embedding on a Poincaré ball.
            tree: whatever :meth:`initkit_poincare.Tree.of` reads.
            nodes: the node of each row; None takes whole numbers as rows, other nodes in the order of the edges.
        """
        table = self._table(model)
        read = Tree.of(tree, root=self.root, cycles=self.cycles, forest=self.forest, forest_gap=self.forest_gap)
        numbers, rows = _rows(read, table, nodes)
        curvature = table.curvature(self.c)
        tau = self._tau(read, table)
        remarks = [*read.notes, *([f"{table.name}: {curvature.words}"] if curvature.learnable else [])]
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        reach = tau * read.height / math.sqrt(curvature.c)

        def embed(ctx: JobContext) -> dict[str, torch.Tensor]:
            return {"table": self._embedded(ctx, read, table, numbers, rows, tau, curvature.c, remarks)}

        job = Job("embed", embed, f"embeds a tree of {len(numbers)} nodes in {table.dim} dimensions")
        yield job
        left = table.rows - len(rows)
        spare = f"; {left} rows without a node {'keep their values' if self.extra == 'keep' else 'are wrapped normal'}"
        yield Fill(
            table.name,
            job["table"],
            why=f"tree of {len(numbers)} nodes, height {read.height:g}, τ = {tau:.5g}, radius up to {reach:.4g}, "
            f"{curvature.words}{spare if left else ''}",
        )

    def _table(self, model: Any) -> Table:
        found = self.tables(model)
        if len(found) > 1:
            raise PlanError(
                f"there are several tables: {listed(table.label for table in found)}; name one with table=..."
            )
        if found[0].dim < 2:
            raise PlanError(f"{found[0].label}: a tree needs at least 2 dimensions")
        return found[0]

    def _tau(self, tree: Tree, table: Table) -> float:
        clamp = table.clamp(self.clamp)
        if self.tau is None and self.epsilon is None:
            largest = largest_scale(tree, table.dtype, clamp)
            return ROOM * largest if math.isfinite(largest) else 1.0
        tau = self.tau if self.tau is not None else scale_by_rule(tree, self.epsilon or 1.0)
        check_scale(tree, tau, table.dtype, clamp, table.dim)
        return tau

    def _embedded(
        self,
        ctx: JobContext,
        tree: Tree,
        table: Table,
        numbers: Ints,
        rows: Ints,
        tau: float,
        c: float,
        remarks: Sequence[str],
    ) -> torch.Tensor:
        points, used = embed_tree(
            tree, table.dim, tau, children=self.children, seed=ctx.stream("embed").integer_seed(), device=ctx.device
        )
        limit = table.largest_radius(self.clamp)
        made = fitted(torch.from_numpy(points[numbers]) / math.sqrt(c), c, limit, table.dtype)
        whole = self._others(ctx, table, c, limit, covered=len(rows) == table.rows)
        whole[torch.from_numpy(rows)] = made.to(whole.device)
        placed = torch.zeros(len(tree), table.dim, dtype=torch.float64)
        placed[torch.from_numpy(numbers)] = made.to(torch.float64)
        found = measured(tree, placed, tau, c, seed=ctx.seed, device=ctx.device)
        largest, wanted = largest_scale(tree, table.dtype, table.clamp(self.clamp)), scale_for(tree, table.dim, 0.1)
        ctx.note(
            f"{self.id} embedding",
            [
                {
                    "nodes": len(numbers),
                    "dimensions": table.dim,
                    "root": str(tree.nodes[tree.root]),
                    "height": tree.height,
                    "tau": float(f"{tau:.7g}"),
                    "largest_radius": float(f"{tau * tree.height / math.sqrt(c):.7g}"),
                    "curvature": float(f"{c:.7g}"),
                    "computed_with": used.words,
                    **found.row(),
                    "largest_tau": float(f"{largest:.5g}") if math.isfinite(largest) else None,
                    "tau_for_d_wc_1.1": float(f"{wanted:.4g}"),
                }
            ],
        )
        if remarks:
            ctx.note(f"{self.id} remarks", [{"remark": remark} for remark in remarks])
        return whole

    def _others(self, ctx: JobContext, table: Table, c: float, limit: float, *, covered: bool) -> torch.Tensor:
        if covered:
            return torch.zeros(table.rows, table.dim, dtype=table.dtype)
        if self.extra == "keep":
            return ctx.read(table.name)
        std = torch.tensor(std_of_radius(DEFAULT_RADIUS / math.sqrt(c), table.dim), dtype=torch.float64)
        return ctx.sample(WrappedNormalPoints(std, c, None, limit, table.padding), table.name)


def _rows(tree: Tree, table: Table, nodes: Sequence[Any] | None) -> tuple[Ints, Ints]:
    """Numbers of the tree's nodes, the virtual root aside, and the row of each."""
    numbers = np.flatnonzero(np.arange(len(tree)) != tree.virtual)
    whole = all(isinstance(tree.nodes[i], (int, np.integer)) for i in numbers)
    if nodes is not None:
        rows = _said_rows(tree, numbers, list(nodes))
    elif whole:
        rows = np.array([int(tree.nodes[i]) for i in numbers], dtype=np.int64)  # type: ignore[call-overload]
    else:
        rows = np.arange(len(numbers), dtype=np.int64)
    if len(rows) > table.rows or (len(rows) and int(rows.max()) >= table.rows):
        most = int(rows.max())
        named = f", and node {most} asks for row {most}" if whole and nodes is None and most >= len(rows) else ""
        raise PlanError(
            f"{table.label}: the tree has {len(rows)} nodes{named}, the table {table.rows} rows; make the table larger"
            f"{', or say the node of each row: nodes=[...]' if named else ''}"
        )
    if whole and nodes is None and len(rows) and int(rows.min()) < 0:
        raise NeedError(f"tree: node {int(rows.min())} is no row; say the node of each row: nodes=[...]")
    return numbers, rows


def _said_rows(tree: Tree, numbers: Ints, nodes: list[Any]) -> Ints:
    place: dict[Any, int] = {}
    for row, node in enumerate(nodes):
        if node in place:
            raise NeedError(f"nodes: {node!r} stands in rows {place[node]} and {row}; each node has one row")
        place[node] = row
    missing = [tree.nodes[i] for i in numbers if tree.nodes[i] not in place]
    if missing:
        raise NeedError(
            f"nodes: {listed(str(node) for node in missing)} of the tree {'have' if len(missing) > 1 else 'has'} no row"
        )
    return np.array([place[tree.nodes[i]] for i in numbers], dtype=np.int64)
