"""The layers that the recipes know, described alike whatever library they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from initkit import PlanError
from initkit.errors import listed
from initkit_kan.bases import Array, Basis
from initkit_kan.moments import Residual
from initkit_kan.scales import Fans


@dataclass(frozen=True, eq=False)
class Layer:
    """y_j = Σ_i [ r_ji R(x_i) + Σ_m b_jim B_m(x_i) ].

    Attributes:
        name: qualified name of the module.
        module: itself.
        family: ``pykan``, ``efficient_kan``, ``flashkan``, ``inkan``, ``fastkan`` or ``chebykan``.
        n: number of inputs.
        o: number of outputs.
        count: M, the number of basis functions.
        make_basis: builds the basis; reads the grid's values, so that a layer on the meta device has none.
        residual: R, or None without a residual branch (or with one that is zero everywhere).
        coefficients: name of the tensor of b.
        arrange: turns scales (1 or n, 1 or o, 1 or M) into what broadcasts to that tensor.
        residual_weights: name of the tensor of r, or None; the same as ``coefficients`` where both are packed.
        arrange_residual: likewise, from (1 or n, 1 or o).
        scales: names of tensors that multiply the splines, with how an (n, o) array is laid out in them.
        zeros: names of offsets.
        keeps: names of tensors that are left, with the reason.
        mask: (n, o) of pykan, 0 where a connection is cut; None where all are there.
        surface: whether the basis are the M products over two inputs.
        normalised: whether the basis sees the input after a layer norm.
        order: of a spline.
    """

    name: str
    module: nn.Module
    family: str
    n: int
    o: int
    count: int
    make_basis: Callable[[], Basis]
    residual: Residual | None
    coefficients: str
    arrange: Callable[[Array], Array]
    residual_weights: str | None = None
    arrange_residual: Callable[[Array], Array] = field(default=lambda values: values)
    scales: dict[str, Callable[[Array], Array]] = field(default_factory=dict)
    zeros: Sequence[str] = ()
    keeps: dict[str, str] = field(default_factory=dict)
    mask: Array | None = None
    surface: bool = False
    normalised: bool = False
    order: int = 3

    @property
    def title(self) -> str:
        """Name and type, for messages."""
        return f"{self.name or 'model'} ({type(self.module).__name__})"

    @property
    def packed(self) -> bool:
        """Whether residual weights and coefficients are one tensor."""
        return self.residual_weights == self.coefficients

    def full(self, name: str) -> str:
        """Qualified name of one of the module's tensors."""
        return f"{self.name}.{name}" if self.name else name

    @property
    def fans(self) -> Fans:
        """Effective fans: masked connections are not counted; a fully masked output counts one, and gets zeros."""
        if self.surface:
            return Fans.of_surface(self.o, self.count)
        n: float | Array = self.n
        o: float | Array = self.o
        if self.mask is not None:
            n = np.maximum(self.mask.sum(axis=0, keepdims=True), 1)
            o = np.maximum(self.mask.sum(axis=1, keepdims=True), 1)
        return Fans.of(n, o, self.count, residual=self.residual is not None)


Adapter = Callable[[str, nn.Module], Layer | None]


@dataclass(frozen=True)
class Found:
    """What a model holds.

    Attributes:
        layers: in the order of registration.
        unsupported: modules of a family that no recipe sets, in words.
    """

    layers: tuple[Layer, ...]
    unsupported: tuple[str, ...]


def find_layers(model: nn.Module) -> Found:
    """The spline, RBF and Chebyshev layers of a model.

    Raises:
        PlanError: a module bears a family's names but not its shapes.
    """
    from initkit_kan.families import ADAPTERS

    layers, unsupported = [], []
    for name, module in model.named_modules():
        if holds(module, "kan_weight"):
            unsupported.append(f"{name or 'model'} ({type(module).__name__}) has an init option of its own")
            continue
        found = next((made for adapter in ADAPTERS if (made := adapter(name, module)) is not None), None)
        if found is not None:
            layers.append(found)
    return Found(tuple(layers), tuple(unsupported))


