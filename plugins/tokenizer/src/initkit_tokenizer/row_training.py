"""Learn rows by gradients: Adam on a table of its own, with a file for the last good state."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from initkit import CommitError, JobContext

Schedule = Literal["linear", "constant"]
Loss = Callable[[int, Tensor], Tensor]
Used = Callable[[int], Tensor]

_PARTS = ("rows", "mean", "square", "steps")
_SAVE_EVERY, _SHOWN = 200, 20
_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8


@dataclass
class State:
    """All that learning one table goes on from.

    Attributes:
        rows: (n, d), float32.
        mean: Adam's first moment.
        square: its second.
        steps: of each row, (n, 1).
        step: how many are done.
        history: (step, mean loss since the last entry).
        window: losses since then: their sum and count.
    """

    rows: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor
    step: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)
    window: tuple[float, int] = (0.0, 0)

    @classmethod
    def of(cls, start: Tensor) -> State:
        """Before the first step."""
        rows = start.detach().to(torch.float32).clone()
        return cls(rows, torch.zeros_like(rows), torch.zeros_like(rows), torch.zeros(len(rows), 1, device=rows.device))

    def facts(self) -> dict[str, Any]:
        """All but the tensors."""
        return {"step": self.step, "history": self.history, "window": self.window}

    def put(self, part: State, places: Tensor) -> None:
        """Take over some rows, and all but the tensors."""
        for name in _PARTS:
            getattr(self, name).index_copy_(0, places, getattr(part, name))
        self.step, self.history, self.window = part.step, part.history, part.window

    def enter(self, loss: float, steps: int) -> None:
        """Count a finished step."""
        total, n = self.window[0] + loss, self.window[1] + 1
        self.step += 1
        if self.step % max(1, steps // _SHOWN) == 0 or self.step == steps:
            self.history = [*self.history, (self.step, float(f"{total / n:.7g}"))]
            total, n = 0.0, 0
        self.window = (total, n)


@dataclass
class RowTraining:
    """Adam without weight decay on rows alone; the model is never written to.

    Adam is lazy unless ``dense``: a row that a step does not use stays as it is, its moments too, so what a row learns
    does not depend on how many others are learned beside it.

    Attributes:
        recipe: its id, for messages and the file.
        ctx: of the job.
        words: what is being done, for the progress line.
        warm: steps over which a linear schedule grows, before it falls to 0.
        schedule: ``linear`` or ``constant``.
        dense: whether every row moves in every step, as torch's Adam does it.
        checkpoint: a file for the last good state, or None.
        origin: what must be the same for going on, as JSON values.
    """

    recipe: str
    ctx: JobContext
    words: str
    warm: int
    schedule: Schedule
    dense: bool
    checkpoint: str | None
    origin: Mapping[str, Any]

    def run(self, name: str, start: Tensor, loss: Loss, used: Used, steps: int, lr: float) -> State:
        """Learn one table, from its start or from where the file stopped.

        Args:
            name: of the table, in the file.
            start: (n, d).
            loss: of a step's number, from 0 on, and the rows it uses.
            used: places of the rows that a step uses, ascending.
            steps: how many.
            lr: the largest of the schedule.

        Raises:
            CommitError: loss or gradient are no finite numbers; the last good state is in the file.
            FileError: the file is of another run.
        """
        state = self._restored(name, start)
        todo = range(state.step, steps)
        try:
            for step in self.ctx.progress(todo, self.words, len(todo)):
                self._advance(name, state, loss, used(step), steps, lr)
                if self.checkpoint and (step + 1) % _SAVE_EVERY == 0:
                    self._save(name, state)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._interrupted(name, state, steps)) from None
        if self.checkpoint:
            self._save(name, state)
        return state

    def _advance(self, name: str, state: State, loss: Loss, used: Tensor, steps: int, lr: float) -> None:
        """One step; an interrupt finds the state as it was before or after it."""
        rows = state.rows[used].requires_grad_()
        value = loss(state.step, rows)
        (grad,) = torch.autograd.grad(value, [rows])
        value = value.detach()
        if not bool(torch.isfinite(value)) or not bool(torch.isfinite(grad).all()):
            raise CommitError(self._broken(name, state, lr))
        if self.dense and len(used) < len(state.rows):
            grad = torch.zeros_like(state.rows).index_copy_(0, used, grad)
            used = torch.arange(len(state.rows), device=used.device)
        before = State(**{part: getattr(state, part)[used] for part in _PARTS}, **state.facts())
        count = before.steps + 1
        mean = _BETA1 * before.mean + (1 - _BETA1) * grad
        square = _BETA2 * before.square + (1 - _BETA2) * grad.square()
        first, second = ((1 - beta ** count.double()).float() for beta in (_BETA1, _BETA2))  # float32 loses 1 - β
        size = (square / second).sqrt() + _EPS
        moved = before.rows - lr * self._factor(state.step, steps) * (mean / first) / size
        after = State(moved, mean, square, count, **state.facts())
        after.enter(float(value), steps)
        try:
            state.put(after, used)
        except BaseException:
            state.put(before, used)
            raise

    def _factor(self, step: int, steps: int) -> float:
        if self.schedule == "constant":
            return 1.0
        if step < self.warm:
            return (step + 1) / self.warm
        return (steps - step) / max(1, steps - self.warm)

    def _broken(self, name: str, state: State, lr: float) -> str:
        words = (
            f"recipe {self.recipe}, {name}: the loss is no finite number in step {state.step + 1}; the model is "
            f"unchanged; lower lr (now {lr:.3g})"
        )
        if not self.checkpoint or not state.step:
            return words
        self._save(name, state)
        return f"{words}; with checkpoint={self.checkpoint!r} it goes on from step {state.step}"

    def _interrupted(self, name: str, state: State, steps: int) -> str:
        words = f"{self.recipe} was interrupted after {state.step} of {steps} steps; the model is unchanged"
        if not self.checkpoint:
            return f"{words}; give checkpoint=FILE and the state will be kept there"
        if not state.step:
            return words
        self._save(name, state)
        return f"{words}; go on with the same call and checkpoint={self.checkpoint!r}"

    def _save(self, name: str, state: State) -> None:
        assert self.checkpoint is not None
        tensors, facts = self._held()
        tensors.update({f"{name}/{part}": getattr(state, part) for part in _PARTS})
        facts[name] = state.facts()
        self.ctx.save_checkpoint(self.checkpoint, tensors, origin=dict(self.origin), tables=facts)

    def _held(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tables of the file, if there is one."""
        if not self.checkpoint or not os.path.exists(self.checkpoint):
            return {}, {}
        tensors, facts = self.ctx.load_checkpoint(self.checkpoint, self.origin)
        return tensors, dict(facts["tables"])

    def _restored(self, name: str, start: Tensor) -> State:
        tensors, facts = self._held()
        if name not in facts:
            return State.of(start)
        parts = {part: tensors[f"{name}/{part}"].to(start.device) for part in _PARTS}
        about = facts[name]
        history = [(int(step), float(value)) for step, value in about["history"]]
        return State(**parts, step=about["step"], history=history, window=tuple(about["window"]))


def root_mean_square(table: Tensor, rows: Tensor) -> float:
    """Of all numbers of chosen rows, to 7 digits."""
    total = sum(float(part.float().square().sum(dtype=torch.float64)) for part in torch.split(table[rows], 4096))
    return float(f"{math.sqrt(total / max(1, len(rows) * table.shape[1])):.7g}")
