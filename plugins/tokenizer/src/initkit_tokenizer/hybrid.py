"""Half what a token is made of, half what words are near it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from torch import Tensor

from initkit_tokenizer.focus import Focus
from initkit_tokenizer.neighbours import weighted_rows
from initkit_tokenizer.subword import Subword, Weights
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vector_recipe import VectorRecipe
from initkit_tokenizer.vector_recipe import Weights as Neighbours
from initkit_tokenizer.wechsel import Wechsel


@dataclass(frozen=True)
class Hybrid(VectorRecipe):
    """The mean of a token's pieces and of the rows of tokens with near word vectors, mixed.

    Row = a subword + (1 - a) neighbours. A token without a vector is its pieces' mean alone, one without pieces its
    neighbours' alone.

    Args:
        share: a.
        neighbours: ``wechsel`` or ``focus`` finds the near tokens.
        weights_of_pieces: as in tokenizer/subword.

    Source: ours; the parts are Gee et al., EMNLP 2022 (arXiv 2402.09977), and Minixhofer et al., NAACL 2022
    (arXiv 2112.06598), or Dobler, de Melo, EMNLP 2023 (arXiv 2305.14481).
    """

    bibtex: ClassVar[str] = Wechsel.bibtex

    share: Annotated[float, Ge(0), Le(1)] = 0.5
    neighbours: Literal["wechsel", "focus"] = "wechsel"
    weights_of_pieces: Weights = "mean"

    def rows(self, task: RowTask) -> Tensor:
        """a subword + (1 - a) neighbours, where both are known."""
        near = self.shared_weights(task)
        made = self.share * Subword(weights=self.weights_of_pieces).rows(task)
        made += (1 - self.share) * weighted_rows(task.old, near.ids, near.values)
        spelt = [bool(token.pieces) for token in task.plan.new]
        for place, (known, cut) in enumerate(zip(near.known.tolist(), spelt, strict=True)):
            if not known and not cut:
                task.fall_back(place, task.plan.new[place].why or "a special token without a counterpart")
        only_cut = ~near.known
        if bool(only_cut.any()):
            made[only_cut] = Subword(weights=self.weights_of_pieces).rows(task)[only_cut]
        for place, cut in enumerate(spelt):
            if not cut and bool(near.known[place]):
                made[place] = weighted_rows(task.old, near.ids[place : place + 1], near.values[place : place + 1])[0]
        task.facts["without a vector"] = int(only_cut.sum())
        return made

    def weights(self, task: RowTask) -> Neighbours:
        """The neighbours' weights."""
        finder = Wechsel if self.neighbours == "wechsel" else Focus
        return finder(vectors_of=self.vectors_of, anchors=self.anchors).weights(task)
