"""What the layers of a Transformer add to the stream that passes through them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from initkit import Plot, Scene, Table, Verdict
from initkit_normfree.tfixup import LAYERS

MUCH = 1.0
"""A layer that adds more than the whole stream replaces it."""


def residuals(scene: Scene, *, inputs: Any) -> Iterator[Table | Verdict]:
    """Yield ‖layer(x) - x‖/‖x‖ for each encoder and decoder layer, in the order of execution."""
    layers: dict[nn.Module, str] = {
        module: name for name, module in scene.module.named_modules() if isinstance(module, LAYERS)
    }
    if not layers:
        return
    rows: list[dict[str, Any]] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        x = args[0].double()
        share = torch.linalg.vector_norm(out.double() - x) / torch.linalg.vector_norm(x)
        rows.append({"layer": layers[module], "added": float(share)})

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(look).remove)
        given = scene.given_inputs()
        scene.forward(*given.args, **given.kwargs)
    yield Table(
        "residuals", rows, words="what a layer adds, as a share of its input", plot=Plot("bars", "layer", ("added",))
    )
    most = max(rows, key=lambda row: row["added"])
    words = f"the layer that adds most adds {most['added']:.2f} of its input"
    yield Verdict("WARN" if most["added"] > MUCH else "PASS", words, most["layer"])
