"""Where a layer stands among its like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from initkit_ssm.layers import Found


def numbered(found: Found, kinds: Sequence[str]) -> Found:
    """Put each layer's place into its facts: ``at`` from 0, ``of`` the number of layers.

    A layer that says its own place (``layer`` of ``layers``) is believed, so that hybrids count all their blocks.
    """
    places = {layer.name: i for i, layer in enumerate(found.of(kinds))}
    count = len(places)
    layers = []
    for layer in found.layers:
        if layer.name in places:
            of, at = layer.facts.get("layers"), layer.facts.get("layer")
            known = isinstance(of, int) and isinstance(at, int) and 0 <= at < of
            place = {"at": at, "of": of} if known else {"at": places[layer.name], "of": count}
            layer = replace(layer, facts={**layer.facts, **place})
        layers.append(layer)
    return replace(found, layers=tuple(layers))
