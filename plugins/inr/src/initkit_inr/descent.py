"""Long descents that may be broken off: Adam on copies of parameters, with a file for the last good state."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from initkit import CommitError, JobContext
from initkit_inr.adaptation import Params

Gradient = Callable[[int, Params], tuple[Tensor, Params]]
Validation = Callable[[Params], float]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_FACTS = ("iteration", "best_iteration", "best_loss", "window", "history")
_ROWS = 50
_SAVE_EVERY = 500


@dataclass
class State:
    """All that a descent goes on from.

    Attributes:
        values: parameters after ``iteration`` steps.
        moments: of Adam, by parameter and kind.
        best: parameters of the least validation loss, where there is validation.
        window: losses since the history's last row: their sum and count.
        history: mean losses by iteration.
    """

    values: Params
    moments: Params = field(default_factory=dict)
    best: Params = field(default_factory=dict)
    iteration: int = 0
    best_iteration: int = 0
    best_loss: float = math.inf
    window: tuple[float, int] = (0.0, 0)
    history: list[dict[str, float]] = field(default_factory=list)

    def snapshot(self, optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> State:
        """A copy with values and moments as they are now."""
        moments = {
            f"{name}/{kind}": optimizer.state[value][kind].clone()
            for name, value in values.items()
            for kind in _MOMENTS
            if kind in optimizer.state[value]
        }
        copied = {name: value.detach().clone() for name, value in values.items()}
        return replace(self, values=copied, moments=moments, best=dict(self.best), history=list(self.history))

    def give_moments(self, optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
        """Put the moments into an optimizer of these values."""
        for name, value in values.items():
            if f"{name}/step" in self.moments:
                optimizer.state[value] = {kind: self.moments[f"{name}/{kind}"] for kind in _MOMENTS}


@dataclass(frozen=True)
class Descent:
    """Adam with gradients that a function gives; the model itself is never written to.

    Attributes:
        recipe: its id, for messages and the file.
        ctx: of the job.
        iterations: how many.
        lr: of Adam.
        checkpoint: a file for the last good state, or None.
        origin: what must be the same for going on, as JSON values.
        advice: what to try when the loss is no number.
        validate_every: iterations between two validations.
        patience: validations without a lower loss after which it ends; 0 never ends early.
    """

    recipe: str
    ctx: JobContext
    iterations: int
    lr: float
    checkpoint: str | None
    origin: Mapping[str, Any]
    advice: str
    validate_every: int = 0
    patience: int = 0

    def run(self, start: Params, gradient: Gradient, validation: Validation | None = None) -> State:
        """Descend from the start, or from where the file stopped.

        Args:
            start: parameters by name, on the device of the work.
            gradient: of an iteration's number (from 1 on) and parameters: the loss and the gradient.
            validation: the loss by which the parameters are chosen; None takes the last ones.

        Returns:
            The last state; with a validation, its ``best`` are the parameters to take.

        Raises:
            CommitError: the loss or the gradient is no finite number; the last good state is in the file.
            FileError: the file is of another run.
        """
        state = self._restored(start)
        values = {name: value.clone().requires_grad_() for name, value in state.values.items()}
        optimizer = torch.optim.Adam(values.values(), lr=self.lr)
        state.give_moments(optimizer, values)
        if validation is not None and not state.best:
            self._validate(state, values, validation)
        good = state.snapshot(optimizer, values)
        todo = range(state.iteration + 1, self.iterations + 1)
        try:
            for iteration in self.ctx.progress(todo, f"learning a start ({self.recipe})", len(todo)):
                if validation is not None and self._exhausted(state):
                    break
                plain = {name: value.detach() for name, value in values.items()}
                loss, found = gradient(iteration, plain)
                self._check(loss, found, good, iteration)
                for name, value in values.items():
                    value.grad = found[name]
                optimizer.step()
                self._enter(state, iteration, float(loss))
                if validation is not None and iteration % self.validate_every == 0:
                    self._validate(state, values, validation)
                if self.checkpoint:
                    good = state.snapshot(optimizer, values)
                    if iteration % _SAVE_EVERY == 0:
                        self._save(good)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._interrupted(good if self.checkpoint else state)) from None
        state = state.snapshot(optimizer, values)
        if self.checkpoint:
            self._save(state)
        return state

    def _enter(self, state: State, iteration: int, loss: float) -> None:
        state.iteration = iteration
        total, count = state.window[0] + loss, state.window[1] + 1
        if iteration % max(1, self.iterations // _ROWS) == 0:
            state.history.append({"iteration": iteration, "loss": float(f"{total / count:.7g}")})
            total, count = 0.0, 0
        state.window = (total, count)

    def _validate(self, state: State, values: Params, validation: Validation) -> None:
        loss = validation({name: value.detach() for name, value in values.items()})
        if loss < state.best_loss:
            state.best_loss, state.best_iteration = loss, state.iteration
            state.best = {name: value.detach().clone() for name, value in values.items()}

    def _exhausted(self, state: State) -> bool:
        return bool(self.patience) and state.iteration - state.best_iteration >= self.patience * self.validate_every

    def _check(self, loss: Tensor, found: Params, good: State, iteration: int) -> None:
        finite = torch.stack([torch.isfinite(value).all() for value in found.values()])
        if bool(torch.isfinite(loss)) and bool(finite.all()):
            return
        what = "the gradient" if bool(torch.isfinite(loss)) else "the loss"
        words = f"{self.recipe}: {what} is no finite number in iteration {iteration}; the model is unchanged; "
        if not self.checkpoint or not good.iteration:
            raise CommitError(words + self.advice)
        self._save(good)
        raise CommitError(
            f"{words}{self.advice}; with checkpoint={self.checkpoint!r} it goes on from iteration {good.iteration}"
        )

    def _interrupted(self, good: State) -> str:
        words = (
            f"{self.recipe} was interrupted after {good.iteration} of {self.iterations} iterations; the model is "
            "unchanged"
        )
        if not self.checkpoint:
            return f"{words}; give checkpoint=FILE and the state will be kept there"
        if not good.iteration:
            return words
        self._save(good)
        return f"{words}; go on with the same call and checkpoint={self.checkpoint!r}"

    def _save(self, state: State) -> None:
        assert self.checkpoint is not None
        tensors = {
            f"{part}/{name}": tensor
            for part in ("values", "moments", "best")
            for name, tensor in getattr(state, part).items()
        }
        facts = {name: getattr(state, name) for name in _FACTS}
        if not math.isfinite(state.best_loss):
            facts["best_loss"] = None
        self.ctx.save_checkpoint(self.checkpoint, tensors, origin=dict(self.origin), **facts)

    def _restored(self, start: Params) -> State:
        if not self.checkpoint or not os.path.exists(self.checkpoint):
            return State(dict(start))
        tensors, facts = self.ctx.load_checkpoint(self.checkpoint, self.origin)
        parts: dict[str, Params] = {"values": {}, "moments": {}, "best": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            step = part == "moments" and rest.endswith("/step")  # Adam keeps its steps on the CPU
            parts[part][rest] = tensor if step else tensor.to(self.ctx.device)
        state = State(parts["values"], parts["moments"], parts["best"])
        for name in _FACTS:
            setattr(state, name, facts[name])
        state.window = (float(facts["window"][0]), int(facts["window"][1]))
        state.best_loss = math.inf if facts["best_loss"] is None else float(facts["best_loss"])
        return state
