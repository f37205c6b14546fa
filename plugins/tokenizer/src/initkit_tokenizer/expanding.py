"""A model folder gets a new vocabulary without the model in memory: a block of rows at a time."""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from initkit import Draw, FileError, JobContext, PlanError, Recipe, Report, Set
from initkit._apply import made_recipes
from initkit.jobs import Progress
from initkit.report import described
from initkit.shards import (
    INDEX,
    FileLayout,
    FileRows,
    FileWriter,
    Shard,
    Stored,
    TensorSpec,
    bytes_of,
    check_room,
    passed_on,
    shards_of,
    staged,
)
from initkit.slots import slots_of
from initkit.streams import Stream, stream_key
from initkit_tokenizer.base import PairRecipe, RowRecipe, padding_of, sets_of
from initkit_tokenizer.hollow import check_plain, edited, hollow_model
from initkit_tokenizer.model_tensors import VocabTensor, VocabTensors
from initkit_tokenizer.reporting import remarks_of, row_counts, say
from initkit_tokenizer.row_blocks import RowBlocks, check_streams
from initkit_tokenizer.saving import REPORT, write_tokenizer
from initkit_tokenizer.task import RowTask

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx", ".ckpt", ".index.json", ".ot")
_TOKENIZER = ("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges", "chat_template", "spiece",
              "sentencepiece", "source.spm", "target.spm")  # fmt: skip


