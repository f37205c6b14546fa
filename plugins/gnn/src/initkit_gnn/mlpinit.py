"""A warm start: the model's own weights, trained as an MLP."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter
from torch_geometric.data import Data

from initkit import Draw, Fill, Item, Job, JobContext, Keep, NeedError, OptionError, PlanError, Recipe
from initkit_gnn.edgeless import edges_for
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer, claimed_matrices, find_layers
from initkit_gnn.mlp_training import Training
from initkit_gnn.pyg_default import PygDefault
from initkit_gnn.supervision import Supervision, Task, read_supervision

FEW_LABELS = 1000


@dataclass(frozen=True)
class MlpInit(Recipe):
    """MLP warm start: train the model's own weights on labelled nodes without edges, then hand them to the GNN.

    The MLP is the model itself, called on a graph without edges (with one self-loop a node where a layer has a weight
    of its own for neighbours), so that rows are independent and mini-batches of them cost dense products alone. Adam
    minimises the loss on the training nodes; the weights of the best validation score are kept, running statistics of
    normalisations are measured anew with one pass of the GNN, and where the MLP is near chance nothing is changed.

    Pays where labels are many and features tell much. With a few hundred labels it speeds training up less reliably
    and does not raise the final accuracy.

    Args:
        epochs: of the MLP, at most.
        patience: stops after that many epochs without a better validation score or a lower validation loss.
        lr: learning rate of Adam; features with small entries (rows divided by their sums) want 1e-2.
        batch: rows in a mini-batch, at most.
        weight_decay: of Adam.
        start: the weights to train from: those ``present``, or ``pyg_default`` from this run's seed.
        task: ``classes``, ``labels`` (0 or 1 for each of several), ``values`` (numbers), or told from ``y``.
        margin: the MLP must go that part of the way from chance to a perfect validation score, or nothing is changed.
        edges: of the call: ``none``, one of the ``loops`` for each node, or by the kinds of the layers.
        checkpoint: a file that takes the last good state on Ctrl-C or when the loss is no number; if it exists,
            training goes on from it.

    Source: Han, Zhao, Liu, Hu, Shah, MLPInit: Embarrassingly Simple GNN Training Acceleration with MLP
    Initialization, ICLR 2023 (arXiv 2210.00102); the edgeless call, the skip and the statistics are ours.
    """

    reads_values: ClassVar[bool] = True
    bibtex: ClassVar[str] = """@inproceedings{han2023mlpinit,
  title = {MLPInit: Embarrassingly Simple GNN Training Acceleration with MLP Initialization},
  author = {Han, Xiaotian and Zhao, Tong and Liu, Yozen and Hu, Xia and Shah, Neil},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2210.00102},
  archivePrefix = {arXiv}
}"""

    epochs: Annotated[int, Ge(1)] = 50
    patience: Annotated[int, Ge(1)] = 10
    lr: Annotated[float, Gt(0)] = 1e-3
    batch: Annotated[int, Ge(2)] = 1000
    weight_decay: Annotated[float, Ge(0)] = 0.0
    start: Literal["present", "pyg_default"] = "present"
    task: Literal["auto"] | Task = "auto"
    margin: Annotated[float, Ge(0), Le(1)] = 0.1
    edges: Literal["auto", "none", "loops"] = "auto"
    checkpoint: str | None = None

    def check(self) -> None:
        """Check the options; the checkpoint's folder must exist."""
        super().check()
        if self.checkpoint is not None and not Path(os.fspath(self.checkpoint)).absolute().parent.is_dir():
            raise OptionError(f"recipe {self.id}, option checkpoint={self.checkpoint!r}: there is no such folder")

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """All parameters of a model with message-passing layers, except attention vectors."""
        if not claimed_matrices(model):
            return []
        kept = _attention(find_layers(model))
        return [name for name, p in model.named_parameters() if p.is_floating_point() and name not in kept]

    def plan(self, model: nn.Module, *, graph: Any) -> Iterator[Item]:
        """Yield the training job and a fill for each parameter and running statistic.

        Args:
            model: with message-passing layers; its forward gives a row of outputs for each node.
            graph: a PyG ``Data`` (or a mapping) with ``x``, ``edge_index``, ``y`` and ``train_mask``, ``val_mask``
                (or ``train_idx``, ``val_idx``).
        """
        layers = find_layers(model)
        _check_values(model)
        graph = _as_data(graph)
        read = Graph.of(graph)
        _check_features(read)
        labels = read_supervision(graph, read.num_nodes, self.task)
        edges, unusual = edges_for(model, layers)
        edges = edges if self.edges == "auto" else self.edges
        attention = _attention(layers)
        trained = [n for n, p in model.named_parameters() if p.is_floating_point() and n not in attention]
        draws = self._starts(model)
        facts = _facts(model, layers, read, labels, self)
        remarks = [] if len(labels.train) >= FEW_LABELS else [_few(labels)]
        if unusual and edges == "loops":
            remarks.append(f"other layers need self-loops, so {', '.join(unusual)} add each row once more")

        def run(ctx: JobContext) -> dict[str, Tensor]:
            starts = {name: ctx.sample(draws[name], name) if name in draws else ctx.read(name) for name in trained}
            return Training(self, starts, graph, read, labels, edges, ctx).run(facts, remarks)

        yield (job := Job("mlp", run, _words(facts, labels, self)))
        rate = facts["label_rate"]
        for name in trained:
            yield Fill(
                name, job[name], why=f"trained without edges on {len(labels.train)} nodes (label rate {rate:.3g})"
            )
        for name in sorted(attention):
            if name in draws:
                yield Fill(name, draws[name], why="without edges attention has no gradient: its start")
            else:
                yield Keep(name, "without edges attention has no gradient")
        for name, kind in running_statistics(model):
            if kind == "num_batches_tracked":
                yield Keep(name, "counts batches of training")
            else:
                yield Fill(name, job[name], why="measured with one pass of the GNN")

    def _starts(self, model: nn.Module) -> dict[str, Draw]:
        if self.start == "present":
            return {}
        names = {name for name, _ in model.named_parameters()}
        fills = [item for item in PygDefault().plan(model) if isinstance(item, Fill)]
        return {fill.name: fill.draw for fill in fills if fill.name in names}


