"""S5: one diagonal state matrix of HiPPO blocks for all channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from initkit import Draw, Item, Normal, PlanError, TruncatedNormal, Values
from initkit_ssm.base import LayerRecipe
from initkit_ssm.formula import Formula, Part
from initkit_ssm.hippo import legs_eigenvectors, spectrum
from initkit_ssm.layers import Layer
from initkit_ssm.ranges import check_range, log_uniform


@dataclass(frozen=True)
class S5(LayerRecipe):
    """S5: eigenvalues of HiPPO-LegS's normal part in blocks, B and C drawn and turned into its eigenbasis.

    With P states in J blocks of N = P/J, Λ repeats the N eigenvalues -1/2 ± i w of LegS's normal part, V is the
    block-diagonal matrix of their eigenvectors, and the layer gets V* B and C V of

        B  truncated normal of standard deviation 1/sqrt(P)
        C  by c_init, real and imaginary part: trunc_standard_normal 1/sqrt(P), lecun_normal 1/sqrt(H P);
           complex_normal: C V itself has E|C|² = 1

    D is standard normal, each state's dt log-uniform.

    Args:
        blocks: J; null takes the greatest of 8, 4, 2, 1 that makes blocks of even size.
        c_init: how C is drawn; ``complex_normal`` is the authors' choice for Path-X, with ``blocks=16`` and
            ``dt_min=1e-4``.
        dt_min: least step.
        dt_max: greatest step.
        d_init: whether D is drawn ``normal``, or ``keep``.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: Smith, Warrington, Linderman, Simplified State Space Layers for Sequence Modeling, ICLR 2023 (arXiv
    2208.04933).
    """

    bibtex: ClassVar[str] = """@inproceedings{smith2023simplified,
  title = {Simplified State Space Layers for Sequence Modeling},
  author = {Smith, Jimmy T. H. and Warrington, Andrew and Linderman, Scott W.},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2208.04933},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s5",)

    blocks: Annotated[int, Ge(1)] | None = None
    c_init: Literal["trunc_standard_normal", "lecun_normal", "complex_normal"] = "trunc_standard_normal"
    dt_min: Annotated[float, Gt(0)] = 1e-3
    dt_max: Annotated[float, Gt(0)] = 1e-1
    d_init: Literal["normal", "keep"] = "normal"

    def check(self) -> None:
        """Relate the bounds of dt."""
        super().check()
        check_range(self.id, dt_min=self.dt_min, dt_max=self.dt_max)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """Λ, B, C, D and dt of one layer."""
        states, inputs = int(layer.facts["state"]), int(layer.facts["channels"])
        blocks = self._blocks(layer, states)
        size, low, high = states // blocks, self.dt_min, self.dt_max
        basis = Basis(size, blocks, bool(layer.facts["paired"]))
        words = f"LegS, {blocks} blocks of {size}"
        values: dict[str, tuple[Draw, str]] = {
            "rate": (Values(torch.full_like(basis.freq, 0.5), f"1/2 {list(basis.freq.shape)}"), f"-Re Λ of {words}"),
            "freq": (Values(basis.freq, f"Im Λ of {words}"), f"Im Λ of {words}: to ±{float(basis.freq.max()):.4g}"),
            "dt": (log_uniform(low, high), f"dt ~ logU({low:g}, {high:g})"),
            "B": self._b(layer, basis, states, inputs),
        }
        for role in ("C", "C1", "C2"):
            if role in layer.roles:
                values[role] = self._c(layer.roles[role].shape, basis, states)
        if "D" in layer.roles and self.d_init == "normal":
            std = 1.0 if len(layer.roles["D"].shape) == 1 else 1 / math.sqrt(inputs)
            values["D"] = (Normal(std), "D ~ N(0, 1)" if std == 1 else f"Var[D] = 1/H, H = {inputs}")
        yield from layer.fills(values)

    def remarks(self, layer: Layer) -> list[str]:
        """Say where a layer cannot hold V* B."""
        if layer.roles["B"].complex:
            return []
        return [f"{layer.title}: its B is real and cannot hold V* B; B is drawn in the eigenbasis itself"]

    def _blocks(self, layer: Layer, states: int) -> int:
        given = (self.blocks,) if self.blocks is not None else (8, 4, 2, 1)
        fitting = next((blocks for blocks in given if states % (2 * blocks) == 0), None)
        if fitting is None:
            raise PlanError(
                f"recipe {self.id}, {layer.title}: {states} states do not make {given[-1]} blocks of even size; "
                + (f"choose blocks so that {states}/blocks is even" if states % 2 == 0 else "give it an even number")
            )
        return fitting

    def _b(self, layer: Layer, basis: Basis, states: int, inputs: int) -> tuple[Draw, str]:
        std = 1 / math.sqrt(states)
        draw = TruncatedNormal.with_std(std)
        why = f"std 1/sqrt(P), P = {states}"
        if not layer.roles["B"].complex:
            return draw, why
        return Formula(basis.input, (Part(draw, (states, inputs)),), f"V* B, B {draw}"), f"V* B, {why}"

    def _c(self, shape: tuple[int, ...], basis: Basis, states: int) -> tuple[Draw, str]:
        outputs, directions = shape[0], shape[1] // len(basis.freq)
        if self.c_init == "complex_normal":
            return Normal(math.sqrt(0.5)), "E|C V|² = 1"
        fan = states * (outputs if self.c_init == "lecun_normal" else 1)
        draw = TruncatedNormal.with_std(1 / math.sqrt(fan))
        part = Part(draw, (outputs, directions, states), complex=True)
        return Formula(basis.output, (part,), f"C V, C {draw}"), f"C V, std 1/sqrt({fan}) a component"


class Basis:
    """The eigenbasis of blocks of LegS's normal part.

    Attributes:
        freq: Im Λ, float64; in pairs the negative half of each block, else both halves in ascending order.
    """

    def __init__(self, size: int, blocks: int, paired: bool) -> None:
        w, v = spectrum("legs", size).freq, legs_eigenvectors(size)
        self._v = v.conj() if paired else torch.cat([v.conj(), v.flip(-1)], -1)
        self._blocks = blocks
        self.freq = (-w if paired else torch.cat([-w, w.flip(0)])).repeat(blocks)

    def input(self, b: Tensor) -> Tensor:
        """V* B for real B (P, H)."""
        parts = b.reshape(self._blocks, -1, b.shape[-1]).to(torch.complex128)
        return torch.matmul(self._v.conj().transpose(0, 1), parts).reshape(-1, b.shape[-1])

    def output(self, c: Tensor) -> Tensor:
        """C V for complex C (outputs, directions, P), directions side by side."""
        parts = c.reshape(*c.shape[:2], self._blocks, -1)
        return torch.matmul(parts, self._v).reshape(c.shape[0], -1)
