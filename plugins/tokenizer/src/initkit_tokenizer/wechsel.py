"""WECHSEL: means of the rows of old tokens with the nearest word vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from initkit_tokenizer.neighbours import softmax_weights
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vector_recipe import NeighbourRecipe, Weights, new_vectors, ordinary, with_vector


@dataclass(frozen=True)
class Wechsel(NeighbourRecipe):
    """New rows as means of the old tokens with the nearest word vectors, weighted by a softmax of the cosine.

    Each token gets the vector of its text. For a new token the k old tokens of largest cosine are taken, with weights
    softmax(cosine/temperature); the head's rows and biases are summed with the same weights. Vectors of two languages
    are first brought into one space by the orthogonal matrix that fits a bilingual dictionary best.

    Tokens that both vocabularies have keep their rows (the paper's package copies special tokens alone), and old tokens
    without a vector are never chosen (there they have cosine 0).

    Args:
        k: neighbours of a token.
        temperature: of the softmax.

    Source: Minixhofer, Paischer, Rekabsaz, WECHSEL, NAACL 2022 (arXiv 2112.06598), section 3, and its package.
    """

    bibtex: ClassVar[str] = """@inproceedings{minixhofer2022wechsel,
  title = {WECHSEL: Effective initialization of subword embeddings for cross-lingual transfer of monolingual language
    models},
  author = {Minixhofer, Benjamin and Paischer, Fabian and Rekabsaz, Navid},
  booktitle = {NAACL},
  year = {2022}
}"""

    k: Annotated[int, Ge(1)] = 10
    temperature: Annotated[float, Gt(0)] = 0.1

    def weights(self, task: RowTask) -> Weights:
        """Softmax over the k nearest of all trained old tokens."""
        anchors, vectors = with_vector(task, ordinary(task), self.vectors_of)
        wanted = new_vectors(task, self.vectors_of)
        values, places = softmax_weights(wanted, vectors, self.k, self.temperature)
        return Weights(anchors[places], values, wanted.abs().amax(1) > 0)
