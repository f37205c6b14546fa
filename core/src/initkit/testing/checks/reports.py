"""The report tells what was done, and the file gives it back."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import initkit
from initkit._stats import digest_of
from initkit.slots import slots_of
from initkit.testing.case import Case
from initkit.testing.observed import bits, unequal

_ABSOLUTE = re.compile(r"""(?:^|[\s'"=(\[])(?:/(?:home|root|tmp|usr|var|opt|mnt|Users|private)/|[A-Za-z]:\\\\)""")
_CLOCK = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def check_the_report_covers_the_plan(case: Case) -> None:
    """Every fill has an entry with a reason and the recipe's id."""
    report = case.run.report
    for fill in case.planned.fills:
        if fill.name in report.kept:
            assert fill.draw.jobs(), f"{fill.name} is planned but kept, and no job can have found out why"
            continue
        assert fill.name in report, f"{fill.name} is planned but not reported"
        assert report[fill.name].why.strip(), f"{fill.name} has no reason"
        assert report[fill.name].recipe == case.made.id


def check_the_report_tells_what_the_model_holds(case: Case) -> None:
    """The hash of every reported tensor is that of the tensor."""
    slots = slots_of(case.run.model)
    wrong = [name for name, entry in case.run.report.items() if entry.hash != digest_of(slots[name].read())]
    assert not wrong, f"{wrong} hold other values than the report says"


def check_the_report_is_json_without_paths_and_times(case: Case) -> None:
    """The report is JSON, and says nothing of the machine's folders or clock."""
    found = json.loads(case.run.report.to_json())
    for recipe in found["recipes"]:
        recipe.pop("options")  # what the user gives may be a path
    folders = {os.getcwd(), str(Path.home()), tempfile.gettempdir(), sys.prefix} - {os.sep}
    for text in _texts(found):
        hit = next((folder for folder in folders if folder in text), None) or _ABSOLUTE.search(text)
        assert not hit, f"the report holds a path of this machine: {text[:80]!r}"
        assert not _CLOCK.search(text), f"the report holds a time: {text[:80]!r}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def check_saved_files_load_back(case: Case) -> None:
    """What was saved and loaded into a fresh model is equal bit for bit."""
    model = case.model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        initkit.save(case.run.model, path, report=case.run.report)
        loaded = initkit.load(model, path)
    after = bits(model)
    assert after == case.run.after.bits, f"{unequal(after, case.run.after.bits)} differ after loading"
    assert set(loaded.outputs) == set(case.run.report.outputs), "outputs are missing in the file"
