"""Layers with a linear recurrence: what they store and how. The contract between recipes and adapters.

A recipe thinks in *roles*: the decay rate -Re A, the frequency Im A, the step dt, B, C, D, a gate's bias. An
:class:`Adapter` knows a layer class (or a family of classes by its parameters' names and shapes) and describes one
layer of it as a :class:`Layer`: for each role a :class:`Stored`, which says in which tensor the layer keeps that role
and through which scalar code (log, inverse softplus, ...). A recipe gives draws by role to :meth:`Layer.fills`; the
audit reads values by role with :meth:`Layer.read` and time constants with :meth:`Adapter.steps`.

Roles, by the kind of layer (``kind`` is what recipes choose layers by). S: independent state matrices; M: stored
modes; N: stored states; H: channels:

========================  ===========================================================================================
kind                      roles
========================  ===========================================================================================
``s4d``, ``s4_dplr``      ``rate`` -Re A (S, M), ``freq`` Im A (S, M; absent in real layers), ``dt`` (H,), (H, 1) or
                          (H, M), ``B`` and ``P`` complex (absent where the layer has none), ``C`` complex, ``D``
``s5``                    ``rate``, ``freq``, ``dt`` (P,), ``B`` (P, H), ``C`` (H, P) complex (and ``C2``), ``D``
``lru``                   ``nu`` -log|λ|, ``theta`` arg λ, ``gamma`` (N,), ``B`` (N, H), ``C`` (H, N) complex, ``D``
``mamba``, ``mamba2``,    ``rate`` -A > 0, ``dt`` (the step at a projection of 0; stored as the bias of dt), ``D``;
``gated_delta``,          projections ``dt_weight``, ``x_proj``, ``in_proj``, ``out_proj``, ``conv`` where the layer
``mamba3``                has them; ``mamba3``: ``B_bias``, ``C_bias``, no ``rate``
``rg_lru``                ``decay`` -log a > 0 (at a gate of 1/8 where a is raised to 8 times the gate), gates'
                          ``input_weight``, ``input_bias``, ``recurrent_weight``, ``recurrent_bias``, ``conv``
``gate``                  ``forget_bias`` (and ``forget_weight``, ``input_bias``, ``input_weight``, ...): the bias is
                          decoded to the gate's value at a projection of 0
``rwkv``                  ``decay`` -log of the channel's factor per step, and the version's other vectors
========================  ===========================================================================================

``facts`` holds what shapes do not tell: ``channels`` H, ``state`` N, ``paired`` (each stored mode stands for a
conjugate pair, so outputs have a factor of 2), ``disc`` (``zoh`` or ``bilinear``), ``layer`` and ``layers`` (the place
in the stack), ``heads``, ``block_width``, ``dt_rank``, and whatever else an adapter's recipes agree on.

An adapter of one's own is registered with :func:`register`, or by a distribution's entry point in the group
``initkit_ssm.adapters`` that names an adapter object.
"""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from initkit import Blocks, Constant, Draw, Fill, PlanError, Values
from initkit.errors import listed
from initkit_ssm import formula
from initkit_ssm.codes import PLAIN, Code

Read = Callable[[str], Tensor]
"""Gives the value of a tensor of the model by its qualified name."""

Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class Site:
    """A module and where it stands.

    Attributes:
        name: qualified name in the model, as the core writes it.
        module: the module.
        parent: the site that holds it; None for the model itself.
    """

    name: str
    module: nn.Module
    parent: Site | None = None

    def full(self, name: str) -> str:
        """Qualified name of a tensor of the module."""
        return f"{self.name}.{name}" if self.name else name

    def tensor(self, name: str) -> Tensor | None:
        """A parameter or buffer of the module by its name (dots allowed), or None."""
        owner_name, _, attribute = name.rpartition(".")
        try:
            owner = self.module.get_submodule(owner_name)
        except AttributeError:
            return None
        found = owner._parameters.get(attribute)
        return found if found is not None else owner._buffers.get(attribute)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor of the module, or None where there is none."""
        tensor = self.tensor(name)
        return None if tensor is None else tuple(tensor.shape)

    def tensors(self) -> dict[str, Tensor]:
        """The module's own parameters and buffers (not those of modules inside it)."""
        own = {**self.module._parameters, **self.module._buffers}
        return {name: tensor for name, tensor in own.items() if tensor is not None}

    def words(self) -> str:
        """Name, class, own tensors and shapes, for messages."""
        shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in self.tensors().items()]
        return f"{self.name or 'the model'} ({type(self.module).__name__}: {listed(shapes, 12) or 'no tensors'})"