def _as_data(given: Any) -> Any:
    """A mapping as a PyG ``Data``, so that its further entries reach the model too."""
    if not isinstance(given, dict) or "edge_index" not in given:
        return given
    return Data.from_dict({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in given.items()})


def running_statistics(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of the buffers in which normalisations keep running statistics, and what each is."""
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and module.running_mean is not None:
            for kind in ("running_mean", "running_var", "num_batches_tracked"):
                yield (f"{name}.{kind}" if name else kind), kind


def _attention(layers: list[Layer]) -> set[str]:
    return {layer.full(name) for layer in layers for name in layer.others if name.rpartition(".")[2].startswith("att")}


def _check_values(model: nn.Module) -> None:
    for name, parameter in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(parameter, UninitializedParameter):
            raise PlanError(f"{name} has no shape yet; run the model once on the graph")
        if parameter.is_meta:
            raise PlanError(
                f"{name} {tuple(parameter.shape)} is on the meta device, and this recipe trains the model; apply "
                "gnn/pyg_default first, in a run of its own"
            )


def _check_features(graph: Graph) -> None:
    advice = "an MLP can only memorise the nodes: use gnn/virgo or gnn/calibrated, or features such as gnn/rfp makes"
    if graph.x is None or not graph.x.numel():
        raise NeedError(f"graph: it has no features x, without which {advice}")
    if _identifies(graph.x):
        raise NeedError(f"graph: x {tuple(graph.x.shape)} only numbers the nodes (identity features), so {advice}")


def _identifies(x: Tensor) -> bool:
    """Whether the features are node numbers, or one-hot rows that are all different."""
    size = x.shape[0]
    if size < 2:
        return False
    if x.layout == torch.strided and not x.is_floating_point() and x.numel() == size:
        return len(torch.unique(x)) == size
    if x.ndim != 2 or x.shape[1] < size:
        return False
    if x.layout != torch.strided:
        coo = x.detach().to_sparse().coalesce()
        value = coo.values()
        row, column = coo.indices()[:, value != 0].unbind(0)
        value = value[value != 0]
    else:
        if int(torch.count_nonzero(x)) != size:
            return False
        row, column = torch.nonzero(x).unbind(1)
        value = x[row, column]
    return (
        len(value) == size
        and bool((value == value[0]).all())
        and len(torch.unique(row)) == size
        and len(torch.unique(column)) == size
    )


def _facts(model: nn.Module, layers: list[Layer], graph: Graph, labels: Supervision, recipe: MlpInit) -> dict[str, Any]:
    """Numbers that are known before training; costs are multiply-adds of an epoch, forward and backward."""
    weights = sum(p.numel() for p in model.parameters() if p.ndim >= 2)
    messages = sum(layer.d_out for layer in layers) * (graph.num_edges + graph.num_nodes)
    rows = len(labels.train)
    return {
        "task": labels.task,
        "nodes": graph.num_nodes,
        "training_nodes": rows,
        "validation_nodes": len(labels.val),
        "label_rate": rows / graph.num_nodes,
        "batches": math.ceil(rows / recipe.batch),
        "mlp_epoch_dense": 3 * rows * weights,
        "gnn_epoch_dense": 3 * graph.num_nodes * weights,
        "gnn_epoch_sparse": 2 * messages,
    }


def _words(facts: dict[str, Any], labels: Supervision, recipe: MlpInit) -> str:
    share = facts["mlp_epoch_dense"] / (facts["gnn_epoch_dense"] + facts["gnn_epoch_sparse"])
    few = f"; {_few(labels)}" if facts["training_nodes"] < FEW_LABELS else ""
    return (
        f"trains the model without edges on {facts['training_nodes']} of {facts['nodes']} nodes (label rate "
        f"{facts['label_rate']:.3g}), chosen by {facts['validation_nodes']}: at most {recipe.epochs} epochs of "
        f"{facts['batches']} batches, each {share:.2g} of a GNN epoch's multiply-adds{few}"
    )


def _few(labels: Supervision) -> str:
    return f"with {len(labels.train)} labels it may speed training up, but seldom raises the final accuracy"
