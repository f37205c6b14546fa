"""The recipe that does best on tokens whose rows are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from initkit import InitError, Item, OptionError
from initkit._recipe import recipe
from initkit.errors import did_you_mean
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.donors import Donor
from initkit_tokenizer.hiding import exam
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import text_of
from initkit_tokenizer.vector_recipe import vector_needs
from initkit_tokenizer.vocabulary import Vocabulary

ALWAYS = ("subword", "mean")
WITH_VECTORS = ("fit", "hybrid", "wechsel", "focus")
WITH_DONOR = ("map", "omp", "clp")
FEWEST = 10
ENOUGH = 100
"""Hidden tokens below which averages tell recipes apart badly; up to a quarter of the known ones are taken for it."""


@dataclass(frozen=True)
class Auto(RowRecipe):
    """Picks the recipe that best restores known tokens which it hides from itself, for input and head apart.

    Some of the tokens that both vocabularies have, of the kind that most new ones are, are hidden; each recipe that the
    data at hand allow makes their rows anew, and these are compared with the true ones. The new tokens' rows are then
    made by the first recipe that no other beats by two standard errors; the mean is given up only for one that so beats
    it. The report holds the table. A ``donor`` allows map, omp and clp, word vectors (``static_vectors``) fit, hybrid,
    wechsel and focus, in this order of preference; subword and mean are always tried. A bias is the mean of the old
    ones.

    Args:
        candidates: names of recipes to try, the preferred ones first; () is all that the data allow.
        hide: share of the known tokens that are hidden; where that makes fewer than 100, up to a quarter.
        most: the most tokens that are hidden.
        score: ``cosine`` between made and true rows, both less the mean of the old ones (so the mean itself has 0), or
            ``error``: the distance as a share of the mean row's.

    Source: ours.
    """

    bibtex: ClassVar[str] = ""
    short: ClassVar[bool] = True

    candidates: tuple[str, ...] = ()
    hide: Annotated[float, Gt(0), Le(0.5)] = 0.05
    most: Annotated[int, Ge(FEWEST)] = 1000
    score: Literal["cosine", "error"] = "cosine"

    def plan(
        self,
        model: Any,
        *,
        tokenizer: Any,
        old_tokenizer: Any,
        static_vectors: Any = None,
        old_static_vectors: Any = None,
        dictionary: Any = None,
        donor: Any = None,
    ) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            static_vectors: vectors of words of the new tokenizer's language, if there are any.
            old_static_vectors: of the old language; None where one table serves both.
            dictionary: pairs of an old word and a new one, where the two tables are of two spaces.
            donor: a model that was trained with the new tokenizer, if there is one.
        """
        needs: dict[str, Any] = {}
        names = list(ALWAYS)
        if static_vectors is not None:
            needs.update(vector_needs(static_vectors, old_static_vectors, dictionary))
            names = [*WITH_VECTORS, *names]
        if donor is not None:
            needs["donor"] = Donor.of(donor)
            names = [*WITH_DONOR, *names]
        yield from self.items(model, old_tokenizer, tokenizer, **needs, contestants=self._contestants(names))

    def _contestants(self, possible: list[str]) -> list[RowRecipe]:
        for name in self.candidates:
            if name not in possible:
                known = {*ALWAYS, *WITH_VECTORS, *WITH_DONOR}
                lack = (
                    "it needs static_vectors"
                    if name in WITH_VECTORS
                    else "it needs a donor"
                    if name in WITH_DONOR
                    else f"it is none of {', '.join(sorted(known))}{did_you_mean(name, known)}"
                )
                raise OptionError(f"recipe {self.id}: candidate {name!r}: {lack}")
        found = [recipe(f"tokenizer/{name}") for name in self.candidates or possible]
        return [one for one in found if isinstance(one, RowRecipe)]

    def rows(self, task: RowTask) -> Tensor:
        """The rows of the recipe that restores hidden tokens best."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        *ranking, last = self._ranking(task)
        for one in ranking:
            try:
                return self._used(one, task)
            except InitError as error:
                remark = f"{_short(one)} restored hidden tokens, but fails on the new ones: {error}"
                task.ctx.note(f"{self.id} remarks", [{"remark": f"{task.tensor.name}: {remark}"}])
        return self._used(last, task)

    def _used(self, one: RowRecipe, task: RowTask) -> Tensor:
        task.fallbacks.clear()
        task.facts["recipe"] = _short(one)
        if one.uses_pieces:
            for place, token in enumerate(task.plan.new):
                if token.kind != "pieces":
                    task.fall_back(place, token.why or "a special token without a counterpart")
        return one.rows(task)

    def _ranking(self, task: RowTask) -> list[RowRecipe]:
        """The candidates, the chosen one first, then those that come next."""
        contestants: list[RowRecipe] = task.needs["contestants"]
        test = self._exam(task)
        if len(contestants) == 1 or test.count < FEWEST:
            task.facts["chosen by"] = "default" if len(contestants) > 1 else "no other"
            return contestants
        ids = torch.tensor(
            [task.plan.copied[token.id][0] for token in test.plan.new], dtype=torch.long, device=task.old.device
        )
        truth = task.old[ids].to(torch.float32)
        table: list[dict[str, Any]] = []
        scores: list[Tensor] = []
        for one in contestants:
            row: dict[str, Any] = {"tensor": task.tensor.name, "role": task.role, "recipe": _short(one)}
            try:
                made = self._made(one, test)
            except InitError as error:
                table.append({**row, "cosine": None, "error, as a share of the mean's": None, "why not": str(error)})
                scores.append(torch.full((test.count,), float("-inf")))
                continue
            # Centred: what all rows share says nothing of a token, and in a head the softmax does not see it.
            cosines = torch.nn.functional.cosine_similarity(made - test.mean, truth - test.mean, dim=1)
            cosine = _digits(cosines.mean())
            error_share = _digits((made - truth).norm() / (test.mean - truth).norm())
            table.append({**row, "cosine": cosine, "error, as a share of the mean's": error_share, "why not": ""})
            squares = (made - truth).square().sum(1)
            scores.append((cosines if self.score == "cosine" else -squares).cpu())
        best = _winner(scores, [_short(one) for one in contestants])
        table[best]["chosen"] = True
        task.ctx.note(f"{self.id} {test.count} hidden tokens", table)
        order = sorted(range(len(scores)), key=lambda place: (place != best, -float(scores[place].mean())))
        return [contestants[place] for place in order]

    def _exam(self, task: RowTask) -> RowTask:
        new = Vocabulary.of(task.needs["tokenizer"], name="tokenizer")
        usable = set(task.trained.tolist()) - set(task.plan.old_special_ids)
        known = [
            (i, ids[0])
            for i, ids in sorted(task.plan.copied.items())
            if len(ids) == 1 and ids[0] in usable and new.keys[i].kind == "text" and len(new.keys[i].payload) > 2
        ]
        alike = _alike(task, new, known)
        known = alike if len(alike) >= 4 * FEWEST else known
        fewest = max(FEWEST, min(ENOUGH, len(known) // 4))
        count = min(self.most, max(fewest, round(self.hide * len(known))), len(known))
        order = task.ctx.stream(f"hidden tokens {task.tensor.name}").permutation(len(known)).tolist()
        hide = [known[place] for place in order[:count]]
        return exam(task, [old for _, old in hide], new, [i for i, _ in hide])

    def _made(self, one: RowRecipe, test: RowTask) -> Tensor:
        test.fallbacks.clear()
        made = one.rows(test).to(torch.float32)
        if test.fallbacks:
            made = made.clone()
            made[sorted(test.fallbacks)] = test.mean
        return made


def _alike(task: RowTask, new: Vocabulary, known: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Known tokens of the kind that most new ones are: starting a word or not, with a word vector or not."""
    vectors = task.needs.get("static_vectors", ())

    def kind(payload: bytes) -> tuple[bool, bool]:
        return payload.startswith(b" "), text_of(payload) in vectors

    kinds = Counter(kind(token.payload) for token in task.plan.new if token.kind != "special")
    if not kinds:
        return known
    usual = kinds.most_common(1)[0][0]
    return [(i, old) for i, old in known if kind(new.keys[i].payload) == usual]


def _winner(scores: list[Tensor], names: list[str]) -> int:
    """The first, by order of preference, that no other beats by two standard errors and that so beats the mean.

    Args:
        scores: of each candidate on each hidden token.
        names: of the candidates.
    """
    best = max(range(len(scores)), key=lambda place: float(scores[place].mean()))
    mean = names.index("mean") if "mean" in names else None
    for place, one in enumerate(scores):
        if _beats(scores[best], one) or place == mean:
            continue
        if mean is None or _beats(one, scores[mean]):
            return place
    return best if mean is None else mean


def _beats(one: Tensor, other: Tensor) -> bool:
    """Whether its mean is higher by more than two standard errors of the paired differences."""
    if not bool(torch.isfinite(other).all()):
        return bool(torch.isfinite(one).all())
    gain = one - other
    return float(gain.mean()) > 2 * float(gain.std()) / math.sqrt(len(gain))


def _short(one: RowRecipe) -> str:
    return one.id.rpartition("/")[2]


def _digits(value: Tensor) -> float:
    return float(f"{float(value):.7g}")
