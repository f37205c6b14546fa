"""Slots of estimators: the arrays of hmmlearn's models, and the starting labels of :class:`~initkit_ihmm.BeamSampler`.

A sampler is any object whose class has ``initkit_labels``, the name of the attribute that ``fit`` starts its chain
from: int64 (T,), or None where none were given. It says what it models in ``emission``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from initkit import PlanError
from initkit.slots import Slot
from initkit_ihmm.hmmlearn_models import Kind, features_of, kind_of, raw, shapes_of


def hmm_slots(model: Any) -> list[Slot] | None:
    """The slots of an estimator; None where it is no HMM that this plugin knows."""
    kind = kind_of(model)
    if kind is not None:
        return [ArraySlot(model, kind, name, shape) for name, shape in shapes_of(model, kind).items()]
    attribute = labels_attribute(model)
    return None if attribute is None else [LabelSlot(model, attribute)]


def labels_attribute(model: Any) -> str | None:
    """The attribute of a sampler that holds its starting labels, or None where it is no sampler."""
    name = getattr(type(model), "initkit_labels", None)
    return name if isinstance(name, str) else None


class ArraySlot(Slot):
    """A float64 array of an hmmlearn estimator, such as ``means_``; absent until it is fitted or filled."""

    def __init__(self, model: Any, kind: Kind, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape
        self.dtype, self.device = torch.float64, torch.device("cpu")
        self._model, self._kind = model, kind
        # Covariances live under another name than the one they are set by.
        self._stored = "_covars_" if name == "covars_" and hasattr(type(model), "covars_") else name
        self.present = self._stored in vars(model)
        if self.present and features_of(model):
            self.shape = tuple(raw(model, name).shape)

    def read(self) -> torch.Tensor:
        """The array as its setter takes it."""
        return torch.from_numpy(np.ascontiguousarray(raw(self._model, self.name)))

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Set the attribute through its setter, and the number of features, which else only ``fit`` sets.

        Raises:
            PlanError: hmmlearn refuses the values.
        """
        array = value.detach().cpu().numpy().astype(np.float64, copy=True)
        try:
            setattr(self._model, self.name, array)
        except ValueError as error:
            raise PlanError(f"{self.name} {tuple(array.shape)}: hmmlearn refuses it: {error}") from error
        if self.name in ("means_", "lambdas_", "emissionprob_") and getattr(self._model, "n_features", None) is None:
            self._model.n_features = array.shape[-1]
        self.shape, self.present = tuple(array.shape), True

    def snapshot(self) -> Callable[[], None]:
        """Save the attribute itself (it is replaced, not written into), and the number of features."""
        saved = {key: vars(self._model)[key] for key in (self._stored, "n_features") if key in vars(self._model)}
        state = self.shape, self.present

        def undo() -> None:
            for key in (self._stored, "n_features"):
                if key in saved:
                    vars(self._model)[key] = saved[key]
                else:
                    vars(self._model).pop(key, None)
            self.shape, self.present = state

        return undo


class LabelSlot(Slot):
    """The starting labels of a sampler, int64 (T,)."""

    def __init__(self, model: Any, attribute: str) -> None:
        self.name = self._attribute = attribute
        self.dtype, self.device = torch.int64, torch.device("cpu")
        self._model = model
        present = getattr(model, attribute, None)
        self.present = present is not None
        self.shape = (0,) if present is None else tuple(np.shape(present))

    def read(self) -> torch.Tensor:
        """The labels."""
        return torch.from_numpy(np.array(getattr(self._model, self._attribute), dtype=np.int64))

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Set the attribute."""
        setattr(self._model, self._attribute, value.detach().cpu().numpy().copy())
        self.shape, self.present = tuple(value.shape), True

    def snapshot(self) -> Callable[[], None]:
        """Save the attribute."""
        had, saved = self._attribute in vars(self._model), vars(self._model).get(self._attribute)
        state = self.shape, self.present

        def undo() -> None:
            if had:
                vars(self._model)[self._attribute] = saved
            else:
                vars(self._model).pop(self._attribute, None)
            self.shape, self.present = state

        return undo
