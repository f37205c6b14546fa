"""Where a layer stores a role, and the fills that write it: parts of complex tensors, pairs of tensors, blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from initkit import Blocks, Constant, Draw, Fill, Normal, PlanError, Values
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
        native: whether the tensor itself is complex; put in by :func:`initkit_ssm.find_layers`.
    """

    tensor: str
    shape: tuple[int, ...]
    code: Code = PLAIN
    part: Literal["whole", "real", "imag", "split"] = "whole"
    imag: str = ""
    complex: bool = False
    index: Index | None = None
    native: bool = False

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


def fills(site: Site, roles: Mapping[str, Stored], values: Mapping[str, tuple[Draw, str]]) -> Iterator[Fill]:
    """Yield a fill for each tensor that holds the given roles; roles in one tensor share a fill.

    Args:
        site: of the layer.
        roles: where each role is stored.
        values: by role, a draw of its value (not of what is stored) and why. A complex role takes a draw of complex
            values; ``Normal`` has its std per component, as a number or a tensor that broadcasts to the role.
    """
    by_tensor: dict[str, list[tuple[Stored, Draw, str]]] = {}
    for role, (draw, why) in values.items():
        where = roles[role]
        if where.part == "split":
            yield from _split(where, draw, why)
        else:
            by_tensor.setdefault(where.tensor, []).append((where, draw, why))
    for tensor, held in by_tensor.items():
        yield Fill(tensor, _merged(site, held), why="; ".join(dict.fromkeys(why for _, _, why in held)))


def _merged(site: Site, held: list[tuple[Stored, Draw, str]]) -> Draw:
    parts = {where.part: where.draw(draw) for where, draw, _ in held}
    first = held[0][0]
    if set(parts) == {"real", "imag"} and len(held) == 2:
        return _as_stored(first, formula.pair(parts["real"], parts["imag"], first.shape))
    if len(held) == 1 and first.part == "whole":
        draw = _as_stored(first, held[0][1]) if first.complex else parts["whole"]
        return draw if first.index is None else Blocks([(first.index, draw)])
    if all(where.index is not None for where, _, _ in held):
        return Blocks([(where.index or (), where.draw(draw)) for where, draw, _ in held])
    raise PlanError(
        f"{site.words()}: {first.tensor} holds the real and the imaginary part together; set both, not one alone"
    )


def _as_stored(where: Stored, draw: Draw) -> Draw:
    """A draw of complex values, for the complex tensor or the real one with a last axis of 2."""
    if where.native:
        return draw
    if isinstance(draw, Constant):
        draw = Values(torch.full(where.shape, draw.value, dtype=torch.complex128), draw.describe())
    if isinstance(draw, Values):
        value = draw.tensor.to(torch.complex128).resolve_conj()
        return Values(torch.view_as_real(value).contiguous(), draw.describe())
    if isinstance(draw, Normal):
        given = cast(tuple[tuple[str, Tensor], ...], draw.parts())
        scales = {name: scale.unsqueeze(-1) for name, scale in given if name == "std" or bool((scale != 0).any())}
        return Normal(**scales) if any(scale.numel() > 1 for scale in scales.values()) else draw
    return draw


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
