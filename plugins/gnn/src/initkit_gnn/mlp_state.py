"""The state of an MLP training: what it goes on from, and where it is kept."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from initkit import JobContext
from initkit_gnn.graph import Graph
from initkit_gnn.supervision import Supervision
from initkit_gnn.variance import round_scale

if TYPE_CHECKING:
    from initkit_gnn.mlpinit import MlpInit

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_FACTS = ("epoch", "best_epoch", "best_score", "best_loss", "gained", "least_loss", "history")


@dataclass
class State:
    """All that training goes on from.

    Attributes:
        values: parameters after ``epoch`` epochs.
        buffers: of the model in training.
        moments: of Adam, by parameter and kind.
        best: parameters of the best validation score so far.
        gained: the last epoch with a better validation score or a lower validation loss.
        history: loss and score of each epoch.
    """

    values: dict[str, Tensor]
    buffers: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    best_loss: float = math.inf
    gained: int = 0
    least_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)

    def enter(
        self, epoch: int, loss: float, score: float, validation_loss: float, values: Mapping[str, Tensor]
    ) -> None:
        """Enter a finished epoch; ties of the score go to the lower validation loss."""
        self.epoch = epoch
        self.history.append({"epoch": epoch, "loss": round_scale(loss), "validation": round_scale(score)})
        if validation_loss < self.least_loss:
            self.gained, self.least_loss = epoch, validation_loss
        if (score, -validation_loss) > (self.best_score, -self.best_loss):
            self.gained = self.best_epoch = epoch
            self.best_score, self.best_loss = score, validation_loss
            self.best = {name: value.detach().clone() for name, value in values.items()}

    def snapshot(self, optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> State:
        """A copy that later epochs do not change."""
        moments = {
            f"{name}/{kind}": optimizer.state[value][kind].detach().clone()
            for name, value in values.items()
            for kind in _MOMENTS
            if kind in optimizer.state[value]
        }
        return replace(
            self,
            values={name: value.detach().clone() for name, value in values.items()},
            buffers={name: value.clone() for name, value in self.buffers.items()},
            moments=moments,
            best=dict(self.best),
            history=list(self.history),
        )

    def give_moments(self, optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
        """Put the moments into an optimizer of these values."""
        for name, value in values.items():
            if f"{name}/step" in self.moments:
                optimizer.state[value] = {kind: self.moments[f"{name}/{kind}"] for kind in _MOMENTS}


class Vault:
    """Where the last good state goes when training is broken off, and where it comes back from.

    Args:
        options: the recipe; ``checkpoint`` names the file.
        starts: parameters by name.
        graph: with features.
        labels: of the nodes, with the split.
        ctx: of the job.
    """

    def __init__(
        self, options: MlpInit, starts: Mapping[str, Tensor], graph: Graph, labels: Supervision, ctx: JobContext
    ) -> None:
        self.path = options.checkpoint
        self._options, self._ctx = options, ctx
        self._origin: dict[str, Any] = {}
        if self.path:
            assert graph.x is not None
            data = [graph.x, labels.train, labels.val, labels.y]
            self._origin = {
                "recipe": "gnn/mlpinit",
                "seed": ctx.seed,
                "start": _digest([starts[name] for name in sorted(starts)], sorted(starts)),
                "data": _digest(data),
            }

    def restore(self, state: State) -> None:
        """Fill the state from the file, if there is one.

        Raises:
            FileError: the file is broken, or of another run.
        """
        if not self.path or not os.path.exists(self.path):
            return
        tensors, facts = self._ctx.load_checkpoint(self.path, self._origin)
        parts: dict[str, dict[str, Tensor]] = {"values": {}, "buffers": {}, "moments": {}, "best": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            step = part == "moments" and rest.endswith("/step")  # Adam keeps its steps on the CPU
            parts[part][rest] = tensor if step else tensor.to(self._ctx.device)
        for part, held in parts.items():
            setattr(state, part, held)
        for name in _FACTS:
            setattr(state, name, facts[name])

    def save_after_interrupt(self, good: State) -> str:
        """Save the last good state; returns what to tell the user."""
        words = (
            f"gnn/mlpinit was interrupted after {good.epoch} of {self._options.epochs} epochs; the model is unchanged"
        )
        if not self.path:
            return f"{words}; give checkpoint=FILE and the state will be kept there"
        if not good.epoch:
            return words
        self._save(good)
        return f"{words}; go on with the same call and checkpoint={self.path!r}"

    def save_after_nan(self, good: State, epoch: int) -> str:
        """Save the last good state; returns what to tell the user."""
        words = f"gnn/mlpinit: the loss is no finite number in epoch {epoch}; the model is unchanged; "
        advice = f"lower lr (now {self._options.lr:g}) or scale the features"
        if not self.path or not good.epoch:
            return words + advice
        self._save(good)
        return f"{words}{advice}; with checkpoint={self.path!r} it goes on from epoch {good.epoch}"

    def _save(self, good: State) -> None:
        assert self.path is not None
        tensors = {
            f"{part}/{name}": tensor
            for part in ("values", "buffers", "moments", "best")
            for name, tensor in getattr(good, part).items()
        }
        facts = {
            "origin": self._origin,
            **{name: getattr(good, name) for name in _FACTS},
        }
        self._ctx.save_checkpoint(self.path, tensors, **facts)


def _digest(tensors: list[Tensor], words: list[str] | None = None) -> str:
    found = hashlib.blake2b("\n".join(words or []).encode(), digest_size=16)
    for tensor in tensors:
        if tensor.layout != torch.strided:
            coo = tensor.detach().to_sparse().coalesce()
            parts = [coo.indices(), coo.values()]
        else:
            parts = [tensor.detach()]
        for part in parts:
            found.update(str((part.dtype, tuple(part.shape))).encode())
            found.update(part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
