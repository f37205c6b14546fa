"""A model that runs on another device than its own while a job lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from initkit._journal import Journal
from initkit.errors import CommitError
from initkit.ranks.find import is_sharded
from initkit.slots import Slots


class Visit:
    """Puts copies of a model's tensors into its modules, and the tensors themselves back with what was written.

    The tensors keep their identity, device, memory layout and gradients; whatever is written meanwhile goes to the
    copies. Tensors without values stay, and models that several processes hold together (DTensors).

    Args:
        slots: of the model.
        device: where it is to run.
        journal: undoes the visit when something fails.
    """

    def __init__(self, slots: Slots, device: torch.device, journal: Journal) -> None:
        self._slots, self._device, self._journal = slots, device, journal
        self._there: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._places: list[tuple[nn.Module, str, int]] = []
        self._devices: list[tuple[Any, torch.device]] = []

    def begin(self) -> None:
        """Go there, where that is another device; once.

        Raises:
            CommitError: the device's memory does not hold the model.
        """
        model = self._slots.subject
        if self._places or not isinstance(model, nn.Module):
            return
        found = list(_tensors_elsewhere(model, self._device))
        if not found or any(is_sharded(tensor) for _, _, tensor in found):
            return
        try:
            for _, _, tensor in found:
                if id(tensor) not in self._there:
                    self._there[id(tensor)] = (tensor, _copy(tensor, self._device))
        except torch.OutOfMemoryError as error:
            self._there.clear()
            size = sum(tensor.nbytes for tensor in {id(t): t for _, _, t in found}.values()) / 2**30
            words = f"the model ({size:.1f} GiB) does not fit on {self._device}; give device='cpu'"
            raise CommitError(words) from error
        self._places = [(module, attribute, id(tensor)) for module, attribute, tensor in found]
        self._devices = [(slot, slot.device) for slot in self._slots.values() if slot.present]
        self._journal.write(self._undo(self._come_back), self._go)

    def end(self) -> None:
        """Come back with what was written."""
        if self._places:
            self._journal.write(self._undo(self._go), self._come_back)

    def _undo(self, action: Callable[[], None]) -> Callable[[], Callable[[], None]]:
        return lambda: action

    def _go(self) -> None:
        for module, attribute, key in self._places:
            setattr(module, attribute, self._there[key][1])
        for slot, _ in self._devices:
            slot.device = self._device

    def _come_back(self) -> None:
        with torch.no_grad():
            for own, copy in self._there.values():
                if own.shape == copy.shape:
                    own.copy_(copy)
                else:
                    own.data, own.grad = copy.detach().to(own.device), None
        for module, attribute, key in self._places:
            setattr(module, attribute, self._there[key][0])
        for slot, device in self._devices:
            slot.device = device


def _tensors_elsewhere(model: nn.Module, device: torch.device) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    wanted = torch.empty(0, device=device).device  # "cuda" with its number
    for module in model.modules():
        for attribute, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None or tensor.is_meta or isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
                continue
            if tensor.device != wanted:
                yield module, attribute, tensor


def _copy(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    copy = tensor.detach().to(device, copy=True)
    if not isinstance(tensor, nn.Parameter):
        return copy
    made = nn.Parameter(copy, requires_grad=tensor.requires_grad)
    if type(made) is nn.Parameter and type(tensor) is not nn.Parameter:
        made.__class__ = type(tensor)  # such as a parameter that knows its manifold
    vars(made).update(vars(tensor))
    return made
