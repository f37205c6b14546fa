"""Checkpoints of long jobs: tensors and facts in one safetensors file, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from initkit._files import write_whole
from initkit.errors import FileError, OptionError

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


def load_checkpoint(
    path: str | os.PathLike[str], origin: Mapping[str, Any] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what :func:`save_checkpoint` wrote: tensors by name, and the facts.

    Args:
        path: of the file.
        origin: what the fact ``origin`` must say.

    Raises:
        FileError: there is no such file, it is no checkpoint, or one of another origin.
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
    held: Mapping[str, Any] = facts.get("origin") or {}
    for key, value in (origin or {}).items():
        if held.get(key) != value:
            raise FileError(
                f"cannot go on from {path}: it is of another run ({key} differs); give the same seed, options, model "
                f"and data, or another checkpoint"
            )
    return tensors, facts


def check_checkpoint(recipe: str, checkpoint: str | None) -> None:
    """Refuse a checkpoint in a folder that is not there, before a long job begins.

    Args:
        recipe: id of the recipe whose option it is.
        checkpoint: path of the file, or None.

    Raises:
        OptionError: there is no such folder.
    """
    if checkpoint is None:
        return
    folder = os.path.dirname(os.path.abspath(checkpoint))
    if not os.path.isdir(folder):
        raise OptionError(f"recipe {recipe}, option checkpoint={checkpoint!r}: there is no such folder")


def fingerprint(tensors: Mapping[str, torch.Tensor], *words: str) -> str:
    """A hash of tensors by name, and of words: what a job's origin says of its data."""
    found = hashlib.blake2b("\n".join(words).encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
