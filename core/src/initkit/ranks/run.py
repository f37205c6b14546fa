"""What one run asks of the sharded tensors among its slots; nothing where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import torch

from initkit._stats import Statistics
from initkit.errors import CommitError, InitError, RankError
from initkit.ranks.find import is_sharded
from initkit.ranks.group import Group, Ranks

if TYPE_CHECKING:
    from initkit.ranks.slot import ShardedSlot
    from initkit.slots import Slots

_T = TypeVar("_T")


def sharded_slots(slots: Slots) -> list[ShardedSlot]:
    """The slots whose tensors are spread over processes."""
    if not any(is_sharded(getattr(slot, "tensor", None)) for slot in slots.values() if not slot.originals):
        return []
    from initkit.ranks.slot import ShardedSlot

    return [slot for slot in slots.values() if isinstance(slot, ShardedSlot)]


def join(ranks: Ranks, slots: Slots) -> None:
    """Open the roads between the ranks' parts; all of them must call this together.

    Raises:
        PlanError: a part has not the shape that its placement says.
        RankError: ranks are missing.
    """
    found = sharded_slots(slots)
    if not found:
        return
    from initkit.ranks.parts import Parts
    from initkit.ranks.slot import check_parts

    assert isinstance(ranks, Group)
    with ranks.together("parts"):
        check_parts(found)
    parts = Parts(ranks, found)
    for slot in found:
        slot.parts = parts


def measured(slots: Slots, names: Iterable[str]) -> dict[str, Statistics]:
    """Statistics of sharded tensors; all ranks must call this together."""
    wanted = set(names)
    found = [slot for slot in sharded_slots(slots) if slot.name in wanted]
    return found[0].parts.statistics(found) if found else {}


def local_part(value: torch.Tensor) -> torch.Tensor:
    """What this process holds of a value."""
    part: torch.Tensor = value.to_local() if is_sharded(value) else value  # type: ignore[attr-defined]
    return part


def in_words(where: str, work: Callable[[], _T]) -> _T:
    """Run code that may take a sharded tensor for a plain one, which torch refuses in its own words.

    Raises:
        CommitError: it has.
    """
    try:
        return work()
    except (RuntimeError, InitError) as error:
        if isinstance(error, RankError) or "DTensor" not in str(error):
            raise
        raise CommitError(
            f"{where} works on whole tensors, and this model's are spread over processes: apply it before they are"
        ) from error
