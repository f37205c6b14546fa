"""TUNER's first layer: whole-numbered frequencies of the signal's own period."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from initkit import Draw, Fill, Item, Job, JobContext, OptionError
from initkit_inr.layers import Layer
from initkit_inr.recipe import called_with
from initkit_inr.siren import SineRecipe

_COARSE = 8  # steps from 0 to the bandlimit
_MOST = 2_000_000  # frequencies in a box that are listed


@dataclass(frozen=True)
class Tuner(SineRecipe):
    """Sampled spectrum (TUNER): whole-numbered first frequencies, low ones densely, high ones sparsely.

        first       ωW rows = (2π/period) k, k whole-numbered: the unit vectors; 70 % of the others drawn from the box
                    |k| <= low; the rest from a coarse grid up to ``bandlimit``
        others      as inr/siren

    Composed sines make sums of the first layer's frequencies, so that the network is a Fourier series of this period.
    Frequencies are drawn without replacement, and of k and -k one is taken. The authors leave the first layer frozen
    while they train and bound the columns of hidden weights; neither is done here.

    Args:
        activation: what follows the layers, where the model does not show it: ``sine:30``, a list.
        omega_hidden: ω in the bounds of hidden layers and read-out; None takes the model's.
        bias: ``torch`` draws torch's default anew, ``as_weight`` takes SIREN's bound of the layer's weights, ``zero``,
            or ``keep``.
        low: the greatest entry of the densely drawn frequencies.
        bandlimit: the greatest entry of all, at most half the samples along an axis; None draws low ones alone.
        share: of the densely drawn ones.
        period: of the series along each axis: 2 for coordinates in [-1, 1].

    Source: Novello, Aldana, Araujo, Velho, Tuning the Frequencies: Robust Training for Sinusoidal Neural Networks, CVPR
    2025 (arXiv 2407.21121).
    """

    bibtex: ClassVar[str] = """@inproceedings{novello2025tuning,
  title = {Tuning the Frequencies: Robust Training for Sinusoidal Neural Networks},
  author = {Novello, Tiago and Aldana, Diana and Araujo, Andre and Velho, Luiz},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2025},
  eprint = {2407.21121},
  archivePrefix = {arXiv}
}"""

    low: Annotated[int, Ge(1)] = 12
    bandlimit: Annotated[int, Ge(1)] | None = None
    share: Annotated[float, Gt(0), Le(1)] = 0.7
    period: Annotated[float, Gt(0)] = 2.0

    def plan(self, model: nn.Module, *, coords: Any = None, inputs: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight and bias, in forward order; the first weight comes from a job.

        Args:
            model: with sines between its linear layers.
            coords: the points, (..., d); where they are given, the report measures sizes on them.
            inputs: what the model is called with, if not the points alone.
        """
        layers = self.layers(model, coords, inputs)
        first = layers[0]
        job = self._job(first)
        yield job
        fills: dict[str, Draw] = {}
        for layer in layers:
            for item in self.layer(layers, layer):
                made = item
                if isinstance(item, Fill):
                    if item.name == first.weight:
                        made = Fill(item.name, job["weight"], why=f"2π/{self.period:.4g} times whole numbers, over ω")
                    fills[item.name] = made.draw if isinstance(made, Fill) else item.draw
                yield made
        yield self.table(layers, fills, called_with(coords, inputs))

    def _job(self, first: Layer) -> Job:
        dense, sparse = self._frequencies(first.n_in)
        wanted = first.n_out - first.n_in
        if wanted < 0:
            raise OptionError(f"recipe {self.id}: {first.label} has {first.n_out} units for {first.n_in} axes")
        few = min(len(sparse), wanted - round(self.share * wanted))
        many = wanted - few
        if many > len(dense):
            raise OptionError(
                f"recipe {self.id}, option low={self.low}: the box holds {len(dense)} frequencies, {first.label} asks "
                f"for {many}; raise low"
            )
        assert first.activation is not None
        factor = 2 * math.pi / self.period / (first.activation.omega / first.activation.fold)

        def run(ctx: JobContext) -> dict[str, torch.Tensor]:
            low = dense[ctx.stream("low").permutation(len(dense))[:many]]
            high = sparse[ctx.stream("high").permutation(len(sparse))[:few]]
            k = np.concatenate([np.eye(first.n_in, dtype=np.int64), low, high])
            ctx.note(f"{self.id} frequencies", f"{many} of {len(dense)} low ones, {few} of {len(sparse)} high ones")
            return {"weight": torch.from_numpy(factor * k)}

        return Job("frequencies", run, "draws the first layer's frequencies")

    def _frequencies(self, axes: int) -> tuple[Any, Any]:
        """Dense and sparse frequencies without the unit vectors, one of k and -k each."""
        dense = self._half_box(np.arange(-self.low, self.low + 1), axes)
        limit = self.bandlimit or 0
        step = max(1, limit // _COARSE)
        sparse = self._half_box(np.arange(-(limit // step), limit // step + 1) * step, axes)
        return dense[np.abs(dense).sum(axis=1) > 1], sparse[np.abs(sparse).max(axis=1, initial=0) > self.low]

    def _half_box(self, values: Any, axes: int) -> Any:
        if len(values) ** axes > _MOST:
            raise OptionError(f"recipe {self.id}: {len(values)}^{axes} frequencies are too many to list; lower low")
        box = np.array(list(itertools.product(values.tolist(), repeat=axes)), dtype=np.int64).reshape(-1, axes)
        # The first entry that is not 0 is positive.
        signs = np.sign(box)
        leading = np.take_along_axis(signs, np.argmax(signs != 0, axis=1)[:, None], axis=1)[:, 0]
        return box[leading > 0]
