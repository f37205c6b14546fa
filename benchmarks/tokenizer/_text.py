"""English and German text from Debian packages, LibreOffice's help and manual pages, and a dictionary.

The packages are fetched by apt and unpacked in a cache, not installed; ``INITKIT_TEXT`` names a folder in which they
have been unpacked. Without them English falls back on the manual pages of this machine.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from benchmarks.tokenizer._packages import unpacked

SHORTEST = 40
HELP = {"en": ("libreoffice-help-en-us", "en-US"), "de": ("libreoffice-help-de", "de")}
MANUALS = {"en": (("manpages", "manpages-dev"), "."), "de": (("manpages-de",), "de")}


@dataclass(frozen=True)
class Corpus:
    """Paragraphs of at least 40 characters, each once, in an order shuffled by seed 0.

    Args:
        train: of all files but those of ``test``.
        test: of files whose MD5 of the name is 0 modulo 20.
        sources: files read of each package.
    """

    train: list[str]
    test: list[str]
    sources: dict[str, int]

    def facts(self) -> dict[str, object]:
        """For a results file."""
        sizes = {name: sum(len(line.encode()) + 1 for line in getattr(self, name)) for name in ("train", "test")}
        return {"files": self.sources, "bytes": sizes, "lines": {"train": len(self.train), "test": len(self.test)}}


@cache
def corpus(language: str) -> Corpus:
    """All text of a language, ``en`` or ``de``.

    Raises:
        SystemExit: there is none, and how to get it.
    """
    train: dict[str, None] = {}
    test: dict[str, None] = {}
    sources: dict[str, int] = {}
    for name, files, reader in _sources(language):
        sources[name] = len(files)
        for file in files:
            held = _held(file)
            for text in reader(file):
                if len(text) >= SHORTEST and not text.startswith("This page is:"):
                    (test if held else train).setdefault(text)
    if not test or not train:
        raise SystemExit(
            f"this benchmark needs text: let apt fetch {HELP[language][0]} and {', '.join(MANUALS[language][0])}, or "
            f"name by INITKIT_TEXT a folder in which they are unpacked"
        )
    lines, held_out = sorted(set(train) - set(test)), sorted(test)
    random.Random(0).shuffle(lines)
    random.Random(0).shuffle(held_out)
    return Corpus(lines, held_out, sources)


@cache
def dictionary() -> list[tuple[str, str]]:
    """Pairs of an English word and a German one, of the package trans-de-en.

    A line holds groups ``de | de :: en | en`` that answer each other, each of synonyms ``a; b``. Notes in brackets are
    dropped, "to" before an English verb too; what is more than one word then is left out.

    Raises:
        SystemExit: the package is not to be had.
    """
    folder = unpacked("trans-de-en")
    if folder is None:
        raise SystemExit("this benchmark needs the Debian package trans-de-en, by apt or unpacked in INITKIT_TEXT")
    pairs: dict[tuple[str, str], None] = {}
    for line in (folder / "usr/share/trans/de-en").read_text(encoding="utf-8").splitlines():
        german, mark, english = line.partition(" :: ")
        if not mark or line.startswith("#"):
            continue
        for left, right in zip(german.split(" | "), english.split(" | "), strict=False):
            pairs.update(dict.fromkeys(product(_words(right), _words(left))))
    return list(pairs)


def _words(group: str) -> list[str]:
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\([^)]*\)|<[^>]*>", " ", group)
    found = [part.strip().removeprefix("to ").strip() for part in bare.split(";")]
    return [part for part in found if part and len(part.split()) == 1]


def _sources(language: str) -> Iterator[tuple[str, list[Path], Callable[[Path], list[str]]]]:
    package, folder = HELP[language]
    root = unpacked(package)
    if root is not None:
        yield package, sorted((root / "usr/share/libreoffice/help" / folder / "text").rglob("*.html")), _paragraphs
    packages, folder = MANUALS[language]
    for package in packages:
        root = unpacked(package)
        name = package if root else f"manual pages of this machine ({package})"
        pages = (root or Path("/")) / "usr/share/man" / folder
        yield name, [file for file in sorted(pages.glob("man[0-9]/*.gz")) if not file.is_symlink()], _lines


def _held(file: Path) -> bool:
    return int(hashlib.md5(file.name.encode(), usedforsecurity=False).hexdigest(), 16) % 20 == 0


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
