"""What a student of token distillation learns: input rows from a teacher's states, output rows from the next token."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from initkit_tokenizer.bodies import Body
from initkit_tokenizer.distilling import Batches, HeadLoss, Rows, state_loss
from initkit_tokenizer.row_training import Loss, RowTraining, Used
from initkit_tokenizer.snippets import Snippet
from initkit_tokenizer.task import RowTask


@dataclass(frozen=True)
class Found:
    """What there is to learn from.

    Attributes:
        snippets: of the corpus.
        learned: places of new tokens with enough of them, ascending.
        kept: old rows that a token of the new vocabulary has.
    """

    snippets: tuple[Snippet, ...]
    learned: tuple[int, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Lesson:
    """Rows of one tensor to learn.

    Attributes:
        task: of the tensor.
        found: the snippets.
        start: rows of all new tokens, (n, d), float32.
        body: of the model that is run.
        batches: of the snippets.
        training: how rows move.
        lr: the largest step.
        steps: in all.
    """

    task: RowTask
    found: Found
    start: Tensor
    body: Body
    batches: Batches
    training: RowTraining
    lr: float
    steps: int

    def why_not(self) -> str:
        """Why this tensor has nothing to learn; "" where it has."""
        module = self.task.tensor.name.rpartition(".")[0]
        if self.task.role == "input":
            return "" if self.body.reads() else "the model does not look its tokens up in it"
        if "input rows" not in self.task.shared:
            return "there are no learned input rows"
        return "" if module == self.task.output else "the model does not take its logits from it"

    def why_no_entropy(self) -> str:
        """Why the next token is nothing that this model says; "" where it does."""
        if self.body.head is None:
            return "there is no head"
        if not self.body.causal():
            return "states see the tokens that follow"
        return "" if self.body.gives_logits() else "logits are more than the head of the last hidden states"

    def head_task(self) -> RowTask:
        """The task of the output rows of the same tokens."""
        assert self.body.head is not None
        weight = self.body.head.weight
        assert isinstance(weight, Tensor)
        tensor = replace(self.task.tensor, role="head")
        return replace(self.task, old=weight.detach(), tensor=tensor, facts={}, fallbacks={})

    def input_rows(self, output: Tensor | None, *, entropy: bool) -> Tensor:
        """Rows with which the states are the teacher's.

        Args:
            output: output rows of all new tokens, (n, d), for the cross-entropy; None where they are the input's.
            entropy: whether the next token counts too.
        """
        rows = Rows(self.start, self._places(self.found.learned))
        every = torch.arange(len(rows.learned), device=self.start.device)
        whole = self._places(range(len(self.start)))
        head = self._head_loss() if entropy else None
        tied = entropy and output is None

        def used(step: int) -> Tensor:
            return every if tied else rows.among(self.batches(step).places)

        def loss(step: int, given: Tensor) -> Tensor:
            batch = self.batches(step)
            table = rows.table(whole if tied else batch.places, given)
            value, states = state_loss(self.body, batch, table[batch.places] if tied else table)
            if head is None:
                return value
            further = head(states, batch, table if output is None else output)
            return value + (value / further).detach() * further

        return self._learned(rows, loss, used)

    def head_rows(self, inputs: Tensor) -> Tensor:
        """Output rows that give the next token from the student's states.

        Args:
            inputs: input rows of all new tokens, (n, d).
        """
        rows = Rows(self.start, self._places(self.found.learned))
        every = torch.arange(len(rows.learned), device=self.start.device)
        whole = self._places(range(len(self.start)))
        head = self._head_loss()

        def loss(step: int, given: Tensor) -> Tensor:
            batch = self.batches(step)
            with torch.no_grad():
                states = self.body.states(batch.student, batch.student_mask, inputs[batch.places])
            return head(states, batch, rows.table(whole, given))

        return self._learned(rows, loss, lambda step: every)

    def _head_loss(self) -> HeadLoss:
        assert self.body.head is not None
        kept = self._places(sorted(set(self.found.kept)))
        bias = getattr(self.body.head, "bias", None)
        new = float(bias.detach()[self.task.trained].float().mean()) if isinstance(bias, Tensor) else 0.0
        return HeadLoss(self.body.head, kept, new)

    def _learned(self, rows: Rows, loss: Loss, used: Used) -> Tensor:
        start = rows.start[rows.learned]
        state = self.training.run(self.task.tensor.name, start, loss, used, self.steps, self.lr)
        history = [value for _, value in state.history]
        self.task.facts.update({"steps": self.steps, "loss, first": history[0], "loss, last": history[-1]})
        return rows.start.index_copy(0, rows.learned, state.rows)

    def _places(self, ids: object) -> Tensor:
        return torch.tensor(list(ids), dtype=torch.long, device=self.start.device)  # type: ignore[call-overload]
