"""Rows that make the model think what it thought of a token's pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from torch import Tensor, nn

from initkit import CommitError, InitError, Item, OptionError
from initkit._recipe import recipe
from initkit.jobs import check_checkpoint, fingerprint
from initkit_tokenizer.base import PairRecipe, RowRecipe
from initkit_tokenizer.bodies import Body, running
from initkit_tokenizer.corpus import Corpus
from initkit_tokenizer.distilling import Batches
from initkit_tokenizer.lessons import Found, Lesson
from initkit_tokenizer.reporting import SHOWN
from initkit_tokenizer.row_training import RowTraining, Schedule, root_mean_square
from initkit_tokenizer.snippets import Wanted, aligned_snippets, merged_snippets
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class TokenDistillation(RowRecipe):
    """New rows are learned: with them the model's last hidden states are those it has of the tokens' pieces.

    The teacher is the model with the old tokenizer, the student the same model with the new one; rows of new tokens
    alone are learned. Snippets of the corpus that hold new tokens are read by both, and the loss is the mean square
    between their last hidden states wherever a token of each ends at the same place of the text. The output rows of an
    untied causal model then learn the next token from the student's states. Tokens with too few snippets keep their
    start and are reported. The teacher bounds what can be learned: a start that is better than what the pieces say gets
    worse.

    Args:
        start: the recipe that rows start from.
        snippets: wanted for each new token.
        min_snippets: a token with fewer is not learned; None is 5, with ``compat`` as many as ``snippets``.
        length: of a snippet, in old tokens.
        epochs: how often each snippet is read.
        batch: snippets in a step.
        lr: of Adam; None is ``relative_lr`` times the root mean square of the old rows' numbers.
        relative_lr: see ``lr``.
        schedule: ``linear`` grows over half an epoch and falls to 0; ``constant``.
        cross_entropy: ``head`` for untied output rows; ``both`` for input rows too, at the size of the first loss;
            ``none``: output rows stay as they start.
        checkpoint: a file for the last good state, from which the same call goes on.
        compat: ``authors`` takes windows around each token from the text as the old tokenizer cuts it, in which the
            longest phrases of pieces are replaced; with their Adam (all rows move in each step), lr = 1e-4.

    Source: Dobler, Elliott, de Melo, Token Distillation, 2025 (arXiv 2505.20133), with their code; pairing by offsets,
    which serves any two tokenizers, is ours.
    """

    bibtex: ClassVar[str] = """@misc{dobler2025token,
  title = {Token Distillation: Attention-aware Input Embeddings For New Tokens},
  author = {Dobler, Konstantin and Elliott, Desmond and de Melo, Gerard},
  year = {2025},
  eprint = {2505.20133},
  archivePrefix = {arXiv}
}"""
    uses_pieces: ClassVar[bool] = True

    start: str = "subword"
    snippets: Annotated[int, Ge(1)] = 100
    min_snippets: Annotated[int, Ge(1)] | None = None
    length: Annotated[int, Ge(2)] = 50
    epochs: Annotated[int, Ge(1)] = 1
    batch: Annotated[int, Ge(1)] = 16
    lr: Annotated[float, Gt(0)] | None = None
    relative_lr: Annotated[float, Gt(0)] = 0.1
    schedule: Schedule = "linear"
    cross_entropy: Literal["head", "both", "none"] = "head"
    checkpoint: str | None = None
    compat: Literal["authors"] | None = None

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any, corpus: Any) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: called with ids, (texts, positions).
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            corpus: text that the new tokens occur in: a text file, or strings.
        """
        self._giver_of_start()
        check_checkpoint(self.id, self.checkpoint)
        yield from self.items(model, old_tokenizer, tokenizer, corpus=Corpus.of(corpus))

    def _giver_of_start(self) -> PairRecipe:
        try:
            found = recipe(f"tokenizer/{self.start}")
        except InitError as error:
            raise OptionError(f"recipe {self.id}: start={self.start!r}: {error}") from None
        if not isinstance(found, PairRecipe):
            raise OptionError(f"recipe {self.id}: start={self.start!r} makes no rows from two tokenizers alone")
        return found

    def rows(self, task: RowTask) -> Tensor:
        """Rows that were learned; those of tokens without enough snippets as they start."""
        start = self._giver_of_start().made(task)
        if task.role == "bias" or (task.role == "head" and self.cross_entropy == "none"):
            return start
        if "found" not in task.shared:
            task.shared["found"] = self._searched(task)
        found: Found = task.shared["found"]
        task.facts["learned"] = len(found.learned)
        if not found.learned:
            return start
        with running(task.ctx, grad=True) as model:
            lesson = self._lesson(task, found, start, model)
            why = lesson.why_not()
            if why:
                task.facts["not learned"] = why
                return start
            entropy = "" if self.cross_entropy == "none" else lesson.why_no_entropy()
            if task.role == "head":
                if entropy:
                    task.facts["not learned"] = entropy
                    return start
                return lesson.head_rows(task.shared["input rows"])
            head_start = None
            if self.cross_entropy == "both" and not entropy and task.untied:
                head_start = self._giver_of_start().made(lesson.head_task())
            made = lesson.input_rows(head_start, entropy=self.cross_entropy == "both" and not entropy)
            task.shared.setdefault("input rows", made)
            task.shared.setdefault("input", task.tensor.name)
            return made

    def _searched(self, task: RowTask) -> Found:
        """Snippets of the corpus.

        Raises:
            CommitError: no new token has enough of them.
        """
        old, new = (Vocabulary.of(task.needs[name], name=name) for name in ("old_tokenizer", "tokenizer"))
        tokens = task.plan.new
        fewest = 2 if self.compat == "authors" else 1  # a phrase of one piece would hide the old token itself
        places = [i for i, token in enumerate(tokens) if token.kind == "pieces" and len(token.pieces) >= fewest]
        least = self.min_snippets or (self.snippets if self.compat == "authors" else 5)
        wanted = Wanted(places, self.snippets)
        corpus = task.ctx.progress(task.needs["corpus"], "looking for new tokens in the corpus")
        before, after = old.frame()
        if self.compat == "authors":
            phrases = {tokens[place].pieces: -1 - place for place in reversed(places)}
            snippets = merged_snippets(corpus, old, phrases, wanted, self.length)
        else:
            rows = {i: ids[0] for i, ids in task.plan.copied.items()}
            rows.update({token.id: -1 - place for place, token in enumerate(tokens)})
            snippets = aligned_snippets(corpus, old, new, rows, wanted, self.length)
        held = [one.framed(before, after) for one in snippets]
        learned = tuple(place for place in places if wanted.counts[place] >= least)
        found = Found(tuple(held), learned, tuple(task.plan.copied[i][0] for i in sorted(task.plan.copied)))
        self._say(task, found, wanted, least)
        if places and not learned:
            raise CommitError(
                f"recipe {self.id}: none of {len(places)} new tokens has {least} snippets in the corpus "
                f"({sum(map(bool, wanted.counts.values()))} have any); give more text, or lower min_snippets"
            )
        return found

    def _say(self, task: RowTask, found: Found, wanted: Wanted, least: int) -> None:
        skipped = [(task.plan.new[place], count) for place, count in wanted.counts.items() if count < least]
        read = sum(len(one.teacher) for one in found.snippets)
        task.ctx.note(
            f"{self.id} snippets",
            [
                {
                    "snippets": len(found.snippets),
                    "old tokens read": read * self.epochs,
                    "new tokens learned": len(found.learned),
                    "old tokens a learned row": round(read * self.epochs / len(found.learned)) if found.learned else 0,
                    "in no snippet": sum(not count for _, count in skipped),
                    f"in fewer than {least}": sum(bool(count) for _, count in skipped),
                }
            ],
        )
        if skipped:
            task.ctx.note(
                f"{self.id} tokens not learned",
                [
                    {
                        "token": token.token,
                        "snippets": count,
                        "why": f"fewer than {least} snippets" if count else "the corpus does not hold it",
                    }
                    for token, count in sorted(skipped, key=lambda one: -one[1])[:SHOWN]
                ],
            )

    def _lesson(self, task: RowTask, found: Found, start: Tensor, model: nn.Module) -> Lesson:
        name = task.tensor.name if task.role == "input" else task.shared.get("input", task.tensor.name)
        body = Body(model, name.rpartition(".")[0], task.output or None, self.id)
        size = self.batch if body.takes_masks or body.causal() else 1
        orders = [task.ctx.stream(f"snippets of epoch {epoch}") for epoch in range(self.epochs)]
        batches = Batches(found.snippets, size, task.old.device, orders)
        step = 1e-4 if self.compat == "authors" else self.relative_lr * root_mean_square(task.old, task.trained)
        training = RowTraining(
            recipe=self.id,
            ctx=task.ctx,
            words=f"learning {len(found.learned)} rows of {task.tensor.name}",
            warm=max(1, batches.each // 2),
            schedule=self.schedule,
            dense=self.compat == "authors",
            checkpoint=self.checkpoint,
            origin=self._origin(task, found, start) if self.checkpoint else {},
        )
        return Lesson(task, found, start, body, batches, training, self.lr or step, self.epochs * batches.each)

    def _origin(self, task: RowTask, found: Found, start: Tensor) -> dict[str, Any]:
        options = {key: value for key, value in vars(self).items() if key != "checkpoint"}
        told = {"recipe": self.id, "seed": task.ctx.seed, "options": json.dumps(options, sort_keys=True)}
        first = task.shared.setdefault("fingerprint", fingerprint({"start": start}, repr(found.snippets)))
        return {**told, "start and snippets": first}
