"""Load a file that initkit saved: tensors, attributes and outputs, all or nothing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from initkit._attributes import attribute_owner
from initkit._journal import Journal
from initkit._names import unwrapped
from initkit._save import METADATA_KEY, OUTPUTS
from initkit.errors import FileError, did_you_mean, listed
from initkit.slots import Slot, Slots, slots_of


@dataclass(frozen=True)
class Loaded:
    """What a file held besides the model's tensors.

    Attributes:
        outputs: results that are no parameters, by name.
        provenance: recipes, options, seed and versions; {} where the file has none.
    """

    outputs: dict[str, torch.Tensor]
    provenance: dict[str, Any]


def load(model: Any, path: str | os.PathLike[str]) -> Loaded:
    """Put a file's tensors into the model and set its recorded attributes: everything or nothing.

    Tied tensors stay tied; tensors that a recipe had resized are resized. Any safetensors file whose names and
    shapes fit will do.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        path: of the file.

    Raises:
        FileError: the file is missing or broken, or does not fit the model; the model is unchanged.
    """
    tensors, provenance = _read(path)
    outputs = {name.removeprefix(OUTPUTS): t for name, t in tensors.items() if name.startswith(OUTPUTS)}
    subject = unwrapped(model)
    slots = slots_of(subject)
    pairs = _matched(
        {name: t for name, t in tensors.items() if not name.startswith(OUTPUTS)},
        slots,
        set(provenance.get("resized", ())),
        path,
    )
    sets = [(*attribute_owner(subject, item["path"], f"{path}"), item["value"]) for item in provenance.get("set", ())]
    with Journal() as journal:
        try:
            for slot, value in pairs:
                journal.write(slot.snapshot, lambda slot=slot, value=value: slot.write(value))  # type: ignore[misc]
            for owner, name, value in sets:
                before = getattr(owner, name)
                journal.write(
                    lambda owner=owner, name=name, before=before: lambda: setattr(owner, name, before),  # type: ignore[misc]
                    lambda owner=owner, name=name, value=value: setattr(owner, name, value),  # type: ignore[misc]
                )
        except BaseException:
            journal.rollback()
            raise
    return Loaded(outputs, provenance)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    if not os.path.isfile(path):
        raise FileError(f"cannot load {path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        provenance = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(f"cannot load {path}: it is no sound safetensors file ({error})") from None
    return tensors, provenance


def _matched(
    tensors: dict[str, torch.Tensor], slots: Slots, resized: set[str], path: str | os.PathLike[str]
) -> list[tuple[Slot, torch.Tensor]]:
    unknown = [name for name in tensors if name not in slots]
    if unknown:
        near = did_you_mean(unknown[0], slots)
        raise FileError(f"cannot load {path}: the model has no {listed(unknown)}{near}")
    held = {slots[name].name for name in tensors}
    missing = [name for name, slot in slots.items() if slot.saved and slot.present and name not in held]
    if missing:
        raise FileError(f"cannot load {path}: it has no values for {listed(missing)}")
    pairs = []
    for name, value in tensors.items():
        slot = slots[name]
        if tuple(value.shape) != tuple(slot.shape) and slot.name not in resized and not slot.lazy:
            raise FileError(
                f"cannot load {path}: {name} has shape {tuple(value.shape)}, the model's {tuple(slot.shape)}"
            )
        if slot.lazy:
            raise FileError(f"cannot load {path}: {name}: {slot.lazy}")
        pairs.append((slot, value.to(slot.dtype)))
    return pairs
