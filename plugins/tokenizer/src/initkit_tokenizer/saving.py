"""A model directory that ``from_pretrained`` loads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from initkit import FileError, Report
from initkit.shards import staged
from initkit_tokenizer.model_tensors import input_rows

REPORT = "initkit.report.json"
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


def save_model(
    model: Any, tokenizer: Any, folder: str | os.PathLike[str], *, report: Report | None = None, force: bool = False
) -> None:
    """Write a model of transformers with its new tokenizer as a folder that ``from_pretrained`` loads.

    Everything is written into a hidden folder beside the place and moved there at the end: a failure leaves nothing.

    Args:
        model: of transformers.
        tokenizer: the new one: of transformers or tokenizers, or the path of its file or folder.
        folder: where to. It must not exist, or be empty, unless ``force`` is given.
        report: of the run, written beside the model as ``initkit.report.json``.
        force: replace the folder.

    Raises:
        FileError: the folder exists, cannot be written, or model or tokenizer cannot save themselves; the tokenizer has
            more tokens than the model has rows.
    """
    with staged(folder, force=force) as new:
        write_folder(model, tokenizer, new)
        if report is not None:
            (new / REPORT).write_text(report.to_json(), encoding="utf-8")


def write_folder(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer into a new folder.

    Args:
        model: of transformers.
        tokenizer: see :func:`save_model`.
        folder: to be made.

    Raises:
        FileError: model or tokenizer cannot save themselves, or do not fit each other.
    """
    if not callable(getattr(model, "save_pretrained", None)):
        raise FileError(f"model: {type(model).__name__} cannot save itself as a folder; one of transformers can")
    rows = input_rows(model)
    if callable(getattr(tokenizer, "__len__", None)) and len(tokenizer) > rows:
        raise FileError(f"the tokenizer has {len(tokenizer)} tokens, the model {rows} rows: apply a recipe first")
    folder.mkdir()
    model.save_pretrained(folder)
    write_tokenizer(tokenizer, folder)


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer's files into a folder.

    Args:
        tokenizer: see :func:`save_model`.
        folder: that exists.

    Raises:
        FileError: it cannot save itself.
    """
    if callable(getattr(tokenizer, "save_pretrained", None)):
        tokenizer.save_pretrained(folder)
    elif isinstance(tokenizer, Tokenizer):
        tokenizer.save(str(folder / "tokenizer.json"))
    elif isinstance(tokenizer, (str, os.PathLike)):
        source = Path(tokenizer)
        for name in _FILES:
            file = (source if source.is_dir() else source.parent) / name
            if file.is_file():
                shutil.copyfile(file, folder / name)
    else:
        raise FileError(
            f"tokenizer: {type(tokenizer).__name__} cannot save itself; give one of transformers, or its path"
        )
