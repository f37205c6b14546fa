"""FOCUS: sparse combinations of the rows that both vocabularies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from initkit import CommitError
from initkit_tokenizer.neighbours import sparsemax_weights
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vector_recipe import NeighbourRecipe, Weights, new_vectors, ordinary, with_vector


@dataclass(frozen=True)
class Focus(NeighbourRecipe):
    """New rows as sparse means of the tokens both vocabularies share, weighted by a sparsemax of the cosine.

    Anchors are the old tokens that the new vocabulary keeps and that have a vector; z are a new token's cosines to all
    of them, w = sparsemax(z), row = sum w_j E_j. The number of anchors that count follows from the cosines: a few to
    some tens. The head's rows and biases are summed with the same weights.

    Args: the options that all recipes with word vectors share.

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

    def weights(self, task: RowTask) -> Weights:
        """Sparsemax over the shared tokens."""
        kept = {i for ids in task.plan.copied.values() for i in ids}
        shared = [i for i in ordinary(task) if i in kept]
        if not shared:
            raise CommitError(f"recipe {self.id}: the vocabularies share no token; take tokenizer/wechsel")
        anchors, vectors = with_vector(task, shared, self.vectors_of)
        wanted = new_vectors(task, self.vectors_of)
        values, places = sparsemax_weights(wanted, vectors)
        task.facts["largest support"] = int((values > 0).sum(1).max())
        return Weights(anchors[places], values, wanted.abs().amax(1) > 0)
