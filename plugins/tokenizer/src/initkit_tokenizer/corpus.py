"""Text to learn from: lines of a file, or strings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from initkit import NeedError


class Corpus:
    """Lines of text, one after the other, as often as they are asked for. Make one with :meth:`of`.

    Args:
        lines: strings that can be gone through again, or the path of a file in UTF-8.
        name: what errors call it.
    """

    def __init__(self, lines: Iterable[str] | Path, name: str) -> None:
        self._lines, self._name = lines, name

    @classmethod
    def of(cls, source: Any, *, name: str = "corpus") -> Corpus:
        """Read a corpus; a file is read when its lines are asked for.

        Args:
            source: a ``Corpus``, the path of a text file in UTF-8 with one text a line, or an iterable of strings.
            name: what errors call it.

        Raises:
            NeedError: it is none of these, the file is missing, or there is no text in it.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            if not path.is_file():
                raise NeedError(f"{name}: there is no file {path}; give a text file, or a list of texts")
            found = cls(path, name)
        elif isinstance(source, Iterable) and not isinstance(source, (bytes, dict)):
            found = cls(list(source), name)
        else:
            raise NeedError(f"{name}: {type(source).__name__} is no text; give a text file, or a list of texts")
        if next(iter(found), None) is None:
            raise NeedError(f"{name}: it holds no text")
        return found

    def __iter__(self) -> Iterator[str]:
        """Lines that are not blank, without their ends.

        Raises:
            NeedError: one is no string, or the file is not UTF-8.
        """
        if isinstance(self._lines, Path):
            yield from self._read(self._lines)
            return
        for place, line in enumerate(self._lines):
            if not isinstance(line, str):
                raise NeedError(f"{self._name}: text {place} is of type {type(line).__name__}, a string is needed")
            if line.strip():
                yield line

    def _read(self, path: Path) -> Iterator[str]:
        try:
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    if line.strip():
                        yield line.rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NeedError(f"{self._name}: cannot read {path}: {reason}") from None


def load_corpus(path: str | Path) -> Corpus:
    """A text file with one text a line.

    Raises:
        NeedError: it is missing, empty or not UTF-8.
    """
    return Corpus.of(Path(path))
