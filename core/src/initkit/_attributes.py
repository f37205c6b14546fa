"""Attributes of a subject by dotted path."""

from __future__ import annotations

from typing import Any

from initkit._journal import Journal, Undo
from initkit._names import unwrapped
from initkit.errors import PlanError, did_you_mean


def attribute_owner(subject: Any, path: str, where: str) -> tuple[Any, str]:
    """Return the object that holds the last attribute of ``path``, and that attribute's name.

    Raises:
        PlanError: a part of the path does not exist.
    """
    *above, name = path.split(".")
    owner = unwrapped(subject)
    for i, part in enumerate([*above, name]):
        if not hasattr(owner, part):
            known = [word for word in dir(owner) if not word.startswith("_")]
            so_far = ".".join(above[:i]) or type(owner).__name__
            raise PlanError(f"{where}: {so_far} has no attribute {part!r}{did_you_mean(part, known)}")
        if i < len(above):
            owner = unwrapped(getattr(owner, part))
    return owner, name


def set_attribute(journal: Journal, owner: Any, name: str, value: Any) -> None:
    """Set an attribute through the journal."""

    def snapshot() -> Undo:
        # An attribute may live in the class: then undoing means to remove the instance's own.
        own = vars(owner) if hasattr(owner, "__dict__") else {}
        if name not in own and not isinstance(getattr(type(owner), name, None), property):
            return lambda: delattr(owner, name)
        before = getattr(owner, name)
        return lambda: setattr(owner, name, before)

    journal.write(snapshot, lambda: setattr(owner, name, value))
