"""A checkpoint on the disk and the model that its tensors belong to, which has no values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from initkit._attributes import attribute_owner, set_attribute
from initkit._journal import Journal
from initkit._load import opened
from initkit._matching import owners
from initkit._names import unwrapped
from initkit._save import OUTPUTS
from initkit.errors import FileError, PlanError, did_you_mean, listed
from initkit.rewriting.folder import CheckpointFolder, folder_of
from initkit.rewriting.slots import StoredSlot
from initkit.shards import Stored
from initkit.slots import Slot, Slots, slots_of


class StoredModel:
    """A checkpoint's tensors by the names that the model gives them.

    Attributes:
        slots: of the model; each is read from the files.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def read(self, name: str) -> Tensor:
        """A tensor's present values, in memory of their own."""
        return self.slot(name).read()

    def rows(self, name: str, axis: int = 0) -> Any:
        """A tensor's rows: indexed by a slice, a list or a tensor of row numbers, it reads those, as a matrix.

        Args:
            name: of the tensor.
            axis: of the rows; those before it have one entry.
        """
        return self.slot(name).rows(axis)

    def slot(self, name: str) -> StoredSlot:
        """The slot of a name.

        Raises:
            PlanError: there is none.
        """
        found = self.slots.find(name, "checkpoint")
        assert isinstance(found, StoredSlot)
        return found


class Checkpoint:
    """A folder (or file) of tensors, opened to be rewritten.

    Attributes:
        path: of the folder or file.
        stored: its tensors; headers alone are read.
        provenance: what an earlier run of initkit has said of them.
        folder: what a plugin knows of it.
        model: on the meta device.
    """

    def __init__(self, path: Path, model: Any = None) -> None:
        self.path = path
        self.stored, self.provenance = opened(path)
        self.folder = folder_of(path) if path.is_dir() else CheckpointFolder(path)
        self.model = unwrapped(self.folder.model() if model is None else model)
        if not isinstance(self.model, nn.Module):
            raise PlanError(f"{path}: {type(self.model).__name__} is no nn.Module; a checkpoint's model is one")
        full = [name for name, parameter in self.model.named_parameters() if not parameter.is_meta]
        if full:
            raise PlanError(
                f"{listed(full)}: the model holds values, but those of the checkpoint count; build it under "
                f"torch.device('meta')"
            )

    @property
    def surplus(self) -> list[str]:
        """Names of tensors that the model does not have; they are passed on."""
        found = owners(self.stored, slots_of(self.model))
        return [name for name in self.stored if name not in found and not name.startswith(OUTPUTS)]

    @contextmanager
    def adopted(self) -> Iterator[tuple[Slots, Journal]]:
        """Context in which the model has the shapes, types and attributes of the checkpoint; then all is undone.

        Small buffers and frozen parameters have their values, too, since recipes look at them.

        Yields:
            The slots, which read from the files, and the journal that the context plays backwards at its end.

        Raises:
            FileError: tensors do not fit the model.
        """
        with Journal() as journal:
            try:
                for item in self.provenance.get("set", ()):
                    owner, name = attribute_owner(self.model, item["path"], str(self.path))
                    set_attribute(journal, owner, name, item["value"])
                slots = self._slots()
                for slot in slots.values():
                    assert isinstance(slot, StoredSlot)
                    if slot.present and slot.refused is None:
                        journal.write(slot.snapshot, lambda slot=slot: slot.follow(slot.shape))  # type: ignore[misc]
                        if slot.constant:
                            journal.write(slot.snapshot, slot.hold)
                yield slots, journal
            finally:
                journal.rollback()

    def _slots(self) -> Slots:
        hollow = slots_of(self.model)
        places: dict[str, list[Stored]] = {}
        for name, slot in owners(self.stored, hollow).items():
            places.setdefault(slot.name, []).append(self.stored[name])
        if not places:
            held = listed(sorted(self.stored), 3)
            near = did_you_mean(min(self.stored, default=""), hollow)
            raise FileError(
                f"{self.path}: none of its tensors belongs to {type(self.model).__name__}: it holds {held}; the model "
                f"has {listed(hollow, 3)}{near}"
            )
        usual = self._usual_type()
        slots = [self._slot(slot, places.get(slot.name, []), usual) for slot in hollow.values()]
        return Slots(slots, self.model)

    def _slot(self, hollow: Slot, places: list[Stored], usual: torch.dtype | None) -> StoredSlot:
        floating = hollow.dtype.is_floating_point
        if not places:
            return StoredSlot(hollow, (), usual if usual is not None and floating else hollow.dtype)
        one = places[0]
        if any((other.shape, other.code) != (one.shape, one.code) for other in places):
            raise FileError(
                f"{self.path}: {listed(p.name for p in places)} are one tensor in the model, but differ here"
            )
        resized = hollow.name in self.provenance.get("resized", ())
        if one.shape != tuple(hollow.shape) and not resized and hollow.lazy is None and one.known:
            raise FileError(
                f"{one.name} has the shape {one.shape} in {one.file.name}, the model's is {tuple(hollow.shape)}"
            )
        if not one.known or (floating and not (one.dtype.is_floating_point and one.dtype.itemsize >= 2)):
            slot = StoredSlot(hollow, places, hollow.dtype)
            slot.refused = f"the file holds it as {one.code}, it is quantised: take the model from before that"
            return slot
        return StoredSlot(hollow, places, one.dtype)

    def _usual_type(self) -> torch.dtype | None:
        """The floating type of most tensors, which new ones have too."""
        types = Counter(one.dtype for one in self.stored.values() if one.known and one.dtype.is_floating_point)
        return max(types, key=lambda dtype: types[dtype]) if types else None

    def lacking(self, slots: Slots, filled: Mapping[str, Any]) -> list[str]:
        """Tensors of the model that neither the checkpoint holds nor a recipe fills.

        Args:
            slots: of the model.
            filled: by name.
        """
        allowed = getattr(self.model, "_keys_to_ignore_on_load_missing", None) or ()
        return [
            name
            for name, slot in slots.items()
            if slot.saved and not slot.present and name not in filled and slot.refused is None
            and not any(re.search(pattern, name) for pattern in allowed)
        ]  # fmt: skip
