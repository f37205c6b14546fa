"""What reaches each layer, and what leaves it, when a model runs on the scene's inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from initkit import NotMeasured, Scene
from initkit.probing.inputs import first_tensor
from initkit_kan.layers import Layer


@dataclass(frozen=True)
class Seen:
    """A layer's first call.

    Attributes:
        layer: that was called.
        x: its input, (samples, n).
        basis_x: what the basis saw of it, the same unless a layer norm stands before.
        y: its output, (samples, o).
    """

    layer: Layer
    x: Tensor
    basis_x: Tensor
    y: Tensor


def watch(scene: Scene, layers: Sequence[Layer]) -> list[Seen]:
    """Run the model and return the layers' first calls, in the order of execution.

    Raises:
        NotMeasured: there is nothing to run the model on, or no layer was called as expected.
    """
    found: dict[str, Seen] = {}
    with contextlib.ExitStack() as stack:
        for layer in layers:

            def keep(module: nn.Module, args: Any, kwargs: Any, out: Any, layer: Layer = layer) -> None:
                x, y = first_tensor((*args, *kwargs.values())), first_tensor(out)
                if x is None or y is None or x.ndim == 0 or x.shape[-1] != layer.n or layer.name in found:
                    return
                flat = x.detach().reshape(-1, layer.n)
                norm = module._modules.get("layernorm") if layer.normalised else None
                seen = flat if norm is None else norm(flat)
                found[layer.name] = Seen(layer, flat, seen.detach(), y.detach().reshape(-1, layer.o))

            module = scene.module.get_submodule(layer.name)
            stack.callback(module.register_forward_hook(keep, with_kwargs=True).remove)
        with scene.undisturbed() as model:
            loss = scene.loss_function() if scene.inputs is None else None
            if loss is not None:
                loss(model)
            else:
                scene.call(model, scene.given_inputs())
    if not found:
        raise NotMeasured("no layer was called with rows of its number of inputs")
    return list(found.values())
