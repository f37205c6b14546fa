"""What a model is trained for: labels, the split, loss, score, and the score of not looking at the features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from initkit import NeedError
from initkit_gnn.reading import as_tensor

Task = Literal["classes", "labels", "values"]
SCORES = {"classes": "accuracy", "labels": "share of the loss explained", "values": "R²"}


@dataclass(frozen=True)
class Supervision:
    """Labels and a split of the nodes.

    Attributes:
        task: ``classes`` (one of C for each node), ``labels`` (0 or 1 for each of several), ``values`` (numbers).
        y: int64 (N,) for classes, else float64 (N, width).
        train, val: node numbers, int64, on the CPU.
    """

    task: Task
    y: Tensor
    train: Tensor
    val: Tensor

    @property
    def width(self) -> int:
        """The least number of outputs that the labels need; for two classes 1 will do."""
        if self.task == "classes":
            top = int(self.y[torch.cat((self.train, self.val))].max()) + 1
            return 1 if top == 2 else top
        return self.y.shape[1]

    def check_outputs(self, outputs: Tensor, rows: int) -> None:
        """Refuse outputs that do not fit the labels.

        Raises:
            NeedError: names both shapes.
        """
        shape = tuple(outputs.shape)
        if outputs.ndim not in (1, 2) or len(outputs) != rows:
            raise NeedError(
                f"graph: the model gives shape {shape} for {rows} nodes; an MLP start needs one row of outputs for "
                "each node (a model that pools nodes into graphs has no such labels)"
            )
        width = 1 if outputs.ndim == 1 else shape[1]
        fits = width >= self.width if self.task == "classes" else width == self.width
        if self.task == "classes" and width == 1 and self.width > 1:
            fits = False
        if not fits:
            what = (
                f"classes up to {self.width - 1}" if self.task == "classes" else f"{self.width} columns ({self.task})"
            )
            raise NeedError(f"graph: y has {what}, but the model gives {width} outputs for each node; make them agree")

    def loss(self, outputs: Tensor, nodes: Tensor) -> Tensor:
        """Cross-entropy, binary cross-entropy or squared error, mean over the nodes."""
        y = self.y[nodes].to(outputs.device)
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        if self.task == "values":
            return functional.mse_loss(outputs, y.to(outputs.dtype))
        if self.task == "classes" and outputs.shape[1] > 1:
            return functional.cross_entropy(outputs, y)
        return functional.binary_cross_entropy_with_logits(outputs, y.view(outputs.shape).to(outputs.dtype))

    def score(self, outputs: Tensor, nodes: Tensor) -> float:
        """Accuracy of classes; else the share of the best constant's loss that is explained (R² for values)."""
        if self.task == "classes":
            y = self.y[nodes].to(outputs.device)
            flat = outputs.ndim == 1 or outputs.shape[1] == 1
            found = (outputs.reshape(-1) > 0).long() if flat else outputs.argmax(1)
            return float((found == y).double().mean())
        return 1 - float(self.loss(outputs.double(), nodes)) / self._loss_of_a_constant(nodes)

    def chance(self) -> float:
        """The validation score of the best guess that does not look at the features."""
        if self.task != "classes":
            return 0.0
        common = int(torch.bincount(self.y[self.train]).argmax())
        return float((self.y[self.val] == common).double().mean())

    def threshold(self, margin: float) -> float:
        """The score below which the MLP is near chance.

        Args:
            margin: the part of the way from chance to a perfect score that it must have gone. For classes at least
                two standard errors of chance itself, since few validation nodes tell little.
        """
        chance = self.chance()
        wanted = margin * (1 - chance)
        if self.task == "classes":
            wanted = max(wanted, 2 * math.sqrt(chance * (1 - chance) / len(self.val)))
        return chance + wanted

    def _loss_of_a_constant(self, nodes: Tensor) -> float:
        mean = self.y[self.train].mean(0).expand(len(nodes), -1)
        y = self.y[nodes]
        loss = functional.mse_loss(mean, y) if self.task == "values" else functional.binary_cross_entropy(mean, y)
        return max(float(loss), 1e-12)


