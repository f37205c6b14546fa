"""What adapters of several families share: looking tensors up by their names and checking their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from initkit import PlanError
from initkit_ssm.layers import Site, Stored


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


def projections(site: Site, leave: Sequence[str] = ()) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """Roles of the linear maps and convolutions that the layer holds, and their names.

    A weight has the map's name as its role (``out_proj`` for the one that is called so or ``o_proj``), its bias that
    name with ``_bias``.

    Args:
        site: of the layer.
        leave: names of maps that have roles of their own.
    """
    roles: dict[str, Stored] = {}
    names = []
    for child, module in site.module.named_children():
        weight = module._parameters.get("weight")
        if child in leave or weight is None or weight.ndim not in (2, 3):
            continue
        name = "out_proj" if child == "o_proj" else child
        names.append(name)
        roles |= optional(site, name, f"{child}.weight")
        roles |= optional(site, f"{name}_bias", f"{child}.bias")
    return roles, tuple(names)


def place(site: Site) -> int | None:
    """The number of the layer in its stack, where the module says it."""
    for name in ("layer_idx", "layer_id"):
        value = getattr(site.module, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
