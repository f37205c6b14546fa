"""What the command line prints."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from initkit_cli.__main__ import main
from initkit_cli.app import command


def shown(*words: str) -> str:
    """A command and its standard output, as a block for a page.

    Raises:
        RuntimeError: it does not end with exit code 0.
    """
    out = io.StringIO()
    # Piped, 80 columns wide: no boxes, no colours.
    os.environ["COLUMNS"] = "80"
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(list(words))
    if code != 0:
        raise RuntimeError(f"initkit {' '.join(words)} ends with {code}")
    # Paths of this machine are no part of a page.
    text = out.getvalue().replace(str(Path.cwd()) + os.sep, "").rstrip()
    return "\n".join(["```text", f"$ initkit {' '.join(words)}", *map(str.rstrip, text.splitlines()), "```"])


def excerpt(*words: str, first: int, last: int) -> str:
    """As :func:`shown`, with the first and last lines of the output alone."""
    begin, *lines, end = shown(*words).splitlines()
    if len(lines) > 1 + first + last:
        lines = [*lines[: 1 + first], "...", *lines[-last:]]
    return "\n".join([begin, *lines, end])


def every() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no secret, with the words that call it; groups are walked through."""

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name in group.list_commands(None):
            one = group.get_command(None, name)
            if not one.hidden:
                yield (*path, name), one
                if hasattr(one, "list_commands"):
                    yield from walk(one, (*path, name))

    yield from walk(command(), ())


def helps() -> str:
    """The help of the command and of each of its commands."""
    parts = [f"### {' '.join(path)}\n\n{shown(*path, '--help')}" for path, _ in every()]
    return "\n\n".join([shown("--help"), *parts])


def untold(text: str) -> list[str]:
    """Commands and options that a page of the command line says nothing of."""
    missing = []
    for path, one in every():
        name = " ".join(path)
        part = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        options = [option for parameter in one.params for option in parameter.opts if option.startswith("--")]
        missing += [f"{name} {option}" for option in options if f"{option} " not in part]
        missing += [] if part else [name]
    return missing


if __name__ == "__main__":
    print(shown(*sys.argv[1:]))
