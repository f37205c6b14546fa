"""What recipes share that place new tokens among old ones by word vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from initkit import CommitError, Item, Normal
from initkit_tokenizer import statistics
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.neighbours import weighted_rows
from initkit_tokenizer.static_vectors import Floats, StaticVectors
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import Source, aligned, as_tensor, learned, token_vectors
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class Weights:
    """New rows as weighted sums of old ones, the same for all tensors of a model.

    Args:
        ids: old ids, (n, k).
        values: weights, (n, k), float32.
        known: places of new tokens that have a vector, (n,), bool; rows of others mean nothing.
    """

    ids: Tensor
    values: Tensor
    known: Tensor


@dataclass(frozen=True)
class VectorRecipe(RowRecipe):
    """New rows with the help of word vectors.

    Args:
        vectors_of: ``text`` takes the vector of a token's text; ``words`` the mean over the words that contain the
            token, weighted by counts; ``auto`` the second where the first is missing; ``tokens`` the vector of the
            token's string, of a table that was trained on tokens.
        anchors: old tokens that new ones may lean on: those whose vector was ``learned``, or ``all`` that have one, be
            it spelt by n-grams alone.
    """

    vectors_of: Source = "auto"
    anchors: Literal["learned", "all"] = "learned"

    def plan(
        self,
        model: Any,
        *,
        tokenizer: Any,
        old_tokenizer: Any,
        static_vectors: Any,
        old_static_vectors: Any = None,
        dictionary: Any = None,
    ) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            static_vectors: vectors of words of the new tokenizer's language, in any form that
                :meth:`initkit_tokenizer.StaticVectors.of` reads.
            old_static_vectors: of the old language; None where one table serves both.
            dictionary: pairs of an old word and a new one, by which the old vectors are turned into the new space; None
                where both tables are of one space.
        """
        needs = vector_needs(static_vectors, old_static_vectors, dictionary)
        yield from self.with_vectors(model, old_tokenizer, tokenizer, needs)

    def with_vectors(self, model: Any, old_tokenizer: Any, tokenizer: Any, needs: dict[str, Any]) -> Iterator[Item]:
        """What :meth:`plan` yields, once the vectors are read."""
        yield from self.items(model, old_tokenizer, tokenizer, **needs)

    def shared_weights(self, task: RowTask) -> Weights:
        """:meth:`weights`, computed once for all tensors of a run."""
        key = f"{type(self).__name__} weights {self!r}"
        if key not in task.shared:
            task.shared[key] = self.weights(task)
        found: Weights = task.shared[key]
        return found

    def weights(self, task: RowTask) -> Weights:
        """Which old rows each new row is made of."""
        raise NotImplementedError(f"{type(self).__name__} gives no weights")


@dataclass(frozen=True)
class NeighbourRecipe(VectorRecipe):
    """New rows as weighted means of the rows of old tokens with similar word vectors, and nothing else.

    Args:
        without_vector: rows of tokens without a vector: ``normal`` with mean and spread of the old rows, or their
            ``mean``.
    """

    spread: ClassVar[Literal[0, 1]] = 0
    """ddof of the spread of rows without a vector."""

    without_vector: Literal["normal", "mean"] = "normal"

    def rows(self, task: RowTask) -> Tensor:
        """Weighted sums; normal rows or the mean where a token has no vector."""
        weights = self.shared_weights(task)
        made = weighted_rows(task.old, weights.ids, weights.values)
        unknown = ~weights.known
        task.facts["without a vector"] = int(unknown.sum())
        if bool(unknown.any()):
            made[unknown] = self._others(task)[unknown]
        return made

    def _others(self, task: RowTask) -> Tensor:
        for place, token in enumerate(task.plan.new):
            if token.kind == "special":
                task.fall_back(place, "a special token without a counterpart")
        if self.without_vector == "mean":
            return task.mean.expand(task.count, task.width)
        deviation = statistics.deviation(task.old, task.trained, ddof=self.spread)
        return task.mean + deviation * task.sample(Normal(1.0), "without vector")


def vector_needs(new: Any, old: Any, dictionary: Any) -> dict[str, Any]:
    """Word vectors of both languages in one space.

    Raises:
        NeedError: tables cannot be read, differ in length, or the dictionary is too small.
    """
    table = StaticVectors.of(new)
    source = table if old is None else StaticVectors.of(old, name="old_static_vectors")
    found: dict[str, Any] = {}
    if dictionary is not None:
        source, found = aligned(source, table, list(dictionary))
    elif source.dim != table.dim:
        aligned(source, table, [])  # says that lengths differ
    return {"static_vectors": table, "old_static_vectors": source, "alignment": found}


def new_vectors(task: RowTask, source: Source) -> Tensor:
    """Vectors of new tokens, (n, D); zeros where there is none and for special tokens."""
    vocabulary = Vocabulary.of(task.needs["tokenizer"], name="tokenizer")
    found = token_vectors(vocabulary, [token.id for token in task.plan.new], task.needs["static_vectors"], source)
    found[np.array([token.kind == "special" for token in task.plan.new], dtype=bool)] = 0
    return as_tensor(found, task.old.device)


def with_vector(
    vocabulary: Vocabulary, ids: Sequence[int], vectors: StaticVectors, source: Source, which: str
) -> tuple[list[int], Floats]:
    """Places in ``ids`` of the tokens that have a vector, and those vectors.

    Args:
        vocabulary: that the ids belong to.
        ids: of tokens.
        vectors: of its words.
        source: as in :func:`token_vectors`.
        which: ``learned`` or ``all``.

    Raises:
        CommitError: there is none.
    """
    found = token_vectors(vocabulary, ids, vectors, source)
    alive = found.any(1)
    some = int(alive.sum())
    if which == "learned":
        alive &= learned(vocabulary, ids, vectors, source)
    if not alive.any():
        raise CommitError(
            f"static_vectors: none of {len(ids)} old tokens to lean on has a vector"
            + (f" that was learned ({some} by n-grams alone: anchors=all takes them)" if some else "")
            + "; are they of these languages?"
        )
    return np.flatnonzero(alive).tolist(), found[alive]


def ordinary(task: RowTask) -> list[int]:
    """Old ids whose rows were trained, special tokens left out."""
    return sorted(set(task.trained.tolist()) & set(task.plan.old_ids) - set(task.plan.old_special_ids))
