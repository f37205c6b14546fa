"""``--html`` and ``--report``: one self-contained page, checked before work starts."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initkit_cli.failures import UsageError


@dataclass(frozen=True)
class Page:
    """A page that is asked for.

    Args:
        path: of the file; None where none is asked for.
    """

    path: Path | None

    @classmethod
    def of(cls, text: str | None, *, force: bool) -> Page:
        """Check a page's place before any work.

        Raises:
            UsageError: it exists, is a folder, has no folder, or what draws it is not installed.
        """
        if text is None:
            return cls(None)
        path = Path(text)
        if path.is_dir():
            raise UsageError(f"--html {text} is a folder; name a file in it: {path / 'page.html'}")
        if os.path.lexists(path) and not force:
            raise UsageError(f"{path} exists; add --force to replace it, or name another file")
        if not path.parent.is_dir():
            raise UsageError(f"--html {text}: there is no folder {path.parent}")
        check_tools("--html")
        return cls(path)

    def write(self, **parts: Any) -> None:
        """Write the page of :func:`initkit.write_page`, where one is asked for."""
        if self.path is not None:
            import initkit

            initkit.write_page(self.path, **parts)


def check_tools(flag: str) -> None:
    """See whether what draws pages is installed, without importing it.

    Raises:
        UsageError: it is not; says how to install it.
    """
    for package in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f'{flag} needs {package}; install it with: pip install "initkit-core[html]"')
