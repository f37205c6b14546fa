"""Where results and talk go: results to stdout, talk to stderr.

With ``--json`` stdout must hold one JSON object and nothing else, whatever the user's file, a library or a child
process prints. So the process's stdout is turned to stderr, and only :meth:`Channel.json` writes to the real one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer

from initkit_cli.failures import Failure


class Channel:
    """The command's way to the outside.

    Args:
        words: the command line, without the command's name.
        quiet: whether another process does the talking: nothing is said, and stdout leads nowhere.
    """

    def __init__(self, words: Sequence[str], *, quiet: bool = False) -> None:
        self.words, self.quiet = tuple(words), quiet
        self.as_json = "--json" in words and not {"--help", "-h"} & set(words)
        for stream in (sys.stdout, sys.stderr):
            # Names and formulas hold symbols that an old terminal's encoding may lack.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self._real: int | None = None
        if quiet:
            self.silence()
        elif self.as_json:
            self._turn_stdout()

    def say(self, text: str) -> None:
        """Talk to the user, on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def json(self, text: str) -> None:
        """Write the one JSON object on stdout."""
        data = (text.rstrip("\n") + "\n").encode()
        if self._real is None:
            sys.stdout.write(data.decode())
            sys.stdout.flush()
            return
        while data:
            data = data[os.write(self._real, data) :]

    def json_of(self, value: dict[str, Any]) -> None:
        """Write a dict as the one JSON object."""
        self.json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))

    def tell(self, failure: Failure) -> None:
        """Tell a failure: a line on stderr, and with ``--json`` an object on stdout."""
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            self.say(f"error: {failure.message}")
            for line in failure.details:
                self.say(line)
            if self.as_json:
                self.json_of({"error": failure.to_dict()})

    def silence(self) -> None:
        """Nobody reads stdout, or no more; keep Python from complaining of it at exit."""
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _turn_stdout(self) -> None:
        # For the rest of the process, since exit handlers may print as well.
        sys.stdout.flush()
        try:
            out, err = sys.stdout.fileno(), sys.stderr.fileno()
        except (OSError, ValueError):
            return
        self._real = os.dup(out)
        os.dup2(err, out)


def channel_of(context: typer.Context) -> Channel:
    """The channel of the running command."""
    return cast(Channel, context.obj)
