"""Slots: the named tensors of a subject, and the only way in which the core reads and writes them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.utils import parametrize

from initkit._names import joined, walk
from initkit._stats import Statistics, statistics
from initkit.draws.base import Draw
from initkit.errors import PlanError, did_you_mean, listed
from initkit.plugins import registry
from initkit.ranks.find import is_sharded, kind_name
from initkit.streams import Stream

if TYPE_CHECKING:
    from initkit.shards.reading import Stored

Undo = Callable[[], None]


class Slot(ABC):
    """One named tensor of a subject.

    Attributes:
        name: qualified name without wrappers' prefixes.
        shape: expected shape.
        dtype: of the tensor.
        device: where it lives (or is to live).
        present: whether it holds values now; an absent or meta tensor does not.
        parameter: whether it is trained (a parameter, or an estimator's fitted array); buffers are not.
        frozen: whether it is a parameter that takes no gradient.
        aliases: other names of the same tensor.
        lazy: why its shape is unknown, or None.
        fixed: why its shape cannot change, or None.
        refused: why it cannot be filled, or None.
        made: how the last sample was made, where that is out of the ordinary; stands in the report.
        saved: whether it belongs in a file.
        originals: names of the tensors that it is computed from, if it is parametrised.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    present: bool = True
    parameter: bool = True
    frozen: bool = False
    aliases: tuple[str, ...] = ()
    lazy: str | None = None
    fixed: str | None = None
    refused: str | None = None
    made: str | None = None
    saved: bool = True
    originals: tuple[str, ...] = ()

    @abstractmethod
    def read(self) -> torch.Tensor:
        """Return the present value, detached; not a copy where that can be helped."""

    @abstractmethod
    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Write a value of the slot's dtype; a value of another shape resizes the slot.

        Args:
            value: on any device.
            device: where an absent or meta tensor is to be made; None is the slot's own, or the CPU.
        """

    @abstractmethod
    def snapshot(self) -> Undo:
        """Save the present state and return what restores it bit for bit."""

    def is_meta(self) -> bool:
        """Whether the tensor has a shape but no storage."""
        return self.device.type == "meta"

    @property
    def home(self) -> torch.device | None:
        """The device that its values belong on; None where nothing says so."""
        return None if self.is_meta() else self.device

    def held(self) -> torch.Tensor:
        """The present value as this process holds it."""
        return self.read()

    def sample(self, draw: Draw, shape: tuple[int, ...], stream: Stream, device: torch.device) -> torch.Tensor:
        """Sample a draw for this tensor, in the form in which :meth:`write` takes it.

        Args:
            draw: what to sample.
            shape: of the new value.
            stream: of random numbers.
            device: where a heavy draw may work.
        """
        current = self.read() if draw.reads_current and self.present else None
        return draw.sample(shape, self.dtype, stream, current=current, device=device)

    def spread(self, value: torch.Tensor) -> torch.Tensor:
        """A whole value in the form in which :meth:`write` takes it."""
        return value.to(self.dtype)

    def show(self, value: torch.Tensor) -> None:  # noqa: B027 - most tensors have no such copy
        """After a write, bring a copy up to date that a forward pass is using in the tensor's place."""

    def blocks(self) -> Iterator[torch.Tensor]:
        """The present value in consecutive parts, for whoever writes it down; nothing where another process does."""
        yield self.read()

    def read_from(self, stored: Stored) -> torch.Tensor:
        """A tensor of a file in the form in which :meth:`write` takes it."""
        return stored.read().to(self.dtype)

    def measure(self, value: torch.Tensor) -> Statistics | None:
        """Statistics of a value; None where they are taken at the end, by all processes together."""
        return statistics(value)


class TensorSlot(Slot):
    """A parameter or buffer of an ``nn.Module``."""

    def __init__(self, name: str, owner: nn.Module, attribute: str, tensor: torch.Tensor, saved: bool = True) -> None:
        self.name = name
        self._owner, self._attribute = owner, attribute
        self.parameter = isinstance(tensor, nn.Parameter)
        self.saved = saved
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            self.shape, self.dtype, self.device, self.present = (), tensor.dtype, tensor.device, False
            self.lazy = "its shape is not known yet: run the model once on a sample, or give the layer its input width"
        else:
            self.shape, self.dtype, self.device = tuple(tensor.shape), tensor.dtype, tensor.device
            self.present = not tensor.is_meta
        self.frozen = self.parameter and not tensor.requires_grad

    @property
    def tensor(self) -> torch.Tensor:
        """The live tensor."""
        tensor: torch.Tensor = getattr(self._owner, self._attribute)
        return tensor

    def read(self) -> torch.Tensor:
        """The live tensor, detached."""
        return self.tensor.detach()

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Copy the value into the tensor, keeping its identity, strides, device and requires_grad."""
        tensor = self.tensor
        if tensor.is_meta:
            self._materialise(value, device)
        elif tuple(value.shape) == tuple(tensor.shape):
            with torch.no_grad():
                tensor.copy_(value)
        else:
            # Setting .data keeps the Parameter object, so that every tied module sees the new size.
            tensor.data = value.detach().to(tensor.device, tensor.dtype, copy=True)
            tensor.grad = None
        self.shape, self.present, self.device = tuple(value.shape), True, self.tensor.device

    def _materialise(self, value: torch.Tensor, device: torch.device | None) -> None:
        tensor = self.tensor
        made = value.detach().to(device or "cpu", tensor.dtype, copy=True)
        if isinstance(tensor, nn.Parameter):
            made = nn.Parameter(made, requires_grad=tensor.requires_grad)
        # Swapping contents keeps the object, so that tied modules and optimizers hold the real tensor.
        torch.utils.swap_tensors(tensor, made)  # type: ignore[no-untyped-call]

    def snapshot(self) -> Undo:
        """Save a copy of the values (nothing for a meta tensor) and the gradient's identity."""
        tensor = self.tensor
        state = (self.shape, self.present, self.device)
        if tensor.is_meta:
            hollow = torch.empty_like(tensor)
            if isinstance(tensor, nn.Parameter):
                hollow = nn.Parameter(hollow, requires_grad=tensor.requires_grad)

            def undo_meta() -> None:
                if not tensor.is_meta:
                    torch.utils.swap_tensors(tensor, hollow)  # type: ignore[no-untyped-call]
                self.shape, self.present, self.device = state

            return undo_meta
        live, saved, gradient = tensor.data, tensor.detach().clone(), tensor.grad

        def undo() -> None:
            if tensor.data_ptr() != live.data_ptr() or tensor.shape != live.shape:
                tensor.data = live
            with torch.no_grad():
                tensor.copy_(saved)
            tensor.grad = gradient
            self.shape, self.present, self.device = state

        return undo


class ParametrizedSlot(Slot):
    """A tensor computed by ``torch.nn.utils.parametrize``; written through the parametrisation or refused."""

    fixed = "it is parametrised"

    def __init__(self, name: str, owner: nn.Module, attribute: str) -> None:
        self.name = name
        self._owner, self._attribute = owner, attribute
        self._parametrization: nn.Module = owner.parametrizations[attribute]  # type: ignore[index, assignment]
        tensor = self.read()
        self.shape, self.dtype, self.device = tuple(tensor.shape), tensor.dtype, tensor.device
        self.present = not tensor.is_meta
        self.saved = False  # its originals are what the file holds
        self.parameter = False
        self.frozen = not any(original.requires_grad for original in self._parametrization.parameters())
        prefix = f"{name[: len(name) - len(attribute)]}parametrizations.{attribute}."
        self.originals = tuple(prefix + part for part, _ in self._parametrization.named_parameters())
        if is_sharded(tensor):
            self.refused = "it is parametrised and spread over several processes; apply before sharding"

    def read(self) -> torch.Tensor:
        """The computed tensor; in eval mode, since spectral_norm changes its buffers when read in training."""
        modes = [(part, part.training) for part in self._parametrization.modules()]
        try:
            self._parametrization.eval()
            with torch.no_grad():
                tensor: torch.Tensor = getattr(self._owner, self._attribute)
        finally:
            for part, mode in modes:
                part.training = mode
        return tensor.detach()

    def write(self, value: torch.Tensor, device: torch.device | None = None) -> None:
        """Set through ``right_inverse``, and check that the value comes back.

        Raises:
            PlanError: the parametrisation cannot hold the value.
        """
        if tuple(value.shape) != self.shape:
            raise PlanError(f"{self.name}: {self.fixed} and cannot change its shape")
        value = value.to(self.device, self.dtype)
        try:
            with torch.no_grad():
                setattr(self._owner, self._attribute, value)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise PlanError(
                f"{self.name} is parametrised by {self._kinds()}, which cannot be set to a value ({error}); "
                f"remove the parametrisation first or exclude the tensor"
            ) from error
        scale = value.abs().max() if value.numel() else value.sum()
        tolerance = 64 * torch.finfo(self.dtype).eps * float(scale)
        if not torch.allclose(self.read(), value, rtol=0.0, atol=tolerance):
            raise PlanError(
                f"{self.name} is parametrised by {self._kinds()}, which changes the value written to it; "
                f"remove the parametrisation first or exclude the tensor"
            )

    def _kinds(self) -> str:
        return listed(type(part).__name__.lstrip("_") for part in self._parametrization.children())

    def snapshot(self) -> Undo:
        """Save the originals and the parametrisation's buffers."""
        held = (*self._parametrization.parameters(), *self._parametrization.buffers())
        saved = [(tensor, tensor.detach().clone()) for tensor in held]

        def undo() -> None:
            with torch.no_grad():
                for tensor, value in saved:
                    tensor.copy_(value)

        return undo


class Slots(Mapping[str, Slot]):
    """The slots of a subject by name; an alias, or a name with wrappers' prefixes, finds the slot of its tensor."""

    def __init__(self, slots: Iterable[Slot], subject: Any, wrapped_names: Mapping[str, str] | None = None) -> None:
        self.subject = subject
        self._slots: dict[str, Slot] = {}
        self._alias: dict[str, str] = dict(wrapped_names or {})
        for slot in slots:
            self._slots[slot.name] = slot
        for slot in self._slots.values():
            for alias in slot.aliases:
                if alias not in self._slots:
                    self._alias[alias] = slot.name

    def __getitem__(self, name: str) -> Slot:
        return self._slots[self._alias.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, name: object) -> bool:
        return name in self._slots or name in self._alias

    def find(self, name: str, whose: str) -> Slot:
        """Return the slot of a name.

        Raises:
            PlanError: there is none; says what is near.
        """
        if name not in self:
            kind = kind_name(self.subject)
            near = did_you_mean(name, [*self._slots, *self._alias])
            raise PlanError(f"{whose}: {kind} has no tensor {name!r}{near}; it has {listed(self._slots)}")
        return self[name]


def slots_of(subject: Any) -> Slots:
    """Return the slots of a module, an estimator or any other subject that a plugin knows.

    Raises:
        PlanError: nobody knows the subject.
    """
    if isinstance(subject, torch.jit.ScriptModule):
        raise PlanError("a scripted module cannot be read; give the module that it was scripted from")
    given = _from_plugins(subject)
    if isinstance(subject, nn.Module):
        found = {slot.name: slot for slot in _module_slots(subject)}
        for slot in given or ():
            slot.aliases = slot.aliases or (found[slot.name].aliases if slot.name in found else ())
            found[slot.name] = slot
        return Slots(found.values(), subject, _wrapped_names(subject, found))
    if given is None:
        names = [plugin.name for plugin in registry().plugins if not plugin.broken]
        raise PlanError(
            f"{type(subject).__name__} is no nn.Module, and no installed plugin knows its tensors "
            f"(installed: {listed(names) or 'none'})"
        )
    return Slots(given, subject)


def trained_tensors(model: nn.Module) -> list[torch.Tensor]:
    """The tensors that training changes: parameters that take a gradient, or what such a parameter wraps."""
    slots = [slot for slot in slots_of(model).values() if isinstance(slot, TensorSlot) and slot.lazy is None]
    return [slot.tensor for slot in slots if slot.tensor.requires_grad and slot.parameter]


def _from_plugins(subject: Any) -> list[Slot] | None:
    """Ask the plugins one by one, in order of name, so that one whose hook fails does not stop the others."""
    found = registry()
    for plugin in found.plugins:
        if "initkit_slots" not in plugin.hooks:
            continue
        try:
            slots = found.ask(plugin, "initkit_slots", model=subject)
            if slots is None:
                continue
            slots = list(slots)
            strange = next((slot for slot in slots if not isinstance(slot, Slot)), None)
            if strange is not None:
                raise TypeError(f"it must return initkit.Slot objects, but holds {type(strange).__name__}")
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            cause = f"{type(error).__name__}: {error}"
            warnings.warn(f"plugin {plugin.name!r} is left out: initkit_slots fails: {cause}", stacklevel=2)
            continue
        return slots
    return None


def _module_slots(model: nn.Module) -> list[Slot]:
    slots: list[Slot] = []
    by_tensor: dict[int, Slot] = {}
    for _, prefix, module in walk(model):
        for attribute, tensor, saved in _own_tensors(module):
            name = joined(prefix, attribute)
            known = by_tensor.get(id(tensor))
            if known is None:
                by_tensor[id(tensor)] = slot = _tensor_slot(name, module, attribute, tensor, saved)
                slots.append(slot)
            elif name != known.name and name not in known.aliases:
                known.aliases = (*known.aliases, name)
        if parametrize.is_parametrized(module):
            attributes = list(module.parametrizations)  # type: ignore[arg-type]
            slots.extend(ParametrizedSlot(joined(prefix, attribute), module, attribute) for attribute in attributes)
    return slots


def _tensor_slot(name: str, owner: nn.Module, attribute: str, tensor: Any, saved: bool) -> TensorSlot:
    if is_sharded(tensor):
        from initkit.ranks.slot import ShardedSlot

        return ShardedSlot(name, owner, attribute, tensor, saved)
    return TensorSlot(name, owner, attribute, tensor, saved)


def _wrapped_names(model: nn.Module, slots: Mapping[str, Slot]) -> dict[str, str]:
    """Names as torch has them, where wrappers inside the model make them differ, with the slots' own names."""
    own = {alias: slot.name for slot in slots.values() for alias in (slot.name, *slot.aliases)}
    return {
        joined(raw, attribute): own[joined(clean, attribute)]
        for raw, clean, module in walk(model)
        if raw != clean
        for attribute in (*module._parameters, *module._buffers)
        if joined(clean, attribute) in own
    }


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    for attribute, parameter in module._parameters.items():
        if parameter is not None:
            yield attribute, parameter, True
    for attribute, buffer in module._buffers.items():
        if buffer is not None:
            yield attribute, buffer, attribute not in module._non_persistent_buffers_set
