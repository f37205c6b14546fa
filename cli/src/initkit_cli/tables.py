"""Plans and reports as tables, from their JSON forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from initkit_cli import render

_NOTE_ROWS = 12

PLAN_HEAD = ("tensor", "shape", "draw", "why")
REPORT_HEAD = ("tensor", "shape", "draw", "std", "why")


def show_plan(plan: Mapping[str, Any]) -> None:
    """Print a plan: one row an item, then what is untouched, then the share that is covered."""
    render.table(PLAN_HEAD, plan_rows(plan), firm=2, titled=True)
    ids = ", ".join(recipe["id"] for recipe in plan["recipes"])
    render.lines("", f"plan: {ids} would fill {plan['covered']:.1%} of the parameters of {plan['subject']}")


def show_report(report: Mapping[str, Any]) -> None:
    """Print a report: one row a tensor, notes, and the share that was covered."""
    render.table(REPORT_HEAD, report_rows(report), firm=2, titled=True)
    for key, note in report["notes"].items():
        render.lines("", f"{key}:")
        _show_note(note)
    ids = ", ".join(recipe["id"] for recipe in report["recipes"])
    covered = f"{report['covered']:.1%} of the parameters of {report['subject']}"
    render.lines("", f"done: {ids} filled {covered} with seed {report['seed']}")


def show_inspection(found: Any) -> None:
    """Print an inspection: its tables, then its verdicts."""
    for name, words, head, rows in found.shown():
        render.lines(f"{name}: {words}" if words else f"{name}:")
        render.table(head, rows, firm=1, titled=True)
        render.lines("")
    render.lines(*found.lines())


def show_comparison(found: Any) -> None:
    """Print a comparison: the losses, the summary, then what it means."""
    for words, head, rows in found.shown():
        render.lines(f"{words}:")
        render.table(head, rows, firm=1, titled=True)
        render.lines("")
    render.lines(*map(str, found.verdicts))


def plan_rows(plan: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of :data:`PLAN_HEAD`."""
    rows = [_item_row(item) for item in plan["items"]]
    return rows + [(name, "", "untouched", "") for name in plan["untouched"]]


def report_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Rows of :data:`REPORT_HEAD`."""
    rows = [_entry_row(name, entry) for name, entry in report["tensors"].items()]
    rows += [_entry_row(f"outputs/{name}", entry) for name, entry in report["outputs"].items()]
    rows += [(item["path"], "", f"set to {item['value']}", "", item["why"]) for item in report["set"]]
    rows += [(name, "", "kept", "", why) for name, why in report["kept"].items()]
    return rows + [(name, "", "untouched", "", "") for name in report["untouched"]]


def shape_words(shape: Iterable[int] | None) -> str:
    """``64×7``; ``scalar`` for no dimension."""
    return "" if shape is None else "×".join(str(size) for size in shape) or "scalar"


def _item_row(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    kind = item["kind"]
    if kind == "fill":
        shape = shape_words(item["shape"])
        if item.get("resize", item["shape"]) != item["shape"]:
            shape = f"{shape}→{shape_words(item['resize'])}"
        return item["name"], shape, item["draw"], _with(item["why"], "frozen" if item.get("frozen") else "")
    if kind == "keep":
        return item["name"], "", "kept", item["why"]
    if kind == "set":
        return item["path"], "", f"set to {item['value']}", item["why"]
    if kind == "output":
        return f"outputs/{item['name']}", shape_words(item["shape"]), item["draw"], item["why"]
    return f"job:{item['name']}", "", "job", item["words"]


def _entry_row(name: str, entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    std, before = entry["std"], entry.get("resized_from")
    remarks = [
        "frozen" if entry.get("frozen") else "",
        f"tied with {', '.join(entry['aliases'])}" if entry.get("aliases") else "",
        f"resized from {shape_words(before)}" if before and 0 not in before else "",  # a size of 0 was not known yet
        f"after {', '.join(link['recipe'] for link in entry['chain'])}" if entry.get("chain") else "",
    ]
    shape = shape_words(entry["shape"])
    return name, shape, entry["draw"], "" if std is None else f"{std:.4g}", _with(entry["why"], *remarks)


def _with(why: str, *remarks: str) -> str:
    found = "; ".join(remark for remark in remarks if remark)
    return f"{why} ({found})" if found and why else why or found


def _show_note(note: Any) -> None:
    if isinstance(note, Mapping):
        note = [{"": key, " ": value} for key, value in note.items()]
    if isinstance(note, Sequence) and not isinstance(note, str) and note and all(isinstance(r, Mapping) for r in note):
        head = list(dict.fromkeys(key for row in note for key in row))
        rows = [[_cell(row.get(key)) for key in head] for row in note[:_NOTE_ROWS]]
        render.table([key.strip() for key in head], rows, titled=any(key.strip() for key in head))
        if len(note) > _NOTE_ROWS:
            render.lines(f"... and {len(note) - _NOTE_ROWS} more rows, in the report")
    else:
        render.lines(_cell(note))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else str(value)
