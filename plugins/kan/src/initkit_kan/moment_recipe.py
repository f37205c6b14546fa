"""What the recipes that scale by moments share: the assumed input, and calibration on a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Gt
from torch import nn

from initkit import Fill, Item, Job, NeedError, PlanError
from initkit_kan import scales
from initkit_kan.assumed import assumed_moments
from initkit_kan.base import LayerRecipe, row
from initkit_kan.calibration import Calibration, first_names
from initkit_kan.layers import Found, Layer
from initkit_kan.moments import Moments


@dataclass(frozen=True)
class MomentRecipe(LayerRecipe):
    """A recipe whose scales follow from the moments of the layer's functions.

    Args:
        input: what each layer is assumed to see.
        gain: g in the formulas; None takes the standard deviation of the assumed input.
        per_feature: whether each input has scales of its own.
    """

    input: Literal["uniform", "normal", "grid", "batch"] = "uniform"
    gain: Annotated[float, Gt(0)] | None = None
    per_feature: bool = False

    @abstractmethod
    def formula(self, layer: Layer, moments: Moments) -> scales.Scales:
        """The formula."""

    @abstractmethod
    def words(self, layer: Layer, moments: Moments) -> tuple[str, str]:
        """The formula of both scales in words, with its numbers."""

    def plan(self, model: nn.Module, *, inputs: Any = None) -> Iterator[Item]:
        """Yield the fills of each layer in the order of registration.

        Args:
            model: with spline, RBF or Chebyshev layers.
            inputs: what the model is called with; for ``input="batch"``.

        Raises:
            PlanError: there are no such layers, or one has a family's names but not its shapes.
            NeedError: ``input="batch"`` without inputs.
        """
        found = self.found(model)
        if self.input == "batch":
            yield from self._calibrated(model, found, inputs)
            return
        rows: list[dict[str, Any]] = []
        fills: list[Fill] = []
        for layer in found.layers:
            moments = assumed_moments(layer, self.input)
            chosen = self.chosen(layer, moments)
            yield from self.around(layer)
            here = list(self.fills(layer, chosen, *self.words(layer, self.formula_moments(moments))))
            yield from here
            fills += here
            rows.append(row(layer, chosen, scales.gains(layer.fans, moments, chosen)))
        yield from self.closing(rows, self.remarks(model, found, fills))

    def formula_moments(self, moments: Moments) -> Moments:
        """The moments as the formula takes them: averaged unless features differ, with the gain asked for."""
        shared = moments if self.per_feature else moments.averaged()
        return shared if self.gain is None else replace(shared, g=self.gain)

    def chosen(self, layer: Layer, moments: Moments) -> scales.Scales:
        """The scales of a layer.

        Raises:
            PlanError: a function is 0 under the assumed input, so that no scale can be found.
        """
        taken = self.formula_moments(moments)
        if not (taken.mu0.sum(axis=1) > 0).all() or (taken.r0.size and not (taken.r0 > 0).all()):
            raise PlanError(
                f"recipe {self.id}, {layer.title}: its functions are 0 wherever its inputs are, with "
                f"input={self.input!r}; set the grid to where inputs are (update_grid), or leave per_feature out"
            )
        return self.formula(layer, taken)

    def _calibrated(self, model: nn.Module, found: Found, inputs: Any) -> Iterator[Item]:
        if inputs is None:
            raise NeedError(
                f"recipe {self.id}: input='batch' needs inputs, what the model is called with: give inputs=..., or "
                "define the name 'inputs' in model.py"
            )
        surface = next((layer for layer in found.layers if layer.surface), None)
        if surface is not None:
            raise PlanError(f"{surface.title}: input='batch' knows no surfaces over two inputs; use input='uniform'")
        for layer in found.layers:
            yield from self.around(layer)
        job = Job(
            "calibrate",
            lambda ctx: Calibration(self, found.layers, inputs, ctx).run(),
            f"runs the batch through {len(found.layers)} layers, each scaled by what it sees of the layers before",
        )
        yield job
        for name in dict.fromkeys(first_names(model, found.layers).values()):
            yield Fill(name, job[name], why="scaled by the moments of the batch there")
        yield from self.closing([], self.remarks(model, found, []))
