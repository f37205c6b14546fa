"""S4: HiPPO matrices as a diagonal plus a low-rank term."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt, MinLen
from torch import Tensor

from initkit import Constant, Draw, Item, Normal, PlanError, Values
from initkit_ssm.base import LayerRecipe
from initkit_ssm.hippo import Measure, Spectrum, spectrum
from initkit_ssm.layers import Layer
from initkit_ssm.ranges import check_range, log_uniform

RANK = {"legs": 1, "lagt": 1, "fout": 1, "legt": 2}


@dataclass(frozen=True)
class S4Dplr(LayerRecipe):
    """S4 with a low-rank term: HiPPO matrices, exactly, in the basis of their normal part.

    A = Λ - P P*, with Λ, P and B of a HiPPO matrix by closed forms: ``legs`` remembers all of the past in Legendre
    polynomials, ``legt`` (rank 2) and ``fout`` a sliding window in Legendre polynomials and Fourier modes, ``lagt``
    an exponentially fading past in Laguerre polynomials. C is standard complex normal, D standard normal, dt
    log-uniform: 1/dt is the length of history that a channel sees.

    Args:
        measure: one measure, or several that share the layer's state matrices evenly; ``["legs", "fout"]`` is what
            the authors call ``hippo``.
        dt_min: least step.
        dt_max: greatest step.
        b_clip: B is clipped at it, as the authors' code does; null keeps HiPPO's own B.
        d_init: whether D is drawn ``normal``, or ``keep``.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: Gu, Goel, Ré, Efficiently Modeling Long Sequences with Structured State Spaces, ICLR 2022 (arXiv
    2111.00396); Gu et al., How to Train Your HiPPO, ICLR 2023 (arXiv 2206.12037).
    """

    bibtex: ClassVar[str] = """@inproceedings{gu2022efficiently,
  title = {Efficiently Modeling Long Sequences with Structured State Spaces},
  author = {Gu, Albert and Goel, Karan and R{\\'e}, Christopher},
  booktitle = {International Conference on Learning Representations},
  year = {2022},
  eprint = {2111.00396},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s4_dplr",)

    measure: Measure | Annotated[tuple[Measure, ...], MinLen(1)] = "legs"
    dt_min: Annotated[float, Gt(0)] = 1e-3
    dt_max: Annotated[float, Gt(0)] = 1e-1
    b_clip: Annotated[float, Gt(0)] | None = 2.0
    d_init: Literal["normal", "keep"] = "normal"

    def check(self) -> None:
        """Relate the bounds of dt."""
        super().check()
        check_range(self.id, dt_min=self.dt_min, dt_max=self.dt_max)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures as a tuple."""
        return self.measure if isinstance(self.measure, tuple) else (self.measure,)

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """Λ, P, B, C, D and dt of one layer."""
        copies, modes = layer.roles["rate"].shape
        if copies % len(self.measures):
            raise PlanError(
                f"recipe {self.id}, {layer.title}: its {copies} state matrices cannot be shared evenly by "
                f"{len(self.measures)} measures; give n_ssm (or the number of channels) a multiple of that"
            )
        rank = layer.roles["P"].shape[0]
        short = next((measure for measure in self.measures if RANK[measure] > rank), None)
        if short is not None:
            raise PlanError(
                f"recipe {self.id}, {layer.title}: {short} needs a low-rank term of rank {RANK[short]}, P has rank "
                f"{rank}; build the layer with rank={RANK[short]}"
            )
        yield from layer.fills(self._values(layer, [spectrum(measure, 2 * modes) for measure in self.measures], rank))

    def _values(self, layer: Layer, spectra: list[Spectrum], rank: int) -> dict[str, tuple[Draw, str]]:
        copies, modes = layer.roles["rate"].shape
        each = copies // len(spectra)
        name = ", ".join(self.measures)

        def stacked(rows: list[Tensor], axis: int = 0) -> Tensor:
            return torch.cat([row.repeat_interleave(each, axis) for row in rows], axis).contiguous()

        rate = stacked([torch.full((1, modes), s.rate, dtype=torch.float64) for s in spectra])
        freq = stacked([s.freq.unsqueeze(0) for s in spectra])
        b = stacked([s.b.unsqueeze(0) for s in spectra])
        clip = self.b_clip
        clipped = int((b > clip).sum()) * 100 // b.numel() if clip is not None else 0
        b = b if clip is None else b.clamp(max=clip)
        p = stacked([torch.nn.functional.pad(s.p, (0, 0, 0, rank - len(s.p))).unsqueeze(1) for s in spectra], 1)
        if layer.facts["sign"] < 0:
            p = p.conj().resolve_conj()
        low, high = self.dt_min, self.dt_max
        values: dict[str, tuple[Draw, str]] = {
            "rate": (Values(rate, f"-Re Λ of {name}"), f"HiPPO {name}, N = {2 * modes}: -Re Λ"),
            "freq": (
                Values(freq, f"Im Λ of {name}"),
                f"HiPPO {name}, N = {2 * modes}: Im Λ {float(freq.min()):.4g} to {float(freq.max()):.4g}",
            ),
            "P": (Values(p, f"P of {name}"), f"HiPPO {name}: A = Λ - P P*"),
            "B": (
                Values(b.to(torch.complex128).unsqueeze(0), f"B of {name}"),
                f"HiPPO {name}" + (f", {clipped} % of B clipped at {clip:g}" if clipped else ""),
            ),
            "C": (Normal(math.sqrt(0.5)), "E|C|² = 1"),
            "dt": (log_uniform(low, high), f"dt ~ logU({low:g}, {high:g})"),
        }
        if "length" in layer.roles:
            values["length"] = (Constant(0), "C is C itself, not yet multiplied by 1 - Ā^L")
        if "D" in layer.roles and self.d_init == "normal":
            values["D"] = (Normal(1.0), "D ~ N(0, 1)")
        return values
