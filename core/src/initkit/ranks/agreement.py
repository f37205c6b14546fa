"""What must be the same on all ranks, as lines of text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from initkit._plan import Section, item_line
from initkit._stats import digest_of
from initkit.draws.base import Draw
from initkit.draws.fixed import Values
from initkit.errors import OptionError
from initkit.items import Fill, Output
from initkit.ranks.group import Group

if TYPE_CHECKING:
    from initkit.report import Report


def facts_of_plan(report: Report, sections: Iterable[Section | None]) -> list[str]:
    """Seed, recipes and decisions, with a digest of the numbers that descriptions leave out."""
    facts = [f"seed {report.seed}", f"model {report.subject}"]
    facts += [f"{recipe['id']} {recipe['version']} {recipe['options']}" for recipe in report.recipes]
    for section in filter(None, sections):
        for item in section.items:
            hidden = _digest(item.draw) if isinstance(item, (Fill, Output)) else ""
            facts.append(f"{section.recipe.id}: {item_line(item)}{hidden}")
    return facts


def facts_of_report(report: Report) -> list[str]:
    """The hash of every tensor and output."""
    outputs = ((f"outputs/{name}", entry) for name, entry in report.output_entries.items())
    return [f"{name} {entry.hash}" for name, entry in (*report.entries.items(), *outputs)]


def agree(report: Report, group: Any = None) -> None:
    """See that every process has written the same bits, by their hashes; nothing else is sent.

    For copies of a model in data-parallel training: :func:`initkit.apply` does it by itself where the model is
    wrapped by ``DistributedDataParallel``, and this where it is not wrapped yet. All processes must call it.

    Args:
        report: of :func:`initkit.apply`, on this process.
        group: a process group; None is all processes.

    Raises:
        RankError: they differ; names the first tensor that does, and the ranks.
        OptionError: torch.distributed has not been initialised.
    """
    if not dist.is_initialized():
        raise OptionError("agree compares processes: call torch.distributed.init_process_group first")
    Group(dist.get_process_group_ranks(group or dist.group.WORLD)).meet("report", facts_of_report(report))


def _digest(draw: Draw) -> str:
    tensors = list(_tensors(draw))
    if not tensors:
        return ""
    joined = "".join(digest_of(tensor) for tensor in tensors)
    return f" (its numbers: {hashlib.sha256(joined.encode()).hexdigest()[:12]})"


def _tensors(part: Any) -> Iterable[torch.Tensor]:
    """Scales and the like; given values aside, which one rank hands to the others."""
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, Draw) and not isinstance(part, Values):
        yield from _tensors(part.parts())
    elif isinstance(part, tuple):
        for one in part:
            yield from _tensors(one)
