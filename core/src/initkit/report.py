"""Reports: what was written. No times, no paths: the same bytes for the same work."""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from initkit import _options
from initkit._plan import originals_of, show_shape
from initkit._recipe import Recipe
from initkit._stats import UNMEASURED, Statistics
from initkit._table import table
from initkit.errors import CommitError
from initkit.items import Set
from initkit.plugins import registry
from initkit.probes import Table
from initkit.slots import Slot, Slots

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One written tensor.

    ``chain`` holds what earlier recipes of the same run had written to it, oldest first; ``made`` says how the value
    was made, where a process could not make its own part alone.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    draw: str
    why: str
    recipe: str
    statistics: Statistics
    made: str | None = None
    frozen: bool = False
    aliases: tuple[str, ...] = ()
    resized_from: tuple[int, ...] | None = None
    chain: tuple[dict[str, str], ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean of the written values."""
        return self.statistics.mean

    @property
    def std(self) -> float | None:
        """Population standard deviation of the written values."""
        return self.statistics.std

    @property
    def min(self) -> float | None:
        """Smallest value."""
        return self.statistics.min

    @property
    def max(self) -> float | None:
        """Largest value."""
        return self.statistics.max

    @property
    def hash(self) -> str:
        """SHA-256 of the bytes."""
        return self.statistics.hash

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON values; what does not apply is left out."""
        found: dict[str, Any] = {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "recipe": self.recipe,
            "draw": self.draw,
            "why": self.why,
            "mean": self.mean,
            "std": self.std,
            "min": self.min,
            "max": self.max,
            "sha256": self.hash,
        }
        if self.made:
            found["made"] = self.made
        if self.frozen:
            found["frozen"] = True
        if self.aliases:
            found["aliases"] = list(self.aliases)
        if self.resized_from is not None:
            found["resized_from"] = list(self.resized_from)
        if self.chain:
            found["chain"] = list(self.chain)
        return found


class Notes(Mapping[str, Any]):
    """Tables that jobs and recipes found, by key.

    Attributes:
        tables: those that say how they are shown and drawn.
    """

    def __init__(self) -> None:
        self._tables: dict[str, Any] = {}
        self._saved: list[str] = []
        self.tables: dict[str, Table] = {}

    def add(self, key: str, value: Any, *, saved: bool = False) -> None:
        """Add a table; a key that is taken gets a number.

        Args:
            key: of the table.
            value: a JSON value, or a :class:`initkit.Table`, whose rows are kept and which pages draw as it says.
            saved: whether a file that is saved with the report keeps it too.

        Raises:
            CommitError: the table is no JSON value.
        """
        table = value if isinstance(value, Table) else None
        value = [dict(row) for row in table.rows] if table is not None else value
        if _options.as_json(value) is None:
            raise CommitError(f"note {key!r} is no JSON value (a list of rows with finite numbers and text)")
        place, count = key, 2
        while place in self._tables:
            place, count = f"{key} ({count})", count + 1
        self._tables[place] = json.loads(json.dumps(value))
        if table is not None:
            self.tables[place] = table
        if saved:
            self._saved.append(place)

    @property
    def saved(self) -> dict[str, Any]:
        """Those that a file keeps in its provenance."""
        return {key: self._tables[key] for key in self._saved}

    def __getitem__(self, key: str) -> Any:
        return self._tables[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


@dataclass
class Report(Mapping[str, Entry]):
    """A mapping from tensor names to entries, with what else happened.

    Attributes:
        subject: class name of the model.
        seed: of the run.
        recipes: with options, plugin, distribution and versions, in order.
        entries: written tensors by name.
        covered: share of the parameters (by count of numbers) that was filled, 0..1.
        kept: names left on purpose; ``reasons`` says why.
        untouched: names of parameters that nobody spoke of.
        outputs: results that are no parameters, by name.
        sets: attributes that were set.
        notes: tables by key.
    """

    subject: str
    seed: int
    recipes: list[dict[str, Any]]
    entries: dict[str, Entry] = field(default_factory=dict)
    covered: float = 0.0
    kept: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    output_entries: dict[str, Entry] = field(default_factory=dict)
    sets: list[Set] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    aliases: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Entry:
        return self.entries[self.aliases.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def enter(self, slot: Slot, value: torch.Tensor, draw: str, why: str, recipe: str, before: tuple[int, ...]) -> None:
        """Add the entry of a written tensor; an earlier one of the same run goes into its chain."""
        chain: tuple[dict[str, str], ...] = ()
        resized_from = before if before != tuple(value.shape) else None
        earlier = self.entries.get(slot.name)
        if earlier is not None:
            resized_from = earlier.resized_from or resized_from
            chain = (*earlier.chain, {"recipe": earlier.recipe, "draw": earlier.draw, "why": earlier.why})
        self.entries[slot.name] = Entry(
            name=slot.name,
            shape=tuple(value.shape),
            dtype=dtype_name(slot.dtype),
            draw=draw,
            why=why,
            recipe=recipe,
            statistics=slot.measure(value) or UNMEASURED,
            made=slot.made,
            frozen=slot.frozen,
            aliases=slot.aliases,
            resized_from=resized_from,
            chain=chain,
        )

    @property
    def unmeasured(self) -> list[str]:
        """Names of tensors that were entered without statistics."""
        return [name for name, entry in self.entries.items() if entry.statistics is UNMEASURED]

    def measured(self, name: str, found: Statistics) -> None:
        """Put in the statistics of a tensor that was entered without."""
        self.entries[name] = replace(self.entries[name], statistics=found)

    def close(self, slots: Slots) -> None:
        """Work out what was covered, kept and left, in the order of the model's tensors."""
        filled = set(self.entries)
        covered = filled | originals_of(filled, slots)
        sizes = {name: math.prod(slot.shape) for name, slot in slots.items() if slot.parameter}
        total = sum(sizes.values())
        self.covered = sum(size for name, size in sizes.items() if name in covered) / total if total else 0.0
        self.kept = [name for name in slots if name in self.reasons and name not in filled]
        self.reasons = {name: self.reasons[name] for name in self.kept}
        self.untouched = [name for name in sizes if name not in covered and name not in self.reasons]
        self.entries = {name: self.entries[name] for name in slots if name in filled}
        self.aliases = {alias: name for name, slot in slots.items() for alias in slot.aliases}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "format": FORMAT,
            "subject": self.subject,
            "seed": self.seed,
            "recipes": self.recipes,
            "versions": versions(),
            "covered": round(self.covered, 6),
            "tensors": {name: entry.to_dict() for name, entry in self.entries.items()},
            "kept": self.reasons,
            "untouched": self.untouched,
            "set": [{"path": item.path, "value": item.value, "why": item.why} for item in self.sets],
            "outputs": {name: entry.to_dict() for name, entry in self.output_entries.items()},
            "notes": dict(self.notes),
        }

    def to_json(self) -> str:
        """The report as JSON text: what the file holds and ``--json`` prints."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def provenance(self) -> dict[str, Any]:
        """What a checkpoint keeps of the report."""
        found: dict[str, Any] = {
            "recipes": self.recipes,
            "seed": self.seed,
            "versions": versions(),
            "set": [{"path": item.path, "value": item.value} for item in self.sets],
            "resized": [name for name, entry in self.entries.items() if entry.resized_from is not None],
        }
        return found | ({"notes": self.notes.saved} if self.notes.saved else {})

    def __str__(self) -> str:
        rows = [
            (
                name,
                show_shape(entry.shape),
                entry.draw,
                f"{entry.std:.4g}" if entry.std is not None else "",
                entry.why,
            )
            for name, entry in self.entries.items()
        ]
        ids = ", ".join(recipe["id"] for recipe in self.recipes)
        lines = [f"{self.subject}: {ids}, seed {self.seed}; {self.covered:.1%} of parameters filled"]
        lines.append(table(("tensor", "shape", "draw", "std", "why"), rows))
        lines += [f"kept {name}: {why}" for name, why in self.reasons.items()]
        if self.untouched:
            lines.append(f"untouched: {', '.join(self.untouched)}")
        return "\n".join(lines)


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def described(recipe: Recipe) -> dict[str, Any]:
    """The recipe with its options and the distribution that it comes from."""
    plugin_name = recipe.id.partition("/")[0]
    plugin = next((found for found in registry().plugins if found.name == plugin_name), None)
    return {
        "id": recipe.id,
        "options": recipe.options(),
        "distribution": plugin.distribution if plugin else None,
        "version": plugin.version if plugin else None,
    }


def versions(names: Sequence[str] = ("initkit-core", "numpy", "torch")) -> dict[str, str]:
    """Versions of distributions; by default of those that the bits may depend on."""
    return {name: importlib.metadata.version(name) for name in names}
