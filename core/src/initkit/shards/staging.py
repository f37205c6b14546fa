"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from initkit.errors import FileError


@contextmanager
def staged(folder: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """Context in which a folder is written: it gives a path to be made, which is moved to its place at the end.

    The path lies in a hidden folder beside the place, on the same disk. A failure or an interrupt leaves nothing.

    Args:
        folder: the place. It must not exist, or be empty, unless ``force`` is given.
        force: replace it.

    Raises:
        FileError: it exists or cannot be written.
    """
    place = Path(folder)
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not force):
        raise FileError(f"{place} exists; give force=True to replace it, or name another folder")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".initkit-", dir=place.parent))
    except OSError as error:
        raise FileError(f"cannot write {place}: {error.strerror or error}; nothing was written") from None
    try:
        yield stage / "new"
        _moved(stage, place)
    except OSError as error:
        raise FileError(f"cannot write {place}: {error.strerror or error}; nothing was written") from None
    finally:
        if place.exists() or not (stage / "old").exists():  # else it holds the only copy of what was there
            shutil.rmtree(stage, ignore_errors=True)


def _moved(stage: Path, place: Path) -> None:
    old = stage / "old"
    try:
        if place.exists():
            os.replace(place, old)
        os.replace(stage / "new", place)
    except BaseException:
        if old.exists() and not place.exists():
            try:
                os.replace(old, place)
            except OSError as error:
                why = error.strerror or error
                raise FileError(f"cannot write {place}: {why}; what was there lies in {old}, move it back") from None
        raise