def read_supervision(given: Any, num_nodes: int, task: Task | Literal["auto"]) -> Supervision:
    """Read labels and split from a PyG ``Data`` or a mapping.

    Args:
        given: with ``y`` and ``train_mask``, ``val_mask`` (or ``train_idx``, ``val_idx``).
        num_nodes: N.
        task: ``auto`` tells it from the labels: whole numbers (N,) are classes, zeros and ones (N, width) are labels,
            other floats are values.

    Raises:
        NeedError: something is missing, or the labels tell nothing.
    """
    found = _get(given, "y")
    if found is None:
        raise NeedError("graph: it has no labels y; an MLP start is trained on labelled nodes (give a PyG Data with y)")
    y = as_tensor(found, "y").detach().cpu()
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2) or len(y) != num_nodes:
        raise NeedError(f"graph: y has shape {tuple(y.shape)}, but there are {num_nodes} nodes: one label for each")
    train, val = (_split(given, which, num_nodes) for which in ("train", "val"))
    both = int(torch.isin(train, val).sum())
    if both:
        raise NeedError(f"graph: {both} nodes are both in train and val; keep the validation nodes apart")
    used = torch.cat((train, val))
    task = _task(y, used) if task == "auto" else task
    y = _checked(y, used, task)
    if bool((y[train] == y[train][0]).all()):
        what = "all training nodes have the same label" if task != "values" else "y is constant on the training nodes"
        raise NeedError(f"graph: {what}; there is nothing to learn")
    return Supervision(task, y, train, val)


def _get(given: Any, name: str) -> Any:
    return given.get(name) if hasattr(given, "get") else getattr(given, name, None)


def _split(given: Any, which: str, num_nodes: int) -> Tensor:
    mask, index = _get(given, f"{which}_mask"), _get(given, f"{which}_idx")
    if mask is not None:
        mask = as_tensor(mask, f"{which}_mask").cpu()
        if mask.ndim == 2:
            raise NeedError(
                f"graph: {which}_mask has shape {tuple(mask.shape)}, several splits; choose one: "
                f"data.{which}_mask = data.{which}_mask[:, 0]"
            )
        if tuple(mask.shape) != (num_nodes,) or (
            mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all())
        ):
            raise NeedError(
                f"graph: {which}_mask has shape {tuple(mask.shape)} and {mask.dtype}, expected bool ({num_nodes},)"
            )
        nodes = torch.nonzero(mask).flatten()
    elif index is not None:
        nodes = as_tensor(index, f"{which}_idx").cpu()
        if nodes.ndim != 1 or nodes.is_floating_point() or nodes.dtype == torch.bool:
            raise NeedError(
                f"graph: {which}_idx has shape {tuple(nodes.shape)} and {nodes.dtype}, expected node numbers"
            )
        nodes = torch.unique(nodes.long())
        if len(nodes) and (int(nodes[0]) < 0 or int(nodes[-1]) >= num_nodes):
            raise NeedError(
                f"graph: {which}_idx holds {int(nodes[0])} to {int(nodes[-1])}; nodes are 0 to {num_nodes - 1}"
            )
    else:
        use = "train the weights" if which == "train" else "choose the best of them (a tenth of the labelled will do)"
        raise NeedError(f"graph: it has neither {which}_mask nor {which}_idx; say which nodes {use}")
    if not len(nodes):
        raise NeedError(f"graph: {which}_mask selects no node" if mask is not None else f"graph: {which}_idx is empty")
    return nodes


def _task(y: Tensor, used: Tensor) -> Task:
    if y.ndim == 1 and not y.is_floating_point():
        return "classes"
    known = y[used]
    return "labels" if bool(((known == 0) | (known == 1)).all()) else "values"


def _checked(y: Tensor, used: Tensor, task: Task) -> Tensor:
    known = y[used]
    bad = ~torch.isfinite(known) if y.is_floating_point() else torch.zeros_like(known, dtype=torch.bool)
    if task == "classes":
        if y.ndim != 1:
            raise NeedError(f"graph: y has shape {tuple(y.shape)}, but classes are one whole number for each node")
        bad = bad | (known < 0)
        if y.is_floating_point() and bool((known[~bad] != known[~bad].floor()).any()):
            raise NeedError("graph: y holds fractions, but classes are whole numbers")
    elif task == "labels" and not bool((bad | (known == 0) | (known == 1)).all()):
        raise NeedError("graph: y holds more than zeros and ones, but labels are zeros and ones")
    missing = int(bad.reshape(len(used), -1).any(1).sum())
    if missing:
        first = int(used[np.flatnonzero(bad.reshape(len(used), -1).any(1).numpy())[0]])
        raise NeedError(
            f"graph: {missing} nodes of train and val have no label (negative or NaN), the first is node {first}; "
            "take them out of the masks"
        )
    return y.long() if task == "classes" else y.double().reshape(len(y), -1)
