"""A table of rows as coordinates times primitives, and a model that keeps both in place of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from initkit import CommitError, PlanError
from initkit_tokenizer import statistics
from initkit_tokenizer.model_tensors import VocabTensors

SMALLEST = 1e-6
"""A singular value that is a smaller share of the largest says nothing."""


@dataclass(frozen=True)
class Factors:
    """The leading part of a singular value decomposition (SVD) E = U S Vᵀ.

    Args:
        values: S, the D' largest, largest first, (D',), float64.
        directions: their columns of V, (d, D'), float64; the largest entry of each is positive.
        count: rows of E.
        centre: mean row of E, (d,), float64.
    """

    values: Tensor
    directions: Tensor
    count: int
    centre: Tensor

    @classmethod
    def of(cls, table: Tensor, rows: Tensor, dim: int) -> Factors:
        """Decompose chosen rows, read in blocks, by the eigenvalues of EᵀE in float64.

        Args:
            table: (V, d), any float type.
            rows: indices of the rows of E.
            dim: D', at most d.

        Raises:
            CommitError: the rows span fewer dimensions.
        """
        width = table.shape[1]
        products = torch.zeros(width, width, dtype=torch.float64, device=table.device)
        total = torch.zeros(width, dtype=torch.float64, device=table.device)
        for block in statistics.blocks(table, rows):
            exact = block.to(torch.float64)
            products += exact.T @ exact
            total += exact.sum(0)
        squares, vectors = torch.linalg.eigh(products)
        values = squares.clamp_min(0).sqrt().flip(0)
        rank = int((values > SMALLEST * values[0]).sum()) if float(values[0]) > 0 else 0
        if dim > rank:
            raise CommitError(f"the rows span {rank} dimensions, so {dim} coordinates are too many; take dim={rank}")
        directions = vectors.flip(1)[:, :dim]
        signs = directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
        return cls(values[:dim], directions * signs, len(rows), total / len(rows))

    @property
    def primitives(self) -> Tensor:
        """P = S Vᵀ, (D', d), float64."""
        return self.values.unsqueeze(1) * self.directions.T

    def coordinates(self, rows: Tensor) -> Tensor:
        """F with F P nearest to the rows, (n, D'), float64: rows of U for those of E."""
        return rows.to(torch.float64) @ self.directions / self.values

    def projected(self, rows: Tensor) -> Tensor:
        """The part of rows that coordinates can say, (n, d), float32."""
        flat = self.directions.to(torch.float32)
        made: Tensor = (rows.to(torch.float32) @ flat) @ flat.T
        return made

    def spread(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each coordinate over the rows of E, both (D',): columns of U have length 1."""
        mean = self.coordinates(self.centre.unsqueeze(0)).squeeze(0)
        return mean, (1 / self.count - mean.square()).clamp_min(0).sqrt()


class FactoredEmbedding(nn.Module):
    """Looks up coordinates and turns them into rows.

    Args:
        coordinates: F, (V, D').
        primitives: P, (D', d).
    """

    def __init__(self, coordinates: Tensor, primitives: Tensor) -> None:
        super().__init__()
        rows, dim = coordinates.shape
        self.coordinates = nn.Embedding(rows, dim, _weight=coordinates)
        self.primitives = nn.Parameter(primitives)

    def forward(self, ids: Tensor) -> Tensor:
        """Rows of ids, (..., d)."""
        out: Tensor = self.coordinates(ids) @ self.primitives
        return out


class FactoredHead(nn.Module):
    """Logits from coordinates and primitives, (h Pᵀ) Fᵀ + b.

    Args:
        table: holds F and P; an embedding's own where the head is tied to it.
        bias: b, (V,), or None.
    """

    def __init__(self, table: FactoredEmbedding, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.table = table
        self.bias = bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits, (..., V)."""
        out: Tensor = (hidden @ self.table.primitives.T) @ self.table.coordinates.weight.T
        return out if self.bias is None else out + self.bias


def use_factors(model: nn.Module, outputs: Mapping[str, Tensor]) -> nn.Module:
    """Let a model keep coordinates and primitives in place of its embedding and its head, in place.

    The model computes with F P what it computed with its tables, has V D' + D' d numbers for them, and trains both
    factors, as the paper does. Its class cannot load that back: keep the state dict. A head that is tied to the
    embedding shares its factors; one of its own takes ``head_coordinates`` and ``head_primitives``.

    Args:
        model: that ``tokenizer/ofa`` was applied to with ``dim``.
        outputs: of the report, or of :func:`initkit.load`.

    Returns:
        the model.

    Raises:
        PlanError: the outputs hold no factors, or these do not fit the model.
    """
    tensors = VocabTensors.of(model)
    table = _table(outputs, "", tensors.rows, tensors.width)
    embedded = model.get_parameter(tensors.input.name)
    own = None if tensors.head is None else model.get_parameter(tensors.head.name)
    places = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if getattr(module, "weight", None) is embedded or (own is not None and getattr(module, "weight", None) is own)
    ]
    head = None if own is None else _table(outputs, "head_", tensors.rows, tensors.width)
    table.to(embedded.device, embedded.dtype)
    for name, module in places:
        parent, _, last = name.rpartition(".")
        if isinstance(module, nn.Embedding):
            table.coordinates.padding_idx = module.padding_idx
            setattr(model.get_submodule(parent), last, table)
        else:
            held = table if module.weight is embedded else head
            assert held is not None
            made = FactoredHead(held.to(embedded.device, embedded.dtype), getattr(module, "bias", None))
            setattr(model.get_submodule(parent), last, made)
    config: Any = getattr(model, "config", None)
    if config is not None and hasattr(config, "tie_word_embeddings"):
        config.tie_word_embeddings = False  # there is nothing of one shape left to tie
    return model


def _table(outputs: Mapping[str, Tensor], prefix: str, rows: int, width: int) -> FactoredEmbedding:
    names = f"{prefix}coordinates", f"{prefix}primitives"
    if any(name not in outputs for name in names):
        raise PlanError(f"the outputs hold no {names[0]} and {names[1]}: apply tokenizer/ofa with dim=NUMBER")
    coordinates, primitives = (outputs[name].clone() for name in names)
    if len(coordinates) != rows or primitives.shape != (coordinates.shape[1], width):
        raise PlanError(
            f"{names[0]} {tuple(coordinates.shape)} and {names[1]} {tuple(primitives.shape)} do not fit a model with "
            f"{rows} rows of {width}"
        )
    return FactoredEmbedding(coordinates, primitives)
