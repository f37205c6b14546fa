"""Embeddings of a model that was trained with the new tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from initkit import NeedError
from initkit_tokenizer.vocab_plan import VocabPlan

NAMES = {
    "input": ("input", "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight"),
    "head": ("head", "lm_head.weight", "embed_out.weight"),
}


@dataclass(frozen=True)
class Donor:
    """Rows for each token of the new vocabulary. Make one with :meth:`of`.

    Args:
        input: (rows, D).
        head: (rows, D'), the input where the donor's head is tied or unknown.
    """

    input: Tensor
    head: Tensor

    @classmethod
    def of(cls, source: Any) -> Donor:
        """Read a donor.

        Args:
            source: a model with ``get_input_embeddings``, an ``nn.Embedding``, a table (tensor or array), a mapping
                with ``input`` and perhaps ``head``, or the path of a file (``.npz``, ``.safetensors``) that holds those
                names or the usual ones of transformers, or of a folder with a ``model.safetensors``.

        Raises:
            NeedError: it is none of these, or its tables are no matrices of finite numbers.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (str, Path)):
            return load_donor(source)
        if isinstance(source, nn.Embedding):
            source = {"input": source.weight}
        elif callable(getattr(source, "get_input_embeddings", None)):
            head = source.get_output_embeddings()
            source = {
                "input": source.get_input_embeddings().weight,
                **({} if head is None else {"head": head.weight}),
            }
        elif isinstance(source, (Tensor, np.ndarray)):
            source = {"input": source}
        if not isinstance(source, Mapping) or "input" not in source:
            raise NeedError(
                f"donor: {type(source).__name__} holds no embeddings; give a model of transformers, an nn.Embedding, a "
                f"table, or {{'input': ..., 'head': ...}}"
            )
        tables = {role: _table(source[role], role) for role in ("input", "head") if role in source}
        head = tables.get("head", tables["input"])
        if len(head) != len(tables["input"]):
            raise NeedError(f"donor: {len(tables['input'])} rows of input, {len(head)} of the head")
        return cls(tables["input"], head)

    def check(self, plan: VocabPlan) -> Donor:
        """This donor, if it has a row for each token.

        Raises:
            NeedError: it has fewer rows than the new tokenizer needs.
        """
        if len(self.input) < plan.new_size:
            raise NeedError(
                f"donor: {len(self.input)} rows, the new tokenizer needs {plan.new_size}: this donor was not trained "
                f"with it"
            )
        return self

    def table(self, role: str) -> Tensor:
        """The head's for ``head``, else the input's."""
        return self.head if role == "head" else self.input


def load_donor(path: str | Path) -> Donor:
    """Read a donor's tables from a file or a folder.

    Raises:
        NeedError: it is missing, or holds no table of a known name.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.safetensors"
    if not file.is_file():
        raise NeedError(f"donor: there is no file {file}")
    try:
        if file.suffix == ".safetensors":
            held = _from_safetensors(file)
        else:
            with np.load(file, allow_pickle=False) as arrays:
                held = {name: arrays[name] for name in arrays.files}
    except NeedError:
        raise
    except Exception as error:  # noqa: BLE001 - each format raises its own
        raise NeedError(f"donor: cannot read {file}: {' '.join(str(error).split())}") from None
    found = {role: table for role, endings in NAMES.items() for name, table in held.items() if name.endswith(endings)}
    if "input" not in found:
        raise NeedError(f"donor: {file} holds no table named {' or '.join(NAMES['input'])}")
    return Donor.of(found)


def _from_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    wanted = tuple(name for names in NAMES.values() for name in names)
    with safe_open(str(file), framework="pt") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys() if name.endswith(wanted)}  # noqa: SIM118


def _table(values: Any, role: str) -> Tensor:
    table = torch.as_tensor(values).detach()
    if table.ndim != 2 or 0 in table.shape or not table.dtype.is_floating_point:
        raise NeedError(
            f"donor: its {role} is {table.dtype} of shape {tuple(table.shape)}, no table with a row a token"
        )
    return table
