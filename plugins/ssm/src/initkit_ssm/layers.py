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
``s4d``, ``s4_dplr``      ``rate`` -Re A (S, M), ``freq`` Im A times ``sign`` (S, M; absent in real layers), ``dt``
                          (H,), (H, 1) or (H, M), ``B`` (1, S, M) and ``P`` (rank, S, M) complex (absent where the
                          layer has none), ``C`` (H, M) or (directions, H, M) complex, ``D``, ``length`` (S4's
                          ``l_kernel``)
``s5``                    ``rate``, ``freq``, ``dt`` (P,), ``B`` (P, H), ``C`` (H, P) complex (and ``C2``), ``D``
``lru``                   ``nu`` -log|λ|, ``theta`` arg λ, ``gamma`` (N,), ``B`` (N, H), ``C`` (H, N) complex, ``D``
``mamba``, ``mamba2``,    ``rate`` -A > 0, ``dt`` (the step at a projection of 0; stored as the bias of dt), ``D``;
``gated_delta``,          ``dt_weight`` where dt is projected; linear maps and convolutions by the names that ``maps``
``mamba3``                lists, ``out_proj`` the output's, their biases with ``_bias``; ``mamba3``: ``B_bias``,
                          ``C_bias``, no ``rate``; a way back's roles end with ``_b``
``rg_lru``                ``decay`` -log a > 0 (at a gate of 1/8 where a is raised to 8 times the gate), gates'
                          ``input_weight``, ``input_bias``, ``recurrent_weight``, ``recurrent_bias``, ``conv``
``gate``                  ``forget_bias``, ``forget_weight``, ``input_bias``, ``input_weight``, or ``bias`` of all
                          gates: preactivations, as they are stored; none where the projection has no bias
``rwkv``                  ``time_decay`` and the version's other vectors, as they are stored
========================  ===========================================================================================

``facts`` holds what shapes do not tell: ``channels`` H, ``state`` N, ``paired`` (each stored mode stands for a
conjugate pair, so outputs have a factor of 2), ``sign`` (-1 where the layer reads Im A as minus ``freq``), ``disc``
(``zoh`` or ``bilinear``), ``layer`` and ``layers`` (the place in the stack), ``heads``, ``block_width``, ``dt_rank``,
``bound`` (of a gate's log decay), ``cell`` and ``cap`` (of a gate), ``version`` (of RWKV), and whatever else an
adapter's recipes agree on.

An adapter of one's own is registered with :func:`register`, or by a distribution's entry point in the group
``initkit_ssm.adapters`` that names an adapter object.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from torch import Tensor, nn

from initkit import Draw, Fill, PlanError
from initkit.errors import listed
from initkit_ssm import storage
from initkit_ssm.storage import Index, Read, Site, Stored

__all__ = [
    "Adapter", "Found", "Index", "Layer", "Read", "Site", "Steps", "Stored", "adapters", "find_layers", "register",
]  # fmt: skip


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
        """Fills for the given roles, see :func:`initkit_ssm.storage.fills`."""
        return storage.fills(self.site, self.roles, values)


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
        step = dt.unsqueeze(-1) if dt.ndim < rate.ndim else dt.squeeze(-1) if dt.ndim > rate.ndim else dt
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
    """Adapters of other distributions; a broken one is named in a warning and harms nobody else."""
    found = []
    for entry in sorted(importlib.metadata.entry_points(group="initkit_ssm.adapters"), key=lambda entry: entry.name):
        try:
            adapter = entry.load()
            if not isinstance(adapter, Adapter):
                raise TypeError(f"{type(adapter).__name__} is no initkit_ssm.Adapter")
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            cause = f"{type(error).__name__}: {error}"
            warnings.warn(f"the adapter {entry.name!r} ({entry.value}) is left out: {cause}", stacklevel=2)
            continue
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
    first_names, tensors = dict[int, str](), dict[str, Tensor]()
    for site in _sites(Site("", model), set()):
        for own, tensor in site.tensors().items():
            first_names.setdefault(id(tensor), site.full(own))
            tensors[site.full(own)] = tensor
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

    def settled(where: Stored) -> Stored:
        """With the name under which the core knows a tied tensor, and whether the tensor is complex."""
        names = [first_names[id(tensors[name])] if name in tensors else name for name in (where.tensor, where.imag)]
        held = tensors.get(where.tensor)
        return replace(where, tensor=names[0], imag=names[1], native=held is not None and held.is_complex())

    return Found(
        tuple(replace(one, roles={role: settled(where) for role, where in one.roles.items()}) for one in layers),
        tuple(unknown),
    )


def _sites(site: Site, seen: set[int]) -> Iterator[Site]:
    """Every module once, in registration order; names without wrappers' parts, as the core has them."""
    if id(site.module) in seen:
        return
    seen.add(id(site.module))
    yield site
    for name, child in site.module.named_children():
        below = site.name if name in _WRAPPED else f"{site.name}.{name}" if site.name else name
        yield from _sites(Site(below, child, site), seen)
