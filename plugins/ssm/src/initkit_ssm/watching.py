"""Watch: which later call has overwritten the dynamics?"""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from initkit.errors import listed
from initkit.slots import Slots, slots_of
from initkit_ssm.auditing import audited, dynamics
from initkit_ssm.layers import Found, find_layers

_OWN = ("torch", "initkit", "initkit_ssm", "contextlib")


@dataclass(frozen=True)
class Change:
    """One call that changed watched tensors.

    Attributes:
        call: the innermost functions outside torch, outermost first: ``BambaForCausalLM._init_weights``; "" where the
            block itself did it.
        line: the line of the watched block that led there: ``train.py:12: model.apply(model._init_weights)``.
        tensors: names of what it changed.
        effect: what became of a layer's memory, in words; "" where it cannot be judged.
    """

    call: str
    line: str
    tensors: tuple[str, ...]
    effect: str = ""

    def __str__(self) -> str:
        effect = f"; {self.effect}" if self.effect else ""
        call = f"{self.call} changed " if self.call else ""
        return f"{self.line}: {call or 'changed '}{listed(self.tensors)}{effect}"


@dataclass
class Watched:
    """What was seen; filled while the block runs.

    Attributes:
        names: of the tensors that are watched.
        changes: calls that changed them, in order.
    """

    names: tuple[str, ...]
    changes: list[Change] = field(default_factory=list)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the tensors that were changed, in order of their first change."""
        return tuple(dict.fromkeys(name for change in self.changes for name in change.tensors))

    def __str__(self) -> str:
        if not self.changes:
            return f"nothing changed the {len(self.names)} watched tensors"
        return "\n".join(map(str, self.changes))


@contextlib.contextmanager
def watch(model: nn.Module, tensors: Literal["dynamics", "all"] = "dynamics") -> Iterator[Watched]:
    """Watch a model's dynamics while other code has its way with the model.

    Every operation inside the block that writes to a watched tensor with another result is traced back to its call:
    trainers, ``post_init``, wrappers, conversions to half types, parameters that are replaced by new ones. The values
    before are held on the CPU. Nothing is prevented.

    Example::

        initkit.apply(model, "ssm/mamba")
        with initkit_ssm.watch(model) as seen:
            model.apply(model._init_weights)
        print(seen)  # train.py:12: model.apply(...): BambaForCausalLM._init_weights changed layers.0.mamba.dt_bias, ...

    Args:
        model: with recurrent layers that an adapter knows.
        tensors: ``dynamics``: what time constants come from; ``all``: every parameter and buffer.
    """
    found = find_layers(model, strict=False)
    slots = slots_of(model)
    chosen = {name for layer in found.layers for name in dynamics(layer)} if tensors == "dynamics" else set(slots)
    names = tuple(name for name, slot in slots.items() if name in chosen and slot.present and not slot.originals)
    seen = Watched(names)
    mode = _Tracing(model, found, seen, sys._getframe(2))
    try:
        with mode:
            yield seen
    finally:
        mode.look(mode.last)


class _Tracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Compares the watched tensors with their last known values, around every operation that writes."""

    def __init__(self, model: nn.Module, found: Found, seen: Watched, block: FrameType) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._model, self._found, self._seen, self._block = model, found, seen, block
        self._slots = slots_of(model)
        self._known: dict[str, Tensor | None] = {name: _copy(self._slots[name].read()) for name in seen.names}
        self._places = self._addresses()
        self._busy = False
        self.last: tuple[str, str] = ("a call", "in the block")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, then look whether it wrote to what is watched."""
        if self._busy:
            return func(*args, **(kwargs or {}))
        # Assigning to .data is no operation: it shows at the next one, which belongs to the same call as a rule.
        if self._addresses() != self._places:
            self.look(self.last)
        out = func(*args, **(kwargs or {}))
        call = _call(sys._getframe(1), self._block)
        if func._schema.is_mutable and self._touches((*args, *(kwargs or {}).values())):
            self.look(call)
        self.last = call
        return out

    def look(self, call: tuple[str, str]) -> None:
        """Compare, and note what has changed as the work of ``call``."""
        self._busy = True
        try:
            slots = slots_of(self._model)
            changed = [name for name in self._seen.names if not _same(self._known[name], _read(slots, name))]
            if changed:
                self._note(call, changed, slots)
            self._slots = slots
            self._places = self._addresses()
        finally:
            self._busy = False

    def _note(self, call: tuple[str, str], changed: list[str], slots: Slots) -> None:
        for name in changed:
            value = _read(slots, name)
            self._known[name] = None if value is None else _copy(value)
        names = list(changed)
        if self._seen.changes and (self._seen.changes[-1].call, self._seen.changes[-1].line) == call:
            names = [*dict.fromkeys([*self._seen.changes.pop().tensors, *names])]
        self._seen.changes.append(Change(*call, tuple(names), self._effect(names, slots)))

    def _effect(self, names: list[str], slots: Slots) -> str:
        touched = [layer for layer in self._found.layers if set(dynamics(layer)) & set(names)]
        judged = [(layer, audited(layer, slots)) for layer in touched if set(dynamics(layer)) <= set(slots)]
        failed = [layer for layer, one in judged if one.level == "FAIL"]
        if failed:
            words = next(one.words for layer, one in judged if one.level == "FAIL")
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            return f"then {failed[0].title}{more} fails: {words}"
        return ""

    def _addresses(self) -> list[int]:
        return [_address(self._model, self._slots, name) for name in self._seen.names]

    def _touches(self, arguments: Any) -> bool:
        places = set(self._places)
        return any(
            isinstance(one, Tensor) and one.untyped_storage().data_ptr() in places
            for argument in arguments
            for one in (argument if isinstance(argument, (list, tuple)) else (argument,))
        )


def _read(slots: Slots, name: str) -> Tensor | None:
    return slots[name].read() if name in slots and slots[name].present else None


def _address(model: nn.Module, slots: Slots, name: str) -> int:
    """Where the tensor of that name is now; 0 where there is none any more."""
    tensor: Any = model
    for part in name.split("."):
        tensor = getattr(tensor, part, None)
    if tensor is None and name in slots:  # under a wrapper, whose name is no part of the tensor's
        tensor = getattr(slots[name], "tensor", None)
    if not isinstance(tensor, Tensor) or tensor.is_meta:
        return 0
    return tensor.untyped_storage().data_ptr()


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _same(known: Tensor | None, value: Tensor | None) -> bool:
    """Whether a tensor still holds what it held, dtype included; NaN equals itself, and absence itself."""
    if known is None or value is None:
        return known is value
    if value.shape != known.shape or value.dtype != known.dtype:
        return False
    return bool(torch.equal(_bytes(known), _bytes(value.detach().to("cpu"))))


def _bytes(value: Tensor) -> Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)


def _call(frame: FrameType | None, block: FrameType) -> tuple[str, str]:
    """The innermost functions outside torch, and the line of the watched block that led to them."""
    names: list[str] = []
    line = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if frame is block:
            line = _line(frame)
            break
        if module.partition(".")[0] not in _OWN:
            names.append(_qualified(frame))
            line = _line(frame)
        frame = frame.f_back
    inner = [name for name in names if not name.rpartition(".")[2].endswith("_")] or names
    return " → ".join(dict.fromkeys(reversed(inner[:2]))), line


def _qualified(frame: FrameType) -> str:
    """``Class.method``, with the class of ``self`` where there is one, else ``module.function``."""
    code = frame.f_code
    owner = frame.f_locals.get("self")
    if owner is not None and "." in getattr(code, "co_qualname", "."):
        return f"{type(owner).__name__}.{code.co_name}"
    return f"{str(frame.f_globals.get('__name__', '')).rpartition('.')[2]}.{code.co_name}"


def _line(frame: FrameType) -> str:
    path, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(path, number).strip()
    return f"{PurePath(path).name}:{number}" + (f": {text}" if text else "")
