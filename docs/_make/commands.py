"""What the command line prints."""

from __future__ import annotations

import contextlib
import io
import os
import sys
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


def helps() -> str:
    """The help of the command and of each of its commands, groups walked through."""
    found = [shown("--help")]

    def walk(group: Any, path: tuple[str, ...]) -> None:
        if not hasattr(group, "list_commands"):
            return
        for name in group.list_commands(None):
            one = group.get_command(None, name)
            if not one.hidden:
                found.append(f"### {' '.join((*path, name))}\n\n" + shown(*path, name, "--help"))
                walk(one, (*path, name))

    walk(command(), ())
    return "\n\n".join(found)


if __name__ == "__main__":
    print(shown(*sys.argv[1:]))
