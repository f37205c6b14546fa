"""Where a signal's spectrum lies, per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from initkit import NeedError
from initkit_inr.signals import as_floats

Array = npt.NDArray[Any]
Axes = Literal["last", "all"]
Mode = Literal["authors", "radial"]


@dataclass(frozen=True)
class Sampled:
    """A signal on its grid.

    Attributes:
        values: (*grid, channels), float64.
        was_bytes: whether it came as whole numbers of 8 bits, read as [0, 1].
    """

    values: Array
    was_bytes: bool

    @classmethod
    def of(cls, signal: Any, axes: int) -> Sampled:
        """Read a signal with ``axes`` spatial axes, channels last or left out.

        Raises:
            NeedError: it has another number of axes, a single sample along one, or values that are no finite numbers.
        """
        values = as_floats(signal).double().numpy()
        if values.ndim == axes:
            values = values[..., None]
        if values.ndim != axes + 1:
            form = "(N, channels)" if axes == 1 else f"on its grid: {axes} axes, then the channels"
            raise NeedError(f"signal: shape {values.shape}, but the network takes {axes} coordinates; give it {form}")
        if min(values.shape[:-1]) < 2:
            raise NeedError(f"signal: shape {values.shape} has a single sample along an axis: there is no spectrum")
        return cls(values, str(getattr(signal, "dtype", "")).rpartition(".")[2] == "uint8")

    @property
    def channels(self) -> int:
        """How many."""
        return int(self.values.shape[-1])

    @property
    def grid(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return tuple(self.values.shape[:-1])


def centroids(signal: Sampled, axes: Axes = "last", remove_mean: bool = False) -> list[float]:
    """Mean spectral centroid in cycles a sample, [0, 0.5], along the last spatial axis or along each.

    Along an axis, each line's centroid is Σf|F|/Σ|F| over its real FFT, the constant part included, and 0 for a line
    of zeros; it is averaged over lines and channels.
    """
    values = _centred(signal, remove_mean)
    chosen = range(len(signal.grid)) if axes == "all" else [len(signal.grid) - 1]
    return [_centroid(values, axis) for axis in chosen]


def rms_frequencies(signal: Sampled, axes: Axes = "last") -> list[float]:
    """Root mean square frequency in cycles a sample, weighted by power, the signal's mean removed."""
    values = _centred(signal, True)
    chosen = range(len(signal.grid)) if axes == "all" else [len(signal.grid) - 1]
    found = []
    for axis in chosen:
        power = np.square(np.abs(np.fft.rfft(values, axis=axis)))
        total = float(power.sum())
        f = _frequencies(values, axis)
        found.append(float(np.sqrt((power * f**2).sum() / total)) if total > 0 else 0.0)
    return found


def _centroid(values: Array, axis: int) -> float:
    size = np.moveaxis(np.abs(np.fft.rfft(values, axis=axis)), axis, -1)
    f = np.fft.rfftfreq(values.shape[axis])
    weighted, total = np.moveaxis(size @ np.stack([f, np.ones_like(f)], axis=1), -1, 0)
    return float(np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0).mean())


def _frequencies(values: Array, axis: int) -> Array:
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.fft.rfftfreq(values.shape[axis]).reshape(shape)


def _centred(signal: Sampled, remove_mean: bool) -> Array:
    if not remove_mean:
        return signal.values
    mean: Array = signal.values.mean(axis=tuple(range(len(signal.grid))), keepdims=True)
    return np.subtract(signal.values, mean)


def spectrum(values: Array, size: int, mode: Mode = "authors") -> Array | None:
    """How much a signal has of each frequency 1..size, summed over channels, normalised to 1; None for a constant.

    Args:
        values: (*grid, channels).
        size: at most half the samples of the shortest axis.
        mode: ``authors`` adds |FFT| over raw indices with the same sum; ``radial`` over the same distance from 0.
            Along a longer axis indices are counted in units of the shortest one's.
    """
    grid = values.shape[:-1]
    shortest = min(grid)
    amount = np.abs(np.fft.fftn(values, axes=range(len(grid)))).sum(axis=-1)
    along = []
    for axis, count in enumerate(grid):
        index = np.arange(count) / count if mode == "authors" else np.fft.fftfreq(count)
        along.append((index * shortest).reshape([-1 if k == axis else 1 for k in range(len(grid))]))
    place = sum(along) if mode == "authors" else np.sqrt(sum(index**2 for index in along))
    bins = np.rint(np.broadcast_to(place, amount.shape)).astype(np.int64).ravel()
    counted: Array = np.bincount(bins, weights=amount.ravel(), minlength=size + 1)[1 : size + 1]
    total = float(counted.sum())
    return counted / total if total > 1e-9 * float(amount.sum()) and total > 0 else None


def distance(one: Array, other: Array) -> float:
    """Wasserstein distance between two spectra of one size, in steps of frequency."""
    return float(np.abs(np.cumsum(one - other))[:-1].sum())
