"""Rows from what a user says of the new tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import Item, NeedError, Normal
from initkit.errors import did_you_mean
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.pieces import Cutter
from initkit_tokenizer.subword import piece_weights, weighted_rows
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocab_plan import VocabPlan
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class Description(RowRecipe):
    """New tokens start at the mean of the words that describe them.

    Row = mean of E over the pieces of the token's description as the old tokenizer cuts it; an output matrix of its own
    takes the mean of its own rows. A token without a description starts as the mean of its own pieces, one without
    those at the mean of all old rows; both are reported.

    Args:
        noise: standard deviation of noise on each row, as a multiple of 1/√d; LLaMA-Factory's is 1.

    Source: LLaMA-Factory (Zheng et al., ACL 2024 demonstrations, arXiv 2403.13372), ``desc_init``; it takes input rows
    for the head of untied models, here the head's own rows are taken.
    """

    bibtex: ClassVar[str] = """@inproceedings{zheng2024llamafactory,
  title = {LlamaFactory: Unified Efficient Fine-Tuning of 100+ Language Models},
  author = {Zheng, Yaowei and Zhang, Richong and Zhang, Junhao and Ye, Yanhan and Luo, Zheyan and Feng, Zhangchi and
    Ma, Yongqiang},
  booktitle = {ACL: System Demonstrations},
  year = {2024},
  eprint = {2403.13372},
  archivePrefix = {arXiv}
}"""

    noise: Annotated[float, Ge(0)] = 0.0

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any, descriptions: Any) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            descriptions: ``{token: text}``, tokens as they stand in the new vocabulary or as they read.
        """
        yield from self.items(model, old_tokenizer, tokenizer, descriptions=descriptions)

    def rows(self, task: RowTask) -> Tensor:
        """Means of the descriptions' rows."""
        pieces = described_pieces(task, required=True)
        rows = mean_rows(task, pieces)
        if self.noise and task.role != "bias":
            noise = task.sample(Normal(self.noise / task.width**0.5), "noise")
            rows = rows + noise
        return rows


def described_pieces(task: RowTask, *, required: bool) -> list[tuple[int, ...]]:
    """Pieces of each new token's description, of its own bytes where it has none; () makes it fall back.

    Raises:
        NeedError: a description is of no new token, or empty.
    """
    if "descriptions" not in task.shared:
        texts = _by_place(task.plan, task.needs.get("descriptions"), required)
        cutter = Cutter(Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer"))
        cuts = cutter.cut([text.encode() for text in texts.values()])
        task.shared["descriptions"] = {place: cut.ids for place, cut in zip(texts, cuts, strict=True)}
        task.shared["described"] = len(texts)
    told: dict[int, tuple[int, ...]] = task.shared["descriptions"]
    found = [told.get(place, token.pieces) for place, token in enumerate(task.plan.new)]
    for place, (token, ids) in enumerate(zip(task.plan.new, found, strict=True)):
        if not ids:
            task.fall_back(place, token.why or "a special token without a description")
    task.facts["described"] = task.shared["described"]
    return found


def mean_rows(task: RowTask, pieces: list[tuple[int, ...]]) -> Tensor:
    """Mean of the rows of each token's pieces, (n, d), float32."""
    lengths = torch.tensor([len(ids) for ids in pieces], dtype=torch.long, device=task.old.device)
    flat = torch.tensor([i for ids in pieces for i in ids], dtype=torch.long, device=task.old.device)
    starts = lengths.cumsum(0) - lengths
    return weighted_rows(task.old, flat, starts, piece_weights("mean", starts, lengths))


def _by_place(plan: VocabPlan, descriptions: Any, required: bool) -> dict[int, str]:
    if descriptions is None and not required:
        return {}
    if not isinstance(descriptions, Mapping) or not descriptions:
        raise NeedError(f"descriptions: {type(descriptions).__name__}; a mapping of tokens to texts is needed")
    places = {token.text.strip(): place for place, token in enumerate(plan.new)}
    places.update({token.token: place for place, token in enumerate(plan.new)})
    found: dict[int, str] = {}
    for token, text in descriptions.items():
        if token not in places:
            raise NeedError(f"descriptions: {token!r} is no new token{did_you_mean(str(token), places)}")
        if not isinstance(text, str) or not text.strip():
            raise NeedError(f"descriptions: the description of {token!r} is empty")
        found[places[token]] = text
    return dict(sorted(found.items()))
