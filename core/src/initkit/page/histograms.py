"""Small histograms of the written tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from markupsafe import Markup

from initkit._stats import digest_of
from initkit.page.numbers import counted, real, whole
from initkit.slots import slots_of

MOST_TENSORS = 60
MOST_NUMBERS = 10**6
_BINS = (4, 31)  # at least and at most
_WIDTH, _HEIGHT = 112, 28


@dataclass(frozen=True)
class Histogram:
    """Counts of a tensor's values in equal bins.

    Attributes:
        low: left end of the first bin.
        high: right end of the last one.
        counts: of the bins.
        sampled: how many numbers were counted.
        size: how many there are.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    sampled: int
    size: int

    def to_dict(self) -> dict[str, Any]:
        """The histogram as JSON values."""
        return {"low": self.low, "high": self.high, "counts": list(self.counts), "numbers": self.sampled}

    def svg(self) -> Markup:
        """The histogram as an SVG element."""
        top = max(self.counts)
        step = _WIDTH / len(self.counts)
        path = [f"M0 {_HEIGHT}"]
        for i, count in enumerate(self.counts):
            path.append(f"V{_HEIGHT - count / top * (_HEIGHT - 2):.4g}H{(i + 1) * step:.4g}")
        zero = ""
        if self.low < 0 < self.high:
            x = -self.low / (self.high - self.low) * _WIDTH
            zero = f'<path class="zero" d="M{x:.4g} 0V{_HEIGHT}"/>'
        words = f"Histogram of {whole(self.sampled)} values from {real(self.low)} to {real(self.high)}"
        return Markup(
            f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="{words}"><path class="mass" d="{"".join(path)}V{_HEIGHT}Z"/>{zero}</svg>'
        )


@dataclass(frozen=True)
class Histograms:
    """Histograms by the names of a report's tensors and, behind ``outputs/``, its outputs.

    Attributes:
        drawn: those that are drawn.
        left: how many more tensors could have been.
        changed: tensors whose values are no longer those of the report.
    """

    drawn: Mapping[str, Histogram]
    left: int = 0
    changed: int = 0

    def words(self) -> str:
        """Which histograms are missing; "" where none is."""
        said = []
        if self.left:
            said.append(f"{counted(self.left, 'more tensor')} not drawn")
        if self.changed:
            said.append(f"{whole(self.changed)} changed since {'it was' if self.changed == 1 else 'they were'} written")
        return "; ".join(said)


def histograms_of(model: Any, report: Any, entries: Mapping[str, Any]) -> Histograms:
    """Draw the first tensors that hold more than one value.

    Args:
        model: that holds the written tensors.
        report: that holds the outputs.
        entries: what the report says of each tensor, outputs among them by their names in files.
    """
    drawn: dict[str, Histogram] = {}
    left = changed = 0
    for name, value, computed in _values(model, report, entries):
        entry = entries[name]
        if entry["std"] in (None, 0.0):
            continue
        if len(drawn) >= MOST_TENSORS:
            left += 1
        elif not computed and digest_of(value) != entry["sha256"]:
            changed += 1
        elif (found := histogram(value)) is not None:
            drawn[name] = found
    return Histograms(drawn, left, changed)


def histogram(tensor: torch.Tensor) -> Histogram | None:
    """Count a tensor's values, or a million of them chosen at random; complex ones by their components."""
    values = tensor.detach()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    numbers = _sample(values.reshape(-1))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if not (high > low and math.isfinite(high - low)):
        return None
    bins = min(max(math.ceil(2 * len(numbers) ** (1 / 3)), _BINS[0]), _BINS[1])  # Rice's rule
    counts, _ = np.histogram(numbers, bins=bins, range=(low, high))
    return Histogram(_rounded(low), _rounded(high), tuple(int(n) for n in counts), len(numbers), values.numel())


def _sample(flat: torch.Tensor) -> npt.NDArray[np.float64]:
    if flat.numel() > MOST_NUMBERS:
        # At random and not every n-th, which might be one column of a matrix.
        chosen = np.random.Generator(np.random.Philox(0)).integers(0, flat.numel(), MOST_NUMBERS)
        flat = flat[torch.from_numpy(chosen).to(flat.device)]
    return flat.cpu().to(torch.float64).numpy()


def _values(model: Any, report: Any, entries: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Name, values, and whether they are computed from others (a parametrised tensor), which may cost a last bit."""
    slots = slots_of(model)
    outputs = getattr(report, "outputs", {})
    for name in entries:
        if name in slots:
            slot = slots[name]
            if not slot.is_meta():
                yield name, slot.read(), bool(slot.originals)
        elif name.removeprefix("outputs/") in outputs:
            yield name, outputs[name.removeprefix("outputs/")], False


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")
