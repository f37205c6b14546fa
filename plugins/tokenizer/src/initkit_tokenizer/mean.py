"""The mean of the old rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from initkit_tokenizer.base import PairRecipe
from initkit_tokenizer.task import RowTask

HEWITT = """@misc{hewitt2021initializing,
  title = {Initializing New Word Embeddings for Pretrained Language Models},
  author = {Hewitt, John},
  year = {2021},
  url = {https://nlp.stanford.edu/~johnhew/vocab-expansion.html}
}"""


@dataclass(frozen=True)
class Mean(PairRecipe):
    """New rows at the mean of the old ones: they steal no more probability than log(1 + n/V).

    Row = mu = mean of the old rows, bias = mean of the old biases. A new token's logit is then the mean of the old
    logits, which by Jensen's inequality is at most log(Z/V) with Z the sum of their exponentials. So n such tokens
    change log Z by at most log(1 + n/V), whatever the model reads; with other rows there is no bound.

    Source: Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021
    (https://nlp.stanford.edu/~johnhew/vocab-expansion.html).
    """

    bibtex: ClassVar[str] = HEWITT

    streams = "rows"
    short: ClassVar[bool] = True

    def rows(self, task: RowTask) -> Tensor:
        """The mean, n times."""
        return task.mean.expand(task.count, task.width)