@dataclass(frozen=True)
class Stored:
    """Where and how a layer stores one role.

    Attributes:
        tensor: qualified name in the model.
        shape: of the role; a complex role has one entry for a complex number.
        code: scalar code of a real role.
        part: ``whole``: the tensor is the role (complex roles: a complex tensor, or a real one with a last axis of
            2). ``real``, ``imag``: the role is that part of such a tensor. ``split``: a complex role in two real
            tensors, its imaginary part in ``imag``.
        imag: qualified name of the second tensor of a ``split`` role.
        complex: whether the role is complex.
        index: the block of the tensor that holds the role, None for all of it; entries outside it are left.
    """

    tensor: str
    shape: tuple[int, ...]
    code: Code = PLAIN
    part: Literal["whole", "real", "imag", "split"] = "whole"
    imag: str = ""
    complex: bool = False
    index: Index | None = None

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors that hold it."""
        return (self.tensor, self.imag) if self.part == "split" else (self.tensor,)

    def read(self, read: Read) -> Tensor:
        """The role's value in float64 (complex128), decoded, on the CPU."""
        tensor = read(self.tensor).detach().to("cpu")
        if self.part == "split":
            return torch.complex(tensor.to(torch.float64), read(self.imag).detach().to("cpu", torch.float64))
        if self.index is not None:
            tensor = tensor[self.index]
        if self.complex or self.part in ("real", "imag"):
            value = tensor if tensor.is_complex() else torch.view_as_complex(tensor.to(torch.float64).contiguous())
            value = value.to(torch.complex128)
            return value if self.complex else self.code.load(getattr(value, self.part))
        return self.code.load(tensor)

    def draw(self, value: Draw) -> Draw:
        """The draw of what is stored, from a draw of the role's real value."""
        return formula.stored(value, self.code, self.shape)


@dataclass(frozen=True)
class Steps:
    """What a layer's recurrence does in one step, for the audit. All float64 on the CPU.

    Attributes:
        decay: -log|λ| for each mode; its inverse is the time constant in steps.
        angle: arg λ before it wraps, |Im A| dt; None for real recurrences.
        dt: the step sizes; None where the layer has none.
        rate: -Re A for each mode; None where the layer has none.
        words: what the figures assume: ``at a projection of 0``.
    """

    decay: Tensor
    angle: Tensor | None = None
    dt: Tensor | None = None
    rate: Tensor | None = None
    words: str = ""


