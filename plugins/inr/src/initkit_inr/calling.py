"""Calls of a network on copies of its parameters, and the losses of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from initkit import CommitError, JobContext, PlanError
from initkit._functional import call_with
from initkit_inr.adaptation import Params, Task
from initkit_inr.tasks import COORDS, TARGET, Tasks

TaskLoss = Callable[[nn.Module, Params, Task], Tensor]


def check_stateless(model: Any, recipe: str) -> None:
    """Refuse modules that keep statistics or draw random numbers, and parameters without shapes.

    Raises:
        PlanError: there is one; it is named.
    """
    if not isinstance(model, nn.Module):
        raise PlanError(f"recipe {recipe}: {type(model).__name__} is no nn.Module")
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, _NormBase) and module.running_mean is not None:
            raise PlanError(
                f"recipe {recipe}: {name or 'the model'} ({kind}) keeps running statistics, which adapted copies of "
                "the parameters cannot share; use LayerNorm, or track_running_stats=False"
            )
        if isinstance(module, _DropoutNd) and module.p > 0:
            raise PlanError(
                f"recipe {recipe}: {name or 'the model'} ({kind}, p = {module.p:g}) draws random numbers in each "
                "call; take it out or set p = 0"
            )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise PlanError(f"recipe {recipe}: {name} has no shape yet; run the model once on coordinates")


class Network:
    """The model as a function of its parameters.

    Args:
        ctx: of the job.
        recipe: its id, for messages.
        trained: names of the parameters that are given in each call.
        loss_fn: ``loss_fn(model, params, task)`` with ``params`` for ``torch.func.functional_call``; None is the mean
            squared error at the task's coordinates.
    """

    def __init__(self, ctx: JobContext, recipe: str, trained: list[str], loss_fn: TaskLoss | None = None) -> None:
        self.model: nn.Module = ctx.model
        self._recipe, self._loss_fn = recipe, loss_fn
        named = dict(self.model.named_parameters())
        double = any(named[name].dtype in (torch.float64, torch.complex128) for name in trained)
        self.dtype = torch.float64 if double else torch.float32
        self.device = ctx.device
        given = set(trained)
        fixed = {name: value for name, value in named.items() if name not in given} | dict(self.model.named_buffers())
        hollow = [name for name, value in fixed.items() if value.is_meta]
        if hollow:
            raise CommitError(
                f"{recipe}: {hollow[0]} is on the meta device, and the network must be run: materialise it"
            )
        self._fixed = {name: self.own(value) for name, value in fixed.items()}

    def own(self, value: Tensor) -> Tensor:
        """A copy on the device of the work, in the precision of the work."""
        dtype = value.dtype
        if value.is_complex():
            dtype = torch.complex128 if self.dtype == torch.float64 else torch.complex64
        elif value.is_floating_point():
            dtype = self.dtype
        return value.detach().to(self.device, dtype, copy=True)

    def __call__(self, params: Mapping[str, Tensor], coords: Tensor) -> Tensor:
        """The network's output at coordinates (points, d)."""
        out = call_with(self.model, {**self._fixed, **params}, coords)
        found: Tensor = out[0] if isinstance(out, (tuple, list)) else out
        return found

    def loss(self, params: Params, task: Task) -> Tensor:
        """The loss of parameters on one task: a number."""
        if self._loss_fn is not None:
            return self._loss_fn(self.model, {**self._fixed, **params}, task)
        target = task[TARGET]
        return (self(params, task[COORDS]).reshape(target.shape) - target).square().mean()

    def check(self, params: Params, tasks: Tasks) -> None:
        """Try one task: the output's shape, the loss, and that no buffer changes.

        Raises:
            CommitError: something does not fit; says what.
        """
        before = {name: value.clone() for name, value in self._fixed.items()}
        task = tasks.batch(torch.tensor([0], device=self.device)).task(0)
        with torch.no_grad():
            if self._loss_fn is not None:
                self._check_loss(self._tried(lambda: self._loss_of(params, task)))
            else:
                self._check_output(self._tried(lambda: self(params, task[COORDS])), task[TARGET])
        changed = [name for name, value in before.items() if not torch.equal(value, self._fixed[name])]
        if changed:
            raise CommitError(
                f"{self._recipe}: a call of {type(self.model).__name__} changes its buffer {changed[0]}, which adapted "
                "copies of the parameters cannot share"
            )

    def offset(self, params: Params, coords: Tensor) -> list[float] | None:
        """The constant that the network adds to its read-out: its output when all parameters are 0.

        None where the output then depends on the coordinates, or is complex.
        """
        zeros = {name: torch.zeros_like(value) for name, value in params.items()}
        with torch.no_grad():
            out = self(zeros, coords)
        out = out.reshape(len(coords), -1)
        if out.is_complex() or not bool(torch.isfinite(out).all()) or float((out - out[:1]).abs().max()) > 1e-6:
            return None
        return [float(f"{float(value):.7g}") for value in out[0]]

    def _loss_of(self, params: Params, task: Task) -> Any:
        assert self._loss_fn is not None
        return self._loss_fn(self.model, {**self._fixed, **params}, task)

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            cause = " ".join(str(error).split())[:200]
            what = "the loss function" if self._loss_fn else f"{type(self.model).__name__} on coordinates (points, d)"
            raise CommitError(f"{self._recipe}: {what} fails ({type(error).__name__}: {cause})") from error

    def _check_loss(self, loss: Any) -> None:
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            found = f"shape {tuple(loss.shape)}, {loss.dtype}" if isinstance(loss, Tensor) else type(loss).__name__
            raise CommitError(f"{self._recipe}: loss_fn must return one real number as a tensor, not {found}")

    def _check_output(self, out: Any, target: Tensor) -> None:
        if not isinstance(out, Tensor):
            raise CommitError(
                f"{self._recipe}: {type(self.model).__name__} returns {type(out).__name__}, not a tensor (points, "
                "channels); give loss_fn=..."
            )
        points, channels = target.shape
        if out.is_complex():
            raise CommitError(f"{self._recipe}: {type(self.model).__name__} returns complex values; return .real")
        if out.numel() != target.numel() or (channels > 1 and out.shape[-1] != channels):
            raise CommitError(
                f"{self._recipe}: {type(self.model).__name__} gives {tuple(out.shape)} at {points} points, but the "
                f"signals have {channels} channel{'s' * (channels > 1)}: ({points}, {channels})"
            )
