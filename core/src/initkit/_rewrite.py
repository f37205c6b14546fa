"""Apply recipes to a checkpoint that stays on the disk, however large: input to output, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from initkit._apply import Recipes, check_needs, check_seed, device_of, globs_of, made_recipes
from initkit._attributes import attribute_owner, set_attribute
from initkit._check import Narrowing, checked_items
from initkit._files import write_text
from initkit._guard import random_state
from initkit._journal import Journal
from initkit._plan import Plan, Section
from initkit._recipe import Recipe, needs_of
from initkit._save import METADATA_KEY, OUTPUTS, canonical
from initkit.errors import FileError, PlanError, listed
from initkit.items import Fill, Set
from initkit.items import Output as OutputItem
from initkit.jobs import Progress
from initkit.ranks.group import Ranks
from initkit.report import FORMAT, Report, described
from initkit.rewriting.checkpoint import Checkpoint, StoredModel
from initkit.rewriting.commit import StoredCommit, values_asked_for
from initkit.rewriting.folder import REPORT
from initkit.rewriting.output import Output
from initkit.rewriting.slots import StoredSlot
from initkit.shards import TensorSpec, pieces_of, staged
from initkit.slots import Slots


def rewrite(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    recipes: Recipes,
    *,
    model: Any = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    force: bool = False,
    progress: Progress | None = None,
    **needs: Any,
) -> Report:
    """Apply recipes to a checkpoint without loading it: one tensor at a time goes through memory, or a part of one.

    Tensors that recipes fill are made anew, element-wise ones block by block; all others, those that the model does not
    have included, are passed on byte for byte. What is written has the bits that :func:`initkit.apply` gives the
    loaded model with the same seed. The new folder appears whole or not at all, and the source is only read.

    Args:
        source: a folder of safetensors, ``model.safetensors`` or shards with their index, or one file.
        target: where to: a folder, or a file where the source is one.
        recipes: an id, a recipe, or several in order.
        model: the model on the meta device, whose names and shapes the tensors have; None asks the plugins, who know
            the folders of their libraries. It is left as it is.
        seed: of the random streams, 0..2⁶⁴-1.
        device: where heavy work runs, as of :func:`initkit.apply`; None is the CPU.
        only: globs over tensor names; nothing else is written.
        exclude: globs over tensor names that are not written.
        force: replace the target; it may be the source.
        progress: called as ``progress(iterable, words, total)``; returns what to iterate over.
        needs: the data that the recipes ask for.

    Returns:
        What was written, kept and left; also ``initkit.report.json`` in the folder.

    Raises:
        InitError: as of :func:`initkit.apply`; checkpoint and model do not fit; a recipe needs the model at work; the
            target exists or the disk has no room. There is no target then.
    """
    check_seed(seed)
    old, new = Path(source), Path(target)
    check_places(old, new, force=force)
    run = _Run(Checkpoint(old, model), recipes, only, exclude, needs)
    with run.checkpoint.adopted() as (slots, journal):
        where = device_of(device, slots)
        sections = run.sections(slots)
        report = Report(type(run.checkpoint.model).__name__, seed, [described(one) for one in run.recipes])
        if run.checkpoint.surplus:
            names = run.checkpoint.surplus
            report.notes.add("passed on, though the model has no such tensors", [{"tensor": name} for name in names])
        with staged(target, force=force, file=not old.is_dir()) as place:
            _write(run, place, slots, sections, StoredCommit(slots, report, journal, where, progress, Ranks()))
    if not old.is_dir():
        write_text(new.with_suffix(".report.json"), report.to_json())
    return report


def plan_rewrite(
    source: str | os.PathLike[str],
    recipes: Recipes,
    *,
    model: Any = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    **needs: Any,
) -> Plan:
    """Say what :func:`rewrite` would write. Reads headers alone, writes nothing and runs no job.

    Raises:
        InitError: as of :func:`rewrite`.
    """
    run = _Run(Checkpoint(Path(source), model), recipes, only, exclude, needs)
    with run.checkpoint.adopted() as (slots, _):
        return Plan(run.sections(slots), slots, type(run.checkpoint.model).__name__)


def check_places(source: Path, target: Path, *, force: bool) -> None:
    """Refuse a target that would do harm to the source, or that exists.

    Raises:
        FileError: says which.
    """
    if not source.exists():
        raise FileError(f"there is no checkpoint {source}")
    old, new = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if old == new and not force:
        raise FileError(f"{target} is the checkpoint itself; replace it with force (--force), or name another place")
    if old in new.parents:
        raise FileError(f"{target} lies inside the checkpoint {source}; name a place outside of it")
    if new in old.parents:
        raise FileError(f"the checkpoint {source} lies inside {target}, which would be replaced; name another place")
    if source.is_dir() and target.is_file():
        raise FileError(f"{target} is a file, but the checkpoint is a folder; name a folder")
    if source.is_file() and target.is_dir():
        raise FileError(f"{target} is a folder, but the checkpoint is a file; name a file")


@dataclass
class _Run:
    """The recipes of one call on a checkpoint, and the data they share."""

    checkpoint: Checkpoint
    asked: Recipes
    only: Sequence[str]
    exclude: Sequence[str]
    needs: dict[str, Any]
    recipes: list[Recipe] = field(init=False)

    def __post_init__(self) -> None:
        self.recipes = made_recipes(self.asked)
        self.needs = {**self._own_needs(), **self.needs}
        check_needs(self.recipes, self.needs)

    def _own_needs(self) -> dict[str, Any]:
        """What the folder itself holds of what is asked for."""
        asked = {name for one in self.recipes for name in needs_of(one).all}
        return {name: value for name, value in self.checkpoint.folder.needs().items() if name in asked}

    def sections(self, slots: Slots) -> list[Section]:
        """Plan every recipe, each on the shapes and attributes that those before it leave; then undo these."""
        narrowing = Narrowing(globs_of(self.only, "only"), globs_of(self.exclude, "exclude"))
        narrowing.check(slots)
        found = []
        with Journal() as journal:
            try:
                for one in self.recipes:
                    section = Section(one, checked_items(one, self._items(one, slots), slots, narrowing))
                    found.append(section)
                    _follow(section, slots, journal)
            finally:
                journal.rollback()
        filled = {item.name for section in found for item in section.of(Fill)}
        lacking = self.checkpoint.lacking(slots, dict.fromkeys(filled))
        if lacking:
            raise FileError(
                f"{self.checkpoint.path} has no values for {listed(lacking)}, and no recipe fills them; give the model "
                f"that was saved, or add a recipe that does"
            )
        return found

    def _items(self, one: Recipe, slots: Slots) -> list[Any]:
        one.check()
        given = {name: self.needs[name] for name in needs_of(one).all if name in self.needs}
        with random_state(), torch.no_grad(), values_asked_for(f"recipe {one.id}"):
            return list(one.plan_stored(self.checkpoint.model, StoredModel(slots), **given))


def _follow(section: Section, slots: Slots, journal: Journal) -> None:
    """Give the model the shapes and attributes that a recipe will leave."""
    for item in section.items:
        if isinstance(item, Fill):
            slot = slots[item.name]
            assert isinstance(slot, StoredSlot)
            shape = tuple(item.resize or item.shape or slot.shape)
            journal.write(slot.snapshot, lambda slot=slot, shape=shape: slot.follow(shape))  # type: ignore[misc]
        elif isinstance(item, Set):
            owner, name = attribute_owner(slots.subject, item.path, "set")
            set_attribute(journal, owner, name, item.value)


def _write(run: _Run, place: Path, slots: Slots, sections: list[Section], commit: StoredCommit) -> None:
    report, checkpoint = commit.report, run.checkpoint
    specs, added = _specs(checkpoint, slots, sections)
    is_folder = checkpoint.path.is_dir()
    if is_folder:
        place.mkdir()
    ahead = Report(report.subject, report.seed, report.recipes)
    ahead.sets = [item for section in sections for item in section.of(Set)]
    foreseen = {METADATA_KEY: canonical(_provenance(checkpoint, ahead, slots, specs))}
    with Output(place, checkpoint.stored, specs, added, foreseen) as output:
        for slot in slots.values():
            assert isinstance(slot, StoredSlot)
            slot.target = output
        for section in sections:
            commit.write(section)
        commit.finish()
        for name, value in report.outputs.items():
            output.write(TensorSpec.of(OUTPUTS + name, value.dtype, value.shape), pieces_of(value))
        output.check(slot.at for slot in slots.values() if isinstance(slot, StoredSlot) and slot.written)
        output.pass_on(commit.progress)
        output.conclude({METADATA_KEY: canonical(_provenance(checkpoint, report, slots, specs))})
    if is_folder:
        left = checkpoint.folder.write_others(place, checkpoint.model, report.sets, run.needs)
        if left:
            report.notes.add("files left out", left)
        (place / REPORT).write_text(report.to_json(), encoding="utf-8")


def _specs(
    checkpoint: Checkpoint, slots: Slots, sections: Sequence[Section]
) -> tuple[dict[str, TensorSpec], list[TensorSpec]]:
    """Tensors that will have another shape or did not exist, by name in the files; the latter apart, in order."""
    found: dict[str, TensorSpec] = {}
    for section in sections:
        for fill in section.of(Fill):
            slot = slots[fill.name]
            assert isinstance(slot, StoredSlot)
            if slot.saved:
                for name in slot.names:
                    found[name] = TensorSpec.of(name, slot.dtype, fill.resize or fill.shape or slot.shape)
        for item in section.of(OutputItem):
            if item.shape is None:
                raise PlanError(
                    f"recipe {section.recipe.id}, output {item.name!r}: its job decides the shape, but a checkpoint's "
                    f"files are laid out before; load the model and apply the recipe to it"
                )
            found[OUTPUTS + item.name] = TensorSpec.of(OUTPUTS + item.name, item.dtype, item.shape)
    return found, [spec for name, spec in found.items() if name not in checkpoint.stored]


def _provenance(
    checkpoint: Checkpoint, report: Report, slots: Slots, specs: Mapping[str, TensorSpec]
) -> dict[str, Any]:
    """What the new files say of themselves; attributes, shapes and notes of earlier runs still hold."""
    earlier = checkpoint.provenance
    found: dict[str, Any] = {"format": FORMAT, **report.provenance()}
    found["set"] = list({item["path"]: item for item in (*earlier.get("set", ()), *found["set"])}.values())
    resized = set(earlier.get("resized", ()))
    aliases: dict[str, str] = {}
    for slot in slots.values():
        assert isinstance(slot, StoredSlot)
        first = slot.names[0]
        if any(name in specs and one.shape != specs[name].shape for name, one in zip(slot.names, slot.places)):  # noqa: B905
            resized.add(slot.name)
        if slot.saved and (slot.places or first in specs):
            aliases.update((name, first) for name in (slot.name, *slot.aliases) if name not in slot.names)
    found["resized"], found["aliases"] = sorted(resized), aliases
    notes = {**earlier.get("notes", {}), **found.get("notes", {})}
    if notes:
        found["notes"] = notes
    if "recipes" in earlier:
        run = {key: earlier[key] for key in ("recipes", "seed", "versions") if key in earlier}
        found["before"] = [*earlier.get("before", ()), run]
    return found
