"""S4D: diagonal state space models that start from a law for their eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import Constant, Draw, Item, Normal, PlanError, Uniform, Values
from initkit_ssm import laws
from initkit_ssm.base import LayerRecipe
from initkit_ssm.codes import PLAIN, exp
from initkit_ssm.formula import Formula, Part
from initkit_ssm.layers import Found, Layer, Stored
from initkit_ssm.lru import s4_extras, unit_items
from initkit_ssm.poles import Placed, half_circle
from initkit_ssm.ranges import check_range, log_uniform

Variant = Literal["legs", "lin", "inv", "real", "rand", "dfout"]


@dataclass(frozen=True)
class S4D(LayerRecipe):
    """Diagonal state space models: eigenvalues by the laws of HiPPO and its relatives, dt over two decades.

    With N the real state size and n = 0 .. N/2 - 1, A_n is

        legs    -1/2 + i w_n, w_n the frequencies of HiPPO-LegS's normal part, and B_n = min(sqrt(2) T_n, 2)
        lin     -1/2 + i π n
        inv     -1/2 + i (N/π)(N/(2n+1) - 1)
        real    -(n+1), without frequencies
        rand    -1/2 + i exp(z), z ~ N(0, 1): a control
        dfout   poles placed in discrete time, exp(-ξ/2 + i π (n + h/H)/M) for channel h of H, ξ log-uniform

    B is 1 but for legs and dfout, C standard complex normal, D standard normal, dt log-uniform. A model without S4D
    layers gets it in S4 layers with a low-rank term, which becomes 0, and in A, dt and D of S5 layers; with dfout in
    LRU layers.

    Args:
        variant: the law of the eigenvalues.
        dt_min: least step; about 1/L for sequences of length L, which lets channels see all of them.
        dt_max: greatest step.
        real_scale: factor of -Re A.
        imag_scale: factor of Im A; which frequencies are learned well moves with it (FreqBiasSSM).
        real_part: ``law``, or ``random``: -Re A ~ U(0, 1).
        imag_part: ``law``, or ``random``: Im A ~ U(0, N/2).
        legs_b: B of legs: ``clipped`` at 2, as the authors' code starts it; ``half``: sqrt(2) T/2, as the paper has it.
        b_init: of the laws that have B = 1: ``constant``, ``alternating`` 1, -1, ..., or ``random``: complex normal.
        d_init: whether D is drawn ``normal``, or ``keep``.
        xi_min: least ξ of dfout.
        xi_max: greatest ξ of dfout.
        dfout_dt: ``one``: dfout's layers step by 1; ``drawn``: dt is drawn and A = log(λ)/dt.
        dfout_b: ``unit``: B̄ = sqrt(1 - |λ|²), so that white noise keeps its size; ``one``: B = 1.
        floor: least rate and frequency that S4's own layers are given; 0 stores zeros where they can hold them.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: Gu, Gupta, Goel, Ré, On the Parameterization and Initialization of Diagonal State Space Models, NeurIPS
    2022 (arXiv 2206.11893); dfout: Solozabal et al., NeurIPS 2025 (arXiv 2508.20441).
    """

    bibtex: ClassVar[str] = """@inproceedings{gu2022s4d,
  title = {On the Parameterization and Initialization of Diagonal State Space Models},
  author = {Gu, Albert and Gupta, Ankit and Goel, Karan and R{\\'e}, Christopher},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  eprint = {2206.11893},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s4d",)

    variant: Variant = "legs"
    dt_min: Annotated[float, Gt(0)] = 1e-3
    dt_max: Annotated[float, Gt(0)] = 1e-1
    real_scale: Annotated[float, Gt(0)] = 1.0
    imag_scale: Annotated[float, Gt(0)] = 1.0
    real_part: Literal["law", "random"] = "law"
    imag_part: Literal["law", "random"] = "law"
    legs_b: Literal["clipped", "half"] = "clipped"
    b_init: Literal["constant", "alternating", "random"] = "constant"
    d_init: Literal["normal", "keep"] = "normal"
    xi_min: Annotated[float, Gt(0)] = 1e-3
    xi_max: Annotated[float, Gt(0)] = 1e-1
    dfout_dt: Literal["one", "drawn"] = "one"
    dfout_b: Literal["unit", "one"] = "unit"
    floor: Annotated[float, Ge(0)] = 1e-4

    def check(self) -> None:
        """Relate the bounds of dt and of ξ."""
        super().check()
        check_range(self.id, dt_min=self.dt_min, dt_max=self.dt_max)
        check_range(self.id, xi_min=self.xi_min, xi_max=self.xi_max)

    def wanted(self, found: Found) -> Sequence[str]:
        """Other layers where there is no S4D layer; for dfout linear recurrent units, whose B can follow."""
        if found.of(self.kinds):
            return self.kinds
        return ("s4_dplr", "lru") if self.variant == "dfout" else ("s4_dplr", "s5")

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """A, B, C, D and dt of one layer."""
        if layer.kind == "lru":
            nu = log_uniform(self.xi_min / 2, self.xi_max / 2)
            angle = half_circle(1, layer.roles["theta"].shape[0])[0].clamp(min=self.floor or 1e-4)
            yield from unit_items(layer, nu, Values(angle, f"π n/{len(angle)}"), "DFouT", self.d_init == "normal")
            return
        layer = self._floored(layer)
        yield from layer.fills(_Values(self, layer).all())

    def remarks(self, layer: Layer) -> list[str]:
        """What a user should know of this variant on this layer."""
        if self.variant == "real" and "freq" in layer.roles:
            return [
                f"{layer.title} is complex: real eigenvalues -1 .. -{layer.roles['freq'].shape[-1]} leave half of its "
                "state unused; a layer of real states has use for this variant"
            ]
        if layer.kind == "s4_dplr":
            return [f"{layer.title}: its low-rank term P is set to 0, where its gradient is 0 too; ssm/s4_dplr has one"]
        return []

    def _floored(self, layer: Layer) -> Layer:
        """The layer with this recipe's floor in place of its library's."""

        def floored(where: Stored) -> Stored:
            if where.code.floor is None or (self.floor == 0 and where.code.name != PLAIN.name):
                return where
            return replace(where, code=replace(where.code, floor=self.floor or None))

        return replace(layer, roles={role: floored(where) for role, where in layer.roles.items()})


class _Values:
    """The values of one layer's roles."""

    def __init__(self, recipe: S4D, layer: Layer) -> None:
        self.recipe, self.layer = recipe, layer
        self.rate = layer.roles["rate"]
        self.real = "freq" not in layer.roles
        self.state = int(layer.facts["state"])
        self.sign = int(layer.facts.get("sign", 1))
        if self.real and recipe.variant != "real":
            raise PlanError(
                f"recipe {recipe.id}, {layer.title}: its states are real, so variant={recipe.variant!r} has no place "
                "for frequencies; use variant='real'"
            )
        if not layer.facts["paired"] and self.state % 2:
            raise PlanError(
                f"recipe {recipe.id}, {layer.title}: {self.state} eigenvalues do not make conjugate pairs; "
                "give the layer an even state size"
            )

    def all(self) -> dict[str, tuple[Draw, str]]:
        """By role: a draw and why."""
        recipe = self.recipe
        values = self._placed() if recipe.variant == "dfout" else self._lawful()
        return values | s4_extras(self.layer, recipe.d_init == "normal")

    def _lawful(self) -> dict[str, tuple[Draw, str]]:
        """Rates and frequencies by a law, C times B where the layer has no B."""
        recipe, n = self.recipe, self.state
        law = self._law()
        values: dict[str, tuple[Draw, str]] = {}
        if recipe.real_part == "random":
            values["rate"] = (Uniform(0.0, recipe.real_scale), f"-Re A ~ U(0, {recipe.real_scale:g})")
        else:
            values["rate"] = (self._spread(law.rate * recipe.real_scale), self._why("-Re A", law.rate))
        if not self.real:
            if recipe.imag_part == "random":
                values["freq"] = (Uniform(0.0, recipe.imag_scale * n / 2), f"Im A ~ U(0, N/2), N = {n}")
            elif recipe.variant == "rand":
                scale = recipe.imag_scale
                values["freq"] = (Normal(1.0).map(lambda z: scale * exp(z), "exp"), "Im A = exp(z), z ~ N(0, 1)")
            else:
                freq = law.freq * recipe.imag_scale
                if not self.layer.facts["paired"]:
                    freq = torch.cat([freq, -freq])
                values["freq"] = (self._spread(freq), self._why("Im A", law.freq))
        low, high = recipe.dt_min, recipe.dt_max
        values["dt"] = (log_uniform(low, high), f"dt ~ logU({low:g}, {high:g})")
        values |= self._input_output(law.b)
        return values

    def _law(self) -> laws.Law:
        variant, n = self.recipe.variant, self.state
        if variant == "real":
            return laws.real(self.rate.shape[-1])
        if variant == "legs":
            law = laws.legs(n)
            b = law.b / 2 if self.recipe.legs_b == "half" else law.b.clamp(max=2.0)
            return law._replace(b=b)
        return laws.inv(n) if variant == "inv" else laws.lin(n)

    def _spread(self, modes: Tensor) -> Draw:
        """The same modes in each of the layer's state matrices."""
        value = modes.expand(self.rate.shape) if len(modes) == self.rate.shape[-1] else modes.repeat(2)
        if bool((value == value.reshape(-1)[0]).all()):
            return Constant(float(value.reshape(-1)[0]))
        return Values(value.contiguous(), f"{self.recipe.variant} {list(modes.shape)}")

    def _why(self, what: str, modes: Tensor) -> str:
        low, high = float(modes.min()), float(modes.max())
        return f"{what} of {self.recipe.variant}, N = {self.state}: {low:.4g} to {high:.4g}"

    def _input_output(self, b: Tensor) -> dict[str, tuple[Draw, str]]:
        """B and C of layers with independent channels."""
        if self.layer.kind == "s5":
            return {}
        recipe, roles = self.recipe, self.layer.roles
        drawn = recipe.b_init == "random" and recipe.variant != "legs"
        if recipe.b_init == "alternating" and recipe.variant != "legs":
            b = b * (1 - 2 * (torch.arange(len(b)) % 2))
        complex_std = math.sqrt(0.5)
        c_std = 1.0 if self.real else complex_std
        if "B" in roles:
            where = roles["B"]
            kind = torch.float64 if self.real else torch.complex128
            value: Draw = Values(b.to(kind).expand(where.shape).contiguous(), f"B of {recipe.variant} {list(b.shape)}")
            why = f"B of {recipe.variant}: {float(b.min()):.4g} to {float(b.max()):.4g}"
            if drawn:
                value, why = Normal(c_std), "E|B|² = 1"
            return {"B": (value, why), "C": (Normal(c_std), "E|C|² = 1")}
        if drawn:
            shape = roles["C"].shape
            parts = (Part(Normal(complex_std), shape, "#c", True), Part(Normal(complex_std), shape, "#b", True))
            return {"C": (Formula(torch.mul, parts, "C·B, both complex N(0, 1)"), "E|C|² = E|B|² = 1")}
        if bool((b == 1).all()):
            return {"C": (Normal(c_std), "E|C|² = 1, B = 1")}
        return {"C": (Normal(c_std * b.abs()), f"E|C|² = 1, times B of {recipe.variant}, as the layer has no B")}

    def _placed(self) -> dict[str, tuple[Draw, str]]:
        """Poles placed in discrete time."""
        recipe, (systems, modes) = self.recipe, self.rate.shape
        angle = Values(half_circle(systems, modes), f"π (n + h/{systems})/{modes}")
        fixed = recipe.dfout_dt == "one"
        dt: Draw = Constant(1.0) if fixed else log_uniform(recipe.dt_min, recipe.dt_max)
        nu = log_uniform(recipe.xi_min / 2, recipe.xi_max / 2)
        return Placed(self.layer, nu, True, angle, dt, recipe.dfout_b == "unit", "DFouT").values()
