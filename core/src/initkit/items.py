"""The items of a plan: what a recipe may decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from initkit.draws.base import Draw
from initkit.draws.fixed import FromJob

if TYPE_CHECKING:
    from initkit.jobs import JobContext


@dataclass(frozen=True)
class Fill:
    """Write a tensor.

    Args:
        name: qualified name of a parameter or buffer.
        draw: where the values come from.
        why: a short phrase with the numbers: ``Var[w] = 2/(fan_in·κ), κ = 1.83``.
        resize: the new shape, when the tensor is to change it.
        shape: the tensor's shape; put in by the core.
    """

    name: str
    draw: Draw
    why: str
    resize: Sequence[int] | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Keep:
    """Leave a tensor as it is, on purpose."""

    name: str
    why: str


@dataclass(frozen=True)
class Set:
    """Set an attribute of the subject, such as an omega or a vocabulary size.

    Args:
        path: dotted path from the subject: ``conv1.omega``.
        value: a JSON value; ``initkit.load`` sets it again.
        why: a short phrase.
    """

    path: str
    value: Any
    why: str


@dataclass(frozen=True)
class Output:
    """A result that is no parameter: features, prototypes. It goes to the report and the file.

    Args:
        name: of the result.
        draw: where the values come from.
        shape: of the result, or None when its job decides.
        why: a short phrase.
        dtype: of the result.
    """

    name: str
    draw: Draw
    shape: Sequence[int] | None
    why: str
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, eq=False)
class Job:
    """A computation that yields several tensors at once; ``job["key"]`` is a draw of one of them.

    Args:
        name: unique within the recipe; its streams are ``job:NAME#tag``.
        fn: called with a :class:`JobContext` at commit, once, in plan order; returns tensors by key.
        words: what it does, in words.
    """

    name: str
    fn: Callable[[JobContext], Mapping[str, torch.Tensor]]
    words: str

    def __getitem__(self, key: str) -> FromJob:
        return FromJob(self, key)


Item: TypeAlias = Fill | Keep | Set | Output | Job
