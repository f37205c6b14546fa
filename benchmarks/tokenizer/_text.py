"""English text that Debian packages ship: LibreOffice's help, where it is installed, and manual pages.

``INITKIT_TEXT`` names a folder in which the packages were unpacked, in place of the root.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import itertools
import os
import random
import re
from pathlib import Path

SHORTEST = 40
MANUALS = ("man2", "man3", "man5", "man7")


def roots() -> list[Path]:
    """Where packages' files are."""
    named = os.environ.get("INITKIT_TEXT")
    return [*([Path(named)] if named else []), Path("/")]


def english(most: int) -> tuple[list[str], list[str], dict[str, int]]:
    """Paragraphs of at least 40 characters to train on, others to test with, and how many files of each source.

    A file is for testing when the MD5 of its name is 0 modulo 20; where there are help pages, those alone are tested
    with. Duplicates are dropped; lines are shuffled by seed 0 and cut off at ``most`` characters.
    """
    train: dict[str, None] = {}
    test: dict[str, None] = {}
    counts = {"help pages": 0, "manual pages": 0}
    for kind, files, reader in (("help pages", _help(), _paragraphs), ("manual pages", _manuals(), _lines)):
        if kind == "manual pages" and test:
            files = [file for file in files if not _held(file)]
        for file in files:
            counts[kind] += 1
            held = _held(file)
            for text in reader(file):
                if len(text) >= SHORTEST and not text.startswith("This page is:"):
                    (test if held else train).setdefault(text)
    lines = sorted(set(train) - set(test))
    random.Random(0).shuffle(lines)
    held_out = sorted(test)
    random.Random(0).shuffle(held_out)
    total = itertools.accumulate(map(len, lines))
    return [line for line, length in zip(lines, total, strict=True) if length <= most], held_out, counts


def _held(file: Path) -> bool:
    return int(hashlib.md5(file.name.encode(), usedforsecurity=False).hexdigest(), 16) % 20 == 0


def _help() -> list[Path]:
    for root in roots():
        found = sorted((root / "usr/share/libreoffice/help/en-US/text").rglob("*.html"))
        if found:
            return found
    return []


def _manuals() -> list[Path]:
    return [file for section in MANUALS for file in sorted(Path("/usr/share/man", section).glob("*.gz"))]


def _paragraphs(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8", errors="replace").partition('id="DisplayArea"')[2]
    found = []
    for part in re.findall(r"<(?:p|h\d)\b[^>]*>(.*?)</(?:p|h\d)>", text, re.DOTALL):
        found.append(" ".join(html.unescape(re.sub(r"<[^>]+>", "", part)).split()))
    return found


def _lines(file: Path) -> list[str]:
    try:
        text = gzip.decompress(file.read_bytes()).decode("utf-8", errors="replace")
    except (OSError, EOFError, gzip.BadGzipFile):
        return []
    found: list[str] = []
    words: list[str] = []
    for line in [*text.splitlines(), "."]:
        if line.startswith((".", "'")):
            if words:
                found.append(" ".join(" ".join(words).split()))
            words = []
        else:
            words.append(re.sub(r"\\f.|\\[&|/^]|\\\((?:em|en|aq|dq|lq|rq)", "", line).replace("\\-", "-"))
    return found
