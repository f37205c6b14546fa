"""Text to learn from: files, lists, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from initkit import NeedError
from initkit_tokenizer.corpus import Corpus, load_corpus


def test_lines_of_files_and_lists_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes("größer\r\n\n  \nals \n".encode())
    for corpus in (load_corpus(file), Corpus.of(str(file)), Corpus.of(iter(["größer", "", "als "]))):
        assert list(corpus) == list(corpus) == ["größer", "als "]
    assert Corpus.of(corpus) is corpus


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "it holds no text"),
        (["", " "], "it holds no text"),
        (["a", 3], "text 1 is of type int"),
        (3, "int is no text"),
        ({"a": 1}, "dict is no text"),
        ("missing.txt", "there is no file missing.txt"),
    ],
)
def test_what_is_no_text_is_said(source: Any, words: str) -> None:
    with pytest.raises(NeedError, match=f"corpus: {words}"):
        list(Corpus.of(source))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(NeedError, match="it holds no text"):
        load_corpus(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("größer".encode("latin-1"))
    with pytest.raises(NeedError, match=r"cannot read .*latin\.txt: 'utf-8'"):
        load_corpus(tmp_path / "latin.txt")
