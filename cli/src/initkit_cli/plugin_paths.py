"""``--plugin ./myplugin.py``: plugins that are not installed, by their path."""

from __future__ import annotations

import os
from pathlib import Path

from initkit.errors import did_you_mean
from initkit.plugins import registry
from initkit_cli.failures import UsageError


def is_path(word: str) -> bool:
    """Whether a word names a file or folder and not an installed plugin."""
    return word.endswith(".py") or "/" in word or os.sep in word or word in (os.curdir, os.pardir)


def adopted(word: str) -> str:
    """The name of a plugin; one that is given by its path is taken up for this process.

    Raises:
        UsageError: there is no such file.
        InitError: it is no plugin, or broken.
    """
    if not is_path(word):
        return word
    path = Path(word)
    if not path.exists():
        near = did_you_mean(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""
        raise UsageError(f"--plugin {word}: there is no such file or folder{near}")
    return registry().add(word).name
