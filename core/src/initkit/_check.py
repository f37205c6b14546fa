"""Everything about a recipe's items that can be checked without writing."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from initkit import _options
from initkit._attributes import attribute_owner
from initkit._recipe import Recipe
from initkit.draws import Blocks, Draw, Rows
from initkit.draws.scaled import Elementwise
from initkit.errors import PlanError, did_you_mean, listed
from initkit.items import Fill, Item, Job, Keep, Output, Set
from initkit.ranks.find import kind_name
from initkit.slots import Slot, Slots

_OUTPUT_NAME = re.compile(r"[A-Za-z_][\w.\-]*")


@dataclass(frozen=True)
class Narrowing:
    """What may be written: globs over tensor names and attribute paths."""

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def why_not(self, names: Iterable[str]) -> str | None:
        """Why a tensor of these names may not be written, or None when it may."""
        names = list(names)
        if self.only and not _matches(names, self.only):
            return f"not in only={listed(self.only)}"
        hit = next((glob for glob in self.exclude if _matches(names, (glob,))), None)
        return f"excluded by {hit!r}" if hit else None

    def check(self, slots: Slots) -> None:
        """Refuse a glob that matches nothing, since it is a misprint.

        Raises:
            PlanError: a glob matches no tensor.
        """
        names = [name for slot in slots.values() for name in (slot.name, *slot.aliases)]
        for word, globs in (("only", self.only), ("exclude", self.exclude)):
            for glob in globs:
                if not _matches(names, (glob,)):
                    raise PlanError(
                        f"{word}={glob!r} matches no tensor{did_you_mean(glob, names)}; there are {listed(names)}"
                    )


def _matches(names: Iterable[str], globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs)


@dataclass
class _Seen:
    """What a recipe has yielded so far."""

    fills: dict[str, Fill] = field(default_factory=dict)
    keeps: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    used: int = 0


def checked_items(recipe: Recipe, items: Iterable[Any], slots: Slots, narrowing: Narrowing) -> tuple[Item, ...]:
    """Return the items with canonical names and shapes, those shut out turned into keeps.

    Raises:
        PlanError: an item does not fit the model; names the recipe, the tensor, its shape and what was expected.
    """
    seen = _Seen()
    found: list[Item] = []
    for item in items:
        checked = _one(recipe, item, slots, narrowing, seen)
        if checked is not None:
            found.append(checked)
    if seen.used == 0:
        raise PlanError(f"recipe {recipe.id} found nothing to initialise in {kind_name(slots.subject)}")
    return tuple(found)


def _one(recipe: Recipe, item: Any, slots: Slots, narrowing: Narrowing, seen: _Seen) -> Item | None:
    if isinstance(item, Fill):
        seen.used += 1
        return _fill(recipe, item, slots, narrowing, seen)
    if isinstance(item, Keep):
        return _keep(recipe, item, slots, seen)
    if isinstance(item, Set):
        seen.used += 1
        return _set(recipe, item, slots, narrowing, seen)
    if isinstance(item, Output):
        seen.used += 1
        return _output(recipe, item, seen)
    if isinstance(item, Job):
        if item.name in seen.jobs:
            raise PlanError(f"recipe {recipe.id} yields two jobs named {item.name!r}")
        seen.used += 1  # a job may write, mark or note by itself
        seen.jobs[item.name] = item
        return item
    raise PlanError(
        f"recipe {recipe.id} yields a {type(item).__name__}; its plan may yield Fill, Keep, Set, Output and Job"
    )


def _fill(recipe: Recipe, fill: Fill, slots: Slots, narrowing: Narrowing, seen: _Seen) -> Item | None:
    slot = slots.find(fill.name, f"recipe {recipe.id}")
    where = f"recipe {recipe.id}, {slot.name} {tuple(slot.shape)}"
    _check_why(fill.why, where)
    if slot.lazy:
        raise PlanError(f"recipe {recipe.id}, {slot.name}: {slot.lazy}")
    shut = narrowing.why_not((slot.name, *slot.aliases))
    if slot.refused and not shut:
        raise PlanError(f"{where}: {slot.refused}")
    before = seen.fills.get(slot.name)
    if before is not None:
        if slot.aliases and before.draw == fill.draw and _shape(before.resize) == _shape(fill.resize):
            return None  # the same decision, met again under a tied tensor's other name
        names = " and ".join(sorted({slot.name, fill.name, *slot.aliases}))
        tied = f" ({names} are tied)" if slot.aliases else ""
        raise PlanError(f"{where}: filled twice{tied}: {before.draw.describe()} and {fill.draw.describe()}")
    if slot.name in seen.keeps:
        raise PlanError(f"{where}: both kept and filled")
    shape = _shape(fill.resize) or tuple(slot.shape)
    if fill.resize is not None and slot.fixed:
        raise PlanError(f"{where}: {slot.fixed} and cannot change its shape")
    _check_jobs(fill.draw, seen, where)
    problem = fill.draw.problem(shape, slot.dtype) or _current_problem(fill.draw, slot, shape)
    if problem:
        raise PlanError(f"{where}: {problem}")
    seen.fills[slot.name] = made = replace(fill, name=slot.name, shape=shape, resize=_shape(fill.resize))
    for original in slot.originals:
        if original in seen.fills:
            raise PlanError(f"{where}: filled both itself and through {original}")
    return Keep(slot.name, shut) if shut else made


def _current_problem(draw: Draw, slot: Slot, shape: tuple[int, ...]) -> str | None:
    if not draw.reads_current:
        return None
    if isinstance(draw, Blocks) and draw.whole(shape):
        return None
    if not slot.present:
        return f"{draw.describe()} needs its present values, and it has none (it is on the meta device or not set)"
    if isinstance(draw, Rows):
        return draw.problem_with(slot.shape)
    return None


def _keep(recipe: Recipe, keep: Keep, slots: Slots, seen: _Seen) -> Item | None:
    slot = slots.find(keep.name, f"recipe {recipe.id}")
    _check_why(keep.why, f"recipe {recipe.id}, {slot.name}")
    if slot.name in seen.fills:
        raise PlanError(f"recipe {recipe.id}, {slot.name}: both filled and kept")
    if slot.name in seen.keeps:
        return None
    seen.keeps.add(slot.name)
    return replace(keep, name=slot.name)


def _set(recipe: Recipe, item: Set, slots: Slots, narrowing: Narrowing, seen: _Seen) -> Item | None:
    where = f"recipe {recipe.id}, attribute {item.path}"
    _check_why(item.why, where)
    owner, name = attribute_owner(slots.subject, item.path, where)
    if isinstance(getattr(owner, name), (torch.Tensor, torch.nn.Module)):
        raise PlanError(f"{where}: it is a tensor or a module; only plain attributes are set, tensors are filled")
    if _options.as_json(item.value) is None:
        raise PlanError(f"{where}: the value {item.value!r} is no JSON value")
    if item.path in seen.sets:
        raise PlanError(f"{where}: set twice")
    seen.sets.add(item.path)
    return None if narrowing.why_not((item.path,)) else item


def _output(recipe: Recipe, output: Output, seen: _Seen) -> Item:
    where = f"recipe {recipe.id}, output {output.name!r}"
    _check_why(output.why, where)
    if not _OUTPUT_NAME.fullmatch(output.name):
        raise PlanError(f"{where}: a name has letters, digits, '_', '-' and '.'")
    if output.name in seen.outputs:
        raise PlanError(f"{where}: yielded twice")
    seen.outputs.add(output.name)
    _check_jobs(output.draw, seen, where)
    if output.shape is None and (output.draw.random or isinstance(output.draw, Elementwise)):
        raise PlanError(f"{where}: a draw needs a shape")
    problem = None if output.shape is None else output.draw.problem(output.shape, output.dtype)
    if problem:
        raise PlanError(f"{where}: {problem}")
    return output


def _check_jobs(draw: Draw, seen: _Seen, where: str) -> None:
    for job in draw.jobs():
        if seen.jobs.get(job.name) is not job:
            raise PlanError(f"{where}: it uses the job {job.name!r}, which must be yielded before")


def _check_why(why: object, where: str) -> None:
    if not isinstance(why, str) or not why.strip():
        raise PlanError(f"{where}: say why, in a short phrase")


def _shape(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if shape is None else tuple(int(size) for size in shape)
