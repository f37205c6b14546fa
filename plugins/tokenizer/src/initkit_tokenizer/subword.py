"""Rows from the old tokens that a new one is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from initkit_tokenizer.base import PairRecipe, pieces_of
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary

Weights = Literal["mean", "exp", "linear", "first_last", "length", "sum"]


@dataclass(frozen=True)
class Subword(PairRecipe):
    """Each new token starts as the mean of the old tokens that spell it.

    Row = Σ_i w_i E[p_i] over the pieces p_1..p_k into which the old tokenizer cuts the token's bytes; biases likewise.
    An output row must be predicted from what stands before the token, as its first piece was; an input row must end
    where the last piece ended. So the weights of ``exp``, ``linear`` and ``first_last`` lean on the last piece in the
    input and on the first in an output matrix of its own. A token without pieces gets the mean of the old rows.

    Args:
        weights: ``mean`` 1/k; ``exp`` w_i ∝ exp(2(i - k)), output exp(-2(i - 1)); ``linear`` w_i ∝ i, output k + 1 - i;
            ``first_last`` the last piece, output the first; ``length`` ∝ bytes of the piece without its word mark;
            ``sum`` 1.
        compat: ``authors`` counts characters of the piece's string for ``length``, word mark included.

    Source: Gee, Zugarini, Rigutini, Torroni, Fast Vocabulary Transfer for Language Model Compression, EMNLP 2022
    (arXiv 2402.09977), ``mean``; Yamaguchi et al. and token distillation's code for ``exp``.
    """

    bibtex: ClassVar[str] = """@inproceedings{gee2022fast,
  title = {Fast Vocabulary Transfer for Language Model Compression},
  author = {Gee, Leonidas and Zugarini, Andrea and Rigutini, Leonardo and Torroni, Paolo},
  booktitle = {EMNLP: Industry Track},
  year = {2022},
  eprint = {2402.09977},
  archivePrefix = {arXiv}
}"""
    uses_pieces: ClassVar[bool] = True
    streams = "rows"

    weights: Weights = "mean"
    compat: Literal["authors"] | None = None

    def rows(self, task: RowTask) -> Tensor:
        """Weighted means of pieces' rows."""
        flat, starts, lengths = pieces_of(task)
        sizes = None
        if self.weights == "length":
            sizes = _sizes(task, flat, strings=self.compat == "authors")
        share = piece_weights(self.weights, starts, lengths, output=task.role != "input" and task.untied, sizes=sizes)
        return weighted_rows(task.old, flat, starts, share)


def piece_weights(
    kind: Weights, starts: Tensor, lengths: Tensor, *, output: bool = False, sizes: Tensor | None = None
) -> Tensor:
    """The weight of each piece, flat, float32; they sum to 1 within a token (``sum``: to k).

    Args:
        kind: see :class:`Subword`.
        starts: first place of each token, (n,).
        lengths: pieces of each token, (n,).
        output: whether for an output matrix.
        sizes: of each piece, for ``length``.
    """
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    k = lengths[owner].to(torch.float32)
    i = (torch.arange(len(owner), device=lengths.device) - starts[owner] + 1).to(torch.float32)
    if kind == "sum":
        return torch.ones_like(k)
    if kind == "mean":
        raw = torch.ones_like(k)
    elif kind == "exp":  # largest exponent 0, so that long tokens do not overflow
        raw = torch.exp(-2 * (i - 1)) if output else torch.exp(2 * (i - k))
    elif kind == "linear":
        raw = k + 1 - i if output else i
    elif kind == "first_last":
        raw = (i == (1 if output else k)).to(torch.float32)
    else:
        raw = sizes if sizes is not None else torch.ones_like(k)
    total = torch.zeros(len(lengths), device=k.device).index_add_(0, owner, raw)
    # A token all of whose pieces are bare word marks has no length: each counts the same.
    even = total[owner] == 0
    return torch.where(even, 1 / k, raw / total[owner].clamp_min(torch.finfo(torch.float32).tiny))


def weighted_rows(table: Tensor, flat: Tensor, starts: Tensor, share: Tensor) -> Tensor:
    """Σ w E[p] for each token, (n, d), float32; zeros for one without pieces.

    Args:
        table: E, any float type; only rows that are pieces are turned into float32.
        flat: pieces of all tokens, one after the other.
        starts: first place of each token.
        share: weight of each piece.
    """
    if not len(flat):
        return torch.zeros(len(starts), table.shape[1], device=table.device)
    used, place = torch.unique(flat, return_inverse=True)
    rows = table[used].to(torch.float32)
    return functional.embedding_bag(place, rows, starts, mode="sum", per_sample_weights=share)


def _sizes(task: RowTask, flat: Tensor, *, strings: bool) -> Tensor:
    old = task.shared.get("old vocabulary")
    if old is None:
        old = task.shared["old vocabulary"] = Vocabulary.of(task.needs["old_tokenizer"], name="old_tokenizer")
    ids = flat.tolist()
    counts = [len(old.tokens[i]) if strings else len(old.keys[i].payload.strip(b" ")) for i in ids]
    return torch.tensor(counts, dtype=torch.float32, device=flat.device)
