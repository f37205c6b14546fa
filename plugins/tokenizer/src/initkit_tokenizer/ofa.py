"""OFA: means of the rows of near old tokens, in the coordinates of a factorised table where that is asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import CommitError, Fill, Item, Job, JobContext, Normal, OptionError, Output
from initkit_tokenizer.factors import Factors
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.neighbours import weighted_rows
from initkit_tokenizer.static_vectors import StaticVectors
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.token_vectors import Source
from initkit_tokenizer.vector_recipe import NeighbourRecipe, Weights
from initkit_tokenizer.wechsel import Wechsel

PREFIXES = {"input": "", "head": "head_"}
"""What the names of the factors of a tensor begin with."""


@dataclass(frozen=True)
class Ofa(NeighbourRecipe):
    """New rows as means of rows with near word vectors of any language, in few coordinates if wanted.

    A token's vector is the plain mean of the vectors of all words that contain it, from one table of all languages;
    a new token takes the k old tokens of largest cosine, with weights softmax(cosine/temperature). With ``dim`` the
    old table is first factorised, E = U S Vᵀ: coordinates F, the first columns of U, times primitives P, the first rows
    of S Vᵀ. New tokens are means of coordinates, and their rows F P. The factors of the whole new vocabulary are
    results of the run (``coordinates``, ``primitives``), with which ``initkit_tokenizer.use_factors`` shrinks the
    model's own tables. Tokens without a vector get normal coordinates, with mean and spread of the old ones.

    Args:
        k: neighbours of a token.
        temperature: of the softmax.
        dim: coordinates of a token, fewer than a row has numbers; None factorises nothing.

    Source: Liu, Lin, Wang, Schütze, OFA: A Framework of Initializing Unseen Subword Embeddings for Efficient
    Large-scale Multilingual Continued Pretraining, NAACL Findings 2024 (arXiv 2311.08849), section 3, and its code.
    """

    bibtex: ClassVar[str] = """@inproceedings{liu2024ofa,
  title = {{OFA}: A Framework of Initializing Unseen Subword Embeddings for Efficient Large-scale Multilingual Continued
    Pretraining},
  author = {Liu, Yihong and Lin, Peiqin and Wang, Mingyang and Sch{\\"u}tze, Hinrich},
  booktitle = {Findings of NAACL},
  year = {2024}
}"""

    vectors_of: Source = "words"
    ignore_case: bool = True
    k: Annotated[int, Ge(1)] = 10
    temperature: Annotated[float, Gt(0)] = 0.1
    dim: Annotated[int, Ge(1)] | None = None

    def with_vectors(self, model: Any, old_tokenizer: Any, tokenizer: Any, needs: dict[str, Any]) -> Iterator[Item]:
        """The fills and the numbers that follow, then factors."""
        for name in ("static_vectors", "old_static_vectors"):
            needs[name] = evenly(needs[name])
        factored = self._factored(model)
        found: dict[str, Factors] = {}
        rows = 0
        for item in self.items(model, old_tokenizer, tokenizer, **needs, factors=found):
            if isinstance(item, Fill) and item.name in factored:
                rows = (item.resize or (0,))[0]
            yield item
        if not factored:
            return
        job = Job(
            "factors",
            lambda ctx: _factors_of(ctx, factored, found),
            f"writes the rows of {', '.join(factored)} as {self.dim} coordinates times primitives",
        )
        yield job
        for name, (prefix, width) in factored.items():
            share = f"{self.dim} of {width} dimensions of {name}"
            yield Output(f"{prefix}coordinates", job[f"{prefix}coordinates"], (rows, self.dim or 0), share)
            yield Output(f"{prefix}primitives", job[f"{prefix}primitives"], (self.dim or 0, width), share)

    def _factored(self, model: Any) -> dict[str, tuple[str, int]]:
        """Names of the tensors to factorise, with what the names of their factors begin with and their width.

        Raises:
            OptionError: ``dim`` is no smaller than a row.
        """
        if self.dim is None:
            return {}
        tensors = VocabTensors.of(
            model,
            embedding=self.embedding,
            head=self.head_module,
            extra=self.extra_vocab_params or (),
            other=self.other_params or (),
        )
        if self.dim >= tensors.width:
            raise OptionError(
                f"recipe {self.id}, option dim={self.dim}: a row has {tensors.width} numbers, and fewer coordinates "
                f"are wanted; without dim nothing is factorised"
            )
        wanted = [tensors.input, *([tensors.head] if tensors.head is not None and self.head == "same" else [])]
        return {tensor.name: (PREFIXES[tensor.role], tensors.width) for tensor in wanted}

    def made(self, task: RowTask) -> Tensor:
        """The rows, once the old table is factorised: that is wanted where there is no new token too."""
        if self.dim is not None and task.role != "bias":
            factors = Factors.of(task.old, task.trained, self.dim)
            task.needs["factors"][task.tensor.name] = factors
            task.facts["coordinates"] = self.dim
        return super().made(task)

    def rows(self, task: RowTask) -> Tensor:
        """Weighted means, of rows or of coordinates."""
        if self.dim is None or task.role == "bias":
            return super().rows(task)
        factors: Factors = task.needs["factors"][task.tensor.name]
        weights = self.shared_weights(task)
        # A mean of coordinates times the primitives is the mean of rows, projected.
        made = factors.projected(weighted_rows(task.old, weights.ids, weights.values))
        unknown = ~weights.known
        task.facts["without a vector"] = int(unknown.sum())
        if bool(unknown.any()):
            made[unknown] = self._other_coordinates(task, factors)[unknown]
        return made

    def _other_coordinates(self, task: RowTask, factors: Factors) -> Tensor:
        """What tokens without a vector get, (n, d)."""
        if self.without_vector == "mean":
            return factors.projected(self._others(task))
        self._others(task)  # special tokens fall back
        mean, spread = factors.spread()
        numbers = task.sample(Normal(1.0), "coordinates without vector", (task.count, len(mean)))
        return ((mean + spread * numbers) @ factors.primitives).to(torch.float32)

    def weights(self, task: RowTask) -> Weights:
        """Softmax over the k nearest old tokens."""
        finder = Wechsel(vectors_of=self.vectors_of, anchors=self.anchors, k=self.k, temperature=self.temperature)
        return finder.weights(task)


def evenly(vectors: StaticVectors) -> StaticVectors:
    """The same vectors, each word counting once."""
    made = copy.copy(vectors)
    made.counts = np.ones(len(vectors.words))
    return made


def _factors_of(
    ctx: JobContext, factored: Mapping[str, tuple[str, int]], found: Mapping[str, Factors]
) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    table: list[dict[str, Any]] = []
    for name, (prefix, width) in factored.items():
        if name not in found:
            raise CommitError(f"tokenizer/ofa: {name} was made by another recipe, so it has no factors")
        factors = found[name]
        rows = ctx.read(name).to(ctx.device)
        coordinates = factors.coordinates(rows)
        made[f"{prefix}coordinates"] = coordinates.to(torch.float32)
        made[f"{prefix}primitives"] = factors.primitives.to(torch.float32)
        lost = (coordinates @ factors.primitives - rows.to(torch.float64)).norm() / rows.to(torch.float64).norm()
        small = coordinates.numel() + factors.primitives.numel()
        table.append(
            {
                "tensor": name,
                "numbers of the table": len(rows) * width,
                "numbers of the factors": small,
                "error of the factors, as a share of the table": float(f"{float(lost):.7g}"),
            }
        )
    ctx.note("tokenizer/ofa factors", table)
    return made
