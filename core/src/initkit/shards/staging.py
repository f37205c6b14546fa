"""Folders that appear whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from initkit.errors import FileError


@contextmanager
def staged(folder: str | os.PathLike[str], *, force: bool = False, file: bool = False) -> Iterator[Path]:
    """Context in which a folder is written: it gives a path to be made, which is moved to its place at the end.

    The path lies in a hidden folder beside the place, on the same disk. A failure or an interrupt leaves nothing. What
    a process that was killed has left is removed by the next one that writes the same place.

    Args:
        folder: the place. It must not exist, or be empty, unless ``force`` is given.
        force: replace it.
        file: whether a file is written, and no folder.

    Raises:
        FileError: it exists or cannot be written.
    """
    place = Path(folder)
    if place.is_dir() if file else place.is_file():
        raise FileError(f"{place} exists and is a {'folder' if file else 'file'}; name another place")
    if (place.is_file() or (place.is_dir() and any(place.iterdir()))) and not force:
        raise FileError(f"{place} exists; give force=True to replace it, or name another place")
    missing = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _clear(place)
        stage = Path(tempfile.mkdtemp(prefix=_prefix(place), dir=place.parent))
        lock = _locked(stage)
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
        if lock is not None:
            lock.close()
        if not place.exists():
            for parent in missing:
                with suppress(OSError):
                    parent.rmdir()


def _prefix(place: Path) -> str:
    return f".{place.name}.initkit-"


def _locked(stage: Path) -> TextIO | None:
    """A file in the folder that this process keeps locked; None where it is locked already, or cannot be."""
    if sys.platform == "win32":
        return None
    import fcntl

    lock = (stage / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _clear(place: Path) -> None:
    """Remove hidden folders whose processes are gone; one that holds what was at the place stays."""
    for stage in place.parent.glob(f"{glob.escape(_prefix(place))}*"):
        if stage.is_symlink() or not (stage / "lock").is_file():
            continue
        if (stage / "old").exists() and not place.exists():
            continue
        lock = _locked(stage)
        if lock is not None:
            shutil.rmtree(stage, ignore_errors=True)
            lock.close()


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
