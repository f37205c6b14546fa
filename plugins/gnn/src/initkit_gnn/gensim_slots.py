"""gensim's word vectors as slots: ``wv.vectors`` and ``syn1neg``. gensim itself is not imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from initkit import PlanError
from initkit.slots import Slot

CONTEXT = "syn1neg"
_MODELS, _VECTORS = "Word2Vec", "KeyedVectors"
_COMPUTED = {"FastText", "FastTextKeyedVectors"}  # their vectors are computed from those of character n-grams


def is_gensim(model: Any) -> bool:
    """Whether this is a ``Word2Vec`` or ``KeyedVectors`` of gensim."""
    kinds = {kind.__name__ for kind in type(model).__mro__ if kind.__module__.partition(".")[0] == "gensim"}
    return bool(kinds & {_MODELS, _VECTORS}) and not kinds & _COMPUTED


def gensim_slots(model: Any) -> list[Slot]:
    """Return the slots of a gensim model: its vectors, and those of contexts where it has them."""
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if _MODELS not in kinds:
        return [ArraySlot("vectors", model, "vectors")]
    slots: list[Slot] = [ArraySlot("wv.vectors", model.wv, "vectors")]
    if getattr(model, CONTEXT, None) is not None:
        slots.append(ArraySlot(CONTEXT, model, CONTEXT))
    return slots


def row_keys(model: Any) -> Sequence[Any]:
    """The key of each row."""
    keys: Sequence[Any] = getattr(model, "wv", model).index_to_key
    return keys


class ArraySlot(Slot):
    """A matrix that is an attribute of an object, one row a key."""

    def __init__(self, name: str, owner: Any, attribute: str) -> None:
        self.name, self._owner, self._attribute = name, owner, attribute
        array = self._array
        self.shape = tuple(array.shape)
        self.dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        self.device = torch.device("cpu")
        self.present = array.size > 0

    @property
    def _array(self) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = getattr(self._owner, self._attribute)
        return array

    def read(self) -> torch.Tensor:
        """The rows; a copy where the array is a read-only one, mapped from a file."""
        array = self._array
        return torch.from_numpy(array if array.flags.writeable else array.copy())

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Write all rows and forget the norms that were computed of the old ones.

        Raises:
            PlanError: another shape: rows are the vocabulary's.
        """
        if tuple(value.shape) != self.shape:
            raise PlanError(f"{self.name} {self.shape} has a row for each key; build_vocab changes their number")
        rows = value.detach().cpu().numpy()
        if self._array.flags.writeable:
            self._array[...] = rows
        else:
            setattr(self._owner, self._attribute, rows.copy())
        if hasattr(self._owner, "norms"):
            self._owner.norms = None

    def snapshot(self) -> Callable[[], None]:
        """Save a copy of the rows, and of their norms."""
        array, norms = self._array, getattr(self._owner, "norms", None)
        saved = array.copy()

        def undo() -> None:
            setattr(self._owner, self._attribute, array)
            if array.flags.writeable:
                array[...] = saved
            if hasattr(self._owner, "norms"):
                self._owner.norms = norms

        return undo
