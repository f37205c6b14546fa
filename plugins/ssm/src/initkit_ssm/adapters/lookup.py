"""What adapters of several families share: looking tensors up by their names and checking their shapes."""

from __future__ import annotations

from collections.abc import Mapping

from initkit import PlanError
from initkit_ssm.layers import Site, Stored

PROJECTIONS = {
    "in_proj": ("in_proj.weight",),
    "in_bias": ("in_proj.bias",),
    "out_proj": ("out_proj.weight", "o_proj.weight"),
    "out_bias": ("out_proj.bias", "o_proj.bias"),
    "conv": ("conv1d.weight",),
    "conv_bias": ("conv1d.bias",),
}
"""Roles of projections and the names under which libraries keep them."""


def first(site: Site, *names: str) -> tuple[str, tuple[int, ...]] | None:
    """The first tensor there is: name within the module and shape."""
    for name in names:
        shape = site.shape(name)
        if shape is not None:
            return name, shape
    return None


def needed(site: Site, *names: str) -> tuple[str, tuple[int, ...]]:
    """The first tensor there is; PlanError where there is none."""
    found = first(site, *names)
    if found is None:
        raise PlanError(f"{site.words()}: it has no {' or '.join(names)}")
    return found


def check(site: Site, first: str, shape: tuple[int, ...], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors whose shapes do not agree with that of ``first``; absent ones are no matter."""
    for name, wanted in expected.items():
        found = site.shape(name)
        if found is not None and found != wanted:
            raise PlanError(
                f"{site.words()}: {name} has shape {found}, expected {wanted}, as {first} has shape {shape}"
            )


def optional(site: Site, role: str, *names: str) -> dict[str, Stored]:
    """The role in the first tensor there is, nothing where there is none."""
    found = first(site, *names)
    return {} if found is None else {role: Stored(site.full(found[0]), found[1])}


def projections(site: Site) -> dict[str, Stored]:
    """The roles of the projections that the layer has."""
    found: dict[str, Stored] = {}
    for role, names in PROJECTIONS.items():
        found |= optional(site, role, *names)
    return found


def place(site: Site) -> int | None:
    """The number of the layer in its stack, where the module says it."""
    for name in ("layer_idx", "layer_id"):
        value = getattr(site.module, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
