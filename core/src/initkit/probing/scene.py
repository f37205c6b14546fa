"""What a probe is given."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from initkit._guard import random_state, undisturbed
from initkit._names import unwrapped
from initkit.errors import InitError, NeedError, ProbeError, headline, listed
from initkit.jobs import Progress
from initkit.probing.inputs import Inputs, output_of, real
from initkit.probing.record import LayerRecord, Pass, check_scalar, record_pass
from initkit.slots import Slots, slots_of
from initkit.streams import Stream

_T = TypeVar("_T")


class NotMeasured(Exception):
    """A probe cannot measure this model; the message says why, or what it lacks."""


class Scene:
    """A model, what it is called with, and the recorded pass that probes share.

    Attributes:
        model: the subject, without outer wrappers. A probe never changes it.
        inputs: arguments of the model's forward, or None.
        targets: what the model should answer, or None.
        loss: ``loss(model)`` -> scalar tensor, or None.
        seed: of the streams.
        device: where the model is.
    """

    def __init__(
        self,
        model: Any,
        inputs: Any = None,
        *,
        targets: Tensor | None = None,
        loss: Callable[[Any], Tensor] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.model = unwrapped(model)
        self.slots: Slots = slots_of(self.model)
        _check_values(self.slots)
        self.device = next((slot.device for slot in self.slots.values()), torch.device("cpu"))
        self.inputs = None if inputs is None else Inputs.of(inputs, self.device)
        self.targets = None if targets is None else torch.as_tensor(targets, device=self.device)
        self.loss = loss
        self.seed = seed
        self._progress = progress

    @property
    def module(self) -> nn.Module:
        """The model, where it is an ``nn.Module``.

        Raises:
            NotMeasured: it is none.
        """
        if not isinstance(self.model, nn.Module):
            raise NotMeasured(f"{type(self.model).__name__} is no nn.Module")
        return self.model

    def given_inputs(self) -> Inputs:
        """The inputs.

        Raises:
            NotMeasured: there are none.
        """
        if self.inputs is None:
            raise NotMeasured("needs inputs: give inputs=..., or define the name 'inputs' in model.py")
        return self.inputs

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model in eval mode without autograd; buffers and random state are restored."""
        with self.undisturbed() as model:
            return self.call(model, Inputs(args, kwargs))

    def call(self, model: Any, inputs: Inputs) -> Any:
        """Call a module with inputs.

        Raises:
            ProbeError: its forward fails; says how and with what it was called.
        """
        try:
            return model(*inputs.args, **inputs.kwargs)
        except InitError:
            raise
        except Exception as error:
            raise ProbeError(
                f"{type(self.model).__name__} fails in forward({inputs}): {headline(error)}; nothing was changed"
            ) from error

    def undisturbed(self, *, train: bool = False, grad: bool = False) -> contextlib.AbstractContextManager[Any]:
        """Context in which the model may run; modes, buffers, gradients and random state are restored."""
        return undisturbed(self.model, train=train, grad=grad)

    @functools.cached_property
    def recorded(self) -> Pass:
        """The recorded pass: forward in training mode without dropout, and backward.

        What is differentiated is ``loss(model)`` where there is one, the loss against ``targets`` where they are
        given, else Σ v·out for a random v of signs, so that the output's gradient has the second moment 1.

        Raises:
            NotMeasured: there is nothing to run the model on.
            ProbeError: the model or the loss fails.
        """
        module = self.module
        with random_state(self.seed):
            loss = self.loss_function()
            if loss is not None:
                return record_pass(module, lambda: check_scalar(loss(module), "loss(model)"), differentiates_loss=True)
            inputs = self.given_inputs()

            def direction() -> Tensor:
                out = output_of(self.call(module, inputs))
                values = real(out)
                return (values * signs(self.stream("direction"), values)).sum()

            return record_pass(module, direction, differentiates_loss=False)

    @property
    def layers(self) -> tuple[LayerRecord, ...]:
        """The recorded layers, in the order of execution."""
        return self.recorded.layers

    @functools.cached_property
    def samples_interact(self) -> bool:
        """Whether the first sample's output depends on the other samples' inputs (nodes of a graph do).

        Raises:
            NotMeasured: outputs and inputs do not count the same samples.
        """
        inputs = self.given_inputs()
        signal = inputs.signal
        if signal is None:
            return self._company_matters(inputs)
        with self.undisturbed(grad=True) as model:
            x = signal.detach().clone().requires_grad_()
            out = output_of(self.call(model, inputs.replaced(signal, x)))
            if out.ndim == 0 or x.ndim == 0 or len(out) != len(x):
                raise NotMeasured(f"the output {tuple(out.shape)} has not one row for each row of {tuple(x.shape)}")
            (found,) = torch.autograd.grad(real(out[0]).sum(), x, allow_unused=True)
        return found is not None and len(found) > 1 and bool(found[1:].abs().max() > 0)

    def _company_matters(self, inputs: Inputs) -> bool:
        """Whole numbers cannot be differentiated: does a sample alone give what it gives beside another?"""
        with self.undisturbed() as model:
            together, alone = (output_of(self.call(model, inputs.rows(0, count))) for count in (2, 1))
        count = inputs.samples
        if count is None or alone.ndim == 0 or len(alone) * min(2, count) != len(together):
            raise NotMeasured("inputs and outputs do not count the same samples")
        scale = float(alone.abs().max())
        return not torch.allclose(together[: len(alone)], alone, rtol=1e-3, atol=1e-4 * scale)

    def loss_function(self) -> Callable[[Any], Tensor] | None:
        """``loss(model)`` with its errors in one line; from ``targets`` where no loss is given; None without both."""
        if self.loss is not None:
            return self._users_loss
        if self.targets is None or self.inputs is None:
            return None
        return lambda model: self.losses(output_of(self.call(model, self.given_inputs()))).mean()

    def _users_loss(self, model: Any) -> Tensor:
        assert self.loss is not None
        try:
            return self.loss(model)
        except InitError:
            raise
        except Exception as error:
            raise ProbeError(f"loss(model) fails: {headline(error)}; nothing was changed") from error

    def losses(self, out: Tensor) -> Tensor:
        """One loss a sample against ``targets``: cross-entropy where they are whole numbers, else squared error.

        Raises:
            ProbeError: the targets do not fit the outputs.
        """
        y = self.targets
        assert y is not None
        try:
            if not y.is_floating_point() and out.ndim > 1:
                logits = out.movedim(-1, 1) if out.ndim == y.ndim + 1 and out.shape[:-1] == y.shape else out
                return F.cross_entropy(logits, y[: len(out)].long(), reduction="none").reshape(len(out), -1).mean(1)
            return (out - y[: len(out)].to(out.dtype).reshape(out.shape)).square().reshape(len(out), -1).mean(1)
        except (RuntimeError, ValueError, IndexError) as error:
            raise NeedError(
                f"targets {tuple(y.shape)} do not fit the model's output {tuple(out.shape)}: {headline(error)}"
            ) from error

    def stream(self, tag: str) -> Stream:
        """A random stream of the inspection's own."""
        return Stream(self.seed, f"probe:{tag}")

    def progress(self, iterable: Iterable[_T], words: str, total: int | None = None) -> Iterable[_T]:
        """Iterate while showing how far it is, where somebody looks."""
        return iterable if self._progress is None else self._progress(iterable, words, total)


def signs(stream: Stream, like: Tensor) -> Tensor:
    """Independent signs (Rademacher numbers) in the shape of a real tensor."""
    values = np.where(stream.uniforms(0, like.numel()) < 0.5, -1.0, 1.0)
    return torch.from_numpy(values).reshape(like.shape).to(like.device, like.dtype)


def _check_values(slots: Slots) -> None:
    hollow = [name for name, slot in slots.items() if slot.is_meta() or slot.lazy]
    if hollow:
        raise ProbeError(
            f"{listed(hollow)} hold no values yet (meta device, or a layer that waits for its first input); "
            "apply a recipe or run the model once first"
        )
