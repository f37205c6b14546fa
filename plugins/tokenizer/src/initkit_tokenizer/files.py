"""Tokenizers and descriptions from files."""

from __future__ import annotations

import json
from pathlib import Path

from initkit import NeedError
from initkit_tokenizer.vocabulary import Vocabulary


def load_tokenizer(path: str | Path) -> Path:
    """Check that a ``tokenizer.json``, or a folder that holds one, can be read; recipes read it, and folders copy it.

    Raises:
        NeedError: it is missing or broken.
    """
    Vocabulary.of(Path(path))
    return Path(path)


def load_descriptions(path: str | Path) -> dict[str, str]:
    """Read ``{token: text}`` from a JSON file.

    Raises:
        NeedError: it is missing, broken or of another form.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NeedError(f"descriptions: cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise NeedError(f"descriptions: {path} must hold one JSON object of texts: {{token: text}}")
    return found
