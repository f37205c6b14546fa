"""WINNER: SIREN's weights with noise as wide as the target's spectrum."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from initkit import Draw, Fill, Item, NeedError, Normal, OptionError, PlanError
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.noisy import WithNoise
from initkit_inr.recipe import called_with, significant
from initkit_inr.siren import SineRecipe
from initkit_inr.spectra import Axes, Sampled, centroids, rms_frequencies

# axes: (S0max, a, b) of S0 = S0max (1 - exp(-a z)), S1 = b z
_CONSTANTS = {1: (3500.0, 7.0, 3.0), 2: (50.0, 5.0, 0.4)}
_PAPER_A = 5.0  # for one axis; the code has 7
_LONG = 75_000  # samples from which the authors' constants suit a sound
_KAPPA = {1: 0.3, 2: 0.6, 3: 0.6}
Scale = Literal["code", "nyquist", "rms"]
Positive = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class Noise:
    """What is added to the first two layers.

    Attributes:
        s0: for the first layer: one number, or one for each axis.
        s1: for the second.
        psi: the signal's spectral centroid, twice the mean over channels divided by their number, per axis.
        scale: the rule that s0 comes from.
    """

    s0: tuple[float, ...]
    s1: float
    psi: tuple[float, ...] = ()
    scale: Scale | Literal["given"] = "given"


@dataclass(frozen=True)
class Winner(SineRecipe):
    """Target-aware sine start (WINNER, SIREN²): noise as wide as the signal's spectrum in the first two layers.

        base        as inr/siren
        ψ           spectral centroid of the signal, cycles a sample: 2/C times its mean over C channels
        first       W += N(0, (S0/ω)²)      S0 = 3500 (1 - exp(-7 ψ/C)) for sounds, 50 (1 - exp(-5 ψ/C)) for pictures
        second      W += N(0, (S1/ω)²)      S1 = 3 ψ/C for sounds, 0.4 ψ/C for pictures

    The authors' constants do not know how many samples there are. ``scale="nyquist"`` does: S0 = κψ times the Nyquist
    frequency of the grid, π(N-1)/2 on [-1, 1]. On clips of some thousand samples the constants are wider than the
    spectrum itself, so for sounds of fewer than 75000 samples it is the default.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, a list.
        omega_hidden: ω in the bounds and under S0 and S1; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes the bound of the base, ``zero``, or ``keep``.
        scale: where S0 comes from: ``code`` the formula above, ``nyquist``, ``rms`` the root mean square frequency, or
            ``auto``: nyquist for sounds below 75000 samples, else code.
        kappa: κ of nyquist; None is 0.3 for sounds, 0.6 for pictures and volumes.
        constants: of the formula: ``code``; ``paper`` (5 in place of 7 for sounds); ``readme``, with √ψ/C in place of
            ψ/C under S0 and ψ/√C under S1.
        channel_norm: how often C divides: ``double`` as in the code (which makes noise for colour weak), ``single``,
            ``none``.
        axes: ``last`` analyses the last axis as the authors do, ``all`` each axis (with its own S0 under nyquist and
            rms).
        remove_mean: take the signal without its mean; the authors' ψ counts the constant part, so that it differs
            between ranges [0, 1] and [-1, 1].
        s0: S0 itself, in place of the signal.
        s1: S1 itself.
        psi: ψ itself, in place of the signal (and then ``channels``).
        channels: C that goes with ``psi``.
        force: allow FINER's activations.

    Source: Chandravamsi, Shenoy, Zinn, Pisnoy, Frankel, Spectral Bottleneck in Deep Neural Networks: Noise is All You
    Need, 2025 (arXiv 2509.09719); ``scale="nyquist"``, ``"rms"`` and ``axes="all"`` are our extensions.
    """

    bibtex: ClassVar[str] = """@misc{chandravamsi2025spectral,
  title = {Spectral Bottleneck in Deep Neural Networks: Noise is All You Need},
  author = {Chandravamsi, Hemanth and Shenoy, Dhanush V. and Zinn, Itay and Pisnoy, Shimon and Frankel, Steven H.},
  year = {2025},
  eprint = {2509.09719},
  archivePrefix = {arXiv}
}"""

    scale: Literal["auto", "code", "nyquist", "rms"] = "auto"
    kappa: Positive | None = None
    constants: Literal["code", "paper", "readme"] = "code"
    channel_norm: Literal["double", "single", "none"] = "double"
    axes: Axes = "last"
    remove_mean: bool = False
    s0: Annotated[float, Ge(0)] | None = None
    s1: Annotated[float, Ge(0)] | None = None
    psi: Annotated[float, Ge(0), Le(1)] | None = None
    channels: Annotated[int, Ge(1)] = 1
    force: bool = False

    def plan(self, model: nn.Module, *, coords: Any = None, signal: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order.

        Args:
            model: with at least two sine layers.
            coords: the points, (..., d); their extent is the signal's, taken as [-1, 1] where they are not given.
            signal: on its grid, channels last; not needed with ``s0`` and ``s1``, or ``psi``.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        self._check_sines(layers)
        first, second = layers[0], next(layer for layer in layers if not layer.first)
        sampled = None if signal is None else Sampled.of(signal, first.n_in)
        noise = self.noise(sampled, first.n_in, _extents(coords, first.n_in))
        remarks = self._remarks(layers, sampled, noise)
        read = [] if sampled is None or not sampled.was_bytes else ["the signal's bytes are read as values in [0, 1]"]
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        fills: dict[str, Draw] = {}
        for layer in layers:
            for item in self.layer(layers, layer):
                made = item
                if isinstance(item, Fill):
                    if item.name == first.weight:
                        made = self._noisy(item, layers, first, noise.s0, noise, second)
                    elif item.name == second.weight:
                        made = self._noisy(item, layers, second, (noise.s1,), noise, second)
                    assert isinstance(made, Fill)
                    fills[made.name] = made.draw
                yield made
        yield self.table(layers, fills, called_with(coords, inputs), [*remarks, *read, _words(noise)])

    def noise(self, signal: Sampled | None, axes: int, extents: list[float]) -> Noise:
        """The scales of the noise for a signal.

        Args:
            signal: on its grid; None where the options say enough.
            axes: how many coordinates there are.
            extents: of the coordinates, from first to last, along each axis.

        Raises:
            NeedError: there is no signal and the options do not replace it.
            OptionError: there is no formula for so many axes.
        """
        if self.s0 is not None and self.s1 is not None:
            return Noise((self.s0,), self.s1)
        if signal is None and self.psi is None:
            raise NeedError(
                f"recipe {self.id} looks at the spectrum of 'signal' (an array on its grid, an image or a wav file): "
                "give it, or set s0 and s1, or psi and channels"
            )
        count = self.channels if signal is None else signal.channels
        if signal is None:
            psi: tuple[float, ...] = (float(self.psi or 0),)
        else:
            psi = tuple(2 * mean / count for mean in centroids(signal, self.axes, self.remove_mean))
        middle = sum(psi) / len(psi)
        chosen = self._scale(signal, axes)
        if chosen == "code":
            s0, s1 = self._formula(middle, count, axes)
            found = Noise((s0,), s1, psi, chosen)
        else:
            found = Noise(
                self._by_samples(chosen, signal, psi, extents), self._second(middle, count, axes), psi, chosen
            )
        s0s: tuple[float, ...] = found.s0 if self.s0 is None else (self.s0,)
        s1 = found.s1 if self.s1 is None else self.s1
        return Noise(tuple(significant(one) for one in s0s), significant(s1), psi, chosen)

    def _scale(self, signal: Sampled | None, axes: int) -> Scale:
        if self.scale != "auto":
            if signal is None and self.scale != "code":
                raise NeedError(f"recipe {self.id}: scale={self.scale} needs 'signal', for its number of samples")
            return self.scale
        if axes == 1 and signal is not None and signal.grid[0] < _LONG:
            return "nyquist"
        return "code"

    def _formula(self, psi: float, count: int, axes: int) -> tuple[float, float]:
        if axes not in _CONSTANTS:
            raise OptionError(
                f"recipe {self.id}: the authors give no formula for {axes} axes; set s0 and s1, or scale=nyquist"
            )
        most, a, _ = _CONSTANTS[axes]
        if self.constants == "paper" and axes == 1:
            a = _PAPER_A
        z = math.sqrt(psi) / count if self.constants == "readme" else self._z(psi, count)
        return most * -math.expm1(-a * z), self._second(psi, count, axes)

    def _second(self, psi: float, count: int, axes: int) -> float:
        b = _CONSTANTS[min(axes, 2)][2]
        return b * (psi / math.sqrt(count) if self.constants == "readme" else self._z(psi, count))

    def _z(self, psi: float, count: int) -> float:
        return psi * {"double": 1 / count, "single": 1.0, "none": float(count)}[self.channel_norm]

    def _by_samples(
        self, scale: Scale, signal: Sampled | None, psi: tuple[float, ...], extents: list[float]
    ) -> tuple[float, ...]:
        assert signal is not None
        if scale == "rms":
            cycles = rms_frequencies(signal, self.axes)
        else:
            kappa = self.kappa or _KAPPA[min(len(signal.grid), 3)]
            cycles = [kappa * one / 2 for one in psi]
        sizes = signal.grid if self.axes == "all" else signal.grid[-1:]
        spans = extents if self.axes == "all" else extents[-1:]
        return tuple(2 * math.pi * f * (n - 1) / span for f, n, span in zip(cycles, sizes, spans, strict=True))

    def _noisy(
        self, fill: Fill, layers: LayerPlan, layer: Layer, scales: tuple[float, ...], noise: Noise, second: Layer
    ) -> Fill:
        """The fill with noise; S0 and S1 are divided by the hidden ω as in the code, by its own ω where S0 is one of
        the signal's own frequencies."""
        assert layer.activation is not None
        own = layer.first and noise.scale in ("nyquist", "rms")
        omega = layer.activation.omega if own else self.omega(layers, second)
        stds = [scale / omega * layer.activation.fold for scale in scales]
        if not any(stds):
            return fill
        std: float | torch.Tensor = stds[0] if len(stds) == 1 else torch.tensor([stds], dtype=torch.float64)
        name = "S0" if layer.first else "S1"
        shown = ", ".join(f"{scale:.4g}" for scale in scales)
        return Fill(
            fill.name, WithNoise(fill.draw, Normal(std)), why=f"{fill.why}; {name} = {shown} over ω = {omega:.4g}"
        )

    @classmethod
    def _check(cls, layers: LayerPlan) -> None:
        super()._check(layers)
        if len(layers.periodic) < 2:
            raise PlanError(f"the noise goes to two sine layers; the model has {len(layers.periodic)}")

    def _check_sines(self, layers: LayerPlan) -> None:
        for layer in layers.periodic:
            if layer.activation is not None and layer.activation.kind != "sine" and not self.force:
                raise PlanError(f"{layer.label} is followed by {layer.activation}, no sine; force=true allows it")

    def _remarks(self, layers: LayerPlan, signal: Sampled | None, noise: Noise) -> list[str]:
        found = []
        if not any(noise.s0) and noise.s1 == 0:
            found.append("the signal is constant along the analysed axis: the start is that of inr/siren")
        out = layers[-1].n_out
        if signal is not None and signal.channels != out:
            found.append(f"the signal has {signal.channels} channels, the network {out} outputs")
        return found


def _words(noise: Noise) -> str:
    psi = ", ".join(f"{one:.6g}" for one in noise.psi)
    s0 = ", ".join(f"{one:.6g}" for one in noise.s0)
    about = f"ψ = {psi}: " if noise.psi else ""
    return f"{about}S0 = {s0} by scale={noise.scale}, S1 = {noise.s1:.6g}"


def _extents(coords: Any, axes: int) -> list[float]:
    """How far the coordinates reach along each axis; 2 where they are not given."""
    if coords is None:
        return [2.0] * axes
    points = torch.as_tensor(coords).detach().reshape(-1, torch.as_tensor(coords).shape[-1]).double()
    if points.shape[-1] != axes:
        raise NeedError(
            f"coords: shape {tuple(torch.as_tensor(coords).shape)}, but the network takes {axes} coordinates"
        )
    spans = (points.max(dim=0).values - points.min(dim=0).values).tolist()
    if min(spans) <= 0:
        raise NeedError("coords: they do not vary along an axis")
    return spans
