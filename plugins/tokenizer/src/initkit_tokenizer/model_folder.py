"""A model folder of transformers: its model without values, and its files beside the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from initkit import CheckpointFolder, Set
from initkit.rewriting.folder import copy_others
from initkit_tokenizer.hollow import check_plain, edited, hollow_model
from initkit_tokenizer.saving import write_tokenizer

_TOKENIZER = ("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges", "chat_template", "spiece",
              "sentencepiece", "source.spm", "target.spm")  # fmt: skip
_CONFIGURATIONS = ("config.json", "generation_config.json")


class ModelFolder(CheckpointFolder):
    """A folder that transformers has saved."""

    def model(self) -> Any:
        """The model that ``config.json`` names.

        Raises:
            PlanError: the model is quantised, or transformers has no such class.
            FileError: ``config.json`` is broken.
        """
        return hollow_model(self.path, check_plain(self.path))

    def needs(self) -> dict[str, Any]:
        """The folder's own tokenizer is the one that the model was made with."""
        return {"old_tokenizer": self.path} if (self.path / "tokenizer.json").is_file() else {}

    def write_others(
        self, new: Path, model: Any, sets: Sequence[Set], needs: Mapping[str, Any]
    ) -> list[dict[str, str]]:
        """Configurations with the numbers that were set, the new tokenizer instead of the old, copies of others."""
        tokenizer = needs.get("tokenizer")

        def elsewhere(name: str) -> bool:
            return name in _CONFIGURATIONS or (tokenizer is not None and name.startswith(_TOKENIZER))

        for name in _CONFIGURATIONS:
            if (self.path / name).is_file():
                holder = name.removesuffix(".json")
                text = edited(self.path / name, holder, sets, getattr(model, holder, None))
                (new / name).write_text(text, encoding="utf-8")
        if tokenizer is not None:
            write_tokenizer(tokenizer, new)
        return copy_others(self.path, new, skip=elsewhere)


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds the configuration of a model of transformers."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and ("architectures" in found or "model_type" in found)
