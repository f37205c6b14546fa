"""Embeddings without data, from Zipf's law alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import Fill, InitError, Item, Job, JobContext, NeedError, Normal, PlanError, Recipe
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class EigenNoise(Recipe):
    """Embeddings of a model from scratch from the co-occurrences that Zipf's law alone makes.

    With r_i the rank of token i by frequency, m the window, N tokens and H_N = Σ 1/r: X_ij = 2 m N/(r_i r_j H_N). X has
    rank 1, so only its first component is defined: column 1 of ``raw`` is √(2 m N/H_N)/r_i, and all other columns are
    ``tail_scale`` times random orthonormal ones: 0 leaves the rows multiples of one another. ``log`` takes log X, which
    has rank 2: eigenvectors in the span of 1 and log r, each scaled by √|λ|. Both are closed forms: no N x N matrix.
    Ranks are the order of ids, as BPE merges by frequency, or come from counts.

    Every row is written: it is no recipe for new tokens of a trained model. What the paper does with further components
    could not be read; the columns after the first (or second) are ours.

    Args:
        variant: ``log`` or ``raw``.
        window: m.
        tail_scale: of the random columns.
        embedding: name of the input module, where it is not found.
        head_module: name of the output module, where it is not found.

    Source: Heidenreich, Williams, EigenNoise, 2022 (arXiv 2205.04376).
    """

    bibtex: ClassVar[str] = """@misc{heidenreich2022eigennoise,
  title = {EigenNoise: A Contrastive Prior to Warm-Start Representations},
  author = {Heidenreich, Hunter Scott and Williams, Jake Ryland},
  year = {2022},
  eprint = {2205.04376},
  archivePrefix = {arXiv}
}"""

    variant: Literal["raw", "log"] = "log"
    window: Annotated[int, Ge(1)] = 2
    tail_scale: Annotated[float, Ge(0)] = 0.0
    embedding: str = ""
    head_module: str = ""

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """The input and output matrices."""
        try:
            return [tensor.name for tensor in VocabTensors.of(model).tensors if tensor.role != "bias"]
        except InitError:
            return []

    def plan(self, model: Any, *, tokenizer: Any = None, counts: Any = None) -> Iterator[Item]:
        """Yield a fill for the embedding and one for a head of its own.

        Args:
            model: with an embedding.
            tokenizer: the model's; needed where counts are by token.
            counts: how often each token occurs: one number an id, or ``{token: count}``; others count 0.
        """
        tensors = VocabTensors.of(model, embedding=self.embedding, head=self.head_module)
        least = 1 if self.variant == "raw" else 2
        if tensors.width < least or (self.tail_scale and tensors.width > tensors.rows):
            raise PlanError(
                f"recipe {self.id}: {tensors.rows} tokens of {tensors.width} dimensions; at least {least} dimensions, "
                f"and no more than tokens where tail_scale is not 0"
            )
        ranks = _ranks(tensors.rows, tokenizer, counts)
        wanted = [tensor for tensor in tensors.tensors if tensor.role != "bias"]

        def work(ctx: JobContext) -> Mapping[str, Tensor]:
            return {
                tensor.name: self._table(ctx, tensor.name, ranks.to(ctx.device), tensors.width) for tensor in wanted
            }

        job = Job("zipf components", work, f"scales {least} closed-form component(s) of Zipf co-occurrences")
        yield job
        for tensor in wanted:
            yield Fill(tensor.name, job[tensor.name], why=f"{self.variant}, window {self.window}, N = {tensors.rows}")

    def _table(self, ctx: JobContext, name: str, ranks: Tensor, width: int) -> Tensor:
        known = raw_component(ranks, self.window) if self.variant == "raw" else log_components(ranks, self.window)[0]
        table = torch.zeros(len(ranks), width, dtype=torch.float64, device=ranks.device)
        table[:, : known.shape[1]] = known
        more = width - known.shape[1]
        if self.tail_scale and more:
            noise = ctx.sample(Normal(1.0), f"{name}#tail", (len(ranks), more), torch.float32)
            basis = torch.linalg.qr(known)[0]
            free = noise.to(ranks.device, torch.float64)
            free = free - basis @ (basis.T @ free)
            table[:, known.shape[1] :] = self.tail_scale * torch.linalg.qr(free)[0]
        return table.to(torch.float32)


def raw_component(ranks: Tensor, window: int) -> Tensor:
    """√(2 m N/H_N)/r, the only component of X, (N, 1), float64."""
    r = ranks.to(torch.float64)
    return (math.sqrt(2 * window * len(r) / float((1 / r).sum())) / r)[:, None]


def log_components(ranks: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Both components of log X, scaled by √|λ|, (N, 2), float64, larger |λ| first; and the eigenvalues."""
    l = torch.log(ranks.to(torch.float64))  # noqa: E741 - the formula's name
    n, s1, s2 = len(l), float(l.sum()), float(l.square().sum())
    c = math.log(2 * window * n / float((1 / ranks.to(torch.float64)).sum()))
    small = torch.tensor([[c * n - s1, c * s1 - s2], [-n, -s1]], dtype=torch.float64)
    values, vectors = torch.linalg.eig(small)
    order = values.real.abs().argsort(descending=True)
    values, vectors = values.real[order], vectors.real[:, order].to(ranks.device)
    spanned = torch.stack([torch.ones_like(l), l], 1) @ vectors
    unit = spanned / spanned.norm(dim=0)
    sign = torch.where(unit[0] < 0, -1.0, 1.0)  # an eigenvector's sign is free: the first entry is positive
    return unit * sign * values.abs().sqrt().to(ranks.device), values


def _ranks(rows: int, tokenizer: Any, counts: Any) -> Tensor:
    if counts is None:
        return torch.arange(1, rows + 1)
    if isinstance(counts, Mapping):
        if tokenizer is None:
            raise NeedError("counts: they are by token, so the tokenizer is needed too")
        vocabulary = Vocabulary.of(tokenizer)
        by_id = torch.zeros(rows, dtype=torch.float64)
        for i, token in vocabulary.tokens.items():
            if i < rows:
                by_id[i] = float(counts.get(token, 0))
    else:
        by_id = torch.as_tensor(counts, dtype=torch.float64).flatten()
    if len(by_id) != rows or not bool(torch.isfinite(by_id).all()) or bool((by_id < 0).any()):
        raise NeedError(f"counts: {len(by_id)} numbers; one for each of {rows} rows is needed, finite and not negative")
    order = torch.argsort(by_id, descending=True, stable=True)
    ranks = torch.empty(rows, dtype=torch.long)
    ranks[order] = torch.arange(1, rows + 1)
    return ranks
