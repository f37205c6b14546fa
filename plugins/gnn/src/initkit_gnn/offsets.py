"""What every weight recipe does with the parameters that are no weight matrices."""

from __future__ import annotations

from collections.abc import Iterator

from initkit import Constant, Fill, Item, Keep
from initkit_gnn.layers import Layer


def offsets(layer: Layer, bias: str) -> Iterator[Item]:
    """Yield zeros for the layer's offsets (``bias="zero"``) or keeps, and keeps for attention vectors and the like."""
    for name in layer.biases:
        full = layer.full(name)
        yield Fill(full, Constant(0.0), why="no offset") if bias == "zero" else Keep(full, "bias=keep")
    for name in layer.others:
        yield Keep(layer.full(name), "carries no signal by itself (attention or the like)")
