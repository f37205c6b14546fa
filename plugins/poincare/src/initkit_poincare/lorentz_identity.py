"""The identity on space coordinates of the hyperboloid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from initkit import Constant, Draw, Fill, Item, Orthogonal, PlanError
from initkit._guard import random_state
from initkit_poincare.layers import Kind, Layer, find_layers
from initkit_poincare.placing import Placed, ScaledEye
from initkit_poincare.recipe import LayerRecipe
from initkit_poincare.substitute import substituted


@dataclass(frozen=True)
class LorentzIdentity(LayerRecipe):
    """Lorentz layers that start as the identity on space coordinates.

    The layer computes y_space = (W x)_1.. and time anew from it: W = [0 0; 0 I] (out, in), padded with zeros where more
    go out than come in, √((in-1)/(out-1)) times orthonormal rows where fewer do; offsets 0. An exact isometry without
    the layer's own normalisation. With ``normalize=True`` the radius is set by ``scale`` and a sigmoid of the time row,
    so that only directions are kept; the recipe says so. A convolution gets this at its centre tap, which is found by
    sending an image with one bright pixel through the layer.

    Source: Chen et al., Fully Hyperbolic Neural Networks, ACL 2022 (arXiv 2105.14686) and Bdeir, Schwethelm, Landwehr,
    Fully Hyperbolic Convolutional Neural Networks for Computer Vision, ICLR 2024 (arXiv 2303.15919) for the layers; the
    start is ours.
    """

    bibtex: ClassVar[str] = """@inproceedings{bdeir2024fully,
  title = {Fully Hyperbolic Convolutional Neural Networks for Computer Vision},
  author = {Bdeir, Ahmad and Schwethelm, Kristian and Landwehr, Niels},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2303.15919},
  archivePrefix = {arXiv}
}"""
    kinds: ClassVar[Sequence[Kind]] = ("lorentz", "lorentz_conv")

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each layer's matrix and offsets.

        Args:
            model: with Lorentz linear layers or convolutions.
        """
        layers = find_layers(model, self.kinds)
        scaled = [layer.label for layer in layers if _normalises(layer)]
        if scaled:
            warnings.warn(
                f"{self.id}: {', '.join(scaled)}: normalize=True sets the radius by scale·sigmoid, so that only "
                "directions are kept",
                stacklevel=2,
            )
        for layer in layers:
            block, why = lorentz_block(layer)
            columns = centre_columns(layer) if layer.kind == "lorentz_conv" else slice(1, None)
            where = ", at the centre tap" if layer.kind == "lorentz_conv" else ""
            yield Fill(layer.weight, Placed(block, [slice(1, None)], columns), why=f"{why}{where}")
            if layer.bias is not None:
                yield Fill(layer.bias, Constant(0.0), why="no offset")


def lorentz_block(layer: Layer) -> tuple[Draw, str]:
    """The space block of a Lorentz layer's matrix, and why."""
    n, m = layer.channels - 1, layer.m - 1
    if n > m:
        gain = math.sqrt(n / m)
        return Orthogonal(gain), f"time row 0, space √(in/out) = {gain:.4g} times orthonormal rows"
    return ScaledEye(1.0), f"time row 0, space {'I' if n == m else '[I; 0]'}: an exact isometry"


def centre_columns(layer: Layer) -> list[int]:
    """The columns of a Lorentz convolution's matrix that belong to the space coordinates of the centre pixel.

    Raises:
        PlanError: the layer cannot be probed: it is on the meta device, or its forward fails.
    """
    module: Any = layer.module
    if any(p.is_meta for p in module.parameters()):
        raise PlanError(f"{layer.label}: its order of columns is found by running it, which the meta device cannot")
    spread = getattr(module, "dilation", 1)
    spread = spread if isinstance(spread, (tuple, list)) else (spread,) * len(layer.taps)
    sides = [step * (k - 1) + 1 for step, k in zip(spread, layer.taps, strict=True)]
    centre = tuple(step * ((k - 1) // 2) for step, k in zip(spread, layer.taps, strict=True))
    space = torch.zeros(2, *sides, layer.channels - 1)
    space[(0, ..., 0)] = 1.0  # one channel everywhere: only the patch that holds the whole image sees all of it
    space[(1, *centre)] = torch.arange(1.0, layer.channels)  # the centre pixel: each channel by its own number
    k = float(getattr(module.linearized_kernel.manifold, "k", 1.0))
    image = torch.cat([(space.square().sum(-1, keepdim=True) + k).sqrt(), space], dim=-1)
    weight = module.linearized_kernel.weight.weight
    recorder = _Recorder(layer.m)
    try:
        with torch.no_grad(), random_state():
            substituted(module, {"linearized_kernel": recorder})(image.to(weight.device, weight.dtype))
        patches = recorder.seen.reshape(2, -1, layer.n)[..., 1:].to("cpu", torch.float64)
    except Exception as error:
        raise PlanError(
            f"{layer.label}: its order of columns cannot be found by running it: {str(error).splitlines()[0]}"
        ) from error
    whole = (patches[0].abs() > 0.5).sum(dim=1) == math.prod(layer.taps)
    row = patches[1][int(whole.nonzero()[0])] if bool(whole.any()) else torch.zeros(layer.n - 1)
    columns = [torch.nonzero((row - channel).abs() < 0.25).flatten().tolist() for channel in range(1, layer.channels)]
    if any(len(found) != 1 for found in columns):
        raise PlanError(f"{layer.label}: a pixel does not come back in its patches; the layer is of an unknown kind")
    return [1 + found[0] for found in columns]


class _Recorder(nn.Module):
    """Stands where the linear part is and keeps what it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.seen = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return x.new_zeros(*x.shape[:-1], self.width)


def _normalises(layer: Layer) -> bool:
    module: Any = layer.module
    return bool(getattr(getattr(module, "linearized_kernel", module), "normalize", False))
