"""What the command costs before it does anything: CPU time of whole processes, and what they import."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUNS = 15
HEAVY = ("torch", "numpy", "pydantic")

# An application with as many commands and options as initkit, and no more work than to show its help with rich.
BARE = '''
from typing import Annotated
import typer

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

@app.callback()
def bare(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """A program of the same size."""

@app.command()
def apply(
    model: Annotated[str, typer.Argument(help="A file.")],
{options}
) -> None:
    """Do the work."""

{commands}
app(prog_name="bare")
'''
OPTION = '    option_{n}: Annotated[str, typer.Option(help="Option {n} of the command.")] = "",'
COMMAND = '''
@app.command()
def command_{n}(
    name: Annotated[str, typer.Argument(help="A name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Command {n} of the program."""
'''


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        options = "\n".join(OPTION.format(n=n) for n in range(15))
        commands = "\n".join(COMMAND.format(n=n) for n in range(4))
        bare.write_text(BARE.format(options=options, commands=commands))
        programs = {
            "python": ["-c", "pass"],
            "typer+rich --help": [str(bare), "--help"],
            "initkit list": ["-m", "initkit_cli", "list"],
            "initkit plugins": ["-m", "initkit_cli", "plugins"],
            "initkit --help": ["-m", "initkit_cli", "--help"],
        }
        # Round by round, so that a busy moment of the machine falls on all alike.
        times: dict[str, list[float]] = {name: [] for name in programs}
        for round_number in range(RUNS + 1):
            for name, words in programs.items():
                spent = _cpu_seconds(words)
                if round_number:  # the first round fills caches
                    times[name].append(spent)
    base = statistics.median(times["typer+rich --help"])
    rows = [
        {
            "program": name,
            "cpu_ms": round(statistics.median(spent) * 1e3, 1),
            "least_ms": round(min(spent) * 1e3, 1),
            "most_ms": round(max(spent) * 1e3, 1),
            "times_typer_rich_help": round(statistics.median(spent) / base, 2),
        }
        for name, spent in times.items()
    ]
    ratio = next(row["times_typer_rich_help"] for row in rows if row["program"] == "initkit list")
    imports = {name: _imports(programs[name]) for name in programs if name.startswith("initkit")}
    return {
        "runs": RUNS,
        "rows": rows,
        "list_is_at_most_twice": ratio <= 2.0,
        "imports_no_torch": not any("torch" in found for found in imports.values()),
        "heavy_imports": imports,
    }


def _cpu_seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _imports(words: list[str]) -> list[str]:
    """Which heavy libraries the process imports."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    names = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in names]
