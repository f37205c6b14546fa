"""Random feature propagation: positional features from a few products with the graph."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from initkit import Item, Job, JobContext, Output, Recipe, Stream, recipe
from initkit_gnn.propagated import Filter, Precision, Propagation, Scale, propagated, starts
from initkit_gnn.propagation import Norm
from initkit_gnn.resampling import RFP, draw_name
from initkit_gnn.rni import check_model
from initkit_gnn.segments import read_graphs


@dataclass(frozen=True)
class Rfp(Recipe):
    """Random features propagated through the graph: the way of a power iteration as positional features.

    With S the graph's operator and R_0 standard normal (N × width),

        R_p = norm(S R_(p-1)),  p = 1..P;   features = [R_0 | R_1 | ... | R_P]

    From R_0, which tells nodes apart, to R_P near the top eigenvectors, which say where in the graph a node is.
    ``filter="chebyshev"`` gives one block instead: R_0 through the Chebyshev polynomial of degree P that grows above
    a cutoff in S's spectrum, then the norm. At the same P products it comes closer to the top eigenvectors.

    Every graph of a batch is normalised by itself. Where a graph has fewer independent columns than asked for, the
    rest is 0, with a warning. The output is ``propagated_features``.

    Args:
        width: k, the columns of a block.
        steps: P, the products with S.
        operator: ``gcn`` D^-1/2 (A+I) D^-1/2; ``adj`` A (on a bipartite graph its power iteration swings between two
            limits); ``rw`` D^-1 A; ``lap_shift`` I - L/2.
        matrix: an operator of one's own in its place: a function from the graph to a sparse matrix (N, N).
        norm: ``qr``: orthonormal columns (simultaneous iteration), signs by a positive triangular diagonal; ``l2``:
            each column divided by its length (power iteration).
        include_r0: whether R_0 is among the columns; null: yes with ``power``, no with ``chebyshev``.
        scale: ``sqrt_n`` multiplies R_1 .. R_P by √N, so that entries are of size 1 in any graph; ``none``.
        trajectories: B, independent ones; more than one make a tensor (N, B, columns).
        filter: ``power`` (the paper's trajectory) or ``chebyshev``.
        cutoff: of the Chebyshev filter, below 1 = the top of the spectrum; ``auto``: as high as leaves the top of
            the spectrum a hundred times the energy of all below, with two eigenvalues for each column above it by a
            density estimate of 20 Lanczos steps.
        precision: of the products; ``auto`` is float64 up to 2²² entries of R, else float32 (lengths, QR and factors
            are in float64 always).

    Source: Eliasof, Frasca, Bevilacqua, Treister, Chechik, Maron, Graph Positional Encoding via Random Feature
    Propagation, ICML 2023 (arXiv 2303.02918); the Chebyshev filter is our addition.
    """

    bibtex: ClassVar[str] = """@inproceedings{eliasof2023graph,
  title = {Graph Positional Encoding via Random Feature Propagation},
  author = {Eliasof, Moshe and Frasca, Fabrizio and Bevilacqua, Beatrice and Treister, Eran and Chechik, Gal and
    Maron, Haggai},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2303.02918},
  archivePrefix = {arXiv}
}"""

    width: Annotated[int, Ge(1)] = 16
    steps: Annotated[int, Ge(1)] = 16
    operator: Literal["gcn", "adj", "rw", "lap_shift"] = "gcn"
    matrix: Callable[[Any], Any] | None = None
    norm: Norm = "qr"
    include_r0: bool | None = None
    scale: Scale = "sqrt_n"
    trajectories: Annotated[int, Ge(1)] = 1
    filter: Filter = "power"
    cutoff: Literal["auto"] | Annotated[float, Gt(-1), Lt(1)] = "auto"
    precision: Precision = "auto"

    def check(self) -> None:
        """Check the options; a cutoff goes with the Chebyshev filter."""
        super().check()
        self.settings()

    def settings(self) -> Propagation:
        """The options as settings of the computation."""
        return Propagation(
            self.width,
            self.steps,
            self.operator if self.matrix is None else self.matrix,
            self.norm,
            self.include_r0,
            self.scale,
            self.trajectories,
            self.filter,
            self.cutoff,
            self.precision,
        )

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """None: features are no tensors of the model."""
        return []

    def plan(self, model: nn.Module, *, graph: Any) -> Iterator[Item]:
        """Yield the computing job and the features as an output.

        Args:
            model: any with parameters; it is not written to.
            graph: whatever :meth:`initkit_gnn.Graph.of` reads; the graphs of a batch or list count one by one.
        """
        check_model(model, "gnn/rfp")
        read, segments = read_graphs(graph)
        settings = self.settings()
        shape = settings.shape(read.num_nodes)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            stream = ctx.stream("draw0")
            found, seen = propagated(
                read,
                segments,
                settings,
                starts(settings, stream, segments),
                stream,
                device=ctx.device,
                progress=ctx.progress,
            )
            warning = seen.warning(self.width)
            if warning:
                warnings.warn(f"gnn/rfp: {warning}", stacklevel=2)
                ctx.note("gnn/rfp remarks", [{"remark": warning}])
            if seen.cutoffs:
                ctx.note("gnn/rfp cutoff", [{"graph": i, "cutoff": value} for i, value in enumerate(seen.cutoffs)])
            return {"features": found}

        graphs = f" of {segments.count} graphs" if segments.count > 1 else ""
        name = self.operator if self.matrix is None else "a given matrix"
        how = f"{self.steps} products with {name}{graphs}"
        if self.filter == "chebyshev":
            how = f"a Chebyshev filter of {how}, cutoff {self.cutoff}"
        job = Job("rfp", run, f"{how}, norm {self.norm}")
        yield job
        yield Output("propagated_features", job["features"], shape, why=self._why(settings))

    def _why(self, settings: Propagation) -> str:
        first = "R_0 and " if settings.has_r0 else ""
        what = "the filtered block" if self.filter == "chebyshev" else f"R_1..R_{self.steps}"
        return f"{first}{what}, {self.width} columns each{', times √N' if self.scale == 'sqrt_n' else ''}"


def propagate_features(
    graph: Any, *, seed: int = 0, out: Any = None, device: torch.device | str | None = None, **options: Any
) -> Any:
    """Compute propagated features without a model: what recipe ``gnn/rfp`` makes, also larger than memory.

    Args:
        graph: whatever :meth:`initkit_gnn.Graph.of` reads, also a ``StreamedGraph``.
        seed: of the streams.
        out: an array or tensor to write to, such as ``numpy.lib.format.open_memmap(path, "w+", shape=...)``; None
            makes a float32 tensor.
        device: where to compute; None is the graph's.
        options: those of the recipe; ``operator`` may also be whatever :func:`initkit_gnn.operators.operator` takes: a
            sparse matrix, a pair of functions, an ``Operator``.

    Returns:
        ``out``, or a tensor (N, columns), with several trajectories (N, trajectories, columns).
    """
    settings = settings_of(options)
    read, segments = read_graphs(graph)
    stream = Stream(seed, draw_name(0, RFP))
    where = None if device is None else torch.device(device)
    blocks = starts(settings, stream, segments)
    found, seen = propagated(read, segments, settings, blocks, stream, device=where, out=out)
    warning = seen.warning(settings.width)
    if warning:
        warnings.warn(f"gnn/rfp: {warning}", stacklevel=2)
    return found


def settings_of(options: dict[str, Any]) -> Propagation:
    """Check options by name; the operator may also be a matrix, an ``Operator`` or a pair of functions."""
    own = options.get("operator", "gcn")
    named = isinstance(own, str)
    rest = {name: value for name, value in options.items() if named or name != "operator"}
    made = recipe("gnn/rfp", **rest)
    assert isinstance(made, Rfp)
    return made.settings() if named else dataclasses.replace(made.settings(), operator=own)
