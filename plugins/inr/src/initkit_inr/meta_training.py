"""The meta-learning job: a start from which a few steps of gradient descent fit a new signal."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from initkit import CommitError, JobContext
from initkit.jobs import fingerprint
from initkit_inr.adaptation import Adaptation, Batch, Params
from initkit_inr.calling import Network
from initkit_inr.descent import Descent, State
from initkit_inr.start_facts import Rows, StartFacts, probe_rows
from initkit_inr.tasks import COORDS, Tasks, at_points

if TYPE_CHECKING:
    from initkit_inr.meta import Meta

ID = "inr/meta"
_SHOWN = 8


class MetaTraining:
    """Learns the parameters on copies; the model is never written to.

    Args:
        options: the recipe.
        starts: parameters by name.
        tasks: the signals.
        ctx: of the job.
    """

    def __init__(self, options: Meta, starts: Mapping[str, Tensor], tasks: Tasks, ctx: JobContext) -> None:
        self._options, self._ctx = options, ctx
        self._net = Network(ctx, ID, list(starts), options.loss_fn)
        self._tasks = tasks.to(ctx.device, self._net.dtype)
        self._train, self._held_out = self._tasks.split(options.val_tasks)
        self._starts = {name: self._net.own(value) for name, value in starts.items()}
        self._orders: dict[int, Tensor] = {}

    def run(self, network: Rows) -> Params:
        """Return the learned parameters; notes what was found.

        Args:
            network: the layers as they go into the file.
        """
        options = self._options
        with self._ctx.undisturbed(train=True, grad=True):
            self._net.check(self._starts, self._tasks)
            self._adaptation = self._chosen()
            descent = Descent(
                recipe=ID,
                ctx=self._ctx,
                iterations=options.iters,
                lr=options.outer_lr,
                checkpoint=options.checkpoint,
                origin={
                    "recipe": ID,
                    "seed": self._ctx.seed,
                    "start": fingerprint(self._starts),
                    "data": self._tasks.digest(),
                },
                advice=f"lower inner_lr (now {options.inner_lr:g}) or outer_lr (now {options.outer_lr:g})",
                validate_every=options.val_every,
                patience=options.patience,
            )
            state = descent.run(self._starts, self._gradient, self._validated if self._held_out else None)
            learned = state.best if self._held_out else state.values
            self._note(state, learned, network)
        return learned

    def _chosen(self) -> Adaptation:
        options = self._options
        on_gpu = self._ctx.device.type == "cuda"
        adaptation = Adaptation(
            self._net.loss,
            options.inner_lr,
            options.method,
            vectorised=options.vectorize == "vmap" or (options.vectorize == "auto" and on_gpu),
            recompute=options.recompute,
        )
        if not adaptation.vectorised:
            return adaptation
        try:
            adaptation.gradient(self._starts, self._batches(1))
        except RuntimeError as error:
            cause = " ".join(str(error).split())[:200]
            if options.vectorize == "vmap":
                raise CommitError(
                    f"{ID}: the tasks cannot be vectorised ({cause}); take in-place operations out of the model, or "
                    "set vectorize='loop'"
                ) from error
            warnings.warn(f"{ID}: the tasks run one after the other: they cannot be vectorised ({cause})", stacklevel=2)
            return replace(adaptation, vectorised=False)
        return adaptation

    def _gradient(self, iteration: int, params: Params) -> tuple[Tensor, Params]:
        return self._adaptation.gradient(params, self._batches(iteration))

    def _batches(self, iteration: int) -> list[Batch]:
        """The tasks of an iteration, for each inner step and the outer loss."""
        options = self._options
        size = options.tasks_per_iter
        places = range((iteration - 1) * size, iteration * size)
        chosen = torch.stack([self._order(place // self._train.count)[place % self._train.count] for place in places])
        return self._on_points(self._train.batch(chosen.to(self._ctx.device)), f"points {iteration}")

    def _order(self, epoch: int) -> Tensor:
        """Every signal comes equally often: in a new order each time round."""
        if epoch not in self._orders:
            self._orders = {key: value for key, value in self._orders.items() if key == epoch - 1}
            order = self._ctx.stream(f"signals {epoch}").permutation(self._train.count)
            self._orders[epoch] = torch.from_numpy(order)
        return self._orders[epoch]

    def _on_points(self, batch: Batch, tag: str) -> list[Batch]:
        steps = self._options.inner_steps + 1
        stream = self._ctx.stream(tag)
        count = self._options.points_per_step
        return [at_points(batch, count, stream.sub(str(step)) if count else stream) for step in range(steps)]

    def _validated(self, params: Params) -> float:
        assert self._held_out is not None
        return self._after_steps(params, self._held_out)[1]

    def _after_steps(self, params: Params, tasks: Tasks) -> tuple[float, float]:
        """Mean loss before the inner steps and after them."""
        losses = []
        for index in range(tasks.count):
            batch = tasks.batch(torch.tensor([index], device=self._ctx.device))
            steps = [each.task(0) for each in self._on_points(batch, f"validation {index}")]
            adapted = self._adaptation.adapted(params, steps[:-1])
            with torch.no_grad():
                losses.append([float(self._net.loss(p, batch.task(0))) for p in (params, adapted)])
        before, after = zip(*losses, strict=True)
        return math.fsum(before) / len(before), math.fsum(after) / len(after)

    def _note(self, state: State, learned: Params, network: Rows) -> None:
        options, ctx = self._options, self._ctx
        shown = (self._held_out or self._train).first(_SHOWN)
        about: dict[str, Any] = {
            "method": options.method,
            "inner_steps": options.inner_steps,
            "inner_lr": options.inner_lr,
            "iterations": state.iteration,
            "signals": self._train.count,
            "data": self._tasks.digest(),
        }
        probe: Rows = []
        if options.loss_fn is None:
            coords = shown.batch(torch.tensor([0])).task(0)[COORDS]
            about["output_offset"] = self._net.offset(learned, coords)
            probe = probe_rows(self._net, learned, coords)
        StartFacts(about, self._tasks.convention, network, probe).note(ctx)
        held = f"{shown.count} {'held-out' if self._held_out else 'training'} signals"
        found: dict[str, Any] = {
            "effect_on": held if options.loss_fn else f"{held}, PSNR for a range of {shown.peak:g}",
            "vectorised": self._adaptation.vectorised,
        }
        if self._held_out:
            found |= {"best_iteration": state.best_iteration, "validation_loss": _short(state.best_loss)}
        if self._tasks.remarks:
            found["remarks"] = list(self._tasks.remarks)
        ctx.note(ID, found)
        ctx.note(f"{ID} effect", [self._effect("start", self._starts, shown), self._effect("learned", learned, shown)])
        ctx.note(f"{ID} history", state.history)

    def _effect(self, label: str, params: Params, tasks: Tasks) -> dict[str, Any]:
        """A row: the loss before and after the inner steps."""
        options = self._options
        before, after = self._after_steps(params, tasks)
        if not math.isfinite(before + after):
            return {"from": label, "verdict": "the inner steps diverge"}
        row = {"from": label, "loss": _short(before), f"loss_after_{options.inner_steps}": _short(after)}
        if options.loss_fn is None and before > 0 and after > 0 and tasks.peak > 0:
            row["psnr"] = round(10 * math.log10(tasks.peak**2 / before), 2)
            row[f"psnr_after_{options.inner_steps}"] = round(10 * math.log10(tasks.peak**2 / after), 2)
        return row


def _short(value: float) -> float:
    return float(f"{value:.7g}")
