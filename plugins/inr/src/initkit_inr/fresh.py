"""FreSh: the first frequency whose untrained output looks most like the target."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt, Len
from torch import Tensor, nn

from initkit import Draw, Fill, Item, Job, JobContext, NeedError, OptionError
from initkit_inr.calling import Network
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.recipe import significant
from initkit_inr.siren import SineRecipe
from initkit_inr.spectra import Mode, Sampled, distance, spectrum

Positive = Annotated[float, Gt(0)]
_TENS = tuple(float(omega) for omega in range(10, 201, 10))


@dataclass(frozen=True)
class Fresh(SineRecipe):
    """First frequency from the target (FreSh): untrained outputs with the spectrum nearest to the signal's.

    For each candidate ω the network is drawn ten times as in inr/siren and evaluated, untrained, on the signal's grid;
    the Wasserstein distance between the spectra of output and signal is averaged, and the least one wins. Nothing is
    trained. The first layer is then multiplied by ω_best/ω (its bias too where the frequency is outside), which makes
    the start that of a network with this frequency.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes the bound of the layer's weights, ``zero``, or
            ``keep``.
        candidates: first frequencies to be tried; None tries 10, 20, ... 200.
        draws: random networks for each.
        size: n, how many frequencies of the spectrum are compared; None is 64, or half the samples of the shortest
            axis.
        mode: ``authors`` groups |FFT| by the sum of its raw indices, which sees one diagonal of a picture as low;
            ``radial`` by the distance from frequency 0.

    Source: Kania, Mihajlovic, Prokudin, Tabor, Spurek, FreSh: Frequency Shifting for Accelerated Neural Representation
    Learning, ICLR 2025 (arXiv 2410.05050); ``mode="radial"`` is our extension.
    """

    bibtex: ClassVar[str] = """@inproceedings{kania2025fresh,
  title = {{FreSh}: Frequency Shifting for Accelerated Neural Representation Learning},
  author = {Kania, Adam and Mihajlovic, Marko and Prokudin, Sergey and Tabor, Jacek and Spurek, Przemys{\\l}aw},
  booktitle = {International Conference on Learning Representations},
  year = {2025},
  eprint = {2410.05050},
  archivePrefix = {arXiv}
}"""

    candidates: Annotated[tuple[Positive, ...], Len(1)] | None = None
    draws: Annotated[int, Ge(1)] = 10
    size: Annotated[int, Ge(2)] | None = None
    mode: Mode = "authors"

    def plan(  # type: ignore[override]
        self, model: nn.Module, *, coords: Any, signal: Any
    ) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order; those of the first layer come from a job.

        Args:
            model: with sines between its linear layers.
            coords: the points of the signal's grid, (..., d).
            signal: on its grid, channels last.
        """
        layers = self.layers(model, coords)
        first = layers[0]
        points = torch.as_tensor(coords).detach().cpu().float()
        sampled = Sampled.of(signal, points.shape[-1])
        points = points.reshape(-1, points.shape[-1])
        if len(points) != int(np.prod(sampled.grid)):
            raise NeedError(f"coords: {len(points)} points, but the signal's grid is {sampled.grid}")
        wanted = spectrum(sampled.values, self._size(sampled), self.mode)
        if wanted is None:
            raise NeedError("signal: it is constant: there is no spectrum to come near to")
        items = [item for layer in layers for item in self.layer(layers, layer)]
        drawn = {item.name: item.draw for item in items if isinstance(item, Fill)}
        job = self._job(layers, first, drawn, points, sampled, wanted)
        yield job
        for item in items:
            if isinstance(item, Fill) and item.name in self._scaled(first):
                yield Fill(item.name, job[item.name], why=f"{item.why}; times ω_best/ω")
            else:
                yield item
        yield self.table(layers, drawn, coords)

    def _size(self, signal: Sampled) -> int:
        most = min(signal.grid) // 2
        if self.size is not None and self.size > most:
            raise OptionError(
                f"recipe {self.id}, option size={self.size}: the signal's grid {signal.grid} has {most} frequencies"
            )
        return self.size or min(64, most)

    def _scaled(self, first: Layer) -> list[str]:
        """What is multiplied: the weight, and the bias where the frequency multiplies it too."""
        outer = first.activation is not None and first.activation.placement != "input"
        biased = [first.bias] if first.bias is not None and outer and self.bias not in ("keep", "zero") else []
        return [first.weight, *biased]

    def _job(
        self,
        layers: LayerPlan,
        first: Layer,
        drawn: Mapping[str, Draw],
        points: Tensor,
        signal: Sampled,
        wanted: Any,
    ) -> Job:
        assert first.activation is not None
        candidates = self.candidates or _TENS
        omega, scaled, size = first.activation.omega, self._scaled(first), self._size(signal)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            network = Network(ctx, self.id, list(drawn))
            coords = network.own(points)
            shapes = {name: parameter.shape for name, parameter in ctx.model.named_parameters()}
            found: dict[float, list[float]] = {candidate: [] for candidate in candidates}
            with ctx.undisturbed():
                for k in ctx.progress(range(self.draws), f"{self.id}: untrained outputs", self.draws):
                    start = {
                        name: network.own(draw.sample(shapes[name], torch.float32, ctx.stream(f"{name} {k}")))
                        for name, draw in drawn.items()
                    }
                    for candidate in candidates:
                        ratio = candidate / omega
                        params = {name: value * ratio if name in scaled else value for name, value in start.items()}
                        output = network(params, coords).reshape(*signal.grid, -1).double().cpu().numpy()
                        near = spectrum(output, size, self.mode)
                        found[candidate].append(float("inf") if near is None else distance(near, wanted))
            means = {candidate: statistics.fmean(values) for candidate, values in found.items()}
            best = min(means, key=lambda candidate: means[candidate])
            rows = [
                {
                    "omega": candidate,
                    "distance": significant(means[candidate], 5),
                    "spread": significant(statistics.pstdev(values), 3),
                    "chosen": candidate == best,
                }
                for candidate, values in found.items()
            ]
            ctx.note(f"{self.id} first frequencies", rows)
            return {name: ctx.sample(drawn[name], name) * (best / omega) for name in scaled}

        return Job("first_frequency", run, f"{len(candidates)} first frequencies, {self.draws} networks each")
