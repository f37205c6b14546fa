"""Folders in which benchmarks keep what is slow to make or to fetch: Debian packages, models, vectors, measurements."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

MINUTES = 5


def cache_folder() -> Path:
    """``$INITKIT_CACHE``, or ``benchmarks/.cache``. Its contents may be deleted at any time."""
    named = os.environ.get("INITKIT_CACHE")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent / ".cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def unpacked(package: str) -> Path | None:
    """The folder that a Debian package is unpacked in: ``$INITKIT_TEXT``'s, the cache's, or fetched there by apt.

    Nothing is installed. None where apt is missing or finds no such package.
    """
    named = os.environ.get("INITKIT_TEXT")
    if named:
        return Path(named)
    target = cache_folder() / "debian" / package
    if target.is_dir():
        return target
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        try:
            subprocess.run(
                ["apt-get", "download", package], cwd=folder, check=True, capture_output=True, timeout=60 * MINUTES
            )
            (archive,) = folder.glob("*.deb")
            subprocess.run(["dpkg", "-x", archive, folder / "files"], check=True, capture_output=True)
        except (subprocess.SubprocessError, ValueError):
            return None
        (folder / "files").rename(target)
    return target
