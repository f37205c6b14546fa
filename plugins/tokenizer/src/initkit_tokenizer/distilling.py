"""Losses of token distillation: states of a student that reads new tokens, beside a teacher that reads their pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from initkit.streams import Stream
from initkit_tokenizer.bodies import Body
from initkit_tokenizer.snippets import Snippet


@dataclass(frozen=True)
class Batch:
    """Some snippets, padded to one length.

    Attributes:
        teacher: ids of old tokens, (batch, positions).
        teacher_mask: 1 where there is a token.
        student: i >= 0 is old row i, -1 - k the k-th of ``places``.
        student_mask: likewise.
        teacher_at: compared positions of the flattened states, (pairs,).
        student_at: their partners.
        places: of the new tokens that occur, ascending.
    """

    teacher: Tensor
    teacher_mask: Tensor
    student: Tensor
    student_mask: Tensor
    teacher_at: Tensor
    student_at: Tensor
    places: Tensor


class Batches:
    """All snippets in a random order of each epoch's own; asked for by the number of a step.

    Args:
        snippets: at least one.
        size: of a batch.
        device: of the tensors.
        stream: of an epoch's number.
    """

    def __init__(self, snippets: Sequence[Snippet], size: int, device: torch.device, orders: Sequence[Stream]) -> None:
        self._snippets, self._size, self._device = snippets, size, device
        self._orders = [stream.permutation(len(snippets)).tolist() for stream in orders]
        self.each = -(-len(snippets) // size)
        self._last: tuple[int, Batch] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of a step, steps counted through all epochs from 0 on."""
        if self._last is None or self._last[0] != step:
            epoch, place = divmod(step, self.each)
            chosen = self._orders[epoch][place * self._size : (place + 1) * self._size]
            self._last = (step, self._made([self._snippets[i] for i in chosen]))
        return self._last[1]

    def _made(self, chosen: Sequence[Snippet]) -> Batch:
        places = sorted({-1 - row for one in chosen for row in one.student if row < 0})
        local = {-1 - place: -1 - k for k, place in enumerate(places)}
        teacher, teacher_mask = self._padded([one.teacher for one in chosen])
        students = [[row if row >= 0 else local[row] for row in one.student] for one in chosen]
        student, student_mask = self._padded(students)
        pairs = [
            (k * teacher.shape[1] + i, k * student.shape[1] + j) for k, one in enumerate(chosen) for i, j in one.pairs
        ]
        at = torch.tensor(pairs, dtype=torch.long, device=self._device)
        where = torch.tensor(places, dtype=torch.long, device=self._device)
        return Batch(teacher, teacher_mask, student, student_mask, at[:, 0], at[:, 1], where)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._device)
        return ids, mask


@dataclass(frozen=True)
class Rows:
    """Rows of all new tokens, of which some are learned.

    Attributes:
        start: (n, d), float32.
        learned: places of the learned ones, ascending, (m,).
    """

    start: Tensor
    learned: Tensor

    def among(self, places: Tensor) -> Tensor:
        """Which of the learned rows are among some places: their numbers, ascending."""
        return torch.nonzero(torch.isin(self.learned, places)).flatten()

    def table(self, places: Tensor, rows: Tensor) -> Tensor:
        """Rows of some places: the learned ones among them as given, the others as they start.

        Args:
            places: ascending.
            rows: one for each of :meth:`among`.
        """
        moved = torch.nonzero(torch.isin(places, self.learned)).flatten()
        return self.start[places].index_copy(0, moved, rows)


def state_loss(body: Body, batch: Batch, table: Tensor) -> tuple[Tensor, Tensor]:
    """The mean square between the student's states and the teacher's at paired positions, and the student's states.

    Args:
        body: of the model.
        batch: of snippets.
        table: rows of ``batch.places``, (k, d).
    """
    with torch.no_grad():
        wanted = body.states(batch.teacher, batch.teacher_mask).flatten(0, 1)[batch.teacher_at]
    states = body.states(batch.student, batch.student_mask, table)
    return functional.mse_loss(states.flatten(0, 1)[batch.student_at].float(), wanted.float()), states


class HeadLoss:
    """Cross-entropy of the student's next token over the new vocabulary.

    Args:
        head: gives logits of the old rows.
        kept: old rows that a token of the new vocabulary has.
        bias: of new tokens, or 0.
    """

    def __init__(self, head: nn.Module, kept: Tensor, bias: Tensor | float) -> None:
        weight, old_bias = head.weight, head.bias
        assert isinstance(weight, Tensor)
        self._weight = weight.detach()[kept]
        self._old_bias = old_bias.detach()[kept].float() if isinstance(old_bias, Tensor) else 0.0
        self._bias = bias
        self._target = torch.full((len(weight),), -1, dtype=torch.long, device=weight.device)
        self._target[kept] = torch.arange(len(kept), device=weight.device)

    def __call__(self, states: Tensor, batch: Batch, rows: Tensor) -> Tensor:
        """Mean over the positions that have a next token.

        Args:
            states: of the student, (batch, positions, d).
            batch: of snippets.
            rows: output rows of all new tokens, (n, d).
        """
        followed = batch.student_mask[:, 1:].bool()
        next_tokens = batch.student[:, 1:][followed]
        h = states[:, :-1][followed]
        old = (h @ self._weight.to(h.dtype).T).float() + self._old_bias
        new = h.float() @ rows.T + self._bias
        place = torch.where(next_tokens >= 0, self._target[next_tokens.clamp_min(0)], -1)
        known = (next_tokens < 0) | (place >= 0)  # an old token that the new vocabulary dropped is nobody's next
        fresh = batch.places[(-1 - next_tokens).clamp_min(0)] if len(batch.places) else next_tokens
        target = torch.where(next_tokens < 0, len(self._weight) + fresh, place)
        return functional.cross_entropy(torch.cat([old, new], 1)[known], target[known])
