"""Subjects that are saved as folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from initkit._names import unwrapped
from initkit.plugins import registry


def folder_writer(subject: Any, needs: Mapping[str, Any]) -> Callable[[Path], None] | None:
    """A function that writes the subject, with what belongs to it, as a folder; None where no plugin knows how.

    Args:
        subject: the model, without or with outer wrappers.
        needs: the data of the run by name.
    """
    found = registry()
    for plugin in found.plugins:
        if "initkit_folder" not in plugin.hooks:
            continue
        writer: Callable[[Path], None] | None = found.ask(
            plugin, "initkit_folder", model=unwrapped(subject), needs=needs
        )
        if writer is not None:
            return writer
    return None