def needed_layers(model: Any, recipe: str) -> Found:
    """The layers of a model.

    Raises:
        PlanError: there are none; says what there is.
    """
    if not isinstance(model, nn.Module):
        raise PlanError(f"recipe {recipe}: {type(model).__name__} is no nn.Module")
    found = find_layers(model)
    if not found.layers:
        from initkit_kan.rationals import find_rationals

        rational = [one.name for one in find_rationals(model)]
        there = ""
        if found.unsupported:
            there = f"; {listed(found.unsupported, 3)}"
        elif rational:
            there = f"; {listed(rational, 3)} are rational layers: kan/kat sets them"
        raise PlanError(
            f"recipe {recipe}: {type(model).__name__} has no spline, RBF or Chebyshev layer (layouts of pykan, "
            f"efficient-kan, flashkan, inKAN, fastkan, ChebyKAN){there}"
        )
    return found


def holds(module: nn.Module, *names: str) -> bool:
    """Whether a module has tensors of all these names, parametrised ones included."""
    return all(
        module._parameters.get(name) is not None
        or module._buffers.get(name) is not None
        or parametrize.is_parametrized(module, name)
        for name in names
    )


def tensor(layer: str, module: nn.Module, name: str) -> torch.Tensor:
    """A tensor of a module.

    Raises:
        PlanError: it is computed by a parametrisation.
    """
    if parametrize.is_parametrized(module, name):
        raise PlanError(
            f"{layer or 'model'} ({type(module).__name__}): {name} is parametrised "
            f"({', '.join(type(part).__name__ for part in _parts(module, name))}), so that its scale is not its own; "
            "remove it (torch.nn.utils.parametrize.remove_parametrizations), apply the recipe, then register it again"
        )
    found: torch.Tensor | None = module._parameters.get(name)
    found = found if found is not None else module._buffers.get(name)
    if found is None:
        raise PlanError(f"{layer or 'model'} ({type(module).__name__}) has no tensor {name}")
    return found


def _parts(module: nn.Module, name: str) -> Iterator[nn.Module]:
    yield from module.parametrizations[name]  # type: ignore[index]


def values(layer: str, module: nn.Module, name: str) -> Array:
    """The values of a grid, mask or scale, float64.

    Raises:
        PlanError: it is on the meta device.
    """
    found = tensor(layer, module, name)
    if found.is_meta:
        raise PlanError(
            f"{layer or 'model'} ({type(module).__name__}): {name} is on the meta device and holds no values, "
            "which the scales depend on; build the model on a real device"
        )
    gather = getattr(found, "full_tensor", None)  # of a DTensor
    whole: torch.Tensor = found if gather is None else gather()
    return whole.detach().to("cpu", torch.float64).numpy()


def same_shape(layer: str, module: nn.Module, name: str, wanted: tuple[int, ...], as_in: str) -> None:
    """Refuse a tensor whose shape does not fit that of the others.

    Raises:
        PlanError: names the parameter, its shape and the one expected.
    """
    found = tuple(tensor(layer, module, name).shape)
    if found != wanted:
        raise PlanError(
            f"{layer or 'model'} ({type(module).__name__}): {name} has shape {found}, expected {wanted}, as {as_in}; "
            "it is none of the layouts that the recipe knows"
        )


def rank(layer: str, module: nn.Module, name: str, wanted: str) -> tuple[int, ...]:
    """The shape of a tensor whose rank is that of the wanted words, such as ``(o, n, M)``.

    Raises:
        PlanError: it has another rank, or an empty dimension.
    """
    shape = tuple(tensor(layer, module, name).shape)
    if len(shape) != wanted.count(",") + 1 or 0 in shape:
        raise PlanError(
            f"{layer or 'model'} ({type(module).__name__}): {name} has shape {shape}, expected {wanted}; "
            "it is none of the layouts that the recipe knows"
        )
    return shape
