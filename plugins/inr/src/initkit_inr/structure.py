"""What a layer plan is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from initkit_inr.activations import Activation


@dataclass(frozen=True)
class Source:
    """A part of a layer's input.

    Attributes:
        layer: the index of the layer whose activation it is; None for the model's input (or features of it).
        width: how many units it has.
        scale: what it is multiplied by on the way.
    """

    layer: int | None
    width: int
    scale: float = 1.0


@dataclass(frozen=True)
class Layer:
    """A linear map W x + b and the activation that follows it.

    Attributes:
        index: its place in forward order, from 0.
        name: of the module that owns the weight; ``""`` for the model itself.
        weight, bias: qualified names of the tensors; bias None where there is none.
        n_in, n_out: the widths.
        dtype: of the weight.
        activation: what follows; None for a read-out.
        sources: what its input is made of; one source, or several that are concatenated.
        last: whether no other layer takes its output.
    """

    index: int
    name: str
    weight: str
    bias: str | None
    n_in: int
    n_out: int
    dtype: torch.dtype
    activation: Activation | None
    sources: tuple[Source, ...]
    last: bool

    @property
    def first(self) -> bool:
        """Whether it takes the model's input, or features of it, and nothing else."""
        return all(source.layer is None for source in self.sources)

    @property
    def label(self) -> str:
        """Its name for messages and tables."""
        return self.name or self.weight
