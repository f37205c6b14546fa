"""Which tensors of a file belong to which slots of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from initkit.slots import Slot, Slots


def owners(names: Iterable[str], slots: Slots) -> dict[str, Slot]:
    """The slot of each name of a file that has one.

    Names are compared as they stand; a slot that is found under none of its names is looked for with and without the
    model's ``base_model_prefix``, since transformers loads a base model's file into a model with a head and the other
    way round.

    Args:
        names: of the stored tensors.
        slots: of the model.
    """
    names = list(names)
    found = {name: slots[name] for name in names if name in slots}
    prefix = prefix_of(slots.subject)
    if prefix and len(found) < len(names):
        held, taken = set(names), {slot.name for slot in found.values()}
        for slot in slots.values():
            if slot.name not in taken:
                found.update((name, slot) for name in _other_names(slot, prefix, held) if name not in found)
    return found


def prefix_of(model: Any) -> str:
    """The model's ``base_model_prefix`` with its dot; "" where it has none."""
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if isinstance(prefix, str) and prefix else ""


def _other_names(slot: Slot, prefix: str, held: Collection[str]) -> list[str]:
    bare = [name.removeprefix(prefix) for name in (slot.name, *slot.aliases)]
    return [name for name in (*bare, *(prefix + name for name in bare)) if name in held]
