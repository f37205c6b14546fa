"""WECHSEL: means of the rows of old tokens with the nearest word vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit_tokenizer.neighbours import softmax_weights
from initkit_tokenizer.static_vectors import Floats
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import as_tensor, decoded_vectors, token_vectors
from initkit_tokenizer.vector_recipe import NeighbourRecipe, Weights, new_vectors, ordinary, with_vector
from initkit_tokenizer.vocab_plan import NewToken, VocabPlan
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class Wechsel(NeighbourRecipe):
    """New rows as means of the old tokens with the nearest word vectors, weighted by a softmax of the cosine.

    Each token gets the vector of its text. For a new token the k old tokens of largest cosine are taken, with weights
    softmax(cosine/temperature); the head's rows and biases are summed with the same weights. Vectors of two languages
    are first brought into one space by the orthogonal matrix that fits a bilingual dictionary best.

    Tokens that both vocabularies have keep their rows (the paper's package copies special tokens alone), and old tokens
    are chosen only where their vector was learned: one spelt by n-grams alone says how a token is written, not what
    it means.

    Args:
        k: neighbours of a token.
        temperature: of the softmax.
        copy_overlap: whether tokens of both vocabularies keep their rows; else special ones alone do, and the others
            are made like new ones.
        compat: ``authors`` is what the paper's package does: no overlap is copied, texts are what the tokenizer decodes
            a token to, in that very spelling, and all old tokens take part, special ones and those without a vector
            (cosine 0) too.

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
    copy_overlap: bool = True
    compat: Literal["authors"] | None = None

    def vocab_plan(self, old_tokenizer: Any, tokenizer: Any) -> VocabPlan:
        """As ever, or with all but special tokens to be made anew."""
        plan = super().vocab_plan(old_tokenizer, tokenizer)
        if self.copy_overlap and self.compat is None:
            return plan
        return _without_overlap(plan, Vocabulary.of(tokenizer), same_string=self.compat is not None)

    def weights(self, task: RowTask) -> Weights:
        """Softmax over the k nearest old tokens."""
        if self.compat == "authors":
            return self._of_the_package(task)
        ids = ordinary(task)
        old = Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer")
        places, vectors = with_vector(old, ids, task.needs["old_static_vectors"], self.vectors_of, self.anchors)
        wanted = new_vectors(task, self.vectors_of)
        return self._nearest(task, [ids[place] for place in places], vectors, wanted)

    def _of_the_package(self, task: RowTask) -> Weights:
        old, new = (Vocabulary.of(task.needs[name]) for name in ("old_tokenizer", "tokenizer"))
        wanted_ids = [token.id for token in task.plan.new]
        ids = list(task.plan.old_ids)
        found = []
        for vocabulary, chosen, name in ((old, ids, "old_static_vectors"), (new, wanted_ids, "static_vectors")):
            table = task.needs[name]
            made = (
                decoded_vectors(vocabulary, chosen, table)
                if self.vectors_of == "auto"
                else token_vectors(vocabulary, chosen, table, self.vectors_of)
            )
            found.append(made)
        return self._nearest(task, ids, found[0], as_tensor(found[1], task.old.device))

    def _nearest(self, task: RowTask, ids: list[int], vectors: Floats, wanted: Tensor) -> Weights:
        anchors = torch.tensor(ids, device=task.old.device)
        values, places = softmax_weights(wanted, as_tensor(vectors, task.old.device), self.k, self.temperature)
        return Weights(anchors[places], values, wanted.abs().amax(1) > 0)


def _without_overlap(plan: VocabPlan, new: Vocabulary, *, same_string: bool) -> VocabPlan:
    """The plan in which special tokens alone are copied.

    Args:
        plan: with all that is shared copied.
        new: the new vocabulary.
        same_string: whether special tokens that match by their role alone are made anew too.
    """
    by_role = {token for _, token, _ in plan.roles} if same_string else set()
    copied = {
        i: ids for i, ids in plan.copied.items() if new.keys[i].kind == "special" and new.tokens[i] not in by_role
    }
    fresh = [
        NewToken(
            i,
            new.tokens[i],
            new.keys[i].payload.hex(),
            (() if new.keys[i].kind == "special" else ids[:1]),
            "special" if new.keys[i].kind == "special" else "pieces",
        )
        for i, ids in plan.copied.items()
        if i not in copied
    ]
    used = {i for ids in copied.values() for i in ids}
    return replace(
        plan,
        copied=copied,
        new=tuple(sorted((*plan.new, *fresh), key=lambda token: token.id)),
        dropped=tuple(i for i in plan.old_ids if i not in used),
    )
