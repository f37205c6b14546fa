"""Initialise inside a training script: apply, look before and after, say so, go on."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from initkit._apply import Recipes, apply, made_recipes
from initkit._inspect import inspect
from initkit._names import unwrapped
from initkit._recipe import needs_of
from initkit.errors import OptionError
from initkit.inspection import Inspection
from initkit.jobs import Progress
from initkit.page import check_ready, write_page
from initkit.report import Report
from initkit.slots import slots_of


@dataclass(frozen=True)
class Start:
    """How a model starts.

    Attributes:
        report: what was written.
        before: the inspection before it; None without inputs or loss, and for a model that held no values yet.
        after: the inspection after it; None without inputs or loss.
    """

    report: Report
    before: Inspection | None = None
    after: Inspection | None = None

    @property
    def words(self) -> str:
        """What was done, and what was found, as text."""
        report = self.report
        ids = ", ".join(recipe["id"] for recipe in report.recipes)
        done = f"initkit: {ids} filled {report.covered:.1%} of the parameters of {report.subject}, seed {report.seed}"
        return done if self.after is None else f"{done}\n{self.after}"

    def numbers(self) -> dict[str, float]:
        """Every measured number of the whole model by a short name, for a logger; those of before as ``before/...``."""
        found = {"covered": self.report.covered}
        for prefix, one in (("before/", self.before), ("", self.after)):
            if one is not None:
                found |= {prefix + name: value for name, value in _numbers(one)}
        return found


def start(
    model: Any,
    recipes: Recipes,
    *,
    inputs: Any = None,
    loss: Callable[[Any], torch.Tensor] | None = None,
    targets: Any = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    log: Callable[[str], Any] | None = print,
    healthy: bool = False,
    page: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **needs: Any,
) -> Start:
    """Initialise a model, inspect it before and after, log what was found, and go on.

    Example::

        initkit.start(model, "gnn/virgo", graph=data, inputs=(data.x, data.edge_index), page="start.html")

    Args:
        model: as :func:`initkit.apply`.
        recipes: likewise.
        inputs: what the model's forward takes, as :func:`initkit.inspect`. Without it and ``loss`` nothing is
            inspected.
        loss: ``loss(model)``, a scalar tensor.
        targets: what the model should answer.
        seed: of the random streams.
        device: where heavy work runs.
        log: called with the text; None says nothing.
        healthy: whether a verdict that is FAIL after the recipes is an error.
        page: where :func:`initkit.write_page` writes.
        progress: as :func:`initkit.apply`.
        needs: the data that recipes and probes ask for.

    Returns:
        The report and both inspections.

    Raises:
        InitError: as :func:`initkit.apply` and :func:`initkit.inspect`; the first look is taken before anything is
            written, so that a model that fails on its inputs is as it was.
        UnhealthyError: ``healthy`` is asked for and a verdict is FAIL. The model is initialised, text and page are
            written.
    """
    made = made_recipes(recipes)
    looks = inputs is not None or loss is not None
    if healthy and not looks:
        raise OptionError("healthy=True needs something to inspect the model with: give inputs= or loss=")
    if page is not None:
        check_ready()

    def look(before: Inspection | None = None) -> Inspection:
        return inspect(model, inputs, before=before, loss=loss, targets=targets, seed=seed, progress=progress, **needs)

    before = look() if looks and _holds_values(model) else None
    offered = {**needs, "inputs": inputs, "targets": targets}
    asked = {name for one in made for name in needs_of(one).all} | (set() if looks else set(needs))
    given = {name: offered[name] for name in offered if name in asked and offered[name] is not None}
    report = apply(model, made, seed=seed, device=device, progress=progress, **given)
    after = look(before) if looks else None
    if after is not None:
        after.report = report
    found = Start(report, before, after)
    if log is not None:
        log(found.words)
    if page is not None:
        write_page(page, report=report, model=model, inspection=after)
    if healthy and after is not None:
        after.assert_healthy()
    return found


def _numbers(inspection: Inspection) -> Iterator[tuple[str, float]]:
    """Measures of the whole model that are finite numbers, and how many verdicts are bad."""
    for row in (row for one in inspection.tables.values() for row in one.rows if "measure" in row):
        value = row.get("value")
        if isinstance(value, (int, float)) and math.isfinite(value):
            yield re.sub(r"[^a-z0-9]+", "_", str(row["measure"]).lower()).strip("_"), float(value)
    levels = [verdict.level for verdict in inspection.verdicts]
    yield "fails", float(levels.count("FAIL"))
    yield "warnings", float(levels.count("WARN"))


def _holds_values(model: Any) -> bool:
    return not any(slot.is_meta() or slot.lazy for slot in slots_of(unwrapped(model)).values())
