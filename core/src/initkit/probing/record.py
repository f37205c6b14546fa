"""One forward and backward pass, recorded by hooks: what each layer does to signal and gradient."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from initkit._guard import undisturbed
from initkit._names import walk
from initkit.errors import ProbeError
from initkit.probing.activations import Activations, idle_share
from initkit.probing.inputs import first_tensor
from initkit.probing.spectra import ranks

_ROWS, _COLUMNS = 256, 1024  # of an activation matrix whose rank is taken
_CALLS = 3  # of one layer that are recorded


@dataclass
class LayerRecord:
    """What one call of a layer did.

    Attributes:
        name: qualified name; with ``(2)`` for a second call.
        kind: class name.
        outer: whether no recorded layer encloses it; depth is counted over these.
        shape: of its output.
        mean: of the output z.
        m2: mean of z², the second moment.
        backward: mean of (dL/dz)², or None where no gradient arrived.
        rank: entropy rank of z as (samples, units), at most 256 of them.
        full: the largest value that ``rank`` could have.
        activation: the function that followed, or "".
        idle: share of units that are dead or saturated after it, or None.
    """

    name: str
    kind: str
    outer: bool
    shape: tuple[int, ...]
    mean: float
    m2: float
    backward: float | None = None
    rank: float | None = None
    full: int = 0
    activation: str = ""
    idle: float | None = None

    @property
    def var(self) -> float:
        """Population variance of the output."""
        return max(self.m2 - self.mean**2, 0.0)


@dataclass
class Pass:
    """A recorded pass.

    Attributes:
        layers: in the order in which they finished.
        loss: what was differentiated, or None where a random direction was.
    """

    layers: tuple[LayerRecord, ...]
    loss: float | None


@dataclass
class _Held:
    """Numbers of a record while the pass runs: tensors, so that nothing waits for the device."""

    record: LayerRecord
    axis: int
    mean: Tensor
    m2: Tensor
    rows: Tensor
    backward: Tensor | None = None


def record_pass(model: nn.Module, scalar: Callable[[], Tensor], *, differentiates_loss: bool) -> Pass:
    """Run the model in training mode, without dropout, and differentiate; the model is left bit for bit as it was.

    Args:
        model: any module with values.
        scalar: runs the model and returns what is differentiated.
        differentiates_loss: whether that is a loss.

    Raises:
        ProbeError: ``scalar`` gives something that cannot be differentiated.
    """
    with undisturbed(model, train=True, grad=True), _without_dropout(model), _Recorder(model) as recorder:
        value = scalar()
        recorder.close()
        weights = [p for p in model.parameters() if p.requires_grad]
        if value.requires_grad and weights:
            torch.autograd.grad(value, weights, allow_unused=True)
        return Pass(recorder.records(), float(value.detach()) if differentiates_loss else None)


@contextlib.contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch dropout off; :func:`undisturbed` restores the modes."""
    for module in model.modules():
        if "Dropout" in type(module).__name__ or "DropPath" in type(module).__name__:
            module.eval()
    yield


class _Recorder:
    """Hooks on every layer."""

    def __init__(self, model: nn.Module) -> None:
        self._held: list[_Held] = []
        self._calls: dict[str, int] = {}
        self._stack = contextlib.ExitStack()
        self._layers = _layers(model)

    def __enter__(self) -> _Recorder:
        for name, (module, outer) in self._layers.items():
            self._stack.callback(module.register_forward_hook(self._hook(name, outer)).remove)
        self._stack.enter_context(Activations(self._activated))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the hooks off; gradients are still awaited."""
        self._stack.close()

    def _hook(self, name: str, outer: bool) -> Callable[[nn.Module, object, object], None]:
        def seen(module: nn.Module, given: object, found: object) -> None:
            out = first_tensor(found)
            self._calls[name] = call = self._calls.get(name, 0) + 1
            if out is None or out.numel() == 0 or call > _CALLS:
                return
            with torch.no_grad():
                axis = 1 if "Conv" in type(module).__name__ and hasattr(module, "kernel_size") else -1
                label = name if call == 1 else f"{name} ({call})"
                record = LayerRecord(label, type(module).__name__, outer, tuple(out.shape), 0.0, 0.0)
                held = _Held(record, axis, _mean(out), _second_moment(out), _rows(out, axis))
            self._held.append(held)
            if out.requires_grad:

                def arrived(gradient: Tensor) -> None:
                    held.backward = _second_moment(gradient)

                out.register_hook(arrived)  # type: ignore[no-untyped-call]

        return seen

    def _activated(self, name: str, value: Tensor) -> None:
        held = next((h for h in reversed(self._held) if h.record.outer), None)
        if held is not None and not held.record.activation and value.ndim:
            held.record.activation = name
            held.record.idle = idle_share(name, value, held.axis)

    def records(self) -> tuple[LayerRecord, ...]:
        """The finished records."""
        for held in self._held:
            record = held.record
            record.mean, record.m2 = float(held.mean), float(held.m2)
            record.backward = None if held.backward is None else float(held.backward)
            record.full = min(held.rows.shape)
            if math.isfinite(record.m2) and record.full > 1:
                record.rank = ranks(held.rows).entropy
        return tuple(held.record for held in self._held)


def _layers(model: nn.Module) -> dict[str, tuple[nn.Module, bool]]:
    """The layers by name, and whether none encloses them.

    A layer is a module with parameters of its own, normalisations aside, and at most one such module inside it: a
    ``GCNConv`` with its ``Linear`` is one, an encoder that owns a position embedding beside its blocks is none.
    """
    owners: dict[str, nn.Module] = {}
    for _, name, module in walk(model):
        own = any(parameter is not None for parameter in module._parameters.values()) or is_parametrized(module)
        aside = "Norm" in type(module).__name__ or isinstance(module, ParametrizationList)
        if own and not aside and all(module is not other for other in owners.values()):
            owners[name] = module
    layers = [name for name in owners if sum(_inside(other, name) for other in owners) <= 1]
    enclosed = {name for name in layers if any(_inside(name, other) for other in layers)}
    return {name or type(model).__name__: (owners[name], name not in enclosed) for name in layers}


def _inside(name: str, other: str) -> bool:
    return name != other and (not other or name.startswith(f"{other}."))


def _second_moment(tensor: Tensor) -> Tensor:
    values = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
    count = values.numel() // (2 if tensor.is_complex() else 1)
    norm: Tensor = torch.linalg.vector_norm(values, dtype=torch.float64)
    return norm.square() / count


def _mean(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    return values.real.mean(dtype=torch.float64) if values.is_complex() else values.mean(dtype=torch.float64)


def _rows(out: Tensor, axis: int) -> Tensor:
    """Evenly spaced samples and units of a layer's output, as a matrix of its own."""
    moved = out.detach().movedim(axis, -1) if out.ndim else out.detach().reshape(1, 1)
    if moved.ndim == 1:
        moved = moved[None]
    count = moved[..., 0].numel()
    chosen = torch.linspace(0, count - 1, min(count, _ROWS), device=moved.device).round().long()
    rows = moved[torch.unravel_index(chosen, moved.shape[:-1])]
    step = -(-rows.shape[-1] // _COLUMNS)
    return rows[:, ::step].clone()


def check_scalar(value: object, whose: str) -> Tensor:
    """Return a loss that can be differentiated.

    Raises:
        ProbeError: it is no scalar tensor, or does not depend on the parameters.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ProbeError(f"{whose} must return a scalar tensor, not {what}; take its mean()")
    if not value.requires_grad:
        raise ProbeError(f"{whose} returns a number that does not depend on the model's parameters; do not detach it")
    return value.reshape(())
