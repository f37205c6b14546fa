"""What learned starts begin from: SIREN's draws, or the values that a model has."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from initkit import Draw, Fill, JobContext, PlanError
from initkit_inr.layers import LayerPlan
from initkit_inr.recipe import half_precision
from initkit_inr.siren import Siren

_PRESENT = (
    "; set start='present' to learn from the weights that the model has (another recipe of the same run can make them "
    "first)"
)


def siren_draws(model: nn.Module, layers: LayerPlan, recipe: str, bias: Literal["torch", "zero"]) -> dict[str, Draw]:
    """SIREN's draws for a sine network, by the first name of each parameter.

    Raises:
        PlanError: a layer's activation is no sine; names it.
    """
    for layer in layers:
        if layer.activation is None and layer.last:
            continue
        if layer.activation is None or not layer.activation.periodic:
            raise PlanError(
                f"recipe {recipe}: {layer.label} is followed by {layer.activation or 'nothing known'}, and SIREN's "
                f"start is for sines{_PRESENT if recipe.endswith('meta') else ''}"
            )
    first = first_names(model)
    draws: dict[str, Draw] = {}
    for item in Siren(bias=bias).items(layers):
        if not isinstance(item, Fill):
            continue
        if item.name not in first:
            raise PlanError(
                f"recipe {recipe}: {item.name} is computed from other parameters (a parametrisation), so SIREN's start "
                f"cannot be learned from{_PRESENT if recipe.endswith('meta') else '; remove the parametrisation first'}"
            )
        draws.setdefault(first[item.name], item.draw)
    return draws


def warn_of(layers: LayerPlan, recipe: str) -> None:
    """Say what a user should know of the layers."""
    for note in [*layers.notes, *half_precision(layers)]:
        warnings.warn(f"{recipe}: {note}", stacklevel=4)


def trained_names(model: nn.Module) -> list[str]:
    """The parameters that descent can move."""
    return [name for name, p in model.named_parameters() if p.is_floating_point() or p.is_complex()]


def first_names(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter, with the name that a tied one goes by."""
    seen: dict[int, str] = {}
    return {name: seen.setdefault(id(p), name) for name, p in model.named_parameters(remove_duplicate=False)}


def check_values(model: nn.Module, names: Sequence[str], recipe: str) -> None:
    """Refuse parameters without values that nothing draws.

    Raises:
        PlanError: one is on the meta device.
    """
    named = dict(model.named_parameters())
    for name in names:
        if named[name].is_meta:
            raise PlanError(
                f"recipe {recipe}: {name} {tuple(named[name].shape)} is on the meta device and has no start to learn "
                "from; apply another recipe first, in a run of its own"
            )


def sampled(ctx: JobContext, draws: dict[str, Draw], names: Sequence[str]) -> dict[str, Tensor]:
    """The starts by name: drawn, or the values that are there."""
    return {name: ctx.sample(draws[name], name) if name in draws else ctx.read(name) for name in names}
