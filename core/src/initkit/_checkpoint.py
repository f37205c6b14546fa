"""Checkpoints of long jobs: tensors and facts in one safetensors file, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from initkit._files import write_whole
from initkit.errors import FileError

_KEY = "initkit-checkpoint"


def save_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
) -> None:
    """Write a job's state in one step.

    Args:
        path: of the file; an existing one is replaced.
        tensors: by name; copied to the CPU.
        facts: JSON values, such as the number of finished steps.

    Raises:
        FileError: it cannot be written.
    """
    held = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts), sort_keys=True, allow_nan=False)
    write_whole(path, lambda temporary: save_file(held, temporary, metadata={_KEY: text}))


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote: tensors by name, and the facts.

    Raises:
        FileError: there is no such file, or it is no checkpoint.
    """
    if not os.path.isfile(path):
        raise FileError(f"cannot go on from {path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if text is None:
            raise FileError(f"cannot go on from {path}: it is no checkpoint of a job")
        facts: dict[str, Any] = json.loads(text)
    except (SafetensorError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileError(f"cannot go on from {path}: it is no sound checkpoint ({error})") from None
    return tensors, facts
