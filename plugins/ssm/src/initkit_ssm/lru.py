"""LRU: eigenvalues uniform on a ring of the complex plane."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from initkit import Constant, Draw, Fill, Item, Normal, OptionError, Uniform
from initkit.draws.scaled import Elementwise
from initkit_ssm.base import LayerRecipe
from initkit_ssm.codes import log
from initkit_ssm.layers import Found, Layer
from initkit_ssm.poles import Placed
from initkit_ssm.ranges import check_range


class Ring(NamedTuple):
    """Radii and greatest angle."""

    r_min: float
    r_max: float
    phase: float


PRESETS = {
    "standard": Ring(0.0, 1.0, 2 * math.pi),
    "long": Ring(0.9, 0.999, 2 * math.pi),
    "very_long": Ring(0.99, 0.9999, math.pi / 10),
}


@dataclass(frozen=True)
class Lru(LayerRecipe):
    """Linear recurrent units: eigenvalues uniform on a ring, inputs scaled so that states keep their size.

    With u1, u2 ~ U(0, 1): |λ|² = u1 (r_max² - r_min²) + r_min², arg λ = phase u2, and γ = sqrt(1 - |λ|²) multiplies
    the input. B has real and imaginary parts N(0, 1/(2H)), C N(0, 1/N), D N(0, 1).

    A model without LRU layers but with S4D layers gets the ring there: A = log λ, dt = 1, B = γ A/(λ - 1).

    Args:
        preset: ``standard``: r from 0 to 1, phase 2π; ``long``: r from 0.9 to 0.999, phase 2π; ``very_long``: r from
            0.99 to 0.9999, phase π/10. The greatest memory is about 1/(1 - r_max) steps.
        r_min: inner radius; None takes the preset's.
        r_max: outer radius; None takes the preset's.
        phase: greatest angle; None takes the preset's. A delay of τ steps needs angles up to π times the band of the
            input, spaced by about π/τ.
        d_init: whether D is drawn ``normal``, or ``keep``.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: Orvieto et al., Resurrecting Recurrent Neural Networks for Long Sequences, ICML 2023 (arXiv 2303.06349).
    """

    bibtex: ClassVar[str] = """@inproceedings{orvieto2023resurrecting,
  title = {Resurrecting Recurrent Neural Networks for Long Sequences},
  author = {Orvieto, Antonio and Smith, Samuel L. and Gu, Albert and Fernando, Anushan and Gulcehre, Caglar and
            Pascanu, Razvan and De, Soham},
  booktitle = {International Conference on Machine Learning},
  year = {2023},
  eprint = {2303.06349},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("lru",)

    preset: Literal["standard", "long", "very_long"] = "standard"
    r_min: Annotated[float, Ge(0), Le(1)] | None = None
    r_max: Annotated[float, Gt(0), Le(1)] | None = None
    phase: Annotated[float, Gt(0)] | None = None
    d_init: Literal["normal", "keep"] = "normal"

    def check(self) -> None:
        """Relate the radii."""
        super().check()
        ring = self.ring
        check_range(self.id, r_min=ring.r_min, r_max=ring.r_max)
        if ring.r_min == 1:
            raise OptionError(
                f"recipe {self.id}, option r_min=1: on the unit circle itself nothing decays; use r_min < 1"
            )

    @property
    def ring(self) -> Ring:
        """The ring of the preset, with the options given in place of its numbers."""
        given = {"r_min": self.r_min, "r_max": self.r_max, "phase": self.phase}
        return PRESETS[self.preset]._replace(**{name: value for name, value in given.items() if value is not None})

    def wanted(self, found: Found) -> Sequence[str]:
        """S4D layers where there is no LRU layer."""
        return self.kinds if found.of(self.kinds) else ("s4d", "s4_dplr")

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """The ring, B, C and D of one layer."""
        r_min, r_max, phase = self.ring
        angle = Uniform(0.0, phase)
        ring = f"ring r {r_min:g} to {r_max:g}, phase {phase:.4g}"
        if layer.kind == "lru":
            yield from unit_items(layer, decay(r_min, r_max), angle, ring, self.d_init == "normal")
            return
        values = Placed(layer, decay(r_min, r_max), False, angle, Constant(1.0), True, ring).values()
        yield from layer.fills(values | s4_extras(layer, self.d_init == "normal"))


def decay(r_min: float, r_max: float) -> Draw:
    """-log|λ| for |λ|² uniform between the squared radii."""
    if r_min == r_max:
        return Constant(-math.log(r_min))
    return Uniform(r_min**2, r_max**2).map(_half_minus_log, "-1/2 log")


def unit_items(layer: Layer, nu: Draw, angle: Draw, words: str, d: bool) -> Iterator[Item]:
    """The items of a linear recurrent unit with given decays and angles.

    Args:
        layer: of kind ``lru``.
        nu: draw of -log|λ|.
        angle: draw of arg λ.
        words: what they are.
        d: whether D is drawn.
    """
    roles, inputs, states = layer.roles, layer.facts["channels"], layer.facts["state"]
    values: dict[str, tuple[Draw, str]] = {
        "nu": (nu, f"-log|λ| = exp(nu_log): {words}"),
        "theta": (angle, f"arg λ = exp(theta_log): {words}"),
        "B": (Normal(math.sqrt(0.5 / inputs)), f"Var[Re B] = 1/(2H), H = {inputs}"),
        "C": (Normal(math.sqrt(1 / states)), f"Var[Re C] = 1/N, N = {states}"),
    }
    if "D" in roles and d:
        dense = len(roles["D"].shape) == 2
        values["D"] = (
            (Normal(1 / math.sqrt(inputs)), f"Var[D] = 1/H, H = {inputs}") if dense else (Normal(1.0), "N(0, 1)")
        )
    yield from layer.fills(values)
    if "gamma" in roles:
        yield Fill(
            roles["gamma"].tensor,
            log_gamma(nu, roles["nu"].tensor),
            "γ = sqrt(1 - |λ|²), so that states keep their size",
        )


def log_gamma(nu: Draw, home: str) -> Draw:
    """log γ = log(1 - exp(-2ν))/2, with the random numbers of the tensor ``home`` that holds ν."""
    if isinstance(nu, Elementwise):
        return nu.map(_log_gamma, "1/2 log(1 - exp(-2·))").using(home)
    assert isinstance(nu, Constant)
    return Constant(float(_log_gamma(torch.tensor(float(nu.value.real), dtype=torch.float64))))


def s4_extras(layer: Layer, d: bool) -> dict[str, tuple[Draw, str]]:
    """What S4 layers have besides: no low-rank term, C as it is, D."""
    values: dict[str, tuple[Draw, str]] = {}
    if "P" in layer.roles:
        values["P"] = (Constant(0.0), "no low-rank term: A is diagonal")
    if "length" in layer.roles:
        values["length"] = (Constant(0), "C is C itself, not yet multiplied by 1 - Ā^L")
    if "D" in layer.roles and d:
        values["D"] = (Normal(1.0), "D ~ N(0, 1)")
    return values


def _half_minus_log(square: Tensor) -> Tensor:
    return -log(square) / 2


def _log_gamma(nu: Tensor) -> Tensor:
    return log(-torch.expm1(-2 * nu)) / 2
