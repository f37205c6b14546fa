"""The model of a folder without its values, and its configurations as they are edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from initkit import FileError, PlanError, Set
from initkit.errors import did_you_mean


def check_plain(folder: Path) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        FileError: there is none, or it is broken.
        PlanError: the model is quantised.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise FileError(f"cannot read {folder / 'config.json'}: {reason}") from None
    if not isinstance(found, dict):
        raise FileError(f"{folder / 'config.json'} must hold one JSON object")
    if found.get("quantization_config"):
        raise PlanError(f"{folder}: the model is quantised; change the vocabulary before quantising")
    return found


def hollow_model(folder: Path, raw: dict[str, Any]) -> Any:
    """The model that ``config.json`` names, on the meta device: shapes and names, no values.

    Raises:
        PlanError: transformers has no such class.
    """
    import transformers

    names = raw.get("architectures") or []
    kind = getattr(transformers, names[0], None) if names else None
    if kind is None:
        what = f"transformers has no class {names[0]}" if names else "config.json names no architectures"
        near = did_you_mean(names[0], dir(transformers)) if names else ""
        raise PlanError(f"{folder}: {what}{near}; give model=, built under torch.device('meta')")
    try:
        config = kind.config_class.from_pretrained(folder)
        with torch.device("meta"):
            model = kind(config)
        if (folder / "generation_config.json").is_file():
            model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PlanError(f"{folder}: {names[0]} cannot be built: {' '.join(str(error).split())}") from None
    return model


def edited(file: Path, holder: str, sets: Sequence[Set], config: Any) -> str:
    """A configuration's JSON with the numbers that follow the vocabulary; all else as it is.

    Args:
        file: of the configuration.
        holder: ``config`` or ``generation_config``.
        sets: what follows.
        config: the object that was read from it, which knows other names of its attributes.
    """
    raw = json.loads(file.read_text(encoding="utf-8"))
    for one in sets:
        parts = one.path.split(".")
        if holder not in parts:
            continue
        *inner, name = parts[parts.index(holder) + 1 :]
        place, owner = raw, config
        for part in inner:
            place = place.setdefault(part, {})
            owner = getattr(owner, part, None)
        place[(getattr(owner, "attribute_map", None) or {}).get(name, name)] = one.value
    return json.dumps(raw, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
