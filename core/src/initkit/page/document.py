"""The page's text, from the parts that are there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup, escape

from initkit.page.findings import findings, measured
from initkit.page.histograms import Histograms, histograms_of
from initkit.page.numbers import counted, real, whole
from initkit.page.tensors import entries_of, parameters_share, recipe_words, written
from initkit.page.training import training
from initkit.report import Report


@dataclass(frozen=True)
class Fact:
    """A number at the head of the page, with what it was before where that is known."""

    name: str
    value: str
    before: str = ""


def document(parts: Mapping[str, Any], *, report: Any, model: Any, title: str | None) -> str:
    """Make the page.

    Args:
        parts: JSON forms of ``report``, ``inspection`` and ``comparison``, or None.
        report: the report itself, which holds outputs.
        model: for histograms, or None.
        title: of the page, or None.
    """
    written_dict, inspected, compared = parts["report"], parts["inspection"], parts["comparison"]
    histograms = Histograms({})
    if written_dict is not None and model is not None:
        histograms = histograms_of(model, report, entries_of(written_dict))
    drawn = report.notes.tables if isinstance(report, Report) else {}
    subject = next((part["subject"] for part in parts.values() if part and part.get("subject")), "")
    recipes = _recipes(parts)
    data = {name: part for name, part in parts.items() if part is not None}
    data |= {"histograms": {name: one.to_dict() for name, one in histograms.drawn.items()}} if histograms.drawn else {}
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title or _title(subject, recipes, parts),
            heading=title or subject or "Comparison of starts",
            subject=subject if title else _starts(parts),
            recipes=recipes if written_dict is None else [],
            seed=next((part["seed"] for part in (written_dict, inspected) if part), None),
            facts=_facts(written_dict, inspected, compared),
            written=written(written_dict, histograms, drawn) if written_dict is not None else None,
            findings=findings(inspected) if inspected is not None else None,
            training=training(compared) if compared is not None else None,
            versions=_versions(parts),
            data=_embedded(data),
        )
    )


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("initkit.page", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["counted"] = counted
    made.filters["breakable"] = _breakable
    return made


def _breakable(name: str) -> Markup:
    """A tensor's name that may be broken where its parts meet."""
    return Markup(str(escape(name)).replace(".", ".<wbr>").replace("_", "_<wbr>"))


def _recipes(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    for name in ("report", "inspection"):
        if parts[name] and parts[name].get("recipes"):
            return [recipe_words(one) for one in parts[name]["recipes"]]
    return []


def _starts(parts: Mapping[str, Any]) -> str:
    """The starts of a comparison, or ""."""
    return " and ".join(start["name"] for start in parts["comparison"]["starts"]) if parts["comparison"] else ""


def _title(subject: str, recipes: Sequence[Mapping[str, Any]], parts: Mapping[str, Any]) -> str:
    names = ", ".join(one["id"] for one in recipes) or _starts(parts)
    return ": ".join(filter(None, (subject, names))) or "initkit"


def _facts(
    report: Mapping[str, Any] | None, inspection: Mapping[str, Any] | None, comparison: Mapping[str, Any] | None
) -> list[Fact]:
    facts = []
    if report is not None:
        facts.append(Fact("parameters filled", parameters_share(report["covered"])))
        facts.append(Fact("tensors written", whole(len(report["tensors"]))))
    if inspection is not None:
        before = inspection.get("before")
        for words, measure in (
            ("signal, spread over depth", "signal: largest to smallest"),
            ("gradient, spread over depth", "gradient: largest to smallest"),
        ):
            now = measured(inspection, measure)
            then = measured(before, measure) if before else None
            if now is not None:
                facts.append(Fact(words, _times(now), _times(then) if then is not None else ""))
        facts.append(Fact("verdicts", _worries(inspection), _worries(before) if before else ""))
    if comparison is not None:
        for row in comparison["summary"]:
            if row["final"] is not None and len(comparison["summary"]) <= 3:
                facts.append(Fact(f"final loss, {row['start']}", real(float(row["final"]))))
    return facts


def _times(value: float) -> str:
    """A factor to 3 digits."""
    if value >= 1e6 or not math.isfinite(value):
        return real(float(f"{value:.2g}"))
    rounded = float(f"{value:.3g}")
    return f"{whole(int(rounded)) if rounded >= 1000 else real(rounded)}×"


def _worries(inspection: Mapping[str, Any]) -> str:
    levels = [verdict["level"] for verdict in inspection["verdicts"]]
    said = [f"{levels.count(level)} {level.lower()}" for level in ("FAIL", "WARN") if level in levels]
    return ", ".join(said) or "all pass"


def _versions(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for part in parts.values():
        for name, version in ((part or {}).get("versions") or {}).items():
            found.setdefault(name, str(version))
    return sorted(found.items())


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that stands in a script element: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
