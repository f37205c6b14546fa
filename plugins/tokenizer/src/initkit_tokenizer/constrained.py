"""Constrained Word2Vec: new rows as convex combinations of old ones, and how they are learned from pairs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from initkit import CommitError, JobContext

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
_SAVE_EVERY, _SHOWN, _BLOCK = 200, 20, 1024


def combined(mix: Tensor, basis: Tensor, table: Tensor) -> Tensor:
    """softmax(A1 A2) E: rows inside the hull of the old ones.

    Args:
        mix: rows of A1, (n, r).
        basis: A2, (r, V).
        table: E, (V, d).

    Returns:
        (n, d).
    """
    return torch.softmax(mix @ basis, dim=1) @ table


def skip_gram_loss(centres: Tensor, contexts: Tensor, negatives: Tensor, *, summed: bool) -> Tensor:
    """Skip-gram with negative samples: the mean over pairs of -log s(u·v) - sum_j log s(-u·n_j).

    Args:
        centres: u, (B, d).
        contexts: v, (B, d).
        negatives: n, (B, negatives, d).
        summed: the scores of negatives are summed before the logarithm, -log s(-sum_j u·n_j), as the authors' code
            does.
    """
    wanted = (centres * contexts).sum(1)
    unwanted = torch.bmm(negatives, centres.unsqueeze(2)).squeeze(2)
    lost = logsigmoid(-unwanted.sum(1)) if summed else logsigmoid(-unwanted).sum(1)
    return -(logsigmoid(wanted) + lost).mean()


@dataclass(frozen=True)
class Side:
    """One table of a model that rows are learned for.

    Args:
        name: of its tensor.
        table: its old rows, (all rows, d).
        parts: those that new ones are made of, E, (V, d), float32.
    """

    name: str
    table: Tensor
    parts: Tensor


@dataclass(frozen=True)
class State:
    """All that training goes on from. A step makes a new one, so an interrupt finds a whole one.

    Args:
        parts: A1 and A2 of each side, by name.
        means: Adam's first moments.
        squares: its second.
        step: how many are done.
        window: losses since the last entry of the history: their sum and count.
        history: (step, mean loss since the last entry).
    """

    parts: dict[str, Tensor]
    means: dict[str, Tensor]
    squares: dict[str, Tensor]
    step: int = 0
    window: tuple[float, int] = (0.0, 0)
    history: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, parts: dict[str, Tensor]) -> State:
        """Before the first step."""
        return cls(
            parts,
            {k: torch.zeros_like(v) for k, v in parts.items()},
            {k: torch.zeros_like(v) for k, v in parts.items()},
        )

    def facts(self) -> dict[str, Any]:
        """All but the tensors."""
        return {"step": self.step, "window": self.window, "history": self.history}


@dataclass(frozen=True)
class Training:
    """Adam on A1 and A2; the model is never written to.

    Args:
        recipe: its id, for messages and the file.
        ctx: of the job.
        sides: the table of centres, and that of contexts where it is another.
        rows: for each id of the new vocabulary the old row (>= 0) or -1 - j for new token j, (new size,).
        lr: of Adam.
        summed: see :func:`skip_gram_loss`.
        checkpoint: a file for the last good state, or None.
        origin: what must be the same for going on, as JSON values.
    """

    recipe: str
    ctx: JobContext
    sides: tuple[Side, ...]
    rows: Tensor
    lr: float
    summed: bool
    checkpoint: str | None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def run(self, state: State, batches: Any) -> State:
        """Train from a state, or from where the file stopped.

        Raises:
            CommitError: the loss is no finite number; the last good state is in the file.
            FileError: the file is of another run.
        """
        state = self._restored(state)
        steps = len(batches)
        work: Iterator[Any] = batches.after(state.step)
        try:
            for batch in self.ctx.progress(work, "learning combinations of old rows", steps - state.step):
                state = self._advance(state, batch, steps)
                if self.checkpoint and state.step % _SAVE_EVERY == 0:
                    self._save(state)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._interrupted(state, steps)) from None
        if self.checkpoint:
            self._save(state)
        return state

    def loss(self, parts: Mapping[str, Tensor], centres: Tensor, contexts: Tensor, negatives: Tensor) -> Tensor:
        """Of one batch of ids; combinations are made for the new ids in it alone."""
        inner, outer = self.sides[0], self.sides[-1]
        if len(self.sides) == 1:
            rows = self._rows(parts, inner, torch.cat([centres, contexts, negatives.flatten()]))
            u, v, n = torch.split(rows, [len(centres), len(contexts), negatives.numel()])
        else:
            u = self._rows(parts, inner, centres)
            rows = self._rows(parts, outer, torch.cat([contexts, negatives.flatten()]))
            v, n = torch.split(rows, [len(contexts), negatives.numel()])
        return skip_gram_loss(u, v, n.view(*negatives.shape, -1), summed=self.summed)

    def _rows(self, parts: Mapping[str, Tensor], side: Side, ids: Tensor) -> Tensor:
        used, back = torch.unique(ids, return_inverse=True)
        owners = self.rows[used]
        fresh = owners < 0
        found = side.table[owners.clamp_min(0)].to(torch.float32)
        if bool(fresh.any()):
            made = combined(parts[f"{side.name}/mix"][-1 - owners[fresh]], parts[f"{side.name}/basis"], side.parts)
            found = found.index_put((fresh.nonzero().squeeze(1),), made)
        return found[back]

    def _advance(self, state: State, batch: Any, steps: int) -> State:
        device = self.rows.device
        ids = [torch.from_numpy(one).to(device) for one in batch]
        parts = {name: value.detach().requires_grad_() for name, value in state.parts.items()}
        with torch.enable_grad():
            loss = self.loss(parts, *ids)
            none = [None] * len(parts)  # a batch without a new token
            wanted = list(parts.values())
            found = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad else none
        value = float(loss.detach())
        grads = dict(zip(parts, found, strict=True))
        if not math.isfinite(value) or not all(bool(torch.isfinite(g).all()) for g in grads.values() if g is not None):
            raise CommitError(self._broken(state))
        count = state.step + 1
        means, squares, moved = dict(state.means), dict(state.squares), dict(state.parts)
        for name, grad in grads.items():
            slope = torch.zeros_like(state.parts[name]) if grad is None else grad
            means[name] = _BETA1 * state.means[name] + (1 - _BETA1) * slope
            squares[name] = _BETA2 * state.squares[name] + (1 - _BETA2) * slope.square()
            size = (squares[name] / (1 - _BETA2**count)).sqrt_().add_(_EPS)
            moved[name] = state.parts[name] - self.lr / (1 - _BETA1**count) * means[name] / size
        total, n = state.window[0] + value, state.window[1] + 1
        history = state.history
        if count % max(1, steps // _SHOWN) == 0 or count == steps:
            history, total, n = (*history, (count, float(f"{total / n:.7g}"))), 0.0, 0
        return State(moved, means, squares, count, (total, n), history)

    def _broken(self, state: State) -> str:
        words = (
            f"recipe {self.recipe}: the loss is no finite number in step {state.step + 1}; the model is unchanged; "
            f"lower lr (now {self.lr:.3g})"
        )
        if not self.checkpoint or not state.step:
            return words
        self._save(state)
        return f"{words}; the state after {state.step} steps is in {self.checkpoint!r}"

    def _interrupted(self, state: State, steps: int) -> str:
        words = f"{self.recipe} was interrupted after {state.step} of {steps} steps; the model is unchanged"
        if not self.checkpoint:
            return f"{words}; give checkpoint=FILE and the state will be kept there"
        if not state.step:
            return words
        self._save(state)
        return f"{words}; go on with the same call and checkpoint={self.checkpoint!r}"

    def _save(self, state: State) -> None:
        assert self.checkpoint is not None
        tensors = {
            f"{kind}/{name}": value
            for kind in ("parts", "means", "squares")
            for name, value in getattr(state, kind).items()
        }
        self.ctx.save_checkpoint(self.checkpoint, tensors, origin=dict(self.origin), **state.facts())

    def _restored(self, state: State) -> State:
        if not self.checkpoint or not os.path.exists(self.checkpoint):
            return state
        tensors, facts = self.ctx.load_checkpoint(self.checkpoint, self.origin)
        kinds: dict[str, dict[str, Tensor]] = {"parts": {}, "means": {}, "squares": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            kinds[kind][rest] = value.to(self.rows.device)
        history = tuple((int(step), float(value)) for step, value in facts["history"])
        return State(**kinds, step=int(facts["step"]), window=(facts["window"][0], facts["window"][1]), history=history)


def final_rows(mix: Tensor, basis: Tensor, table: Tensor, most: int | None) -> Tensor:
    """The combinations, in blocks; with ``most``, of the old rows with the largest weights alone.

    Args:
        mix: A1, (n, r).
        basis: A2, (r, V).
        table: E, (V, d).
        most: how many; None is all.

    Returns:
        (n, d).
    """
    made = torch.empty(len(mix), table.shape[1], device=table.device)
    for start in range(0, len(mix), _BLOCK):
        part = slice(start, start + _BLOCK)
        if most is None or most >= len(table):
            made[part] = combined(mix[part], basis, table)
            continue
        top = torch.topk(torch.softmax(mix[part] @ basis, dim=1), most, dim=1)
        weights = top.values / top.values.sum(1, keepdim=True)
        made[part] = torch.bmm(weights.unsqueeze(1), table[top.indices]).squeeze(1)
    return made
