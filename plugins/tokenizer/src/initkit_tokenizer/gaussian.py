"""Random rows around the old ones, and rows of zeros."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import Normal
from initkit_tokenizer import statistics
from initkit_tokenizer.base import PairRecipe
from initkit_tokenizer.mean import HEWITT
from initkit_tokenizer.task import RowTask


@dataclass(frozen=True)
class Zeros(PairRecipe):
    """New rows of zeros: the start to compare with.

    Row = 0, bias = 0. A model whose trained logits are all very negative gives new tokens, whose logits are 0, nearly
    all probability: ``tokenizer/mean`` does not.

    Source: the customary start of a padded embedding; what it does to a trained head is said by Hewitt, 2021
    (https://nlp.stanford.edu/~johnhew/vocab-expansion.html).
    """

    streams = "rows"
    bibtex: ClassVar[str] = HEWITT
    short: ClassVar[bool] = True

    def rows(self, task: RowTask) -> Tensor:
        """Zeros, n times."""
        return torch.zeros(task.count, task.width, device=task.old.device)


@dataclass(frozen=True)
class NormalRows(PairRecipe):
    """New rows N(0, σ²), as a model from scratch starts: what resizing does without a mean.

    Row = σ z with z standard normal; bias = 0.

    Args:
        std: σ; None is the model's ``config.initializer_range``, or 0.02 where it has none.

    Source: the initialisation of transformers' models, which ``resize_token_embeddings(mean_resizing=False)`` applies.
    """

    streams = "rows"
    bibtex: ClassVar[str] = """@inproceedings{wolf2020transformers,
  title = {Transformers: State-of-the-Art Natural Language Processing},
  author = {Wolf, Thomas and others},
  booktitle = {EMNLP: System Demonstrations},
  year = {2020}
}"""

    std: Annotated[float, Gt(0)] | None = None

    def rows(self, task: RowTask) -> Tensor:
        """Normal rows; zeros for a bias."""
        if task.role == "bias":
            return torch.zeros(task.count, 1, device=task.old.device)
        config = getattr(task.ctx.model, "config", None)
        std = self.std or getattr(config, "initializer_range", None) or 0.02
        return task.sample(Normal(float(std)), "normal")


@dataclass(frozen=True)
class NormalPerDim(PairRecipe):
    """New rows with the mean and spread of the old ones, dimension by dimension.

    Row_j = mu_j + sd_j z_j with z standard normal: the covariances between dimensions are lost. WECHSEL, OFA and CLP
    fall back on it with sd over V (``ddof=0``), FOCUS with sd over V - 1 (``ddof=1``).

    Args:
        ddof: sd divides by V - ddof.

    Source: Minixhofer, Paischer, Rekabsaz, WECHSEL, NAACL 2022 (arXiv 2112.06598), its fallback.
    """

    streams = "rows"
    bibtex: ClassVar[str] = """@inproceedings{minixhofer2022wechsel,
  title = {WECHSEL: Effective initialization of subword embeddings for cross-lingual transfer of monolingual language
    models},
  author = {Minixhofer, Benjamin and Paischer, Fabian and Rekabsaz, Navid},
  booktitle = {NAACL},
  year = {2022}
}"""

    ddof: Literal[0, 1] = 0

    def rows(self, task: RowTask) -> Tensor:
        """mu + sd z."""
        spread = task.deviation(self.ddof)
        return task.mean + spread * task.sample(Normal(1.0), "per_dim")


@dataclass(frozen=True)
class NoisyMean(PairRecipe):
    """The mean row with noise of length one, so that new tokens differ.

    Row = mu + N(0, 1/d) in each of d dimensions; bias = mean of the old biases. The noise has norm about 1, which is as
    much as a whole row of many models: with ``scale`` it is made smaller.

    Args:
        scale: of the noise; 1 is LLaMA-Factory's.

    Source: LLaMA-Factory (Zheng et al., ACL 2024 demonstrations, arXiv 2403.13372), its default for new tokens.
    """

    streams = "rows"
    bibtex: ClassVar[str] = """@inproceedings{zheng2024llamafactory,
  title = {LlamaFactory: Unified Efficient Fine-Tuning of 100+ Language Models},
  author = {Zheng, Yaowei and Zhang, Richong and Zhang, Junhao and Ye, Yanhan and Luo, Zheyan and Feng, Zhangchi and
    Ma, Yongqiang},
  booktitle = {ACL: System Demonstrations},
  year = {2024},
  eprint = {2403.13372},
  archivePrefix = {arXiv}
}"""

    scale: Annotated[float, Ge(0)] = 1.0

    def rows(self, task: RowTask) -> Tensor:
        """mu + scale z/√d."""
        if task.role == "bias" or self.scale == 0:
            return task.mean.expand(task.count, task.width)
        return task.mean + task.sample(Normal(self.scale / math.sqrt(task.width)), "noise")


@dataclass(frozen=True)
class Multivariate(PairRecipe):
    """New rows around the mean with the old rows' covariance, scaled down: distinct, near the mean's bound.

    Row ~ N(mu, s C), C = (E - mu)ᵀ(E - mu)/V; bias likewise, from the old biases. Two ways give such rows, and shapes
    alone choose: from a Cholesky factor of C, mu + √s z Lᵀ, all in one matrix product; or straight from the data,
    mu + √(s/V) G (E - mu) with G standard normal, (n, V), which needs no covariance and works whatever its rank: it is
    taken where n < d or V <= d, and where C has no Cholesky factor. They give different draws of one distribution.

    Args:
        scale: s; None is 1e-5 (Hewitt's), 1e-9 with ``compat="hf"``. The spread is √s of the old rows'.
        compat: ``hf`` does as transformers' ``mean_resizing``: all old rows count, s = 1e-9, the Cholesky factor of s C
            (in its place the mean, where there is none), and the bias of a tied head is filled up with zeros.

    Source: Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021
    (https://nlp.stanford.edu/~johnhew/vocab-expansion.html); transformers, ``resize_token_embeddings``. The way
    straight from the data is ours.
    """

    streams = "table"
    bibtex: ClassVar[str] = HEWITT
    short: ClassVar[bool] = True

    scale: Annotated[float, Gt(0)] | None = None
    compat: Literal["hf"] | None = None

    @property
    def s(self) -> float:
        """The factor of the covariance."""
        return self.scale if self.scale is not None else 1e-9 if self.compat == "hf" else 1e-5

    def rows(self, task: RowTask) -> Tensor:
        """Samples of N(mu, s C)."""
        trained = torch.arange(len(task.old), device=task.old.device) if self.compat == "hf" else task.trained
        if self.compat == "hf":
            return self._as_transformers(task, trained)
        small = task.count < task.width or len(trained) <= task.width
        factor = None if small else statistics.cholesky(statistics.covariance(task.old, trained))
        task.facts["rows from"] = "data" if factor is None else "Cholesky factor"
        if factor is None:
            return statistics.from_data(
                lambda start, stop: task.sample(Normal(1.0), f"data{start}", (task.count, stop - start)),
                task.old,
                trained,
                task.count,
                self.s,
            )
        return statistics.from_factor(task.sample(Normal(1.0), "factor"), task.mean, factor, self.s)

    def _as_transformers(self, task: RowTask, rows: Tensor) -> Tensor:
        if task.role == "bias":
            if not task.untied:
                return torch.zeros(task.count, 1, device=task.old.device)
            centre = statistics.mean(task.old, rows)
            spread = statistics.deviation(task.old, rows, ddof=1)
            return centre + self.s * spread * task.sample(Normal(1.0), "factor")
        centre = statistics.mean(task.old, rows)
        factor = statistics.cholesky(self.s * statistics.covariance(task.old, rows))
        task.facts["rows from"] = "mean" if factor is None else "Cholesky factor"
        if factor is None:
            return centre.expand(task.count, task.width)
        return statistics.from_factor(task.sample(Normal(1.0), "factor"), centre, factor, 1.0)
