"""Random node initialisation: features that tell nodes apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from torch import nn

from initkit import Draw, Item, Output, PlanError, Recipe, Values
from initkit.draws import Blocks
from initkit_gnn.random_columns import Distribution, Fan, RandomColumns, Ratio, Width, dense
from initkit_gnn.resampling import draw_name
from initkit_gnn.segments import read_graphs


@dataclass(frozen=True)
class Rni(Recipe):
    """Random node features: columns that let message passing tell nodes apart.

    Message passing cannot tell two graphs apart that colour refinement (the Weisfeiler-Leman test) cannot. With
    random features it can, in expectation still invariant to the order of nodes:

        features = [X | R],  R of k = int(ratio · width) columns, X as it is;  ratio = 1: R alone

    The output ``random_features`` is one draw, for tools without Python and for caching. What the paper asks for
    is a new draw at every forward pass: wrap the model in ``initkit_gnn.WithRandomFeatures``, or put the transform
    ``initkit_gnn.RandomNodeFeatures`` before it; ``initkit_gnn.wl_check`` tells whether a data set needs it.

    Args:
        width: K, of which int(ratio · width) columns are random.
        ratio: the random share; 1 replaces the features (the authors' default), less extends them.
        distribution: N(0, 1), U(-1, 1), or Xavier's with the nodes of a graph and k as fans.
        fan: Xavier's number of nodes: of each ``graph``, or of the whole ``batch`` (the authors'), where the scale
            depends on how many graphs happen to be in a batch.
        draws: how many independent draws to make; more than one make a tensor (draws, N, columns).

    Source: Abboud, Ceylan, Grohe, Lukasiewicz, The Surprising Power of Graph Neural Networks with Random Node
    Initialization, IJCAI 2021 (arXiv 2010.01179).
    """

    bibtex: ClassVar[str] = """@inproceedings{abboud2021surprising,
  title = {The Surprising Power of Graph Neural Networks with Random Node Initialization},
  author = {Abboud, Ralph and Ceylan, {\\.I}smail {\\.I}lkan and Grohe, Martin and Lukasiewicz, Thomas},
  booktitle = {International Joint Conference on Artificial Intelligence},
  year = {2021},
  eprint = {2010.01179},
  archivePrefix = {arXiv}
}"""

    width: Width = 64
    ratio: Ratio = 0.5
    distribution: Distribution = "normal"
    fan: Fan = "graph"
    draws: Annotated[int, Ge(1)] = 1

    def check(self) -> None:
        """Check the options; at least one column must be random."""
        super().check()
        self._columns()

    def _columns(self) -> RandomColumns:
        return RandomColumns(self.width, self.ratio, self.distribution, self.fan)

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """None: features are no tensors of the model."""
        return []

    def plan(self, model: nn.Module, *, graph: Any) -> Iterator[Item]:
        """Yield the features as an output.

        Args:
            model: any with parameters; it is not written to.
            graph: whatever :meth:`initkit_gnn.Graph.of` reads; the graphs of a batch or list count one by one.
        """
        check_model(model, "gnn/rni")
        read, segments = read_graphs(graph)
        columns = self._columns()
        draw: Draw = columns.draw(segments)
        words = f"{columns.count} random columns"
        blocks: list[tuple[Any, Draw]] = []
        own = 0
        if self.ratio < 1 and read.x is not None:
            x = dense(read.x.detach(), read.num_nodes, read.x.dtype).cpu()
            own = x.shape[1]
            words = f"{own} columns of x, then {words}"
            copy: Any = Values(x.float(), "x")
            places = [(slice(None), slice(0, own))]
            if self.draws > 1:
                places = [(j, slice(None), slice(0, own)) for j in range(self.draws)]  # type: ignore[misc]
            blocks = [(place, copy) for place in places]
        shape: tuple[int, ...] = (read.num_nodes, own + columns.count)
        if self.draws > 1:
            shape = (self.draws, *shape)
            blocks += [((j, slice(None), slice(own, None)), draw.using(draw_name(j))) for j in range(self.draws)]
            words = f"{self.draws} draws of {words}"
        else:
            blocks.append(((slice(None), slice(own, None)), draw.using(draw_name(0))))
        graphs = f" over {segments.count} graphs" if segments.count > 1 else ""
        yield Output("random_features", Blocks(blocks), shape, why=f"{words}{graphs}, k = int(ρ·K), ρ = {self.ratio:g}")


def check_model(model: Any, recipe: str) -> None:
    """Refuse a model without parameters, which takes no features.

    Raises:
        PlanError: there is no parameter.
    """
    if not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        raise PlanError(f"{recipe}: {type(model).__name__} has no parameters, so it takes no node features")
