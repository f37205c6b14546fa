"""Plans: what recipes decided for one model, in order. Touches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from initkit._recipe import Recipe
from initkit._table import table
from initkit.items import Fill, Item, Job, Keep, Output, Set
from initkit.slots import Slots

_Kind = TypeVar("_Kind", Fill, Keep, Set, Output, Job)


@dataclass(frozen=True)
class Section:
    """The checked items of one recipe; names are canonical and shapes filled in."""

    recipe: Recipe
    items: tuple[Item, ...]

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """The items of one kind."""
        return [item for item in self.items if isinstance(item, kind)]

    def changes_structure(self) -> bool:
        """Whether the model's shapes or attributes differ after it, so that later recipes must plan anew."""
        return any(isinstance(item, Set) or (isinstance(item, Fill) and item.resize) for item in self.items)


class Plan:
    """The items that recipes yield for a model, recipe by recipe. Iterates over all items in order."""

    def __init__(self, sections: list[Section], slots: Slots, subject: str) -> None:
        self.sections = tuple(sections)
        self.subject = subject
        filled = {fill.name for fill in self.fills}
        kept = {keep.name for keep in self.keeps}
        parameters = {name: slot for name, slot in slots.items() if slot.parameter}
        covered = filled | originals_of(filled, slots)
        self.untouched = [name for name in parameters if name not in covered and name not in kept]
        sizes = {name: math.prod(slot.shape) for name, slot in parameters.items()}
        total = sum(sizes.values())
        self.covered = sum(size for name, size in sizes.items() if name in covered) / total if total else 0.0
        self._frozen = {name for name, slot in slots.items() if slot.frozen}
        self._aliases = {alias: name for name, slot in slots.items() for alias in slot.aliases}

    def __iter__(self) -> Iterator[Item]:
        return (item for section in self.sections for item in section.items)

    def __len__(self) -> int:
        return sum(len(section.items) for section in self.sections)

    def __getitem__(self, name: str) -> Fill:
        """The last fill of a tensor, by its name or an alias of it."""
        canonical = self._aliases.get(name, name)
        for fill in reversed(self.fills):
            if fill.name == canonical:
                return fill
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(fill.name == self._aliases.get(str(name), name) for fill in self.fills)

    @property
    def recipes(self) -> list[Recipe]:
        """The recipes, in order."""
        return [section.recipe for section in self.sections]

    @property
    def fills(self) -> list[Fill]:
        """All fills, in order."""
        return self._all(Fill)

    @property
    def keeps(self) -> list[Keep]:
        """Tensors left on purpose by a recipe, or shut out by ``only`` and ``exclude``."""
        filled = {fill.name for fill in self.fills}
        return [keep for keep in self._all(Keep) if keep.name not in filled]

    @property
    def sets(self) -> list[Set]:
        """All attributes to be set."""
        return self._all(Set)

    @property
    def outputs(self) -> list[Output]:
        """All results that are no parameters."""
        return self._all(Output)

    @property
    def jobs(self) -> list[Job]:
        """All jobs."""
        return self._all(Job)

    def _all(self, kind: type[_Kind]) -> list[_Kind]:
        return [item for section in self.sections for item in section.of(kind)]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "subject": self.subject,
            "recipes": [{"id": r.id, "options": r.options()} for r in self.recipes],
            "covered": round(self.covered, 6),
            "items": [
                {"recipe": section.recipe.id, **_item_dict(item, self._frozen)}
                for section in self.sections
                for item in section.items
            ],
            "untouched": self.untouched,
        }

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        rows = [_item_row(item, self._frozen) for item in self]
        head = f"Plan for {self.subject}: {', '.join(r.id for r in self.recipes)}; {self.covered:.1%} of parameters"
        text = f"{head}\n{table(('tensor', 'shape', 'draw', 'why'), rows)}"
        return f"{text}\nuntouched: {', '.join(self.untouched)}" if self.untouched else text


def originals_of(filled: set[str], slots: Slots) -> set[str]:
    """Names of the tensors that the parametrised ones among ``filled`` are computed from."""
    return {original for name in filled if name in slots for original in slots[name].originals}


def _item_dict(item: Item, frozen: set[str]) -> dict[str, Any]:
    if isinstance(item, Fill):
        found: dict[str, Any] = {
            "kind": "fill",
            "name": item.name,
            "shape": list(item.shape or ()),
            "draw": item.draw.describe(),
            "why": item.why,
        }
        if item.resize is not None:
            found["resize"] = list(item.resize)
        if item.name in frozen:
            found["frozen"] = True
        return found
    if isinstance(item, Keep):
        return {"kind": "keep", "name": item.name, "why": item.why}
    if isinstance(item, Set):
        return {"kind": "set", "path": item.path, "value": item.value, "why": item.why}
    if isinstance(item, Output):
        shape = None if item.shape is None else list(item.shape)
        return {
            "kind": "output",
            "name": item.name,
            "shape": shape,
            "draw": item.draw.describe(),
            "why": item.why,
        }
    return {"kind": "job", "name": item.name, "words": item.words}


def _item_row(item: Item, frozen: set[str]) -> tuple[str, str, str, str]:
    if isinstance(item, Fill):
        mark = " (frozen)" if item.name in frozen else ""
        return item.name, show_shape(item.shape or ()), item.draw.describe(), item.why + mark
    if isinstance(item, Keep):
        return item.name, "", "kept", item.why
    if isinstance(item, Set):
        return item.path, "", f"set to {item.value}", item.why
    if isinstance(item, Output):
        return f"outputs/{item.name}", show_shape(item.shape or ()), item.draw.describe(), item.why
    return f"job {item.name}", "", "", item.words


def item_line(item: Item) -> str:
    """An item in one line."""
    return " ".join(filter(None, _item_row(item, set())))


def show_shape(shape: Any) -> str:
    """``64×7``; ``scalar`` for no dimension."""
    return "×".join(str(size) for size in shape) or "scalar"
