"""What a recipe is given to make the rows of one tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from initkit.draws.scaled import Elementwise
from initkit.streams import Stream
from initkit_tokenizer import statistics
from initkit_tokenizer.layout import RowLayout
from initkit_tokenizer.model_tensors import Role, VocabTensor
from initkit_tokenizer.vocab_plan import VocabPlan

if TYPE_CHECKING:
    from initkit import Draw, JobContext


@dataclass
class RowTask:
    """Rows wanted: ``len(plan.new)`` of them, for one tensor.

    Args:
        ctx: of the job that runs. Nothing of the model has been written yet.
        plan: which tokens; ``plan.new[i]`` is the token of row i.
        layout: of the tensor.
        tensor: which tensor; its role is ``input``, ``head`` or ``bias``.
        old: its present values, one row a token: (old rows, d), a bias (old rows, 1); in the tensor's type, on
            ``ctx.device``. Not to be changed.
        trained: old ids that statistics are of.
        untied: whether the model's head is a tensor of its own.
        needs: data of the recipe by name.
        shared: kept from tensor to tensor of one run, for what need not be computed twice.
        facts: what the report's row of this tensor says beside the counts; JSON values.
        fallbacks: places in ``plan.new`` that get the mean, and why; :meth:`fall_back` adds one.
        whole: the task that this is a part of, see :meth:`part`.
        first: place in its ``plan.new`` of the first token of this one.
        output: name of the module that gives logits; "" where there is none.
    """

    ctx: JobContext
    plan: VocabPlan
    layout: RowLayout
    tensor: VocabTensor
    old: Tensor
    trained: Tensor
    untied: bool
    needs: dict[str, Any]
    shared: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    fallbacks: dict[int, str] = field(default_factory=dict)
    whole: RowTask | None = None
    first: int = 0
    output: str = ""

    @property
    def role(self) -> Role:
        """``input``, ``head`` or ``bias``."""
        return self.tensor.role

    @property
    def count(self) -> int:
        """n, the rows wanted."""
        return len(self.plan.new)

    @property
    def width(self) -> int:
        """d, the length of a row."""
        return int(self.old.shape[1])

    @cached_property
    def mean(self) -> Tensor:
        """mu: mean of the trained rows, (d,), float32."""
        return self.whole.mean if self.whole else statistics.mean(self.old, self.trained)

    def deviation(self, ddof: int = 0) -> Tensor:
        """Standard deviation of each column over the trained rows, (d,), float32; made once.

        Args:
            ddof: it divides by V - ddof.
        """
        if self.whole:
            return self.whole.deviation(ddof)
        if ddof not in self._deviations:
            self._deviations[ddof] = statistics.deviation(self.old, self.trained, ddof=ddof)
        return self._deviations[ddof]

    @cached_property
    def _deviations(self) -> dict[int, Tensor]:
        return {}

    @property
    def padding(self) -> Tensor:
        """What a row gets that no token owns, (d,). It must gain no probability: its bias is the lowest there is."""
        return self.old[self.trained].amin(0) if self.role == "bias" else self.mean.to(self.old.dtype)

    def assembled(self, made: Tensor, values: Tensor) -> Tensor:
        """The rows that are written, in the order of their place; a tensor whose vocabulary axis comes later, whole.

        Args:
            made: the computed rows.
            values: the present tensor, its vocabulary axis first.
        """
        layout, dtype = self.layout, self.old.dtype
        rows = torch.zeros(layout.rows, self.width, dtype=dtype, device=self.old.device)
        rows[list(layout.computed)] = made.to(dtype)
        for row, ids in layout.averaged.items():
            rows[row] = self.old[list(ids)].to(torch.float64).mean(0).to(dtype)
        if layout.padded:
            rows[list(layout.padded)] = self.padding
        fresh = layout.fresh
        if self.tensor.axis == 0:
            return rows[fresh].reshape(len(fresh), *values.shape[1:])
        copy = torch.tensor(layout.copy, device=rows.device)
        rows[copy >= 0] = self.old[copy[copy >= 0]]
        return rows.reshape(layout.rows, *values.shape[1:]).movedim(0, self.tensor.axis).contiguous()

    def part(self, start: int, stop: int) -> RowTask:
        """The task of ``plan.new[start:stop]`` alone: same statistics, and the random numbers the whole has there."""
        plan = replace(self.plan, new=self.plan.new[start:stop])
        return replace(self, plan=plan, facts={}, fallbacks={}, whole=self, first=start)

    def fall_back(self, place: int, why: str) -> None:
        """Let ``plan.new[place]`` have the mean row, and say why in the report."""
        self.fallbacks[place] = why

    def sample(self, draw: Draw, tag: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """Random numbers of this tensor's own stream, float32, on ``ctx.device``.

        Args:
            draw: an element-wise draw, such as ``Normal(1.0)``.
            tag: tells several draws of one tensor apart.
            shape: of the sample; None is (n, d).
        """
        shape = (self.count, self.width) if shape is None else shape
        if math.prod(shape) == 0:
            return torch.zeros(shape, device=self.old.device)
        if self.whole and isinstance(draw, Elementwise):
            stream, size = Stream(self.ctx.seed, f"{self.tensor.name}#{tag}"), self.width
            run = draw.sample_run((self.whole.count, size), torch.float32, stream, self.first * size, self.count * size)
            return run.reshape(shape).to(self.old.device)
        return self.ctx.sample(draw, f"{self.tensor.name}#{tag}", shape, torch.float32).to(self.old.device)
