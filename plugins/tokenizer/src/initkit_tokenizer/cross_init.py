"""Rows from what the model's own encoder makes of a few words, and the penalty that holds them there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from initkit import CommitError, Item, NeedError
from initkit_tokenizer import statistics
from initkit_tokenizer.base import RowRecipe
from initkit_tokenizer.bodies import Body, running
from initkit_tokenizer.description import described_pieces, mean_rows
from initkit_tokenizer.pieces import Cutter
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary

_BATCH = 64


@dataclass(frozen=True)
class CrossInit(RowRecipe):
    """New tokens start at the encoder's output for the words that describe them: its last hidden states.

    The encoder reads start token, words, end token; the row is its last hidden state, after the final norm, at the
    words' places. Words are the token's description, or its own pieces. With ``names`` (the celebrity variant) it reads
    instead one row for each new token, the mean over many names of the input rows of their i-th piece, and token i
    takes the state at place i. Such rows belong into the input matrix of a text encoder whose later layers bear their
    length (CLIP's in diffusion models: the states are many times as long as the rows); ``renorm`` is for others. An
    output matrix of its own takes the mean of its rows of the same words, a bias their mean.

    Args:
        renorm: scale each row to the mean length of the old rows.
        position: the state of words of several pieces: their ``mean``, or the ``last`` one.

    Source: Pang, Yin, Xie, Wang, Shi, Cao, Cross Initialization for Face Personalization of Text-to-Image Models, CVPR
    2024 (arXiv 2312.15905), with their code; ``row_penalty`` is its regulariser, ``renorm`` is ours.
    """

    bibtex: ClassVar[str] = """@inproceedings{pang2024cross,
  title = {Cross Initialization for Face Personalization of Text-to-Image Models},
  author = {Pang, Lianyu and Yin, Jian and Xie, Haoran and Wang, Qiping and Li, Qing and Mao, Xudong},
  booktitle = {CVPR},
  year = {2024},
  eprint = {2312.15905},
  archivePrefix = {arXiv}
}"""

    renorm: bool = False
    position: Literal["mean", "last"] = "mean"

    def plan(
        self, model: Any, *, tokenizer: Any, old_tokenizer: Any, descriptions: Any = None, names: Any = None
    ) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: called with ids, (texts, positions); its last hidden states are as wide as its embedding.
            tokenizer: the new one.
            old_tokenizer: the one that the model was made with.
            descriptions: ``{token: words}``; tokens without words of their own start from their pieces.
            names: many names, each cut into as many pieces as there are new tokens.
        """
        if names is not None and descriptions is not None:
            raise NeedError(f"recipe {self.id}: descriptions and names are two ways to give words; give one of them")
        found = None if names is None else checked_names(names)
        yield from self.items(model, old_tokenizer, tokenizer, descriptions=descriptions, names=found)

    def rows(self, task: RowTask) -> Tensor:
        """States for the input, means of pieces for an output matrix of its own."""
        if task.role == "bias":
            return task.mean.expand(task.count, task.width)
        named = task.needs["names"] is not None
        pieces = self._of_names(task) if named else described_pieces(task, required=False)
        if task.role == "head":
            return mean_rows(task, pieces)
        with running(task.ctx) as model:
            body = Body.of(task, self.id, model)
            if not body.reads():
                task.facts["mean of pieces"] = "the model does not look its tokens up in this tensor"
                return mean_rows(task, pieces)
            made = self._mean_states(task, pieces, body) if named else self._states(task, pieces, body)
        if self.renorm:
            length = statistics.mean_norm(task.old, task.trained)
            made = made * (length / made.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny))
        return made

    def _states(self, task: RowTask, pieces: list[tuple[int, ...]], body: Body) -> Tensor:
        """Last hidden states at the pieces' places, (n, d); zeros for a token without pieces."""
        before, after = self._frame(task)
        by_length: dict[int, list[int]] = defaultdict(list)  # texts of one length need no padding
        for place, ids in enumerate(pieces):
            if ids:
                by_length[len(ids)].append(place)
        batches = [
            places[start : start + _BATCH]
            for _, places in sorted(by_length.items())
            for start in range(0, len(places), _BATCH)
        ]
        made = torch.zeros(task.count, task.width, device=task.old.device)
        for places in task.ctx.progress(batches, "reading the words of new tokens", len(batches)):
            texts = torch.tensor([[*before, *pieces[place], *after] for place in places], device=body.device)
            states = body.states(texts)[:, len(before) : texts.shape[1] - len(after)].float()
            made[torch.tensor(places)] = states.mean(1) if self.position == "mean" else states[:, -1]
        return made

    def _mean_states(self, task: RowTask, pieces: list[tuple[int, ...]], body: Body) -> Tensor:
        before, after = self._frame(task)
        places = range(-1, -1 - len(pieces), -1)
        ids = torch.tensor([[*before, *places, *after]], device=body.device)
        states = body.states(ids, rows=mean_rows(task, pieces))[0]
        return states[len(before) : len(before) + len(pieces)].float()

    def _of_names(self, task: RowTask) -> list[tuple[int, ...]]:
        """For each new token the i-th pieces of all names, (n, names)."""
        if "names" not in task.shared:
            names: Sequence[str] = task.needs["names"]
            cutter = Cutter(Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer"))
            cuts = cutter.cut([f" {name.strip()}".encode() for name in names])
            fitting = [cut.ids for cut in cuts if len(cut.ids) == task.count]
            if not fitting:
                raise CommitError(
                    f"recipe {self.id}: none of {len(names)} names has {task.count} pieces, as many as there are new "
                    f"tokens"
                )
            task.shared["names"] = list(zip(*fitting, strict=True))
            task.shared["of names"] = f"{len(fitting)} of {len(names)}"
        task.facts["names"] = task.shared["of names"]
        found: list[tuple[int, ...]] = task.shared["names"]
        return found

    def _frame(self, task: RowTask) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer").frame(ends=True)


def checked_names(names: Any) -> list[str]:
    """Names as a list of strings.

    Raises:
        NeedError: they are none, or one is no name.
    """
    if isinstance(names, (str, bytes, Mapping)) or not isinstance(names, Iterable):
        raise NeedError(f"names: {type(names).__name__}; a list of names is needed")
    found = list(names)
    if not found:
        raise NeedError("names: there is none")
    for place, name in enumerate(found):
        if not isinstance(name, str) or not name.strip():
            raise NeedError(f"names: name {place} is {name!r}, a string with letters is needed")
    return found


def row_penalty(start: Tensor, *, strength: float = 1e-5) -> Callable[[Tensor], Tensor]:
    """The regulariser that holds rows near their start: strength·mean_i ‖v_i - v_i0‖₂, to be added to the loss.

    Args:
        start: rows as they start, (tokens, d); copied.
        strength: the authors' 1e-5.

    Returns:
        a function of the rows, (tokens, d), that gives a scalar.

    Source: Pang et al., Cross Initialization, CVPR 2024 (arXiv 2312.15905), their code.
    """
    fixed = start.detach().clone()

    def penalty(rows: Tensor) -> Tensor:
        distances: Tensor = torch.linalg.vector_norm(rows - fixed.to(rows.device, rows.dtype), dim=1)
        return strength * distances.mean()

    return penalty
