"""What all recipes of the plugin share: which rows are copied, padded and computed, and the numbers that follow.

A recipe is a :class:`PairRecipe` with a method :meth:`RowRecipe.rows`; it sees one tensor at a time and returns values
for new tokens alone. All else is done here: matching, resizing, padding, the rows of statistics, ids in configurations,
reports. A recipe that needs more data than the two tokenizers is a :class:`RowRecipe` with a ``plan``::

    def plan(self, model, *, tokenizer, old_tokenizer, static_vectors):
        yield from self.items(model, old_tokenizer, tokenizer, static_vectors=static_vectors)

and finds it in ``task.needs``. Its :meth:`rows` calls ``task.fall_back(place, why)`` for tokens it can say nothing of
(they get the mean), keeps in ``task.shared`` what the head need not compute again, and puts into ``task.facts`` what
the report's row of the tensor says. Where no piece of a token is known and ``uses_pieces`` is set, the token has fallen
back already.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from initkit import (
    CommitError,
    Constant,
    Fill,
    InitError,
    Item,
    Job,
    JobContext,
    NeedError,
    OptionError,
    Recipe,
    Rows,
    Set,
    StoredModel,
)
from initkit._recipe import recipe
from initkit.errors import listed
from initkit_tokenizer import statistics
from initkit_tokenizer.expanding import items_in_blocks
from initkit_tokenizer.families import Family
from initkit_tokenizer.layout import RowLayout
from initkit_tokenizer.model_tensors import VocabTensor, VocabTensors
from initkit_tokenizer.reporting import remarks_of, row_table, say
from initkit_tokenizer.special_ids import special_sets
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocab_plan import VocabPlan, make_plan
from initkit_tokenizer.vocabulary import Vocabulary

UNTRAINED = 1e-16
"""A row without a larger entry has never been trained."""


@dataclass(frozen=True)
class RowRecipe(Recipe):
    """Values for the rows of new tokens.

    Args:
        head: another recipe of this plugin for an output matrix of its own (``mean``); ``same`` is this one.
        stat_rows: which old rows statistics are of: ``trained`` leaves out padding and rows of zeros; ``all`` does not.
        exclude: old ids that statistics leave out.
        pad_to_multiple_of: the new number of rows is a multiple of it.
        shrink: drop rows that the new tokenizer does not need; else no row is lost.
        duplicates: old tokens that stand for the same bytes: the ``lowest`` id is taken, or their rows' ``mean``.
        ignore_case: a token without a match takes an old one that differs in case alone.
        ignore_space: a token without a match takes an old one that differs in a leading space alone.
        copy_of: new token to old token whose row it takes.
        embedding: name of the input module, where it is not found.
        head_module: name of the output module, where it is not found.
        extra_vocab_params: further tensors with one row a token.
        other_params: names or globs of tensors with as many rows by chance.
        max_gap: the longest run of ids without a token that is allowed in the new vocabulary.
        old_family: how the old tokenizer's strings stand for bytes, where its parts do not tell.
        new_family: likewise, of the new one.
    """

    reads_values: ClassVar[bool] = True
    uses_pieces: ClassVar[bool] = False
    """Whether tokens without pieces get the mean."""
    streams: ClassVar[Literal["rows", "table"] | None] = None
    """How rows can be made without the old tensor in memory, ``task.old`` being read by index alone: ``rows``, any part
    of the new tokens by itself; ``table``, all of them at once; None, not at all."""
    short: ClassVar[bool] = False
    """Whether rows shorter than the old ones are what the recipe is about."""

    head: str = "same"
    stat_rows: Literal["trained", "all"] = "trained"
    exclude: tuple[int, ...] | None = None
    pad_to_multiple_of: Annotated[int, Ge(1)] = 1
    shrink: bool = False
    duplicates: Literal["lowest", "mean"] = "lowest"
    ignore_case: bool = False
    ignore_space: bool = False
    copy_of: dict[str, str] | None = None
    embedding: str = ""
    head_module: str = ""
    extra_vocab_params: tuple[str, ...] | None = None
    other_params: tuple[str, ...] | None = None
    max_gap: Annotated[int, Ge(0)] = 1024
    old_family: Family | None = None
    new_family: Family | None = None

    def rows(self, task: RowTask) -> Tensor:
        """Values of the new tokens' rows, (``task.count``, ``task.width``), float32.

        Runs at commit. Rows of ``task.fallbacks`` may hold anything.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no rows")

    def made(self, task: RowTask) -> Tensor:
        """The rows of :meth:`rows`, those of ``task.fallbacks`` at the mean.

        Raises:
            CommitError: the recipe gives rows of another shape.
        """
        if self.uses_pieces:
            for place, token in enumerate(task.plan.new):
                if token.kind != "pieces":
                    task.fall_back(place, token.why or "a special token without a counterpart")
        if not task.count:
            return torch.zeros(0, task.width, device=task.old.device)
        made = self.rows(task).to(task.old.device, torch.float32)
        if tuple(made.shape) != (task.count, task.width):
            raise CommitError(
                f"recipe {self.id}, {task.tensor.name}: rows of shape {tuple(made.shape)}, "
                f"expected {(task.count, task.width)}"
            )
        if task.fallbacks:
            made = made.clone()
            made[sorted(task.fallbacks)] = task.mean
        return made

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """The tensors with one row a token."""
        try:
            return [tensor.name for tensor in VocabTensors.of(model).tensors]
        except InitError:
            return []

    def items(self, model: Any, old_tokenizer: Any, tokenizer: Any, **needs: Any) -> Iterator[Item]:
        """What :meth:`plan` yields.

        Args:
            model: with an embedding.
            old_tokenizer: the one that the model was made with.
            tokenizer: the new one.
            needs: further data, for :attr:`RowTask.needs`.
        """
        giver = self.giver_of_head()
        old_tokenizer = Vocabulary.of(old_tokenizer, family=self.old_family, name="old_tokenizer")
        tokenizer = Vocabulary.of(tokenizer, family=self.new_family)
        tensors, plan, layout = self.layout(model, old_tokenizer, tokenizer)
        padding = self.padding_of(model, tensors)
        fresh = layout.fresh
        job = Job(
            "new rows",
            lambda ctx: self._compute(
                ctx,
                giver,
                tensors,
                plan,
                layout,
                padding,
                {**needs, "old_tokenizer": old_tokenizer, "tokenizer": tokenizer},
            ),
            f"computes the rows of {plan.counts()['from pieces']} tokens from their pieces and "
            f"{len(plan.new) - plan.counts()['from pieces']} others",
        )
        yield job
        for tensor in tensors.tensors:
            yield self._fill(tensor, layout, plan, job, fresh, giver if tensor.role != "input" else self)
        yield from sets_of(model, tensors, plan, layout)

    def plan_stored(self, model: Any, stored: StoredModel, **needs: Any) -> Iterator[Item]:
        """Yield what :meth:`plan` does, each tensor in blocks of rows where recipe and head stream."""
        if self.streams is None or self.giver_of_head().streams is None:
            yield from self.plan(model, **needs)
        else:
            yield from items_in_blocks(self, model, stored, **needs)

    def layout(self, model: Any, old_tokenizer: Any, tokenizer: Any) -> tuple[VocabTensors, VocabPlan, RowLayout]:
        """The tensors, what becomes of each token, and where each row comes from.

        Raises:
            InitError: the tokenizers do not fit the model, or an option names nothing.
        """
        tensors = VocabTensors.of(
            model,
            embedding=self.embedding,
            head=self.head_module,
            extra=self.extra_vocab_params or (),
            other=self.other_params or (),
        )
        plan = self.vocab_plan(old_tokenizer, tokenizer)
        layout = RowLayout.of(plan, tensors.rows, multiple=self.pad_to_multiple_of, shrink=self.shrink)
        unknown = sorted(set(self.exclude or ()) - set(range(tensors.rows)))
        if unknown:
            raise OptionError(
                f"recipe {self.id}: exclude={listed(map(str, unknown))}: the model has {tensors.rows} rows"
            )
        return tensors, plan, layout

    def vocab_plan(self, old_tokenizer: Any, tokenizer: Any) -> VocabPlan:
        """What becomes of each token."""
        return make_plan(
            old_tokenizer,
            tokenizer,
            duplicates=self.duplicates,
            ignore_case=self.ignore_case,
            ignore_space=self.ignore_space,
            copy_of=self.copy_of,
            max_gap=self.max_gap,
            old_family=self.old_family,
            new_family=self.new_family,
        )

    def giver_of_head(self) -> RowRecipe:
        """The recipe that makes the head's rows.

        Raises:
            OptionError: ``head`` names none.
        """
        if self.head == "same":
            return self
        try:
            found = recipe(f"tokenizer/{self.head}")
        except InitError as error:
            raise OptionError(f"recipe {self.id}: head={self.head!r}: {error}") from None
        if not isinstance(found, PairRecipe):
            raise OptionError(f"recipe {self.id}: head={self.head!r} makes no rows from two tokenizers alone")
        return found

    def _fill(
        self, tensor: VocabTensor, layout: RowLayout, plan: VocabPlan, job: Job, fresh: list[int], giver: RowRecipe
    ) -> Fill:
        shape = tuple(layout.rows if axis == tensor.axis else size for axis, size in enumerate(tensor.shape))
        kept = layout.rows - len(fresh)
        parts = [f"{kept} rows copied", f"{len(plan.new)} by {giver.id.rpartition('/')[2]}"]
        parts += [f"{len(layout.averaged)} averaged"] * bool(layout.averaged)
        parts += [f"{len(layout.padded)} padded"] * bool(layout.padded)
        why = ", ".join(parts) + (", head tied" if tensor.tied else "")
        if tensor.axis != 0:
            return Fill(tensor.name, job[tensor.name], why=why, resize=shape)
        return Fill(tensor.name, Rows(layout.copy, job[tensor.name] if fresh else Constant(0.0)), why=why, resize=shape)

    def _compute(
        self,
        ctx: JobContext,
        giver: RowRecipe,
        tensors: VocabTensors,
        plan: VocabPlan,
        layout: RowLayout,
        padding: int | None,
        needs: dict[str, Any],
    ) -> Mapping[str, Tensor]:
        shared: dict[str, Any] = {}
        found: dict[str, Tensor] = {}
        table: list[dict[str, Any]] = []
        reasons: dict[tuple[int, str], str] = {}
        for tensor in tensors.tensors:
            values = ctx.read(tensor.name).to(ctx.device).movedim(tensor.axis, 0)
            old = values.reshape(layout.old_rows, -1)
            trained = self.trained(plan, layout, old, padding, tensor)
            maker = self if tensor.role == "input" or giver is self else giver
            task = RowTask(ctx, plan, layout, tensor, old, trained, tensors.head is not None, needs, shared)
            task.output = tensors.outputs[-1] if tensors.outputs else ""
            made = maker.made(task)
            reasons.update({(place, why): plan.new[place].token for place, why in task.fallbacks.items()})
            table.append(row_table(task, made))
            found[tensor.name] = task.assembled(made, values)
        remarks = remarks_of(plan, table, short=self.short)
        if giver is not self and tensors.head is None:
            remarks.append(f"head={self.head!r} makes no row: the model has no output matrix of its own")
        say(ctx, self.id, plan, table, reasons, remarks)
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        return found

    @staticmethod
    def padding_of(model: Any, tensors: VocabTensors) -> int | None:
        """The input's padding index, which no statistic counts."""
        found: int | None = getattr(model.get_submodule(tensors.input.name.rpartition(".")[0]), "padding_idx", None)
        return found

    def trained(
        self, plan: VocabPlan, layout: RowLayout, old: Tensor, padding: int | None, tensor: VocabTensor
    ) -> Tensor:
        """Old ids that statistics are of. Reads ``old`` in blocks.

        Raises:
            CommitError: a row that is used holds NaN or infinity; fewer than two are left.
        """
        finite, largest = statistics.soundness(old)
        broken = torch.nonzero(~finite).flatten().tolist()
        used = set(plan.old_ids) | {row for row in layout.copy if row >= 0}
        broken = [row for row in broken if row in used or self.stat_rows == "all"]
        if broken:
            which = listed(map(str, broken))
            raise CommitError(
                f"recipe {self.id}, {tensor.name}: row {which} of an old token holds NaN or infinity; mend it first"
            )
        if self.stat_rows == "all":
            rows = [row for row in range(layout.old_rows) if row not in (self.exclude or ())]
        else:
            left_out = {*(self.exclude or ()), *([] if padding is None else [padding])}
            alive = [tensor.role == "bias" or size > UNTRAINED for size in largest.tolist()]
            rows = [row for row in plan.old_ids if row not in left_out and alive[row]]
        if len(rows) < 2 and plan.new:
            raise CommitError(
                f"recipe {self.id}, {tensor.name}: {len(rows)} trained rows (rows of zeros and padding do not count), "
                f"at least 2 are needed; a model that was never trained takes stat_rows=all"
            )
        return torch.tensor(rows, dtype=torch.long, device=old.device)


