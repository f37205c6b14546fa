"""Starts for embedding tables from a partition of the graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import Fill, Item, Job, JobContext, NeedError, OptionError, Recipe, Set
from initkit_gnn.block_embedding import abstract_graph, embedded
from initkit_gnn.embedding_tables import Tables, claimed_tables, find_tables
from initkit_gnn.graph import Graph
from initkit_gnn.partition import Engine, chosen_engine, partition
from initkit_gnn.spreading import Neighbourhood, Spread, grown
from initkit_gnn.undirected import undirected
from initkit_gnn.variance import round_scale

_ID = "gnn/graph_partition"


@dataclass(frozen=True)
class GraphPartition(Recipe):
    """Embedding tables that start from a partition of the graph: each node where its block is.

    1. Split the N nodes into K = ⌈√N⌉ balanced blocks with few edges between them (2d where that is below d).
    2. B, K x K: the weight of edges between blocks, each edge in both directions, those inside on the diagonal.
    3. Embed the blocks: M = log max(vol(B)/T · Σ_(r=1..T) (D⁻¹B)^r D⁻¹, 1) = U S Vᵀ with T = 5; nodes take U √S,
       contexts V √S, each scaled to mean norm 1.
    4. f_i = the vector of node i's block.
    5. f_i ← (f_i + mean of the neighbours' f_j)/2, all nodes at once, until nodes move by delta on average.
    6. Scale to mean norm ``out_norm``.

    The table is that of an ``nn.Embedding`` with N rows, such as PyG's ``Node2Vec``, or gensim's ``wv.vectors``; the
    context table (gensim's ``syn1neg``) starts the same way. With ``trained=n``, the graph has grown: the first n
    rows stay bit for bit and the rows of new nodes start from their trained neighbours by the rule of step 5; no
    blocks are made.

    A walk-based training that runs to convergence may end where it would have ended anyway: what is promised is
    speed. Directed graphs count as undirected; self-loops are left out.

    Args:
        blocks: K; None is ⌈√N⌉, see ``narrow``.
        engine: what splits: ``pymetis`` (METIS, recursive bisection), ``pymetis_kway``, ``mtkahypar`` (its
            deterministic preset: better cuts, slow), ``label_propagation`` (needs no package); ``auto`` is pymetis
            where it is installed, else label_propagation.
        embed: a function ``embed(B, d, seed)`` in place of step 3's formula; B is a SciPy CSR array, it returns
            (K, at most d) numbers, or a pair of them for nodes and contexts.
        delta: of step 5; None is 1/√N.
        max_iter: steps at most; without end, every component would collapse to one vector.
        out_norm: mean norm of the rows of both tables.
        narrow: where K < d, d being the table's width: ``raise`` makes 2d blocks (at most N/2), which is better on
            citation graphs; ``pad`` leaves K. Columns that have no values then are filled with noise.
        noise: standard deviation of the noise in padded columns, over the root mean square of the others.
        table: name of the module or tensor with the nodes' vectors; None looks for it.
        context: name of the context table, ``none``, or ``auto`` to look for it.
        trained: number of leading rows that are trained already.

    Source: Lin, He, Zhang, Cheng, Cai, Initialization for Network Embedding: A Graph Partition Approach, WSDM 2020
    (arXiv 1908.10697); the closed-form blocks (Qiu et al., WSDM 2018), context vectors and growth are our extensions.
    """

    bibtex: ClassVar[str] = """@inproceedings{lin2020initialization,
  title = {Initialization for Network Embedding: A Graph Partition Approach},
  author = {Lin, Wenqing and He, Feng and Zhang, Faqiang and Cheng, Xu and Cai, Hongyun},
  booktitle = {ACM International Conference on Web Search and Data Mining},
  year = {2020},
  eprint = {1908.10697},
  archivePrefix = {arXiv}
}"""

    blocks: Annotated[int, Ge(2)] | None = None
    engine: Engine = "auto"
    embed: Callable[..., Any] | None = None
    delta: Annotated[float, Gt(0)] | None = None
    max_iter: Annotated[int, Ge(0)] = 100
    out_norm: Annotated[float, Gt(0)] = 0.5
    narrow: Literal["raise", "pad"] = "raise"
    noise: Annotated[float, Ge(0)] = 0.01
    table: str | None = None
    context: str = "auto"
    trained: Annotated[int, Ge(1)] | None = None

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Embedding tables of models that hold nothing else, and gensim's vectors."""
        return claimed_tables(model)

    def plan(self, model: Any, *, graph: Any) -> Iterator[Item]:
        """Yield the job and a fill for each table.

        Args:
            model: with an embedding table of N rows.
            graph: whatever :meth:`initkit_gnn.Graph.of` reads.
        """
        read = Graph.of(graph)
        tables = find_tables(model, graph, read.num_nodes, self.table, self.context, self.trained)
        _check_graph(read)
        if self.trained is not None:
            yield from self._growth(read, tables, self.trained)
            return
        blocks = self._blocks(read.num_nodes, tables.shape[1])
        engine, remark = chosen_engine(self.engine)
        if remark is not None:
            warnings.warn(f"{_ID}: {remark}", stacklevel=2)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            return _Start(self, ctx, read, tables, blocks, engine, remark).run()

        job = Job("partition", run, f"splits {read.num_nodes} nodes into {blocks} blocks, embeds and spreads them")
        yield job
        how = "NetMF vectors" if self.embed is None else "given vectors"
        why = f"{how} of K = {blocks} blocks ({engine}), spread over neighbours; mean norm {self.out_norm:g}"
        yield Fill(tables.node, job["nodes"], why=why)
        if tables.context is not None:
            yield Fill(tables.context, job["contexts"], why=f"contexts: {why}")

    def _blocks(self, nodes: int, width: int) -> int:
        if self.blocks is not None:
            if self.blocks > nodes:
                raise OptionError(f"{_ID}, option blocks={self.blocks}: the graph has {nodes} nodes only")
            return self.blocks
        blocks = math.ceil(math.sqrt(nodes))
        if blocks < width and self.narrow == "raise":
            blocks = max(blocks, min(2 * width, nodes // 2))
        return blocks

    def _growth(self, graph: Graph, tables: Tables, trained: int) -> Iterator[Item]:
        nodes, rows = graph.num_nodes, tables.shape[0]
        wanted = nodes if tables.nodes is None else rows
        if trained >= wanted:
            raise OptionError(f"{_ID}, option trained={trained}: the table has no row for a new node ({wanted} rows)")
        names = [name for name in (tables.node, tables.context) if name is not None]
        resize = (wanted, tables.shape[1]) if rows != wanted else None

        def run(ctx: JobContext) -> dict[str, Tensor]:
            return _grow(self, ctx, graph, tables, trained, names)

        job = Job("grow", run, f"starts {wanted - trained} new rows from their trained neighbours")
        yield job
        why = f"the first {trained} rows stay, {wanted - trained} new ones start from their neighbours"
        for name in names:
            yield Fill(name, job[name], why=why, resize=resize)
        for _, module in tables.modules if resize else ():
            path = f"{module}.num_embeddings" if module else "num_embeddings"
            yield Set(path, wanted, why="rows for the new nodes")


def _check_graph(graph: Graph) -> None:
    """Refuse graphs that have no partition worth the name.

    Raises:
        NeedError: fewer than 4 nodes, or no edge between different nodes.
    """
    if graph.num_nodes < 4:
        raise NeedError(f"graph: it has {graph.num_nodes} nodes; a start from its partition needs at least 4")
    source, target = graph.edge_index
    joins = source != target
    if graph.edge_weight is not None:
        joins &= graph.edge_weight.to(joins.device) > 0
    if not bool(joins.any()):
        raise NeedError("graph: it has no edges between different nodes; a start from its partition needs some")


class _Start:
    """The job of a new table."""

    def __init__(
        self,
        options: GraphPartition,
        ctx: JobContext,
        graph: Graph,
        tables: Tables,
        blocks: int,
        engine: str,
        remark: str | None,
    ) -> None:
        self._options, self._ctx, self._tables, self._engine = options, ctx, tables, engine
        self._graph, self._count = undirected(graph), blocks
        self._remarks = [*([remark] if remark else []), *self._graph.notes]

    def run(self) -> dict[str, Tensor]:
        """Return the tables by ``nodes`` and ``contexts``; notes the partition and the steps."""
        ctx, tables, graph = self._ctx, self._tables, self._graph
        found = partition(graph, self._count, self._engine, ctx.stream("partition"))
        self._remarks += found.notes
        abstract = abstract_graph(graph, found.block, found.count)
        vectors, contexts = embedded(abstract, tables.shape[1], self._options.embed, ctx.stream("embed"))
        dtype = torch.float64 if tables.dtype == torch.float64 else torch.float32
        device = torch.device("cpu") if ctx.device.type == "mps" else ctx.device  # norms are summed in float64
        around = Neighbourhood(graph, found.block, device, dtype)
        block = torch.from_numpy(found.block)
        results, rows = {}, []
        for key, given in (("nodes", vectors), ("contexts", contexts)):
            if key == "contexts" and tables.context is None:
                continue
            if given is None:
                assert tables.context is not None
                ctx.keep(tables.context, "embed gave no context vectors")
                continue
            spread = self._spread(around, torch.from_numpy(given).to(dtype)[block], key)
            results[key] = self._finished(spread.vectors, key)
            rows.append(
                {
                    "table": tables.node if key == "nodes" else tables.context,
                    "columns": given.shape[1],
                    "steps": len(spread.changes),
                    "last_change": round_scale(spread.changes[-1]) if spread.changes else None,
                    "delta": round_scale(self._delta()),
                }
            )
        self._note(found, rows)
        return results

    def _delta(self) -> float:
        return self._options.delta or 1 / math.sqrt(self._graph.num_nodes)

    def _spread(self, around: Neighbourhood, start: Tensor, key: str) -> Spread:
        words = f"spreading the vectors of {key}"
        spread = around.spread(start, self._delta(), self._options.max_iter, self._ctx.progress, words)
        if spread.changes and spread.changes[-1] > self._delta():
            self._remarks.append(f"{words} ended at max_iter={self._options.max_iter}, before a change of delta")
        return spread

    def _finished(self, vectors: Tensor, key: str) -> Tensor:
        """Pad to the table's width, scale, and put into the order of the table's rows."""
        width = self._tables.shape[1]
        if vectors.shape[1] < width:
            vectors = torch.cat((vectors, self._padding(vectors, width - vectors.shape[1], key)), dim=1)
        mean = torch.linalg.vector_norm(vectors, dim=1).sum(dtype=torch.float64) / len(vectors)
        vectors = vectors * round_scale(self._options.out_norm / float(mean))
        if self._tables.nodes is not None:
            vectors = vectors[torch.from_numpy(self._tables.nodes).to(vectors.device)]
        return vectors

    def _padding(self, vectors: Tensor, columns: int, key: str) -> Tensor:
        """Small noise, another number for each node: vectors of blocks alone could not make more columns differ."""
        if key == "nodes":
            self._remarks.append(f"{columns} of {columns + vectors.shape[1]} columns have no block vectors: noise")
        rms = math.sqrt(float(vectors.square().mean(dtype=torch.float64)))
        normals = self._ctx.stream(f"noise {key}").normals(0, len(vectors) * columns).reshape(-1, columns)
        return torch.from_numpy(normals * round_scale(rms * self._options.noise)).to(vectors)

    def _note(self, found: Any, rows: list[dict[str, Any]]) -> None:
        partitioned = {
            "engine": found.engine,
            "blocks": found.count,
            "cut": round_scale(found.cut),
            "imbalance": round_scale(found.imbalance),
        }
        self._ctx.note(f"{_ID} partition", [partitioned])
        self._ctx.note(f"{_ID} spreading", rows)
        _remark(self._ctx, self._remarks)


def _remark(ctx: JobContext, remarks: list[str]) -> None:
    if remarks:
        ctx.note(f"{_ID} remarks", [{"remark": remark} for remark in remarks])


def _grow(
    options: GraphPartition, ctx: JobContext, graph: Graph, tables: Tables, trained: int, names: list[str]
) -> dict[str, Tensor]:
    """The job of a grown graph: tables by name, whose first rows have the bits they had."""
    plain = undirected(graph)
    size = plain.num_nodes
    row_of = np.arange(size) if tables.nodes is None else tables.nodes
    known = np.zeros(size, bool)
    known[row_of[:trained]] = True
    results, rows = {}, []
    delta = options.delta or 1 / math.sqrt(size)
    for name in names:
        old = ctx.read(name).cpu()[:trained]
        dtype = torch.float64 if old.dtype == torch.float64 else torch.float32
        before = torch.zeros(size, old.shape[1], dtype=dtype)
        before[torch.from_numpy(row_of[:trained])] = old.to(dtype)
        after, has, steps = grown(plain, before, known, delta, options.max_iter)
        lost = np.flatnonzero(~has)
        if len(lost):
            std = round_scale(math.sqrt(float(old.double().square().mean())))
            drawn = ctx.stream(f"new {name}").normals(0, size * old.shape[1]).reshape(size, -1)
            after[torch.from_numpy(lost)] = torch.from_numpy(std * drawn[lost]).to(dtype)
        results[name] = torch.cat((old, after[torch.from_numpy(row_of[trained:])].to(old.dtype)))
        unreached = int((~has[row_of[trained:]]).sum())
        rows.append(
            {"table": name, "trained": trained, "new": len(row_of) - trained, "unreached": unreached, "steps": steps}
        )
    ctx.note(f"{_ID} growth", rows)
    remarks = list(plain.notes)
    if rows[0]["unreached"]:
        remarks.append("nodes without a path to a trained one start from noise as large as the trained rows")
    _remark(ctx, remarks)
    return results
