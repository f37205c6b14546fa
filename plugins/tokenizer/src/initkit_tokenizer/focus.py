"""FOCUS: sparse combinations of the rows that both vocabularies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from initkit import CommitError
from initkit_tokenizer.neighbours import sparsemax_weights
from initkit_tokenizer.static_vectors import Floats, StaticVectors
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import Source, as_tensor, decoded_vectors, learned, token_vectors
from initkit_tokenizer.vector_recipe import NeighbourRecipe, Weights, new_vectors, with_vector
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class Focus(NeighbourRecipe):
    """New rows as sparse means of the tokens both vocabularies share, weighted by a sparsemax of the cosine.

    Anchors are the old tokens that the new vocabulary keeps and whose vector was learned; z are a new token's cosines
    to all of them, w = sparsemax(z), row = sum w_j E_j. The number of anchors that count follows from the cosines: a
    few to some tens. The head's rows and biases are summed with the same weights. Vectors are of the new tokenizer's
    language alone; the paper trains them on text that the new tokenizer has cut (``vectors_of="tokens"``).

    Args:
        compat: ``authors`` is what the paper's package does: special tokens and untrained rows are anchors too.
            Tokens without a vector of their own in a table of tokens (``vectors_of`` ``auto`` or ``tokens``) have none;
            with ``text`` the table is of words, and texts are what the tokenizer decodes a token to.

    Source: Dobler, de Melo, FOCUS: Effective Embedding Initialization for Monolingual Specialization of Multilingual
    Models, EMNLP 2023 (arXiv 2305.14481); sparsemax: Martins, Astudillo, ICML 2016 (arXiv 1602.02068), algorithm 1.
    """

    bibtex: ClassVar[str] = """@inproceedings{dobler2023focus,
  title = {{FOCUS}: Effective Embedding Initialization for Monolingual Specialization of Multilingual Models},
  author = {Dobler, Konstantin and de Melo, Gerard},
  booktitle = {EMNLP},
  year = {2023}
}"""

    spread: ClassVar[Literal[0, 1]] = 1

    compat: Literal["authors"] | None = None

    def weights(self, task: RowTask) -> Weights:
        """Sparsemax over the shared tokens."""
        new, table = Vocabulary.of(task.needs["tokenizer"]), task.needs["static_vectors"]
        shared = self._shared(task)
        if self.compat == "authors":
            places, vectors = _of_the_package(new, list(shared), table, self.vectors_of)
            wanted_ids = [token.id for token in task.plan.new]
            alive, found = _of_the_package(new, wanted_ids, table, self.vectors_of)
            wanted = torch.zeros(task.count, table.dim, device=task.old.device)
            wanted[alive] = as_tensor(found, task.old.device)
        else:
            places, vectors = with_vector(new, list(shared), table, self.vectors_of, self.anchors)
            wanted = new_vectors(task, self.vectors_of)
        if not places:
            raise CommitError(f"recipe {self.id}: no shared token has a vector of its own; take tokenizer/wechsel")
        owners = list(shared.values())
        anchors = torch.tensor([owners[place] for place in places], device=task.old.device)
        values, nearest = sparsemax_weights(wanted, as_tensor(vectors, task.old.device))
        task.facts["largest support"] = int((values > 0).sum(1).max()) if len(values) else 0
        return Weights(anchors[nearest], values, wanted.abs().amax(1) > 0)

    def _shared(self, task: RowTask) -> dict[int, int]:
        """New id to old id of the tokens that may be anchors."""
        usable = set(task.trained.tolist()) - set(task.plan.old_special_ids)
        found = {
            new: ids[0] for new, ids in sorted(task.plan.copied.items()) if ids[0] in usable or self.compat == "authors"
        }
        if not found:
            raise CommitError(f"recipe {self.id}: the vocabularies share no token; take tokenizer/wechsel")
        return found


def _of_the_package(
    vocabulary: Vocabulary, ids: list[int], table: StaticVectors, source: Source
) -> tuple[list[int], Floats]:
    if source in ("auto", "tokens"):
        found = token_vectors(vocabulary, ids, table, "tokens")
        found[~learned(vocabulary, ids, table, "tokens")] = 0
    elif source == "text":
        found = decoded_vectors(vocabulary, ids, table)
    else:
        found = token_vectors(vocabulary, ids, table, source)
    alive = np.flatnonzero(found.any(1)).tolist()
    return alive, found[alive]
