"""PTD: a matrix near HiPPO-LegS that can be diagonalised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import CommitError, Draw, Item, Job, JobContext, Normal, PlanError, Stream
from initkit_ssm.base import LayerRecipe
from initkit_ssm.formula import Formula, Part
from initkit_ssm.layers import Layer
from initkit_ssm.lru import s4_extras
from initkit_ssm.ranges import check_range, log_uniform

_RATE = 3e-3  # of Adam, for entries relative to sqrt(2n+1) sqrt(2k+1)
_BEGIN, _NOISE = 0.05, 1e-3
_MARGIN, _APART, _STABILITY = 0.4, 0.3, 10.0
_RELATIVE = 0.1
_LEAST = 1e-3  # frequency


@dataclass(frozen=True)
class Ptd(LayerRecipe):
    """Perturb-then-diagonalise: the eigenvalues of a matrix near HiPPO-LegS whose eigenvectors are well conditioned.

    LegS itself cannot be diagonalised in practice, and S4D-LegS, which takes its normal part, is far from its kernel at
    small steps. A real E is sought by Adam that minimises

        ‖V‖_F ‖V⁻¹‖_F/N + γ N (‖E‖_F/‖A‖₂ + ‖E/rrᵀ‖_F/(10 N)) + 10 Σ relu(Re λ + 0.4),   r_n = sqrt(2n+1),

    with A + E = V Λ V⁻¹; the layer gets Λ and B = V⁻¹ B_legs, one of each conjugate pair. C is standard complex normal,
    D standard normal, dt log-uniform.

    Args:
        gamma: γ, the weight of the size of E.
        steps: of Adam.
        dt_min: least step.
        dt_max: greatest step.
        d_init: whether D is drawn ``normal``, or ``keep``.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: Yu, Nigmetov, Morozov, Mahoney, Erichson, Robustifying State-space Models for Long Sequences via
    Approximate Diagonalization, ICLR 2024 (arXiv 2310.01698); the objective is ours.
    """

    bibtex: ClassVar[str] = """@inproceedings{yu2024robustifying,
  title = {Robustifying State-space Models for Long Sequences via Approximate Diagonalization},
  author = {Yu, Annan and Nigmetov, Arnur and Morozov, Dmitriy and Mahoney, Michael W. and Erichson, N. Benjamin},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  eprint = {2310.01698},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s4d", "s4_dplr")

    gamma: Annotated[float, Gt(0)] = 5.0
    steps: Annotated[int, Ge(1)] = 400
    dt_min: Annotated[float, Gt(0)] = 1e-3
    dt_max: Annotated[float, Gt(0)] = 1e-1
    d_init: Literal["normal", "keep"] = "normal"

    def check(self) -> None:
        """Relate the bounds of dt."""
        super().check()
        check_range(self.id, dt_min=self.dt_min, dt_max=self.dt_max)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """A matrix of the layer's own, and what the layer stores of it."""
        if "freq" not in layer.roles:
            raise PlanError(f"recipe {self.id}, {layer.title}: its states are real; this recipe needs complex modes")
        state = int(layer.facts["state"])

        def seek(ctx: JobContext) -> dict[str, Tensor]:
            found = perturbed(state, self.gamma, self.steps, ctx.seed)
            if found is None:
                raise CommitError(
                    f"recipe {self.id}, {layer.title}: no matrix near LegS of size {state} with stable conjugate pairs "
                    f"was found in {self.steps} steps; give more steps or a smaller gamma"
                )
            ctx.note(f"{self.id}: {layer.name or 'the model'}", found.row())
            return {"poles": found.poles, "b": found.b}

        job = Job(f"matrix of {layer.name or 'the model'}", seek, f"seeks a matrix near LegS of size {state}")
        yield job
        yield from layer.fills(self._values(layer, job, state))

    def _values(self, layer: Layer, job: Job, state: int) -> dict[str, tuple[Draw, str]]:
        roles, sign = layer.roles, int(layer.facts["sign"])
        shape = roles["rate"].shape
        poles = Part(job["poles"], (state // 2,), complex=True)
        b = Part(job["b"], (state // 2,), complex=True)
        near = f"a matrix near LegS, N = {state}"

        def input_weights(value: Tensor) -> Tensor:
            return value if sign > 0 else value.conj().resolve_conj()

        values: dict[str, tuple[Draw, str]] = {
            "rate": (Formula(lambda z: -z.real.expand(shape), (poles,), f"-Re Λ of {near}"), f"-Re Λ of {near}"),
            "freq": (Formula(lambda z: z.imag.expand(shape), (poles,), f"Im Λ of {near}"), f"Im Λ of {near}"),
            "dt": (log_uniform(self.dt_min, self.dt_max), f"dt ~ logU({self.dt_min:g}, {self.dt_max:g})"),
        }
        normal = Normal(math.sqrt(0.5))
        if "B" in roles:
            where = roles["B"].shape
            weights = Formula(lambda z: input_weights(z).expand(where).contiguous(), (b,), f"B of {near}")
            values |= {"B": (weights, f"V⁻¹ B of {near}"), "C": (normal, "E|C|² = 1")}
        else:
            parts = (Part(normal, roles["C"].shape, "", True), b)
            product = Formula(lambda c, z: c * input_weights(z), parts, f"complex N(0, 1) times B of {near}")
            values["C"] = (product, "E|C|² = 1, times B, as the layer has no B")
        return values | s4_extras(layer, self.d_init == "normal")


@dataclass(frozen=True)
class Perturbed:
    """A matrix near LegS and its eigenvalues.

    Attributes:
        poles: eigenvalues with positive imaginary part, complex128 (N/2,), by descending imaginary part.
        b: V⁻¹ B in the same order.
        vectors: the eigenvectors, unit columns, complex128 (N, N/2).
        condition: of all eigenvectors, in the spectral norm.
        size: ‖E‖₂/‖A‖₂.
    """

    poles: Tensor
    b: Tensor
    vectors: Tensor
    condition: float
    size: float

    def row(self) -> dict[str, float]:
        """For the report."""
        greatest = float(self.poles.real.max())
        figures = {"condition": self.condition, "size_of_perturbation": self.size, "greatest_real_part": greatest}
        return {name: float(f"{value:.4g}") for name, value in figures.items()}


@lru_cache(maxsize=16)
def perturbed(n: int, gamma: float, steps: int, seed: int) -> Perturbed | None:
    """The best matrix on Adam's way whose eigenvalues are stable conjugate pairs, or None where there was none.

    Layers of one size share it.

    Args:
        n: size, even.
        gamma: weight of the size of E.
        steps: of Adam.
        seed: of the small random part of the start.
    """
    index = torch.arange(n, dtype=torch.float64)
    r = torch.sqrt(2 * index + 1)
    scale = torch.outer(r, r)
    a = -torch.tril(scale, -1) - torch.diag(index + 1)
    size = torch.linalg.matrix_norm(a, 2)
    noise = Normal(1.0).sample((n, n), torch.float64, Stream(seed, f"job:perturbation of {n}"))
    # A + P Pᵀ is normal: a part of P Pᵀ leads to well conditioned eigenvectors from the first step.
    with torch.enable_grad():
        relative = (_BEGIN / 2 + _NOISE * noise).requires_grad_(True)
        adam = torch.optim.Adam([relative], lr=_RATE)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=_RATE / 1000)
        best, least = None, math.inf
        for _ in range(steps):
            e = relative * scale
            values, v = torch.linalg.eig(a + e)
            condition = torch.linalg.matrix_norm(v) * torch.linalg.matrix_norm(torch.linalg.inv(v))
            weight = torch.linalg.matrix_norm(e) / size + _RELATIVE * torch.linalg.matrix_norm(relative) / n
            unstable = torch.relu(values.real + _MARGIN).sum()
            meeting = torch.relu(_APART - values.imag.abs()).sum()
            loss = condition / n + gamma * n * weight + _STABILITY * (unstable + meeting)
            if float(loss.detach()) < least and _pairs(values.detach()):
                best, least = e.detach().clone(), float(loss.detach())
            adam.zero_grad()
            loss.backward()
            adam.step()
            decay.step()
    return None if best is None else _decomposed(a, best, r)


def _pairs(values: Tensor) -> bool:
    """Whether the eigenvalues are stable, in conjugate pairs and none is nearly real."""
    return bool((values.real < 0).all()) and int((values.imag > _LEAST).sum()) * 2 == len(values)


def _decomposed(a: Tensor, e: Tensor, b: Tensor) -> Perturbed:
    values, v = torch.linalg.eig(a + e)
    weights = torch.linalg.solve(v, b.to(torch.complex128))
    upper = torch.nonzero(values.imag > 0).flatten()
    order = upper[torch.argsort(values.imag[upper], descending=True)]
    condition = float(torch.linalg.cond(v))
    size = float(torch.linalg.matrix_norm(e, 2) / torch.linalg.matrix_norm(a, 2))
    return Perturbed(values[order], weights[order], v[:, order], condition, size)
