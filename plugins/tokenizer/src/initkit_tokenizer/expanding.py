"""A model folder gets a new vocabulary without the model in memory: a block of rows at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import initkit
from initkit import Fill, Item, Job, JobContext, Recipe, Report, StoredModel
from initkit.jobs import Progress
from initkit_tokenizer.reporting import remarks_of, row_counts, say
from initkit_tokenizer.row_blocks import RowBlocks, RowDraw
from initkit_tokenizer.task import RowTask
from initkit_tokenizer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from initkit_tokenizer.base import RowRecipe


def expand_checkpoint(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    recipe: str | Recipe,
    *,
    tokenizer: Any,
    old_tokenizer: Any = None,
    seed: int = 0,
    model: Any = None,
    force: bool = False,
    progress: Progress | None = None,
    **needs: Any,
) -> Report:
    """Rewrite a model folder of transformers with a new vocabulary, whatever its size.

    :func:`initkit.rewrite` with the names that matter here. Tensors with one row a token are read and written in blocks
    of rows where the recipe ``streams``, else one at a time; all others are copied byte for byte. The rows are those
    that ``initkit.apply`` gives the loaded model with the same seed, bit for bit on one machine. A failure or an
    interrupt leaves nothing, and the source is only read.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``, or shards with their index.
        target: where to. It must not exist, or be empty, unless ``force`` is given.
        recipe: id or instance.
        tokenizer: the new one: of transformers or tokenizers, or the path of its file or folder.
        old_tokenizer: the one that the model was made with, in any form that :meth:`Vocabulary.of` reads; None is the
            one in the folder.
        seed: of the random streams.
        model: the model on the meta device, where the class that ``config.json`` names is not in transformers. It is
            left as it is.
        force: replace the target; it may be the source.
        progress: called as ``progress(iterable, words, total)``; returns what to iterate over.
        needs: further data that the recipe asks for.

    Returns:
        Counts of rows, fallbacks with reasons, attributes set; also in ``target`` as ``initkit.report.json``.

    Raises:
        InitError: tokenizers, model and files do not fit each other; a row that is used holds NaN; the recipe runs the
            model; the target exists, or the disk has no room.
    """
    if old_tokenizer is not None:
        needs["old_tokenizer"] = old_tokenizer
    return initkit.rewrite(
        source, target, recipe, model=model, seed=seed, force=force, progress=progress, tokenizer=tokenizer, **needs
    )


def items_in_blocks(
    maker: RowRecipe, model: Any, stored: StoredModel, *, tokenizer: Any, old_tokenizer: Any
) -> Iterator[Item]:
    """What a recipe that streams yields for a checkpoint: the fills of its plan, each made a block of rows at a time.

    Args:
        maker: the recipe.
        model: on the meta device.
        stored: its tensors in the files.
        tokenizer: the new one.
        old_tokenizer: the one that the model was made with.
    """
    old_tokenizer = Vocabulary.of(old_tokenizer, family=maker.old_family, name="old_tokenizer")
    tokenizer = Vocabulary.of(tokenizer, family=maker.new_family)
    run = _Run(maker, model, stored, {"old_tokenizer": old_tokenizer, "tokenizer": tokenizer})
    ready: Job | None = None
    for item in maker.items(model, old_tokenizer, tokenizer):
        if isinstance(item, Job):
            yield (ready := Job(item.name, run.begin, item.words))
        elif isinstance(item, Fill) and ready is not None:
            yield replace(item, draw=RowDraw(ready, item.draw.describe(), run.blocks_of(item.name)))
        else:
            yield item
    yield Job("what became of the rows", run.tell, "counts the rows that were copied, computed and padded")


class _Run:
    """The tasks of one recipe on one checkpoint; they begin when the recipe's job runs."""

    def __init__(self, maker: RowRecipe, model: Any, stored: StoredModel, needs: dict[str, Any]) -> None:
        self._maker, self._head, self._stored, self._needs = maker, maker.giver_of_head(), stored, needs
        self._tensors, self._plan, self._layout = maker.layout(model, needs["old_tokenizer"], needs["tokenizer"])
        self._padding = maker.padding_of(model, self._tensors)
        self._blocks: dict[str, RowBlocks] = {}

    def begin(self, ctx: JobContext) -> Mapping[str, Any]:
        """Read which rows are sound, and make the tasks."""
        shared: dict[str, Any] = {}
        for tensor in self._tensors.tensors:
            rows = self._stored.rows(tensor.name, tensor.axis)
            trained = self._maker.trained(self._plan, self._layout, rows, self._padding, tensor)
            untied = self._tensors.head is not None
            task = RowTask(ctx, self._plan, self._layout, tensor, rows, trained, untied, self._needs, shared)
            self._blocks[tensor.name] = RowBlocks(task, self._maker if tensor.role == "input" else self._head)
        return {}

    def blocks_of(self, name: str) -> Any:
        """What gives the blocks of a tensor once the job has run."""
        return lambda: self._blocks[name].blocks()

    def tell(self, ctx: JobContext) -> Mapping[str, Any]:
        """Put counts and remarks into the report."""
        table, reasons = [], {}
        for blocks in self._blocks.values():
            task = blocks.task
            task.fallbacks = blocks.fallbacks
            reasons.update({(place, why): self._plan.new[place].token for place, why in task.fallbacks.items()})
            table.append(row_counts(task, blocks.norm, blocks.distinct))
        remarks = remarks_of(self._plan, table, short=self._maker.short)
        say(ctx, self._maker.id, self._plan, table, reasons, remarks)
        for remark in remarks:
            warnings.warn(f"{self._maker.id}: {remark}", stacklevel=2)
        return {}
