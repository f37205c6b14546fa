"""What enters a layer when the model reads data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from initkit import CommitError, JobContext
from initkit._functional import call_with
from initkit.probing.inputs import Inputs
from initkit_ssm.layers import Layer, Site

_DEPTH = 3


def layer_input(ctx: JobContext, layer: Layer, inputs: Any) -> Tensor:
    """The sequences that enter a layer, (B, L, channels), in float64 on ``ctx.device``.

    The kernels of some libraries do not see the sequences themselves; the module around them does, so the innermost
    of the layer's module and those around it that is called with a tensor of the layer's width counts. The model runs
    in eval mode without autograd; a layer that changes its own parameters as it runs (S4 does) changes copies.

    Raises:
        CommitError: the model fails on the inputs, or no such tensor enters the layer.
    """
    channels = int(layer.facts["channels"])
    caught: dict[int, Tensor] = {}
    handles = []
    for depth, module in enumerate(_around(layer.site)):

        def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], depth: int = depth) -> None:
            for value in (*args, *kwargs.values()):
                found = _sequences(value, channels)
                if found is not None and depth not in caught:
                    caught[depth] = found

        handles.append(module.register_forward_pre_hook(catch, with_kwargs=True))
    copies = {}
    for role in ("C", "length"):
        if layer.kind == "s4_dplr" and role in layer.roles:
            name = layer.roles[role].tensor
            copies[name] = ctx.read(name)
    given = Inputs.of(inputs() if callable(inputs) else inputs, ctx.device)
    try:
        with ctx.undisturbed() as model:
            call_with(model, copies, *given.args, **given.kwargs)
    except Exception as error:
        raise CommitError(
            f"{layer.title}: the model fails on inputs ({given}): {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not caught:
        raise CommitError(
            f"{layer.title}: no tensor (batch, length, {channels}) or (batch, {channels}, length) enters it or the "
            "modules around it when the model reads inputs"
        )
    return caught[min(caught)].detach().to(ctx.device, torch.float64)


def _around(site: Site) -> list[nn.Module]:
    found: list[nn.Module] = []
    at: Site | None = site
    while at is not None and len(found) < _DEPTH:
        found.append(at.module)
        at = at.parent
    return found


def _sequences(value: Any, channels: int) -> Tensor | None:
    """A tensor as (B, L, channels), or None where it is none."""
    if not isinstance(value, Tensor) or value.ndim != 3 or not value.is_floating_point():
        return None
    if torch._C._functorch.is_batchedtensor(value):
        return None
    if value.shape[-1] == channels:
        return value
    return value.transpose(1, 2) if value.shape[1] == channels else None
