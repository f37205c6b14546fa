"""Load a file or folder that initkit saved: tensors, attributes and outputs, all or nothing."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from initkit._attributes import attribute_owner, set_attribute
from initkit._journal import Journal
from initkit._matching import owners
from initkit._names import unwrapped
from initkit._save import METADATA_KEY, OUTPUTS
from initkit.errors import FileError, did_you_mean, listed
from initkit.ranks.find import ranks_of, reshard
from initkit.shards.reading import Stored, StoredTensors
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
    """Put the tensors of a file or folder into the model and set its recorded attributes: everything or nothing.

    Tied tensors stay tied; tensors that a recipe had resized are resized. Any safetensors file whose names and shapes
    fit will do, and any folder of shards with their index, such as transformers writes. One tensor is read at a time;
    of a tensor that is spread over processes each reads its own part, so all of them load together.

    Args:
        model: an ``nn.Module``, or any subject that an installed plugin knows.
        path: of the file or folder.

    Raises:
        FileError: it is missing or broken, or does not fit the model; the model is unchanged.
    """
    ranks = ranks_of(model, copies=False)
    with ranks.together("loading"):
        stored, provenance = opened(path)
        subject = unwrapped(model)
        reshard(subject)
        slots = slots_of(subject)
        pairs = _matched(
            {name: one for name, one in stored.items() if not name.startswith(OUTPUTS)},
            slots,
            set(provenance.get("resized", ())),
            path,
        )
        places = [(item, attribute_owner(subject, item["path"], f"{path}")) for item in provenance.get("set", ())]
        sets = [(*place, item["value"]) for item, place in places]
        outputs = {name.removeprefix(OUTPUTS): one.read() for name, one in stored.items() if name.startswith(OUTPUTS)}
    with Journal() as journal, _undone(journal), ranks.together("loading"):
        for slot, one in pairs:
            value = slot.read_from(one)
            journal.write(slot.snapshot, lambda slot=slot, value=value: slot.write(value))  # type: ignore[misc]
        for owner, name, new in sets:
            set_attribute(journal, owner, name, new)
    return Loaded(outputs, provenance)


@contextlib.contextmanager
def _undone(journal: Journal) -> Iterator[None]:
    try:
        yield
    except BaseException:
        journal.rollback()
        raise


def opened(path: str | os.PathLike[str]) -> tuple[StoredTensors, dict[str, Any]]:
    """The tensors of a file or folder, unread, and their provenance.

    Raises:
        FileError: it is missing or broken.
    """
    try:
        stored = StoredTensors.of(path)
        provenance = json.loads(stored.metadata(METADATA_KEY) or "{}")
        if not isinstance(provenance, dict):
            raise ValueError(f"its metadata key {METADATA_KEY} holds no JSON object")
    except FileError as error:
        raise FileError(f"cannot load {path}: {str(error).removeprefix(f'{path}: ')}") from None
    except ValueError as error:
        raise FileError(f"cannot load {path}: it is no sound safetensors file ({error})") from None
    return stored, provenance


def _matched(
    stored: dict[str, Stored], slots: Slots, resized: set[str], path: str | os.PathLike[str]
) -> list[tuple[Slot, Stored]]:
    found = owners(stored, slots)
    unknown = sorted(name for name in stored if name not in found)
    if unknown:
        near = did_you_mean(unknown[0], slots)
        raise FileError(f"cannot load {path}: the model has no {listed(unknown)}{near}")
    held = {slot.name for slot in found.values()}
    missing = [
        name
        for name, slot in slots.items()
        if slot.saved and (slot.present or slot.is_meta()) and not slot.lazy and name not in held
    ]
    if missing:
        raise FileError(f"cannot load {path}: it has no values for {listed(missing)}")
    for name, one in stored.items():
        slot = found[name]
        if slot.lazy:
            raise FileError(f"cannot load {path}: {name}: {slot.lazy}")
        if slot.refused:
            raise FileError(f"cannot load {path}: {name}: {slot.refused}")
        if one.shape != tuple(slot.shape) and (slot.name not in resized or slot.fixed):
            raise FileError(f"cannot load {path}: {name} has shape {one.shape}, the model's {tuple(slot.shape)}")
    return [(found[name], one) for name, one in stored.items()]
