"""What the commands of the tutorial print on the gnn example: measured once, shown in the docs as it was."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
from pathlib import Path
from typing import Any

from initkit_cli.__main__ import main

EXAMPLE = "examples/gnn.py"
COMMANDS = {
    "recommend": f"recommend {EXAMPLE}",
    "inspect": f"inspect --plugin gnn {EXAMPLE}",
    "before_after": f"inspect --plugin gnn --recipe virgo {EXAMPLE}",
    "compare": f"compare {EXAMPLE} --recipe default --recipe gnn/virgo --steps 100 --seeds 5",
    "shallow": f"compare {EXAMPLE} --recipe default --recipe gnn/virgo --steps 100 --seeds 5 --set-model layers=2",
}


def run() -> dict[str, Any]:
    os.environ["COLUMNS"] = "120"
    root = Path(__file__).resolve().parents[2]
    with contextlib.chdir(root):
        rows = [
            {"key": key, "command": f"initkit {words}", "out": _said(words).rstrip().splitlines()}
            for key, words in COMMANDS.items()
        ]
        curves = [json.loads(_said(f"{COMMANDS[key]} --json")) for key in ("compare", "shallow")]
    return {"seeds": list(range(5)), "rows": rows, "curves": [_curve(one) for one in curves]}


def _said(words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(shlex.split(words))
    if code != 0:
        raise RuntimeError(f"initkit {words} ends with {code}")
    return out.getvalue()


def _curve(found: dict[str, Any]) -> dict[str, Any]:
    """Mean loss by step and start, for the plot."""
    curves = {}
    for start in found["starts"]:
        runs = [run["losses"] for run in found["runs"] if run["start"] == start["name"]]
        curves[start["name"]] = [round(sum(values) / len(values), 6) for values in zip(*runs, strict=True)]
    return {"steps": found["steps"], "mean": curves, "tests": found["tests"]}
