"""What the recipes of this plugin share: the layer plan, torch's biases, the table in the report."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from initkit import Constant, Draw, Fill, Item, Job, JobContext, Keep, OptionError, PlanError, Recipe, Uniform
from initkit_inr.layers import Layer, LayerPlan, Said, find_layers
from initkit_inr.prediction import UNIFORM, condition, predicted

FIELD_KINDS = ("sine", "finer", "gauss", "wire", "sinc", "wavelet")
"""Activations by which a network is known as one of coordinates."""


@dataclass(frozen=True)
class FieldRecipe(Recipe):
    """A recipe for networks of coordinates, by their layer plan."""

    kinds: ClassVar[Sequence[str]] = ()
    """Activations that every inner layer must have one of; any where it is empty."""

    least_layers: ClassVar[int] = 1

    activation: Said = None

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weights of a network of coordinates whose activations suit the recipe."""
        try:
            layers = find_layers(model)
            cls._check(layers)
        except (PlanError, TypeError, AttributeError):
            return []
        named = any(layer.activation is not None and layer.activation.kind in FIELD_KINDS for layer in layers)
        return [layer.weight for layer in layers] if named or layers[0].n_in <= 3 else []

    def layers(self, model: nn.Module, coords: Any = None, inputs: Any = None) -> LayerPlan:
        """Find and check the layers; says what a user should know.

        Raises:
            PlanError: a layer does not suit the recipe.
        """
        try:
            layers = find_layers(model, self.activation, called_with(coords, inputs))
            self._check(layers)
        except (PlanError, OptionError) as error:
            raise type(error)(f"recipe {self.id}: {error}") from error
        for note in [*layers.notes, *half_precision(layers)]:
            warnings.warn(f"{self.id}: {note}", stacklevel=4)
        return layers

    @classmethod
    def _check(cls, layers: LayerPlan) -> None:
        if len(layers) < cls.least_layers:
            raise PlanError(
                f"{layers[0].label} is the model's only linear layer: this start needs a first one and a read-out"
            )
        if cls.kinds:
            for layer in layers:
                kind = None if layer.activation is None else layer.activation.kind
                if not layer.last and kind not in cls.kinds:
                    raise PlanError(
                        f"{layer.label} is followed by {layer.activation}, this start is for {' or '.join(cls.kinds)}; "
                        "inr/vi3nr takes any activation"
                    )
        for layer in layers:
            if min(layer.n_in, layer.n_out) == 0:
                raise PlanError(f"{layer.label} has no inputs or no outputs ({layer.n_in} to {layer.n_out})")

    def table(
        self,
        layers: LayerPlan,
        fills: Mapping[str, Draw],
        given: Any = None,
        remarks: Sequence[str] = (),
        **more: Any,
    ) -> Job:
        """A job that adds the table of layers to the report.

        Args:
            layers: the layer plan.
            fills: draws by tensor name; kept tensors are not in it.
            given: what the model is called with, where it is known: sizes are then measured too.
            remarks: what a user should know besides.
            more: further columns, each a list with a value for each layer.
        """
        some = thinned(given)
        x2 = UNIFORM if some is None else mean_square(layers, some)
        rows = rows_of(layers, fills, predicted(layers, fills, x2), **more)
        notes = [*layers.notes, *half_precision(layers), *remarks]
        name = self.id

        def note(ctx: JobContext) -> dict[str, torch.Tensor]:
            stds = None if some is None else layers.measured(some)
            for i, row in enumerate(rows):
                if stds is not None:
                    row["measured_std"] = significant(stds[i], 5)
            ctx.note(f"{name} layers", rows)
            if notes:
                ctx.note(f"{name} remarks", [{"remark": one} for one in notes])
            return {}

        return Job("layers", note, "adds the table of layers to the report")


def called_with(coords: Any, inputs: Any) -> Any:
    """What the model is called with: ``inputs`` where they are given, else the coordinates."""
    return coords if inputs is None else inputs


def mean_square(layers: LayerPlan, given: Any) -> float:
    """Mean of x² over the model's input (or features of it) at the first layers, to seven digits.

    A factor by which the model multiplies it before the linear map is not in it.
    """
    firsts = [layer for layer in layers if layer.first]
    sizes = [float(layers.input_of(one, given).square().mean()) / one.sources[0].scale ** 2 for one in firsts]
    return significant(sum(sizes) / len(sizes))


def thinned(given: Any, most: int = 4096) -> Any:
    """Evenly spaced points of a tensor (..., d), its number of axes kept; whatever else as it is."""
    if given is None or not hasattr(given, "shape") or len(given.shape) < 2:
        return given
    points, stride = torch.as_tensor(given).detach().cpu(), 1
    while math.prod(-(-n // stride) for n in points.shape[:-1]) > most:
        stride += 1
    return points[tuple(slice(None, None, stride) for _ in points.shape[:-1])]


def rows_of(
    layers: LayerPlan, fills: Mapping[str, Draw], stds: Sequence[float | None], **more: Any
) -> list[dict[str, Any]]:
    """The table of layers: draw, activation, where the frequency sits, predicted size of z, condition there."""
    rows = []
    for layer, std in zip(layers, stds, strict=True):
        draw, activation = fills.get(layer.weight), layer.activation
        row: dict[str, Any] = {
            "layer": layer.label,
            "weight": "kept" if draw is None else draw.describe(),
            "activation": "none" if activation is None else str(activation),
            "placement": "" if activation is None or not activation.periodic else activation.placement,
            "predicted_std": None if std is None else significant(std, 5),
            "condition": condition(layer, std),
        }
        rows.append(row | {key: values[layer.index] for key, values in more.items()})
    return rows


def torch_bias(layer: Layer, choice: Literal["torch", "keep", "zero"], fold: float = 1.0) -> Iterator[Item]:
    """A layer's bias: torch's default U(-1/√n_in, 1/√n_in), 0, or as it is.

    Args:
        layer: whose bias.
        choice: which.
        fold: what torch's bound is multiplied by: ω where the weights hold it.
    """
    if layer.bias is None:
        return
    if choice == "keep":
        yield Keep(layer.bias, "left as it is")
    elif choice == "zero":
        yield Fill(layer.bias, Constant(0.0), why="no offset")
    else:
        bound = fold / math.sqrt(layer.n_in)
        yield Fill(layer.bias, Uniform(-bound, bound), why=f"torch's default 1/√n_in, n_in {layer.n_in}{folded(fold)}")


def folded(factor: float) -> str:
    """Words for a bound that holds the frequency."""
    return "" if factor == 1 else f", times ω = {factor:.4g} that the weights hold"


def significant(value: float, digits: int = 7) -> float:
    """A number rounded to significant digits: what a scale computed from data has."""
    return float(f"{value:.{digits}g}")


def half_precision(layers: LayerPlan) -> list[str]:
    """What to say of sines with a large frequency in half types; [] where there are none."""
    half = (torch.float16, torch.bfloat16)
    fast = [
        layer.label
        for layer in layers.periodic
        if layer.activation and layer.activation.omega > 10
        if layer.dtype in half
    ]
    if not fast:
        return []
    return [f"sines of large arguments mean little in half precision ({fast[0]}): keep the sine layers in float32"]
