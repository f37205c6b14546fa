"""An initialiser that is learned on the model's own vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import CommitError
from initkit_tokenizer.base import pieces_of
from initkit_tokenizer.hiding import exam
from initkit_tokenizer.neighbours import weighted_rows
from initkit_tokenizer.ridge import Ridge
from initkit_tokenizer.subword import Subword
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import text_of
from initkit_tokenizer.vector_recipe import VectorRecipe, new_vectors
from initkit_tokenizer.vocabulary import Vocabulary
from initkit_tokenizer.wechsel import Wechsel

LETTERS = 5
FEWEST = 50
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Fit(VectorRecipe):
    """New rows by a regression that is learned on the model's own words, from pieces and word vectors.

    Whole words of five letters and more that the model and the table of vectors know are hidden, an eighth at a time,
    so that the rest spells them in pieces as it will spell the new tokens. From what is left of each word its row is
    predicted: the mean, first and last row of the pieces, the row that tokenizer/wechsel would give, the word vector
    itself, and the number of pieces, all standardised; ridge regression, its penalty chosen by five folds. New tokens
    are predicted by the same features. Tokens without pieces get the mean, those without a vector what
    tokenizer/subword would give. A bias is the mean of the old ones.

    Args:
        folds: parts that words are hidden in.
        max_words: the most words to learn from, lowest ids first.

    Source: ours. The features are those of Gee et al., EMNLP 2022 (arXiv 2402.09977), and of Minixhofer et al., NAACL
    2022 (arXiv 2112.06598).
    """

    bibtex: ClassVar[str] = Wechsel.bibtex
    uses_pieces: ClassVar[bool] = True

    folds: Annotated[int, Ge(2)] = 8
    max_words: Annotated[int, Ge(FEWEST)] = 12000

    def rows(self, task: RowTask) -> Tensor:
        """Predictions from pieces and vectors."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        old = Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer")
        x, y = self._lessons(task, old)
        centre, spread = x.mean(0), x.std(0, correction=0)
        spread = torch.where(spread > 1e-8, spread, torch.ones_like(spread))
        order = task.ctx.stream(f"folds {task.tensor.name}").permutation(len(x)).tolist()
        ridge = Ridge.fit((x - centre) / spread, y, order, PENALTIES)
        task.facts["words learned from"] = len(x)
        task.facts["penalty"] = ridge.penalty
        task.facts["squared error on held-out words, as a share of the mean's"] = float(f"{ridge.error:.7g}")
        features, complete = self._features(task)
        task.facts["without a vector"] = int((~complete).sum())
        made = ridge((features - centre) / spread)
        if not bool(complete.all()):
            made[~complete] = Subword().rows(task)[~complete]
        return made

    def _lessons(self, task: RowTask, old: Vocabulary) -> tuple[Tensor, Tensor]:
        words = [i for i in task.trained.tolist() if i in old.keys and _is_word(old, i)]
        vectors = task.needs["old_static_vectors"]
        # A vector spelt from n-grams alone says less than a learned one: such words would teach distrust.
        learned = [i for i in words if text_of(old.keys[i].payload) in vectors]
        words = (learned if len(learned) >= FEWEST else words)[: self.max_words]
        if len(words) < FEWEST:
            raise CommitError(
                f"recipe {self.id}: the old vocabulary has {len(words)} whole words of {LETTERS} letters, at least "
                f"{FEWEST} are needed to learn from; take tokenizer/subword or tokenizer/wechsel"
            )
        order = task.ctx.stream("hidden words").permutation(len(words)).tolist()
        known: list[Tensor] = []
        truth: list[Tensor] = []
        for fold in range(self.folds):
            hide = [words[place] for place in order[fold :: self.folds]]
            lesson = exam(task, hide, old, hide)
            lesson.needs["static_vectors"] = task.needs["old_static_vectors"]
            features, complete = self._features(lesson)
            ids = torch.tensor([token.id for token in lesson.plan.new], dtype=torch.long, device=task.old.device)
            known.append(features[complete])
            truth.append(task.old[ids[complete]].to(torch.float32))
        x, y = torch.cat(known), torch.cat(truth)
        if len(x) < FEWEST:
            raise CommitError(
                f"recipe {self.id}: {len(x)} of {len(words)} words have a vector, at least {FEWEST} are needed to "
                f"learn from; are the word vectors of this language?"
            )
        return x, y

    def _features(self, task: RowTask) -> tuple[Tensor, Tensor]:
        """What is known of new tokens, (n, features), and whether all of it is, (n,)."""
        flat, starts, lengths = pieces_of(task)
        cut = lengths > 0
        safe = starts.clamp_max(max(0, len(flat) - 1))
        ends = (starts + lengths - 1).clamp(0, max(0, len(flat) - 1))
        rows = task.old.to(torch.float32) if not len(flat) else task.old
        if not len(flat):
            flat = torch.zeros(1, dtype=torch.long, device=task.old.device)
        near = Wechsel(vectors_of=self.vectors_of, anchors=self.anchors).shared_weights(task)
        vectors = new_vectors(task, self.vectors_of)
        features = torch.cat(
            [
                Subword().rows(task),
                rows[flat[safe]].to(torch.float32),
                rows[flat[ends]].to(torch.float32),
                weighted_rows(task.old, near.ids, near.values),
                vectors,
                lengths.to(torch.float32).unsqueeze(1),
            ],
            dim=1,
        )
        return features, cut & near.known


def _is_word(vocabulary: Vocabulary, i: int) -> bool:
    key = vocabulary.keys[i]
    if key.kind not in ("text", "added") or not key.payload.startswith(b" "):
        return False
    text = text_of(key.payload)
    return len(text) >= LETTERS and text.isalpha()
