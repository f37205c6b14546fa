"""Constrained Word2Vec: convex combinations of old rows, learned on text of the new vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import CommitError, Item, Normal, Uniform
from initkit.jobs import check_checkpoint, fingerprint
from initkit_tokenizer import statistics
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.constrained import Side, State, Training, final_rows
from initkit_tokenizer.corpus import Corpus
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.skip_grams import Batches, SkipGrams, Text
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary

START = 0.01
"""Standard deviation that A1 and A2 start with: weights are nearly equal then, and rows near the mean."""


@dataclass(frozen=True)
class Cw2v(RowRecipe):
    """New rows as learned means of old ones: skip-grams of text in the new vocabulary, old rows held fixed.

    N = softmax(A1 A2) E: each new row is a mean of all old rows with weights of its own, so it lies in their hull.
    A1 and A2 alone are learned, by skip-gram with negative samples on the corpus as the new tokenizer cuts it. One
    table serves for centres and contexts; where the head is a table of its own, its rows are the contexts, with
    combinations of their own, learned beside the others. Tokens that the corpus does not hold get the mean, and so does
    a bias.

    Args:
        rank: r, columns of A1, at most as many as there are old rows.
        window: places between a centre and a context at most.
        negatives: for each pair.
        threshold: a token that occurs n times is a centre with probability sqrt(threshold/n).
        batch: pairs of a step.
        epochs: how often each pair comes.
        lr: of Adam.
        top_m: in the end only so many old rows with the largest weights count; None is all.
        checkpoint: a file for the last good state, from which the same call goes on.
        compat: ``authors`` is what their code does: the scores of a pair's negatives are summed before the log-sigmoid,
            A1 and A2 start uniform in (0, 1), and pairs come in the order of the text.

    Source: Mundra et al., An Empirical Comparison of Vocabulary Expansion and Initialization Approaches for Language
    Models, CoNLL 2024 (arXiv 2407.05841), section 3, and their code.
    """

    bibtex: ClassVar[str] = """@inproceedings{mundra2024empirical,
  title = {An Empirical Comparison of Vocabulary Expansion and Initialization Approaches for Language Models},
  author = {Mundra, Nandini and Kishore Khandavally, Aditya Nanda and Dabre, Raj and Puduppully, Ratish and
    Kunchukuttan, Anoop and Khapra, Mitesh M.},
  booktitle = {CoNLL},
  year = {2024}
}"""

    short: ClassVar[bool] = True

    rank: Annotated[int, Ge(1)] = 1024
    window: Annotated[int, Ge(1)] = 5
    negatives: Annotated[int, Ge(1)] = 5
    threshold: Annotated[float, Gt(0)] = 1.0
    batch: Annotated[int, Ge(1)] = 4096
    epochs: Annotated[int, Ge(1)] = 5
    lr: Annotated[float, Gt(0)] = 3e-4
    top_m: Annotated[int, Ge(1)] | None = None
    checkpoint: str | None = None
    compat: Literal["authors"] | None = None

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any, corpus: Any) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            corpus: text that the new tokens occur in: a text file, or strings.
        """
        check_checkpoint(self.id, self.checkpoint)
        yield from self.items(model, old_tokenizer, tokenizer, corpus=Corpus.of(corpus))

    def rows(self, task: RowTask) -> Tensor:
        """Learned combinations; the mean for a bias and for tokens that the corpus does not hold."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        if "text" not in task.shared:
            task.shared["text"] = self._read(task)
        text: Text = task.shared["text"]
        seen = text.counts[[token.id for token in task.plan.new]] > 0
        for place in (~seen).nonzero()[0].tolist():
            special = task.plan.new[place].kind == "special"
            task.fall_back(place, "a special token without a counterpart" if special else "the corpus does not hold it")
        task.facts["in the corpus"] = int(seen.sum())
        if not seen.any():
            return task.mean.expand(task.count, task.width)
        rows: dict[str, Tensor] = task.shared.setdefault("learned rows", {})
        if task.tensor.name not in rows:
            rows.update(self._learned(task, text))
        return rows[task.tensor.name]

    def _read(self, task: RowTask) -> Text:
        lines = task.ctx.progress(task.needs["corpus"], "reading the corpus")
        new = Vocabulary.of(task.needs["tokenizer"], name="tokenizer")
        return Text.read(lines, new, task.plan.new_size)

    def _learned(self, task: RowTask, text: Text) -> dict[str, Tensor]:
        stream = task.ctx.stream(f"skip-grams {task.tensor.name}")
        grams = SkipGrams.of(text, self.window, self.threshold, stream.sub("centres"))
        if not len(grams):
            raise CommitError(
                f"recipe {self.id}: the corpus of {len(text.ids)} tokens gives no pair to learn from; give more text, "
                f"or a larger threshold (now {self.threshold:g})"
            )
        batches = Batches(grams, self.batch, self.negatives, self.epochs, self.compat is None, stream)
        sides = self._sides(task)
        rows = torch.zeros(task.plan.new_size, dtype=torch.long)
        rows[list(task.plan.copied)] = torch.tensor([ids[0] for ids in task.plan.copied.values()], dtype=torch.long)
        rows[[token.id for token in task.plan.new]] = -1 - torch.arange(task.count)
        start = {
            f"{side.name}/{part}": self._start(task, f"{side.name} {part}", shape)
            for side in sides
            for part, shape in self._shapes(task, side).items()
        }
        training = Training(
            recipe=self.id,
            ctx=task.ctx,
            sides=sides,
            rows=rows.to(task.old.device),
            lr=self.lr,
            summed=self.compat == "authors",
            checkpoint=self.checkpoint,
            origin=self._origin(task, sides, grams) if self.checkpoint else {},
        )
        state = training.run(State.of(start), batches)
        task.ctx.note(
            f"{self.id} training of {' and '.join(side.name for side in sides)}",
            [{"pairs": len(grams), "steps": state.step, "after": step, "loss": loss} for step, loss in state.history],
        )
        return {
            side.name: final_rows(
                state.parts[f"{side.name}/mix"], state.parts[f"{side.name}/basis"], side.parts, self.top_m
            )
            for side in sides
        }

    def _sides(self, task: RowTask) -> tuple[Side, ...]:
        """The tensor of the task, and with an input the head that is made beside it."""
        sides = [self._side(task, task.tensor.name, task.old)]
        if task.role == "input" and task.untied and self.head == "same":
            tensors = VocabTensors.of(
                task.ctx.model,
                embedding=self.embedding,
                head=self.head_module,
                extra=self.extra_vocab_params or (),
                other=self.other_params or (),
            )
            head = tensors.head
            assert head is not None
            values = task.ctx.read(head.name).to(task.old.device).movedim(head.axis, 0).reshape(len(task.old), -1)
            if values.shape[1] == task.width:
                sides.append(self._side(task, head.name, values))
        return tuple(sides)

    def _side(self, task: RowTask, name: str, old: Tensor) -> Side:
        """Old rows of one table.

        Raises:
            CommitError: one holds NaN or infinity.
        """
        finite = statistics.soundness(old)[0].tolist()
        used = {*task.trained.tolist(), *(ids[0] for ids in task.plan.copied.values())}
        broken = [row for row in sorted(used) if not finite[row]]
        if broken:
            raise CommitError(
                f"recipe {self.id}, {name}: row {broken[0]} of an old token holds NaN or infinity; mend it first"
            )
        return Side(name, old, old[task.trained].to(torch.float32))

    def _shapes(self, task: RowTask, side: Side) -> dict[str, tuple[int, int]]:
        rank = min(self.rank, len(side.parts))
        return {"mix": (task.count, rank), "basis": (rank, len(side.parts))}

    def _start(self, task: RowTask, tag: str, shape: tuple[int, int]) -> Tensor:
        draw = Normal(START) if self.compat is None else Uniform(0.0, 1.0)
        return task.sample(draw, tag, shape)

    def _origin(self, task: RowTask, sides: tuple[Side, ...], grams: SkipGrams) -> dict[str, Any]:
        options = {key: value for key, value in vars(self).items() if key != "checkpoint"}
        tensors = {side.name: side.parts for side in sides} | {"pairs": torch.from_numpy(grams.pairs)}
        return {
            "recipe": self.id,
            "seed": task.ctx.seed,
            "options": json.dumps(options, sort_keys=True),
            "rows and pairs": fingerprint(tensors, repr([token.id for token in task.plan.new])),
        }
