"""The page: a report, an inspection and a comparison as one HTML file that needs nothing else."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from initkit._files import write_text
from initkit.errors import InitError, OptionError

if TYPE_CHECKING:
    from initkit.comparison import Comparison
    from initkit.inspection import Inspection
    from initkit.report import Report

__all__ = ["check_ready", "write_page"]


def write_page(
    path: str | os.PathLike[str],
    *,
    report: Report | Mapping[str, Any] | None = None,
    model: Any = None,
    inspection: Inspection | Mapping[str, Any] | None = None,
    comparison: Comparison | Mapping[str, Any] | None = None,
    title: str | None = None,
) -> None:
    """Write what was done and found as one HTML file, for reading, printing and passing on.

    The file holds its drawings (SVG), its style and the numbers as JSON (elements ``#initkit-data``); nothing is
    fetched, and no script runs. The same work gives the same bytes.

    Args:
        path: of the file; its folder must exist. It is written whole or not at all.
        report: of :func:`initkit.apply`, or its JSON form. None takes the inspection's, if recipes were tried there.
        model: that the report is of, for histograms of its tensors; outputs need it too.
        inspection: of :func:`initkit.inspect`, or its JSON form; before and after stand side by side.
        comparison: of :func:`initkit.compare`, or its JSON form.
        title: None makes one of the model and the recipes.

    Raises:
        InitError: there is nothing to show, or Matplotlib or Jinja is not installed.
        FileError: the file cannot be written.
    """
    if report is None:
        report = getattr(inspection, "report", None)
    if report is None and inspection is None and comparison is None:
        raise OptionError("a page needs something to show: give report=, inspection= or comparison=")
    check_ready()
    from initkit.page.document import document

    parts = {"report": _dict(report), "inspection": _dict(inspection), "comparison": _dict(comparison)}
    write_text(path, document(parts, report=report, model=model, title=title))


def check_ready() -> None:
    """See whether pages can be made.

    Raises:
        InitError: Matplotlib or Jinja is not installed; says how to install it.
    """
    for module, name in (("matplotlib", "Matplotlib"), ("jinja2", "Jinja")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise InitError(f'pages need {name}: pip install "initkit-core[html]"') from None


def _dict(part: Any) -> dict[str, Any] | None:
    if part is None:
        return None
    found = part.to_dict() if hasattr(part, "to_dict") else dict(part)
    return json.loads(json.dumps(_finite(found)))  # type: ignore[no-any-return]


def _finite(value: Any) -> Any:
    """The value with numbers that JSON does not know as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