@dataclass(frozen=True)
class PairRecipe(RowRecipe):
    """A row recipe that asks for the two tokenizers alone."""

    def plan(self, model: Any, *, tokenizer: Any, old_tokenizer: Any) -> Iterator[Item]:
        """Yield a fill for each tensor with a vocabulary axis, and the numbers that follow.

        Args:
            model: with an embedding.
            tokenizer: the new one, in any form that :meth:`initkit_tokenizer.Vocabulary.of` reads.
            old_tokenizer: the one that the model was made with.
        """
        yield from self.items(model, old_tokenizer, tokenizer)


def sets_of(model: Any, tensors: VocabTensors, plan: VocabPlan, layout: RowLayout) -> Iterator[Set]:
    """The numbers that follow: how many rows there are, and ids of special tokens."""
    for path in tensors.counts:
        yield Set(path, layout.rows, why=f"{plan.new_size} tokens, {layout.rows} rows")
    yield from special_sets(model, plan, tensors)


def pieces_of(task: RowTask) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces of all new tokens, flat.

    Returns:
        ids of old tokens, (total,); the first place of each new token in it, (n,); how many each has, (n,). A token
        without pieces has none.

    Raises:
        NeedError: a piece is no row of the model.
    """
    lengths = torch.tensor([len(token.pieces) for token in task.plan.new], dtype=torch.long)
    flat = torch.tensor([i for token in task.plan.new for i in token.pieces], dtype=torch.long)
    if len(flat) and int(flat.max()) >= len(task.old):
        raise NeedError(f"old_tokenizer: it gives the id {int(flat.max())}, the model has {len(task.old)} rows")
    return flat.to(task.old.device), (lengths.cumsum(0) - lengths).to(task.old.device), lengths.to(task.old.device)
