"""STRAINER: layers that were fitted to several signals at once, under a new read-out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from initkit import Draw, Fill, InitError, Item, Job, JobContext, NeedError, OptionError, PlanError, Recipe
from initkit.jobs import check_checkpoint
from initkit_inr.calling import check_stateless
from initkit_inr.layers import LayerPlan, Said, find_layers
from initkit_inr.learned import Learned
from initkit_inr.start_facts import network_rows
from initkit_inr.starts import check_values, first_names, sampled, siren_draws, trained_names, warn_of
from initkit_inr.strainer_training import JointFit
from initkit_inr.tasks import Tasks


@dataclass(frozen=True)
class Strainer(Recipe):
    """Transferable features: layers fitted to several signals at once, under a new random read-out.

    All signals share the first layers (the encoder) and have a decoder each, by default the read-out alone; the mean
    squared error over all of them is minimised jointly by Adam. The model gets the encoder and a new decoder drawn as
    SIREN's. Fit a new signal by Adam with all layers trainable.

    First-order, and far cheaper than a meta-learned start, but a few steps do not yet fit a signal.

    Args:
        shared_layers: how many layers the signals share, from the first on; null is all but the read-out.
        n_signals: the first that many signals are used, or all where there are fewer.
        steps: of Adam.
        lr: its learning rate.
        points_per_step: a new random subset of the points for each step, to save memory; null takes all.
        bias: what biases begin with, the new decoder's too: ``torch``'s default as in the authors' code, or ``zero``.
        activation: where it cannot be read from the model: ``sine:30``, or one for each layer.
        learned: layers that were learned before: a file that initkit saved from this recipe.
        checkpoint: a file that takes the last good state on Ctrl-C or when the loss is no number, and every 500
            steps; if it exists, the fit goes on from it.

    Source: Vyas, Humayun, Dashpute, Baraniuk, Veeraraghavan, Balakrishnan, Learning Transferable Features for Implicit
    Neural Representations, NeurIPS 2024 (arXiv 2409.09566).
    """

    reads_values: ClassVar[bool] = True
    bibtex: ClassVar[str] = """@inproceedings{vyas2024strainer,
  title = {Learning Transferable Features for Implicit Neural Representations},
  author = {Vyas, Kushal and Humayun, Ahmed Imtiaz and Dashpute, Aniket and Baraniuk, Richard G. and
    Veeraraghavan, Ashok and Balakrishnan, Guha},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2024},
  eprint = {2409.09566},
  archivePrefix = {arXiv}
}"""

    shared_layers: Annotated[int, Ge(1)] | None = None
    n_signals: Annotated[int, Ge(2)] = 10
    steps: Annotated[int, Ge(1)] = 5000
    lr: Annotated[float, Gt(0)] = 1e-4
    points_per_step: Annotated[int, Ge(1)] | None = None
    bias: Literal["torch", "zero"] = "torch"
    activation: Said = None
    learned: str | None = None
    checkpoint: str | None = None

    def check(self) -> None:
        """Check the options; the checkpoint's folder must exist."""
        super().check()
        check_checkpoint(self.id, self.checkpoint)

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """All parameters of a sine network of two layers or more."""
        try:
            check_stateless(model, "inr/strainer")
            layers = find_layers(model)
            siren_draws(model, layers, "inr/strainer", "torch")
        except InitError:
            return []
        return trained_names(model) if len(layers) > 1 else []

    def plan(self, model: nn.Module, *, signals: Any = None, coords: Any = None) -> Iterator[Item]:
        """Yield the joint fit, fills of the encoder with its result, and draws for the decoder.

        Args:
            model: a sine network that takes coordinates (points, d) and gives (points, channels).
            signals: (n, *grid) or (n, *grid, channels). Needed unless ``learned`` is given.
            coords: (points, d) or (*grid, d); by default ``linspace(-1, 1)`` along each axis of the signals' grid.
        """
        check_stateless(model, self.id)
        layers = find_layers(model, self.activation)
        warn_of(layers, self.id)
        draws = siren_draws(model, layers, self.id, self.bias)
        decoder = self._decoder(model, layers)
        if self.learned is not None:
            yield from Learned.read(self.learned).items(model, layers, coords, self.id, leave=decoder)
            yield from self._new(draws, decoder)
            return
        tasks = self._read(signals, coords, layers)
        names = trained_names(model)
        encoder = [name for name in names if name not in decoder]
        check_values(model, [name for name in encoder if name not in draws], self.id)

        def run(ctx: JobContext) -> dict[str, Tensor]:
            heads = {name: _stacked(ctx, draws[name], name, model, tasks.count) for name in decoder}
            fit = JointFit(self, sampled(ctx, draws, encoder), heads, tasks, ctx)
            new = {name: ctx.sample(draws[name], name) for name in decoder}
            return fit.run(new, network_rows(layers))

        shared = len(layers) - 1 if self.shared_layers is None else self.shared_layers
        words = f"fits {tasks.count} signals at once with {shared} shared layers: {self.steps} steps of Adam"
        yield (job := Job("fit", run, words))
        for name in encoder:
            yield Fill(name, job[name], why=f"shared by {tasks.count} signals")
        yield from self._new(draws, decoder)

    def _decoder(self, model: nn.Module, layers: LayerPlan) -> tuple[str, ...]:
        shared = len(layers) - 1 if self.shared_layers is None else self.shared_layers
        if not 1 <= shared < len(layers):
            raise OptionError(
                f"recipe {self.id}, option shared_layers={self.shared_layers}: the model has {len(layers)} layers, so "
                f"1 to {len(layers) - 1} of them can be shared"
            )
        first = first_names(model)
        split = [
            [first[n] for layer in part for n in (layer.weight, layer.bias) if n]
            for part in (layers[:shared], layers[shared:])
        ]
        # What is tied to a shared layer is shared.
        decoder = tuple(name for name in dict.fromkeys(split[1]) if name not in split[0])
        if not decoder:
            raise PlanError(
                f"recipe {self.id}: all tensors of the last layers are tied to shared ones; nothing is left"
            )
        return decoder

    def _new(self, draws: dict[str, Draw], decoder: tuple[str, ...]) -> Iterator[Item]:
        for name in decoder:
            yield Fill(name, draws[name], why="a new decoder, drawn as SIREN's")

    def _read(self, signals: Any, coords: Any, layers: LayerPlan) -> Tasks:
        if signals is None:
            raise NeedError(
                f"recipe {self.id} needs 'signals' to fit: give signals=..., or define the name 'signals' in model.py; "
                "learned=FILE takes layers that were learned before"
            )
        tasks = Tasks.of(signals, coords, layers[0].n_in if layers[0].n_in <= 4 else None)
        return tasks.first(min(self.n_signals, tasks.count))


def _stacked(ctx: JobContext, draw: Draw, name: str, model: nn.Module, count: int) -> Tensor:
    """One draw for each signal, along a new first dimension."""
    held = dict(model.named_parameters())[name]
    dtype = held.dtype if held.dtype == torch.float64 else torch.float32
    return torch.stack([ctx.sample(draw, f"{name}#signal {i}", held.shape, dtype) for i in range(count)])
