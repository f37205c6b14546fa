"""initkit: how a network starts.

A recipe looks at a model and its data and says, tensor by tensor, what to write; the core checks that plan,
writes it all or not at all, and reports::

    import initkit

    plan = initkit.plan(model, "gnn/virgo", graph=data)      # look first
    report = initkit.apply(model, "gnn/virgo", graph=data)   # all or nothing

Importing this package is cheap: everything heavy is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit._apply import apply, plan
    from initkit._compare import compare
    from initkit._diff import diff
    from initkit._folders import folder_writer
    from initkit._inspect import inspect
    from initkit._load import Loaded, load
    from initkit._plan import Plan
    from initkit._recipe import Recipe, recipe
    from initkit._recommend import recommend
    from initkit._rewrite import plan_rewrite, rewrite
    from initkit._save import save, write_report
    from initkit._start import Start, start
    from initkit.cards import Card, Need
    from initkit.comparison import Comparison
    from initkit.difference import Difference
    from initkit.draws import (
        Blocks,
        Constant,
        Draw,
        LogUniform,
        Normal,
        Orthogonal,
        Rows,
        TruncatedNormal,
        Uniform,
        Values,
    )
    from initkit.errors import (
        CommitError,
        FileError,
        InitError,
        NeedError,
        OptionError,
        PlanError,
        PluginError,
        ProbeError,
        RankError,
    )
    from initkit.hookspec import hookimpl
    from initkit.inspection import Inspection, UnhealthyError
    from initkit.items import Fill, Item, Job, Keep, Output, Set
    from initkit.jobs import JobContext
    from initkit.page import write_page
    from initkit.plugins import recipes
    from initkit.probes import Plot, Probe, Table, Verdict
    from initkit.probing.scene import NotMeasured, Scene
    from initkit.ranks.agreement import agree
    from initkit.ranks.find import kind_name
    from initkit.ranks.structure import structural_copy
    from initkit.recommendation import Recommendation
    from initkit.report import Entry, Report
    from initkit.rewriting.checkpoint import StoredModel
    from initkit.rewriting.folder import CheckpointFolder
    from initkit.slots import Slot
    from initkit.streams import Stream

__version__ = "0.1.0"

_HOMES = {
    "initkit._apply": ("apply", "plan"),
    "initkit._compare": ("compare",),
    "initkit._diff": ("diff",),
    "initkit._folders": ("folder_writer",),
    "initkit._inspect": ("inspect",),
    "initkit._load": ("Loaded", "load"),
    "initkit._plan": ("Plan",),
    "initkit._recipe": ("Recipe", "recipe"),
    "initkit._recommend": ("recommend",),
    "initkit._rewrite": ("plan_rewrite", "rewrite"),
    "initkit._save": ("save", "write_report"),
    "initkit._start": ("Start", "start"),
    "initkit.cards": ("Card", "Need"),
    "initkit.comparison": ("Comparison",),
    "initkit.difference": ("Difference",),
    "initkit.draws": (
        "Blocks",
        "Constant",
        "Draw",
        "LogUniform",
        "Normal",
        "Orthogonal",
        "Rows",
        "TruncatedNormal",
        "Uniform",
        "Values",
    ),
    "initkit.errors": (
        "CommitError",
        "FileError",
        "InitError",
        "NeedError",
        "OptionError",
        "PlanError",
        "PluginError",
        "ProbeError",
        "RankError",
    ),
    "initkit.hookspec": ("hookimpl",),
    "initkit.inspection": ("Inspection", "UnhealthyError"),
    "initkit.items": ("Fill", "Item", "Job", "Keep", "Output", "Set"),
    "initkit.jobs": ("JobContext",),
    "initkit.page": ("write_page",),
    "initkit.plugins": ("recipes",),
    "initkit.probes": ("Plot", "Probe", "Table", "Verdict"),
    "initkit.probing.scene": ("NotMeasured", "Scene"),
    "initkit.recommendation": ("Recommendation",),
    "initkit.ranks.agreement": ("agree",),
    "initkit.ranks.find": ("kind_name",),
    "initkit.ranks.structure": ("structural_copy",),
    "initkit.report": ("Entry", "Report"),
    "initkit.rewriting.checkpoint": ("StoredModel",),
    "initkit.rewriting.folder": ("CheckpointFolder",),
    "initkit.slots": ("Slot",),
    "initkit.streams": ("Stream",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022
    "agree",
    "apply",
    "compare",
    "diff",
    "folder_writer",
    "inspect",
    "kind_name",
    "load",
    "plan",
    "plan_rewrite",
    "recipe",
    "recipes",
    "recommend",
    "rewrite",
    "save",
    "start",
    "structural_copy",
    "write_page",
    "write_report",
    "Blocks",
    "Card",
    "CheckpointFolder",
    "CommitError",
    "Comparison",
    "Constant",
    "Difference",
    "Draw",
    "Entry",
    "FileError",
    "Fill",
    "InitError",
    "Inspection",
    "Item",
    "Job",
    "JobContext",
    "Keep",
    "Loaded",
    "LogUniform",
    "Need",
    "NeedError",
    "Normal",
    "NotMeasured",
    "OptionError",
    "Orthogonal",
    "Output",
    "Plan",
    "PlanError",
    "Plot",
    "PluginError",
    "Probe",
    "ProbeError",
    "RankError",
    "Recipe",
    "Recommendation",
    "Report",
    "Rows",
    "Scene",
    "Set",
    "Slot",
    "Start",
    "StoredModel",
    "Stream",
    "Table",
    "TruncatedNormal",
    "UnhealthyError",
    "Uniform",
    "Values",
    "Verdict",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'initkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
