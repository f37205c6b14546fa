"""Word vectors from elsewhere: a common form for tables, fastText models and files of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initkit import NeedError

Floats = NDArray[np.float32]


class StaticVectors:
    """A vector for each word of a table, and for any text where n-grams are known. Make one with :meth:`of`.

    Attributes:
        dim: D, the length of a vector.
        words: of the table, the most frequent first where the source is sorted so.
        counts: how often each word occurred, or ones.
    """

    def __init__(
        self,
        words: Sequence[str],
        vectors: Floats,
        *,
        counts: Sequence[float] | None = None,
        spell: Callable[[str], Floats] | None = None,
        name: str = "static_vectors",
    ) -> None:
        table = np.asarray(vectors, dtype=np.float32)
        if table.ndim != 2 or 0 in table.shape or len(table) != len(words):
            raise NeedError(f"{name}: {len(words)} words and vectors of shape {table.shape}: one row a word is needed")
        broken = np.flatnonzero(~np.isfinite(table).all(1))
        if len(broken):
            raise NeedError(f"{name}: the vector of {words[int(broken[0])]!r} holds NaN or infinity")
        self.words, self.dim = list(words), int(table.shape[1])
        self.counts = np.ones(len(words)) if counts is None else np.asarray(counts, dtype=np.float64)
        self._table, self._spell = table, spell
        self._spelt: dict[str, Floats] = {}
        self._places = {word: place for place, word in reversed(list(enumerate(self.words)))}

    @classmethod
    def of(cls, source: Any, *, name: str = "static_vectors") -> StaticVectors:
        """Read vectors.

        Args:
            source: a ``StaticVectors``; a mapping of words to vectors; gensim's ``KeyedVectors`` or a model that holds
                them as ``.wv`` (those of fastText spell unknown words by their n-grams); or a path: ``.vec``, ``.txt``
                (word2vec's text form), ``.npz`` with ``keys`` and ``vectors`` (and ``counts``), ``.bin`` (fastText's or
                word2vec's, for which gensim is needed).
            name: what errors call it.

        Raises:
            NeedError: it is none of these, empty, ragged, or holds NaN.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (str, Path)):
            return _read(Path(source), name)
        if isinstance(source, Mapping):
            if not source:
                raise NeedError(f"{name}: it holds no word")
            rows = [np.asarray(row, dtype=np.float32).ravel() for row in source.values()]
            _check_even(rows, list(source), name)
            return cls([str(word) for word in source], np.stack(rows), name=name)
        keyed = getattr(source, "wv", source)
        if hasattr(keyed, "key_to_index") and hasattr(keyed, "vectors"):
            return _from_gensim(keyed, name)
        raise NeedError(
            f"{name}: {type(source).__name__} is no table of word vectors; give a mapping, gensim's KeyedVectors, or a "
            f"file (.vec, .npz, .bin)"
        )

    def __contains__(self, word: str) -> bool:
        return word in self._places or word.lower() in self._places

    def lookup(self, texts: Sequence[str], *, exact: bool = False) -> Floats:
        """Vectors of texts, (n, D); zeros where nothing is known.

        Args:
            texts: looked up as they are, then in lower case, then spelt by n-grams.
            exact: leaves out lower case.
        """
        found: Floats = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            place = self._places.get(text, None if exact else self._places.get(text.lower()))
            if place is not None:
                found[row] = self._table[place]
            elif self._spell is not None and text:
                if text not in self._spelt:
                    self._spelt[text] = self._spell(text)
                found[row] = self._spelt[text]
        return found

    def spelt(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether a text's vector comes from n-grams alone, (n,): it is no word of the table, and yet has one."""
        if self._spell is None:
            return np.zeros(len(texts), dtype=bool)
        known = self.lookup(texts).any(1)
        return known & np.array([text not in self for text in texts], dtype=bool)

    def rows(self, places: Sequence[int]) -> Floats:
        """Vectors of words by their place, (n, D)."""
        return self._table[list(places)]

    def place(self, word: str) -> int | None:
        """Where a word is in the table."""
        return self._places.get(word)

    def rotated(self, rotation: Floats) -> StaticVectors:
        """The same words, each vector v as v R.

        Args:
            rotation: R, (D, D).
        """
        spell = self._spell
        turned = None if spell is None else lambda text: np.asarray(spell(text) @ rotation, dtype=np.float32)
        return StaticVectors(self.words, self._table @ rotation, counts=self.counts.tolist(), spell=turned)


def load_vectors(path: str | Path) -> StaticVectors:
    """Read word vectors from a file.

    Raises:
        NeedError: it is missing, broken or of an unknown kind.
    """
    return _read(Path(path), "static_vectors")


def load_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Read a bilingual dictionary: lines of an old and a new word with a tab between.

    Raises:
        NeedError: it cannot be read, or a line has another form.
    """
    found = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NeedError(f"dictionary: cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split("\t")
        if len(parts) != 2:
            raise NeedError(f"dictionary: line {number} of {path} must be two words with a tab between")
        found.append((parts[0].strip(), parts[1].strip()))
    return found


def _read(path: Path, name: str) -> StaticVectors:
    if not path.is_file():
        raise NeedError(f"{name}: there is no file {path}")
    readers = {".vec": _read_text, ".txt": _read_text, ".npz": _read_npz, ".bin": _read_binary}
    reader = readers.get(path.suffix)
    if reader is None:
        raise NeedError(f"{name}: {path} is of an unknown kind; {', '.join(sorted(readers))} are read")
    return reader(path, name)


def _read_text(path: Path, name: str) -> StaticVectors:
    words: list[str] = []
    rows: list[Floats] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2 and all(part.isdecimal() for part in parts):
                continue  # word2vec's header: words, length
            try:
                rows.append(np.array(parts[1:], dtype=np.float32))
            except ValueError:
                raise NeedError(f"{name}: line {number} of {path} is no word followed by numbers") from None
            words.append(parts[0])
    if not words:
        raise NeedError(f"{name}: {path} holds no word")
    _check_even(rows, words, name)
    return StaticVectors(words, np.stack(rows), name=name)


def _read_npz(path: Path, name: str) -> StaticVectors:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise NeedError(f"{name}: cannot read {path}: {' '.join(str(error).split())}") from None
    missing = {"keys", "vectors"} - set(held)
    if missing:
        raise NeedError(f"{name}: {path} must hold 'keys' and 'vectors'; it lacks {' and '.join(sorted(missing))}")
    return StaticVectors(
        [str(word) for word in held["keys"].tolist()], held["vectors"], counts=held.get("counts"), name=name
    )


def _read_binary(path: Path, name: str) -> StaticVectors:
    try:
        from gensim.models import KeyedVectors, fasttext
    except ImportError:
        raise NeedError(f"{name}: reading {path} needs gensim: pip install gensim") from None
    try:
        return _from_gensim(fasttext.load_facebook_vectors(str(path)), name)
    except (ValueError, NotImplementedError, EOFError, UnicodeDecodeError):
        pass  # not fastText's: word2vec's has no magic number to tell
    try:
        return _from_gensim(KeyedVectors.load_word2vec_format(str(path), binary=True), name)
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        raise NeedError(f"{name}: {path} is neither fastText's nor word2vec's form: {error}") from None


def _from_gensim(keyed: Any, name: str) -> StaticVectors:
    words = list(keyed.index_to_key)
    try:
        counts = [float(keyed.get_vecattr(word, "count")) for word in words]
    except KeyError:
        counts = None
    spell = None
    if hasattr(keyed, "vectors_ngrams"):

        def spell(text: str) -> Floats:
            try:
                return np.asarray(keyed.get_vector(text), dtype=np.float32)
            except KeyError:  # shorter than every n-gram
                return np.zeros(keyed.vector_size, dtype=np.float32)

    return StaticVectors(words, keyed.vectors, counts=counts, spell=spell, name=name)


def _check_even(rows: Sequence[Floats], words: Sequence[str], name: str) -> None:
    odd = next((place for place, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if odd is not None:
        raise NeedError(
            f"{name}: the vector of {words[odd]!r} has {len(rows[odd])} numbers, those before it have {len(rows[0])}"
        )
