"""A model directory that ``from_pretrained`` loads."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from initkit import FileError, Report

REPORT = "initkit.report.json"


def save_model(
    model: Any, tokenizer: Any, folder: str | os.PathLike[str], *, report: Report | None = None, force: bool = False
) -> None:
    """Write a model of transformers with its new tokenizer as a folder that ``from_pretrained`` loads.

    Everything is written into a hidden folder beside the place and moved there at the end: a failure leaves nothing.

    Args:
        model: of transformers.
        tokenizer: of transformers; the new one.
        folder: where to. It must not exist, or be empty, unless ``force`` is given.
        report: of the run, written beside the model as ``initkit.report.json``.
        force: replace the folder.

    Raises:
        FileError: the folder exists, cannot be written, or model or tokenizer cannot save themselves; the tokenizer has
            more tokens than the model has rows.
    """
    place = Path(folder)
    for thing, words in ((model, "model"), (tokenizer, "tokenizer")):
        if not callable(getattr(thing, "save_pretrained", None)):
            raise FileError(f"{words}: {type(thing).__name__} cannot save itself as a folder; one of transformers can")
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise FileError(f"the tokenizer has {len(tokenizer)} tokens, the model {rows} rows: apply a recipe first")
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not force):
        raise FileError(f"{place} exists; give force=True to replace it, or name another folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".initkit-", dir=place.parent))
    try:
        model.save_pretrained(stage / "new")
        tokenizer.save_pretrained(stage / "new")
        if report is not None:
            (stage / "new" / REPORT).write_text(report.to_json(), encoding="utf-8")
        if place.exists():
            os.replace(place, stage / "old")
        try:
            os.replace(stage / "new", place)
        except OSError:
            if (stage / "old").exists():
                os.replace(stage / "old", place)
            raise
    except OSError as error:
        raise FileError(f"cannot write {place}: {error.strerror or error}; nothing was written") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)
