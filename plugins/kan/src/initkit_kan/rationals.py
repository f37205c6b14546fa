"""The rational layers of a model: what they compute, and which linear layers they feed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from initkit import PlanError
from initkit._functional import call_with
from initkit_kan.layers import holds, tensor
from initkit_kan.rational import DENOMINATOR, NUMERATOR, Form

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
PASSED = (nn.Identity, nn.modules.dropout._DropoutNd, *_NORMS)
PASSED_FUNCTIONS = (nn.functional.dropout, nn.functional.layer_norm, nn.functional.alpha_dropout)


@dataclass(frozen=True, eq=False)
class Rational:
    """A group-rational layer.

    Attributes:
        name: qualified name of the module.
        module: itself.
        groups: number of groups of channels.
        rows: of the numerator: 1 where all groups share it.
    """

    name: str
    module: nn.Module
    groups: int
    rows: int

    @property
    def title(self) -> str:
        """Name and type, for messages."""
        return f"{self.name or 'model'} ({type(self.module).__name__})"

    def full(self, name: str) -> str:
        """Qualified name of one of the module's tensors."""
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True, eq=False)
class Fed:
    """A linear layer behind a rational one.

    Attributes:
        name: qualified name.
        module: a Linear, or a convolution with kernels of size 1.
        fan_in: number of inputs, or of input channels.
        norms: names of norm layers between the two.
    """

    name: str
    module: nn.Module
    fan_in: int
    norms: tuple[str, ...]


@dataclass
class Wiring:
    """Which linear layers each rational one feeds, and the order of execution.

    Attributes:
        fed: by the rational's name, in the order of execution.
        untraced: names of modules whose forward could not be followed, with the reason.
    """

    fed: dict[str, list[Fed]] = field(default_factory=dict)
    untraced: dict[str, str] = field(default_factory=dict)


def find_rationals(model: nn.Module) -> list[Rational]:
    """The rational layers of a model, in the order of registration.

    Raises:
        PlanError: a module bears their names but not their shapes.
    """
    found = []
    for name, module in model.named_modules():
        if not holds(module, "weight_numerator", "weight_denominator"):
            continue
        a = tuple(tensor(name, module, "weight_numerator").shape)
        b = tuple(tensor(name, module, "weight_denominator").shape)
        title = f"{name or 'model'} ({type(module).__name__})"
        if len(b) != 2 or b[1] != DENOMINATOR or b[0] < 1:
            raise PlanError(f"{title}: weight_denominator has shape {b}, expected (groups, {DENOMINATOR})")
        if a not in ((1, NUMERATOR), (b[0], NUMERATOR)):
            raise PlanError(f"{title}: weight_numerator has shape {a}, expected (1, {NUMERATOR}) for all {b[0]} groups")
        groups = getattr(module, "num_groups", b[0])
        if groups != b[0]:
            raise PlanError(f"{title}: num_groups is {groups}, but weight_denominator has shape {b}")
        found.append(Rational(name, module, b[0], a[0]))
    return found


def form_of(one: Rational) -> Form | None:
    """The form that a module computes, found by calling it with known coefficients; None where it cannot run here.

    With a = (1, 0, ...) and b = (1, 1, 0, 0) the value at -½ is 1/1.75 in the kernels' form, 1/0.75 in that of the CPU
    fallback, 1/1.25 with an absolute value around the sum. The module is not changed.
    """
    held = tensor(one.name, one.module, "weight_numerator")
    device = torch.device("cpu") if held.is_meta else held.device
    a, b = torch.zeros(one.rows, NUMERATOR, device=device), torch.zeros(one.groups, DENOMINATOR, device=device)
    a[:, 0], b[:, :2] = 1.0, 1.0
    stand_ins = {"weight_numerator": a, "weight_denominator": b}
    answers: dict[Form, float] = {"kernel": 1 / 1.75, "fallback": 1 / 0.75, "sum": 1 / 1.25}
    channels = one.groups
    for shape in ((1, 1, channels), (1, channels), (1, channels, 1, 1)):
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = call_with(one.module, stand_ins, torch.full(shape, -0.5, device=device))
        except Exception:  # noqa: BLE001 - another rank, or a kernel that needs another device
            continue
        if isinstance(out, Tensor) and not out.is_meta:
            value = float(out.flatten()[0])
            return next((form for form, wanted in answers.items() if abs(value - wanted) < 1e-3), None)
    return None


def wiring(model: nn.Module, rationals: Sequence[Rational]) -> Wiring:
    """Follow each rational layer's output to the linear layers that read it, through dropout and norms.

    The forward of modules that hold rational layers is traced symbolically, everything else is taken whole; where the
    model cannot be traced, its parts are.

    Args:
        model: of the layers.
        rationals: of the model.
    """
    found = Wiring()
    names = {one.module: one.name for one in rationals}

    def visit(module: nn.Module, prefix: str) -> None:
        if not any(part in names for part in module.modules()) or module in names:
            return
        try:
            graph = _Tracer(set(names)).trace(module)
        except Exception as error:  # noqa: BLE001 - any forward may be untraceable in its own way
            found.untraced[prefix or "model"] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            for name, child in module.named_children():
                visit(child, f"{prefix}.{name}" if prefix else name)
            return
        for node in graph.nodes:
            if node.op == "call_module" and (inner := module.get_submodule(str(node.target))) in names:
                found.fed.setdefault(names[inner], []).extend(_readers(module, prefix, node, ()))

    visit(model, "")
    return found


class _Tracer(fx.Tracer):
    """Goes into modules that hold rational layers, and takes all others whole."""

    def __init__(self, rationals: set[nn.Module]) -> None:
        super().__init__()
        self._rationals = rationals

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether the module is taken whole."""
        return m in self._rationals or not any(part in self._rationals for part in m.modules())


def _readers(root: nn.Module, prefix: str, node: fx.Node, norms: tuple[str, ...]) -> Iterator[Fed]:
    for user in node.users:
        if user.op == "call_module":
            module = root.get_submodule(str(user.target))
            name = f"{prefix}.{user.target}" if prefix else str(user.target)
            fan_in = _fan_in(module)
            if fan_in is not None:
                yield Fed(name, module, fan_in, norms)
            elif isinstance(module, PASSED):
                passed = (*norms, name) if isinstance(module, _NORMS) else norms
                yield from _readers(root, prefix, user, passed)
        elif (user.op == "call_function" and user.target in PASSED_FUNCTIONS) or (
            user.op == "call_method" and user.target == "contiguous"
        ):
            yield from _readers(root, prefix, user, norms)


def _fan_in(module: Any) -> int | None:
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and set(module.kernel_size) == {1} and module.groups == 1:
        return module.in_channels
    return None


def coefficients(one: Rational) -> list[tuple[Any, Any]]:
    """Present a and b of each group, float64.

    Raises:
        PlanError: they are on the meta device.
    """
    a, b = (tensor(one.name, one.module, f"weight_{word}") for word in ("numerator", "denominator"))
    if a.is_meta or b.is_meta:
        raise PlanError(f"{one.title}: its coefficients are on the meta device and hold no values; name an activation")
    top, below = (t.detach().to("cpu", torch.float64).numpy() for t in (a, b))
    return [(top[min(i, one.rows - 1)], np.asarray(below[i])) for i in range(one.groups)]
