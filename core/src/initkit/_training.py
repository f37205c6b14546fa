"""One training run from one start, for comparisons."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from initkit._apply import apply
from initkit._guard import random_state
from initkit._recipe import Recipe, needs_of
from initkit.errors import InitError, OptionError, ProbeError, headline
from initkit.jobs import Progress
from initkit.probing.record import check_scalar
from initkit.slots import trained_tensors
from initkit.streams import Stream

LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Start:
    """A start that is compared: ``default`` is the model as its function returns it."""

    name: str
    recipes: tuple[Recipe, ...] = ()


@dataclass
class Run:
    """One training run.

    Attributes:
        start: name of its start.
        seed: of the model, the recipes and the order of the data.
        losses: before each step.
        score: at the end, or None.
        diverged_at: the step at which the loss was no number any more, or None.
        subject: class name of the model.
    """

    start: str
    seed: int
    losses: list[float] = field(default_factory=list)
    score: float | None = None
    diverged_at: int | None = None
    subject: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "start": self.start,
            "seed": self.seed,
            "losses": self.losses,
            "score": self.score,
            "diverged_at": self.diverged_at,
            "subject": self.subject,
        }


@dataclass(frozen=True)
class Task:
    """What is trained and how, the same for every run.

    Attributes:
        model_fn: returns a new model.
        loss: ``loss(model)`` or ``loss(model, step)``.
        score: ``score(model)`` at the end, higher is better; or None.
        optimizer: ``optimizer(model)``, an optimizer or (optimizer, scheduler); None is Adam with rate 0.001.
        steps: of training.
        device: where recipes do heavy work.
        needs: the data that recipes ask for.
    """

    model_fn: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    score: Callable[[nn.Module], Any] | None
    optimizer: Callable[[nn.Module], Any] | None
    steps: int
    device: str | torch.device | None
    needs: Mapping[str, Any]

    def train(self, start: Start, seed: int, progress: Progress | None) -> Run:
        """Build, start and train a model. Runs of one seed see the same data in the same order.

        Raises:
            InitError: building, starting, the loss, the score or the optimizer fails; a divergence does not.
        """
        with random_state(seed):
            model = _built(self.model_fn)
        if start.recipes:
            asked = {n: self.needs[n] for one in start.recipes for n in needs_of(one).all if n in self.needs}
            apply(model, list(start.recipes), seed=seed, device=self.device, **asked)
        run = Run(start.name, seed, subject=type(model).__name__)
        with random_state(Stream(seed, "compare:data").integer_seed()):
            self._steps(model, run, progress)
            if self.score is not None and run.diverged_at is None:
                run.score = self._scored(model)
        return run

    def _steps(self, model: nn.Module, run: Run, progress: Progress | None) -> None:
        optimizer, scheduler = self._optimizer(model)
        takes_step = _takes_step(self.loss)
        model.train()
        steps = range(self.steps)
        for step in steps if progress is None else progress(steps, f"{run.start}, seed {run.seed}", self.steps):
            values: list[float] = []  # an optimizer such as L-BFGS asks several times
            try:
                optimizer.step(functools.partial(self._differentiate, model, optimizer, step, takes_step, values))
            except _Diverged:
                run.diverged_at = step
                return
            run.losses.append(values[0])
            if scheduler is not None:
                scheduler.step()

    def _differentiate(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, takes_step: bool, values: list[float]
    ) -> float:
        optimizer.zero_grad()
        loss = self._loss(model, step, takes_step)
        values.append(float(loss.detach()))
        if not math.isfinite(values[-1]):
            raise _Diverged
        torch.autograd.backward(loss)
        return values[-1]

    def _loss(self, model: nn.Module, step: int, takes_step: bool) -> Tensor:
        try:
            value = self.loss(model, step) if takes_step else self.loss(model)
        except (InitError, _Diverged):
            raise
        except Exception as error:
            raise ProbeError(f"loss(model) fails at step {step}: {headline(error)}") from error
        return check_scalar(value, "loss(model)")

    def _optimizer(self, model: nn.Module) -> tuple[torch.optim.Optimizer, Any]:
        if self.optimizer is None:
            return torch.optim.Adam(trained_tensors(model), lr=LEARNING_RATE), None
        try:
            found = self.optimizer(model)
        except Exception as error:
            raise ProbeError(f"optimizer(model) fails: {headline(error)}") from error
        optimizer, scheduler = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
        if not isinstance(optimizer, torch.optim.Optimizer):
            kind = type(optimizer).__name__
            raise ProbeError(f"optimizer(model) must return a torch optimizer, or (optimizer, scheduler), not {kind}")
        return optimizer, scheduler

    def _scored(self, model: nn.Module) -> float | None:
        assert self.score is not None
        model.eval()
        try:
            with torch.no_grad():
                value = float(self.score(model))
        except Exception as error:
            raise ProbeError(f"score(model) fails: {headline(error)}; it must return a number") from error
        return value if math.isfinite(value) else None


class _Diverged(Exception):
    """The loss is no number any more."""


def _built(model_fn: Callable[[], nn.Module]) -> nn.Module:
    model = model_fn()
    if not isinstance(model, nn.Module):
        raise ProbeError(f"only an nn.Module can be trained step by step, not {type(model).__name__}")
    if not any(p.requires_grad for p in model.parameters()):
        raise ProbeError(f"{type(model).__name__} has no parameter that takes a gradient")
    return model


def _takes_step(loss: Callable[..., Any]) -> bool:
    """Whether the loss asks for the number of the step as well."""
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):
        return False
    required = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 2


def starts_of(recipes: Sequence[Any], made: Callable[[Any], list[Recipe]]) -> list[Start]:
    """Read what is compared: ``"default"``, a recipe, or a sequence of recipes applied in order.

    Raises:
        OptionError: fewer than two starts, or two of one name.
    """
    found = [Start("default") if isinstance(one, str) and one == "default" else _named(made(one)) for one in recipes]
    names = [start.name for start in found]
    if len(found) < 2:
        raise OptionError("give at least two starts to compare, such as ['default', 'gnn/virgo']")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"start {twice!r} is given twice; give it other options")
    return found


def _named(made: list[Recipe]) -> Start:
    return Start(" + ".join(_words(one) for one in made), tuple(made))


def _words(made: Recipe) -> str:
    default = type(made)().options() if _has_defaults(made) else {}
    changed = [f"{name}={value}" for name, value in made.options().items() if default.get(name, made) != value]
    return f"{made.id} {' '.join(changed)}".strip()


def _has_defaults(made: Recipe) -> bool:
    try:
        type(made)()
    except (TypeError, InitError):
        return False
    return True
