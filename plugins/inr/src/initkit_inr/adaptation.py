"""Inner loops of meta-learning: adapt parameters to a task, and what a start's gradient then is.

A task is a mapping of tensors. ``shared`` tensors (the coordinates of a grid) are those of all tasks; ``own`` ones
have the tasks along their first dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp, vmap

Params: TypeAlias = dict[str, Tensor]
Task: TypeAlias = dict[str, Tensor]
Loss: TypeAlias = Callable[[Params, Task], Tensor]
Method: TypeAlias = Literal["maml", "fomaml", "reptile"]


@dataclass(frozen=True)
class Batch:
    """Several tasks.

    Attributes:
        shared: tensors of all tasks.
        own: tensors with the tasks along dimension 0.
    """

    shared: Task
    own: Task

    @property
    def count(self) -> int:
        """How many tasks."""
        return len(next(iter(self.own.values())))

    def task(self, index: int) -> Task:
        """One of them."""
        return {**self.shared, **{name: value[index] for name, value in self.own.items()}}


@dataclass(frozen=True)
class Adaptation:
    """K steps of plain SGD on each task, and the gradient of a start for it.

    Attributes:
        loss: of parameters on one task.
        lr: of the inner steps.
        method: ``maml``: the exact gradient of the loss after the steps; ``fomaml``: that gradient where the steps
            ended; ``reptile``: from the adapted parameters to the start.
        vectorised: all tasks at once by ``torch.func.vmap``, or one after the other.
        recompute: MAML alone: hold the parameters of each step and not its graph, which is made again on the way back.
    """

    loss: Loss
    lr: float
    method: Method = "maml"
    vectorised: bool = False
    recompute: bool = False

    def gradient(self, start: Params, batches: Sequence[Batch]) -> tuple[Tensor, Params]:
        """Mean loss of the adapted parameters over the tasks, and the start's (pseudo-)gradient.

        Args:
            start: parameters by name, without a graph.
            batches: the same tasks for each inner step, and then for the outer loss; the points may differ.
        """
        if self.vectorised:
            return self._vectorised(start, batches)
        count = batches[0].count
        total = torch.zeros((), dtype=torch.float64)
        sums: Params = {}
        for index in range(count):
            loss, found = self._one(start, [batch.task(index) for batch in batches])
            total = total.to(loss.device) + loss.double()
            sums = {name: found[name] + sums[name] for name in found} if sums else found
        return total / count, {name: value / count for name, value in sums.items()}

    def adapted(self, start: Params, tasks: Sequence[Task]) -> Params:
        """The parameters after one SGD step on each of the tasks, without a graph."""
        for task in tasks:
            start = self._stepped(start, self._gradient(start, task)[1])
        return start

    def _one(self, start: Params, tasks: Sequence[Task]) -> tuple[Tensor, Params]:
        if self.method != "maml":
            return self._first_order(self.adapted(start, tasks[:-1]), start, tasks[-1])
        if self.recompute:
            return self._from_the_end(start, tasks)
        leaves = {name: value.detach().requires_grad_() for name, value in start.items()}
        ahead = leaves
        for task in tasks[:-1]:
            found = torch.autograd.grad(self.loss(ahead, task), list(ahead.values()), create_graph=True)
            ahead = self._stepped(ahead, dict(zip(ahead, found, strict=True)))
        loss = self.loss(ahead, tasks[-1])
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def _first_order(self, end: Params, start: Params, task: Task) -> tuple[Tensor, Params]:
        loss, found = self._gradient(end, task)
        return loss, found if self.method == "fomaml" else {name: start[name] - end[name] for name in start}

    def _from_the_end(self, start: Params, tasks: Sequence[Task]) -> tuple[Tensor, Params]:
        """The chain rule step by step: v_k = v_{k+1} - lr H(θ_k) v_{k+1}, from v_K = ∇L(θ_K)."""
        path = [start]
        for task in tasks[:-1]:
            path.append(self._stepped(path[-1], self._gradient(path[-1], task)[1]))
        loss, found = self._gradient(path[-1], tasks[-1])
        for params, task in zip(reversed(path[:-1]), reversed(tasks[:-1]), strict=True):
            leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
            held = list(leaves.values())
            slopes = torch.autograd.grad(self.loss(leaves, task), held, create_graph=True)
            products = torch.autograd.grad(slopes, held, [found[name] for name in leaves])
            found = self._stepped(found, dict(zip(leaves, products, strict=True)))
        return loss, found

    def _from_the_end_within_vmap(self, start: Params, tasks: Sequence[Task]) -> tuple[Tensor, Params]:
        path = [start]
        for task in tasks[:-1]:
            path.append(self._stepped(path[-1], grad(self.loss)(path[-1], task)))
        found, loss = grad_and_value(self.loss)(path[-1], tasks[-1])
        for params, task in zip(reversed(path[:-1]), reversed(tasks[:-1]), strict=True):
            (product,) = vjp(lambda p, task=task: grad(self.loss)(p, task), params)[1](found)
            found = self._stepped(found, product)
        return loss, found

    def _vectorised(self, start: Params, batches: Sequence[Batch]) -> tuple[Tensor, Params]:
        shared = [batch.shared for batch in batches]

        def tasks(own: Sequence[Task]) -> list[Task]:
            return [{**common, **mine} for common, mine in zip(shared, own, strict=True)]

        def one(own: Sequence[Task]) -> tuple[Tensor, Params]:
            *inner, last = tasks(own)
            if self.method == "maml":
                return self._from_the_end_within_vmap(start, [*inner, last])
            end = start
            for task in inner:
                end = self._stepped(end, grad(self.loss)(end, task))
            found, loss = grad_and_value(self.loss)(end, last)
            return loss, found if self.method == "fomaml" else {name: start[name] - end[name] for name in start}

        owns = [batch.own for batch in batches]
        if self.method == "maml" and not self.recompute:
            leaves = {name: value.detach().requires_grad_() for name, value in start.items()}
            losses = vmap(lambda own: self._after(leaves, tasks(own)))(owns)
            mean = losses.double().mean()
            return mean.detach(), dict(zip(leaves, torch.autograd.grad(mean, list(leaves.values())), strict=True))
        losses, found = vmap(one)(owns)
        return losses.double().mean(), {name: value.mean(0) for name, value in found.items()}

    def _after(self, start: Params, tasks: Sequence[Task]) -> Tensor:
        for task in tasks[:-1]:
            start = self._stepped(start, grad(self.loss)(start, task))
        return self.loss(start, tasks[-1])

    def _gradient(self, params: Params, task: Task) -> tuple[Tensor, Params]:
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        loss = self.loss(leaves, task)
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def _stepped(self, params: Mapping[str, Tensor], direction: Mapping[str, Tensor]) -> Params:
        return {name: torch.add(value, direction[name], alpha=-self.lr) for name, value in params.items()}