@dataclass(frozen=True)
class Layer:
    """A layer with a linear recurrence, as its adapter describes it.

    Attributes:
        site: the module and where it stands.
        kind: its family; recipes choose layers by it.
        roles: what it stores, by role.
        adapter: which described it.
        facts: what shapes do not tell; see the module's docstring.
    """

    site: Site
    kind: str
    roles: Mapping[str, Stored]
    adapter: Adapter
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Qualified name in the model."""
        return self.site.name

    @property
    def title(self) -> str:
        """Name and class, for messages and tables."""
        return f"{self.name or 'the model'} ({type(self.site.module).__name__})"

    def read(self, role: str, read: Read) -> Tensor:
        """The value of a role in float64 (complex128), decoded, on the CPU."""
        return self.roles[role].read(read)

    def steps(self, read: Read) -> Steps | None:
        """What its recurrence does in one step; None where nothing that is stored decides it."""
        return self.adapter.steps(self, read)

    def fills(self, values: Mapping[str, tuple[Draw, str]]) -> Iterator[Fill]:
        """Yield a fill for each tensor that holds the given roles; roles in one tensor share a fill.

        Args:
            values: by role, a draw of its value (not of what is stored) and why. A complex role takes a draw of
                complex values (``Normal`` has its std per component).
        """
        by_tensor: dict[str, list[tuple[Stored, Draw, str]]] = {}
        for role, (draw, why) in values.items():
            where = self.roles[role]
            if where.part == "split":
                yield from _split(where, draw, why)
            else:
                by_tensor.setdefault(where.tensor, []).append((where, draw, why))
        for tensor, held in by_tensor.items():
            yield Fill(tensor, _merged(self, held), why="; ".join(dict.fromkeys(why for _, _, why in held)))


def _merged(layer: Layer, held: list[tuple[Stored, Draw, str]]) -> Draw:
    parts = {where.part: where.draw(draw) for where, draw, _ in held}
    first = held[0][0]
    if set(parts) == {"real", "imag"} and len(held) == 2:
        return _as_stored(layer, first.tensor, formula.pair(parts["real"], parts["imag"], first.shape))
    if len(held) == 1 and first.part == "whole":
        draw = _as_stored(layer, first.tensor, held[0][1]) if first.complex else parts["whole"]
        return draw if first.index is None else Blocks([(first.index, draw)])
    if all(where.index is not None for where, _, _ in held):
        return Blocks([(where.index or (), where.draw(draw)) for where, draw, _ in held])
    raise PlanError(
        f"{layer.title}: {first.tensor} holds the real and the imaginary part together; set both, not one alone"
    )


def _as_stored(layer: Layer, name: str, draw: Draw) -> Draw:
    """A draw of complex values, for the complex tensor or the real one with a last axis of 2."""
    if isinstance(draw, Values) and draw.tensor.is_complex() and not _find(layer.site, name).is_complex():
        return Values(torch.view_as_real(draw.tensor.resolve_conj()).contiguous(), draw.describe())
    return draw


def _find(site: Site, name: str) -> Tensor:
    at: Site | None = site
    while at is not None:
        tensor = at.tensor(name.removeprefix(f"{at.name}.") if at.name else name)
        if tensor is not None and (not at.name or name.startswith(f"{at.name}.")):
            return tensor
        at = at.parent
    raise PlanError(f"{site.words()} has no tensor {name}")


def _split(where: Stored, draw: Draw, why: str) -> Iterator[Fill]:
    """Two fills of a complex role in two real tensors."""
    if isinstance(draw, Values):
        halves = [getattr(draw.tensor, part).to(torch.float64).contiguous() for part in ("real", "imag")]
        for tensor, half, word in zip((where.tensor, where.imag), halves, ("real", "imaginary"), strict=True):
            yield Fill(tensor, Values(half, f"{word} part of {draw.describe()}"), why)
    elif isinstance(draw, Constant):
        yield Fill(where.tensor, Constant(float(draw.value.real)), why)
        yield Fill(where.imag, Constant(float(draw.value.imag)), why)
    elif isinstance(draw, formula.Formula):
        # Both halves come from one computation on the first tensor's stream.
        yield Fill(where.tensor, draw.component("real", where.tensor), why)
        yield Fill(where.imag, draw.component("imag", where.tensor), why)
    else:
        yield Fill(where.tensor, draw, why)
        yield Fill(where.imag, draw, why)


class Adapter(ABC):
    """Knows a layer class, or a family of classes by its parameters' names.

    Attributes:
        classes: exact paths of classes, ``transformers.models.mamba.modeling_mamba.MambaMixer``; a subclass
            matches too. The library need not be importable.
        telltale: names of tensors that only such layers have. A module with one of them that no adapter takes is an
            error instead of being left silently.
    """

    classes: Sequence[str] = ()
    telltale: Sequence[str] = ()

    def takes(self, site: Site) -> bool:
        """Whether the module is one of this adapter's classes."""
        return any(path in self.classes for path in class_paths(site.module))

    def fits(self, site: Site) -> bool:
        """Whether a module of an unknown class has the names of this family; asked after every ``takes``."""
        return False

    @abstractmethod
    def describe(self, site: Site) -> Layer:
        """Describe the layer.

        Raises:
            PlanError: shapes do not agree among themselves, or the layer is of a kind that must not be set.
        """

    def steps(self, layer: Layer, read: Read) -> Steps | None:
        """What the layer's recurrence does in one step; None where no stored tensor decides it."""
        roles = layer.roles
        if "nu" in roles:
            theta = layer.read("theta", read) if "theta" in roles else None
            return Steps(layer.read("nu", read), None if theta is None else theta.abs())
        if "rate" not in roles or "dt" not in roles:
            return None
        rate, dt = layer.read("rate", read), layer.read("dt", read)
        step = dt if dt.ndim >= rate.ndim or dt.shape == rate.shape[-dt.ndim :] else dt.unsqueeze(-1)
        if rate.ndim == 2 and step.ndim == 2 and rate.shape[0] != step.shape[0]:
            rate = rate.repeat(step.shape[0] // rate.shape[0], 1)
        freq = layer.read("freq", read) if "freq" in roles else None
        if freq is not None and freq.shape != rate.shape:
            freq = freq.repeat(rate.shape[0] // freq.shape[0], 1)
        return Steps(rate * step, None if freq is None else (freq * step).abs(), dt, rate)


def class_paths(module: nn.Module) -> list[str]:
    """Dotted paths of a module's class and its bases."""
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__]


_REGISTERED: list[Adapter] = []


def register(adapter: Adapter) -> Adapter:
    """Add an adapter; it is asked before those added earlier and before the built-in ones. Returns it."""
    _REGISTERED.insert(0, adapter)
    return adapter


def adapters() -> list[Adapter]:
    """Every adapter in the order in which they are asked."""
    return [*_REGISTERED, *_from_entry_points(), *_built_in()]


@cache
def _from_entry_points() -> tuple[Adapter, ...]:
    found = []
    for entry in sorted(importlib.metadata.entry_points(group="initkit_ssm.adapters"), key=lambda entry: entry.name):
        try:
            adapter = entry.load()
        except Exception as error:
            raise PlanError(f"the adapter {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
        if not isinstance(adapter, Adapter):
            raise PlanError(f"the adapter {entry.name!r} ({entry.value}) is no initkit_ssm.Adapter")
        found.append(adapter)
    return tuple(found)


@cache
def _built_in() -> tuple[Adapter, ...]:
    from initkit_ssm.adapters import BUILT_IN

    return tuple(BUILT_IN)


_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@dataclass(frozen=True)
class Found:
    """The recurrent layers of a model.

    Attributes:
        layers: in registration order.
        unknown: sentences on modules that look like such layers but that no adapter could describe.
    """

    layers: tuple[Layer, ...]
    unknown: tuple[str, ...] = ()

    def of(self, kinds: Sequence[str]) -> list[Layer]:
        """The layers of some kinds."""
        return [layer for layer in self.layers if layer.kind in kinds]


def find_layers(model: nn.Module, strict: bool = True) -> Found:
    """Find the layers with a linear recurrence that any adapter knows; a layer inside another is not listed.

    Args:
        model: the model.
        strict: whether a module that has a family's names but that no adapter can describe is an error.

    Raises:
        PlanError: such a module; names its class and its tensors with their shapes.
    """
    asked = adapters()
    telltale = {name for adapter in asked for name in adapter.telltale}
    layers: list[Layer] = []
    unknown: list[str] = []
    inside: list[str] = []
    for site in _sites(Site("", model), set()):
        if site.name.startswith(tuple(inside)):
            continue
        adapter = next((a for a in asked if a.takes(site)), None) or next((a for a in asked if a.fits(site)), None)
        strange = sorted(telltale & set(site.tensors()))
        if adapter is None and not strange:
            continue
        try:
            if adapter is None:
                raise PlanError(
                    f"no adapter knows {site.words()}, though it has {listed(strange)}: register one with "
                    "initkit_ssm.register, or give strict=False to leave it"
                )
            layers.append(adapter.describe(site))
            inside.append(site.full(""))
        except PlanError as error:
            if strict:
                raise
            unknown.append(str(error))
    return Found(tuple(layers), tuple(unknown))


def _sites(site: Site, seen: set[int]) -> Iterator[Site]:
    """Every module once, in registration order; names without wrappers' parts, as the core has them."""
    if id(site.module) in seen:
        return
    seen.add(id(site.module))
    yield site
    for name, child in site.module.named_children():
        below = site.name if name in _WRAPPED else f"{site.name}.{name}" if site.name else name
        yield from _sites(Site(below, child, site), seen)
