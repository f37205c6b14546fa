"""Poles placed in discrete time, and what makes a layer with continuous parameters have them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from initkit import Constant, Draw, Normal, PlanError
from initkit_ssm.formula import Formula, Part
from initkit_ssm.kernels import Disc
from initkit_ssm.layers import Layer


def half_circle(systems: int, modes: int) -> Tensor:
    """π (n + h/H)/M for system h of H and mode n of M, float64 (H, M), in [0, π)."""
    h = torch.arange(systems, dtype=torch.float64).unsqueeze(-1)
    n = torch.arange(modes, dtype=torch.float64)
    return math.pi * (n + h / systems) / modes


def continuous(nu: Tensor, angle: Tensor, dt: Tensor, disc: Disc) -> Tensor:
    """The A whose discretisation with steps ``dt`` gives λ = exp(-nu + i angle) exactly, complex128.

    Args:
        nu: decay a step, float64, broadcasting with ``angle``.
        angle: of the poles.
        dt: steps.
        disc: of the layer. ``zoh``: A = log(λ)/dt; ``bilinear``: A = 2 (λ - 1)/((λ + 1) dt).
    """
    log_pole = torch.complex(-nu.expand_as(angle), angle)
    if disc == "bilinear":
        lam = torch.exp(log_pole)
        return 2 * torch.expm1(log_pole) / ((lam + 1) * dt)
    return log_pole / dt


def input_weight(nu: Tensor, angle: Tensor, dt: Tensor, disc: Disc) -> Tensor:
    """The B for which B̄ = sqrt(1 - |λ|²): white noise of variance 1 then gives states of variance 1."""
    gain = torch.sqrt(-torch.expm1(-2 * nu))
    a = continuous(nu, angle, dt, disc)
    if disc == "bilinear":
        return gain * (1 - a * dt / 2) / dt
    return gain * a / torch.expm1(a * dt)


@dataclass(frozen=True)
class Placed:
    """Poles for a layer with the roles rate, freq and dt.

    Attributes:
        layer: of kind ``s4d``, ``s4_dplr`` or ``s5``.
        nu: draw of the decay a step.
        shared: whether the modes of one state matrix share their decay.
        angle: draw of the angles.
        dt: draw of the steps.
        unit: whether B makes B̄ = sqrt(1 - |λ|²), else it is 1.
        words: what the poles are, for descriptions.
    """

    layer: Layer
    nu: Draw
    shared: bool
    angle: Draw
    dt: Draw
    unit: bool
    words: str

    def values(self) -> dict[str, tuple[Draw, str]]:
        """Draws by role, and why."""
        roles, sign = self.layer.roles, int(self.layer.facts["sign"])
        self._check_steps()

        def rate(*parts: Tensor) -> Tensor:
            return -self._continuous(*parts).real

        def freq(*parts: Tensor) -> Tensor:
            return sign * self._continuous(*parts).imag

        fixed = isinstance(self.dt, Constant)
        plain = fixed and self.layer.facts["disc"] == "zoh" and not self.angle.random
        values: dict[str, tuple[Draw, str]] = {
            "rate": (Formula(rate, self._parts(), f"-Re A of {self.words}"), f"|λ| = exp(-ν), ν ~ {self.nu}"),
            "freq": (
                self.angle if plain else Formula(freq, self._parts(), f"Im A of {self.words}"),
                f"arg λ: {self.angle}",
            ),
            "dt": (self.dt, "dt = 1: the poles are exp(A)" if fixed else "A = log(λ)/dt"),
        }
        if self.layer.kind == "s5":
            return values
        c = Normal(math.sqrt(0.5))
        if not self.unit:
            return values | {"C": (c, "E|C|² = 1"), **({"B": (Constant(1.0), "B = 1")} if "B" in roles else {})}
        why = "B̄ = sqrt(1 - |λ|²)"
        if "B" in roles:
            b = Formula(lambda *parts: self._weight(*parts).unsqueeze(0), self._parts(), f"B of {self.words}")
            return values | {"B": (b, why), "C": (c, "E|C|² = 1")}
        parts = (Part(c, roles["C"].shape, "", True), *self._parts())
        product = Formula(lambda value, *rest: value * self._weight(*rest), parts, f"{c} times B of {self.words}")
        return values | {"C": (product, f"E|C|² = 1, times B, as the layer has no B: {why}")}

    def _parts(self) -> tuple[Part, Part, Part]:
        roles = self.layer.roles
        rate, freq, dt = roles["rate"], roles["freq"], roles["dt"]
        shape = (*rate.shape[:-1], 1) if self.shared else rate.shape
        return (
            Part(self.nu, shape, f"{rate.tensor}#nu"),
            Part(self.angle, rate.shape, f"{freq.tensor}#angle"),
            Part(self.dt, dt.shape, dt.tensor),
        )

    def _arguments(self, nu: Tensor, angle: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor, Disc]:
        if dt.ndim < nu.ndim:
            dt = dt.unsqueeze(-1)
        elif dt.ndim > nu.ndim:
            dt = dt.squeeze(-1)
        if isinstance(self.dt, Constant):
            dt = dt.reshape(-1)[0]
        return nu, int(self.layer.facts["sign"]) * angle, dt, self.layer.facts["disc"]

    def _continuous(self, nu: Tensor, angle: Tensor, dt: Tensor) -> Tensor:
        return continuous(*self._arguments(nu, angle, dt))

    def _weight(self, nu: Tensor, angle: Tensor, dt: Tensor) -> Tensor:
        return input_weight(*self._arguments(nu, angle, dt))

    def _check_steps(self) -> None:
        """Refuse steps of their own for channels that share a state matrix: one A cannot follow them all."""
        rate = self.layer.roles["rate"].shape
        if isinstance(self.dt, Constant) or len(rate) == 1 or rate[0] == self.layer.facts["channels"]:
            return
        raise PlanError(
            f"{self.layer.title}: {self.layer.facts['channels']} channels share {rate[0]} state matrices, so A cannot "
            "follow each channel's dt; let dt be 1"
        )
