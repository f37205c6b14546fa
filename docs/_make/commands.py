"""What the command line prints."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from initkit_cli.__main__ import main


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


if __name__ == "__main__":
    print(shown(*sys.argv[1:]))