def expand_checkpoint(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    recipe: str | Recipe,
    *,
    old_tokenizer: Any,
    tokenizer: Any,
    seed: int = 0,
    model: Any = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Rewrite a model folder of transformers with a new vocabulary, whatever its size.

    Headers alone are read; tensors with one row a token are read and written in blocks of rows, all others are copied
    byte for byte. The rows are those that ``initkit.apply`` gives the loaded model with the same seed, bit for bit on
    one machine. All is written into a hidden folder beside the target and moved there at the end: a failure or an
    interrupt leaves nothing, and the source is only read.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``, or shards with their index.
        target: where to. It must not exist, or be empty, unless ``force`` is given.
        recipe: id or instance; one that asks for the two tokenizers alone and ``streams``.
        old_tokenizer: the one that the model was made with, in any form that :meth:`Vocabulary.of` reads.
        tokenizer: the new one: of transformers or tokenizers, or the path of its file or folder.
        seed: of the random streams.
        model: the model on the meta device, where the class that ``config.json`` names is not in transformers. It is
            left as it is.
        force: replace the target; it may be the source.
        progress: called as ``progress(iterable, words, total)``; returns what to iterate over.

    Returns:
        Counts of rows, fallbacks with reasons, attributes set; also in ``target`` as ``initkit.report.json``.

    Raises:
        InitError: the recipe cannot work in blocks; tokenizers, model and files do not fit each other; a row that is
            used holds NaN; the target exists, or the disk has no room.
    """
    giver = _recipe(recipe)
    head = giver.giver_of_head()
    for one in (giver, head):
        check_streams(one)
    stream_key(seed, "seed")  # refuses a seed that is none
    folder = Path(source)
    config = check_plain(folder)
    shards = shards_of(folder)
    hollow = hollow_model(folder, config) if model is None else model
    with torch.no_grad():
        tensors, plan, layout = giver.layout(hollow, old_tokenizer, tokenizer)
        places = _places(hollow, tensors, shards, giver.other_params or ())
        sets = list(sets_of(hollow, tensors, plan, layout))
        shapes = {
            stored.name: tuple(layout.rows if axis == tensor.axis else n for axis, n in enumerate(tensor.shape))
            for stored, tensor in places.values()
        }
        report = Report(type(hollow).__name__, seed, [described(giver)])
        report.sets.extend(one for one in sets if "config." in one.path)
        context = _Context(hollow, seed, report)
        table: list[dict[str, Any]] = []
        reasons: dict[tuple[int, str], str] = {}
        needs = {"old_tokenizer": old_tokenizer, "tokenizer": tokenizer}
        shared: dict[str, Any] = {}
        with ExitStack() as stack:
            made: dict[str, RowBlocks] = {}
            for name, (stored, tensor) in places.items():
                stream = stack.enter_context(stored.file.open("rb"))
                rows = cast(Tensor, FileRows(stored, tensor.axis, stream))
                maker = giver if tensor.role == "input" else head
                trained = giver.trained(plan, layout, rows, padding_of(hollow, tensors), tensor)
                task = RowTask(
                    cast(JobContext, context), plan, layout, tensor, rows, trained, tensors.head is not None, needs,
                    shared,
                )  # fmt: skip
                made[name] = RowBlocks(task, maker)
            with staged(target, force=force) as new:
                new.mkdir()
                files = _laid_out(shards, shapes)
                total = sum(file.size for file in files)
                check_room(new, total)
                _write_shards(new, shards, files, made, progress)
                for name, blocks in made.items():
                    task = blocks.task
                    task.fallbacks = blocks.fallbacks
                    reasons.update({(place, why): plan.new[place].token for place, why in task.fallbacks.items()})
                    table.append({**row_counts(task, blocks.norm, blocks.distinct), "tensor": name})
                remarks = remarks_of(plan, table, short=giver.short)
                say(cast(JobContext, context), giver.id, plan, table, reasons, remarks)
                grown = {
                    tensor.name: (layout.rows - tensor.rows) * (math.prod(tensor.shape) // tensor.rows)
                    for _, tensor in places.values()
                }
                _write_others(folder, new, sets, (total, sum(grown.values())), hollow, report)
                write_tokenizer(tokenizer, new)
                (new / REPORT).write_text(report.to_json(), encoding="utf-8")
    for remark in remarks:
        warnings.warn(f"{giver.id}: {remark}", stacklevel=2)
    return report


class _Context:
    """What a recipe that streams may ask of a job's context."""

    def __init__(self, model: Any, seed: int, report: Report) -> None:
        self.model, self.seed, self.device = model, seed, torch.device("cpu")
        self._report = report

    def sample(self, draw: Draw, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return draw.sample(shape, dtype, Stream(self.seed, name), device=self.device)

    def note(self, key: str, table: Any) -> None:
        self._report.notes.add(key, table)


def _recipe(given: str | Recipe) -> RowRecipe:
    found = made_recipes(given)[0]
    found.check()
    if not isinstance(found, PairRecipe):
        raise PlanError(
            f"recipe {found.id} needs more than the two tokenizers, so it cannot work on a folder in blocks; load the "
            f"model and apply the recipe to it, or take one such as tokenizer/subword"
        )
    return found


def _places(
    model: Any, tensors: VocabTensors, shards: list[Shard], other: Sequence[str]
) -> dict[str, tuple[Stored, VocabTensor]]:
    """The stored tensors with one row a token, by their name in the files.

    Raises:
        PlanError: one is not in the files, or has another shape there.
    """
    held = {one.name: one for shard in shards for one in shard.tensors}
    slots = slots_of(model)
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    found: dict[str, tuple[Stored, VocabTensor]] = {}
    for tensor in tensors.tensors:
        slot = slots.find(tensor.name, "vocabulary")
        names = [name for name in (slot.name, *slot.aliases) if name in held]
        if not names:  # a base model's folder, or one that was saved as a base model
            bare = [name.removeprefix(prefix) for name in (slot.name, *slot.aliases)]
            names = [name for name in (*bare, *(prefix + name for name in bare)) if name in held]
        if not names and not slot.saved:
            continue
        if not names:
            raise PlanError(f"{tensor.name}: the model has it, the files of the folder do not")
        for name in names:
            if not held[name].known or not held[name].dtype.is_floating_point or held[name].dtype.itemsize < 2:
                raise FileError(f"{name} has the type {held[name].code}; the vocabulary of a quantised model cannot be "
                                f"changed: take the model from before that")  # fmt: skip
            if held[name].shape != tensor.shape:
                raise PlanError(f"{name} has the shape {held[name].shape} in {held[name].file.name}, "
                                f"config.json says {tensor.shape}")  # fmt: skip
            found[name] = held[name], tensor
    return found


def _laid_out(shards: Sequence[Shard], shapes: Mapping[str, tuple[int, ...]]) -> list[FileLayout]:
    """The files with the new shapes."""
    return [
        FileLayout(
            shard.file.name,
            tuple(
                TensorSpec.of(one.name, one.dtype, shapes[one.name]) if one.name in shapes else one
                for one in shard.tensors
            ),
        )
        for shard in shards
    ]


def _write_shards(
    new: Path,
    shards: Sequence[Shard],
    files: Sequence[FileLayout],
    made: Mapping[str, RowBlocks],
    progress: Progress | None,
) -> None:
    work = [one for shard in shards for one in shard.tensors]
    seen = iter(work if progress is None else progress(work, "tensors written", len(work)))
    for shard, file in zip(shards, files, strict=True):
        with shard.file.open("rb") as source, FileWriter(new / file.name, file, shard.metadata) as out:
            for _ in shard.tensors:
                stored = next(seen)
                blocks = made.get(stored.name)
                out.write(stored.name, passed_on(source, stored) if blocks is None else _pieces(blocks))


def _pieces(blocks: RowBlocks) -> Iterator[memoryview]:
    for rows in blocks.blocks():
        yield memoryview(bytes_of(rows.contiguous()))


def _write_others(
    folder: Path, new: Path, sets: Sequence[Set], sizes: tuple[int, int], model: Any, report: Report
) -> None:
    """Everything beside the shards: configurations edited, the old tokenizer and weights in other forms left out."""
    left = []
    total, grown = sizes
    for file in sorted(folder.iterdir()):
        name = file.name
        if name == INDEX:
            index = json.loads(file.read_text(encoding="utf-8"))
            metadata = index.setdefault("metadata", {})
            before = metadata.get("total_parameters")
            metadata["total_size"] = total
            if before is not None:
                metadata["total_parameters"] = before + grown
            (new / name).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        elif name in ("config.json", "generation_config.json"):
            holder = name.removesuffix(".json")
            text = edited(file, holder, sets, getattr(model, holder, None))
            (new / name).write_text(text, encoding="utf-8")
        elif name == REPORT or (file.is_file() and name.startswith(_TOKENIZER)):
            continue
        elif not file.is_file() or name.endswith(_WEIGHTS):
            if not (new / name).exists():
                left.append({"file": name, "why": "a folder" if file.is_dir() else "it may hold the old vocabulary"})
        else:
            shutil.copyfile(file, new / name)
    if left:
        report.notes.add("files left out", left)
