"""The joint fit of one encoder and a read-out for each signal."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import vmap

from initkit import JobContext
from initkit.jobs import fingerprint
from initkit_inr.adaptation import Batch, Params
from initkit_inr.calling import Network
from initkit_inr.descent import Descent, State
from initkit_inr.start_facts import Rows, StartFacts, probe_rows
from initkit_inr.tasks import COORDS, TARGET, Tasks, at_points

if TYPE_CHECKING:
    from initkit_inr.strainer import Strainer

ID = "inr/strainer"
HEADS = "heads/"


class JointFit:
    """Fits all signals at once, on copies of the parameters.

    Args:
        options: the recipe.
        encoder: shared parameters by name.
        heads: parameters of the decoders by name, with the signals along dimension 0.
        tasks: the signals.
        ctx: of the job.
    """

    def __init__(
        self,
        options: Strainer,
        encoder: Mapping[str, Tensor],
        heads: Mapping[str, Tensor],
        tasks: Tasks,
        ctx: JobContext,
    ) -> None:
        self._options, self._ctx = options, ctx
        self._net = Network(ctx, ID, [*encoder, *heads])
        self._tasks = tasks.to(ctx.device, self._net.dtype)
        self._start = {name: self._net.own(value) for name, value in encoder.items()}
        self._start |= {HEADS + name: self._net.own(value) for name, value in heads.items()}
        self._at_once = True
        self._whole = self._tasks.batch(torch.arange(tasks.count, device=ctx.device))

    def run(self, decoder: Mapping[str, Tensor], network: Rows) -> Params:
        """Return the learned encoder; notes what was found.

        Args:
            decoder: the new decoder that the model will have.
            network: the layers as they go into the file.
        """
        options = self._options
        with self._ctx.undisturbed(train=True, grad=True):
            self._net.check(self._encoder(self._start) | self._heads(self._start, 0), self._tasks)
            self._try_at_once()
            descent = Descent(
                recipe=ID,
                ctx=self._ctx,
                iterations=options.steps,
                lr=options.lr,
                checkpoint=options.checkpoint,
                origin={
                    "recipe": ID,
                    "seed": self._ctx.seed,
                    "start": fingerprint(self._start),
                    "data": self._tasks.digest(),
                },
                advice=f"lower lr (now {options.lr:g})",
            )
            state = descent.run(self._start, self._gradient)
            learned = self._encoder(state.values)
            self._note(state, learned, decoder, network)
        return learned

    def _note(self, state: State, learned: Params, decoder: Mapping[str, Tensor], network: Rows) -> None:
        ctx, peak = self._ctx, self._tasks.peak
        coords = self._whole.task(0)[COORDS]
        whole = learned | {name: self._net.own(value) for name, value in decoder.items()}
        about = {
            "method": "strainer",
            "decoder": list(decoder),
            "iterations": state.iteration,
            "signals": self._tasks.count,
            "data": self._tasks.digest(),
            "output_offset": self._net.offset(whole, coords),
        }
        StartFacts(about, self._tasks.convention, network, probe_rows(self._net, whole, coords)).note(ctx)
        with torch.no_grad():
            outputs = self._outputs(state.values, self._whole)
        losses = (outputs - self._whole.own[TARGET]).double().square().mean((1, 2))
        found: dict[str, Any] = {"loss": float(f"{float(losses.mean()):.7g}")}
        if bool((losses > 0).all()) and peak > 0:
            psnr = (10 * torch.log10(peak**2 / losses)).tolist()
            found |= {"psnr_mean": round(math.fsum(psnr) / len(psnr), 2), "psnr_worst": round(min(psnr), 2)}
            found["psnr_range"] = peak
        if self._tasks.remarks:
            found["remarks"] = list(self._tasks.remarks)
        ctx.note(ID, found)
        ctx.note(f"{ID} history", state.history)

    def _encoder(self, params: Params) -> Params:
        return {name: value for name, value in params.items() if not name.startswith(HEADS)}

    def _heads(self, params: Params, index: int | None = None) -> Params:
        held = {name.removeprefix(HEADS): value for name, value in params.items() if name.startswith(HEADS)}
        return held if index is None else {name: value[index] for name, value in held.items()}

    def _outputs(self, params: Params, batch: Batch) -> Tensor:
        """Of every signal: (signals, points, channels). The encoder is computed once where the points are shared."""
        encoder, heads = self._encoder(params), self._heads(params)
        if not self._at_once:
            each = [
                self._net(encoder | self._heads(params, i), batch.task(i)[COORDS]) for i in range(self._tasks.count)
            ]
            out = torch.stack(each)
        elif COORDS in batch.shared:
            coords = batch.shared[COORDS]
            out = vmap(lambda head: self._net(encoder | head, coords))(heads)
        else:
            out = vmap(lambda head, coords: self._net(encoder | head, coords))(heads, batch.own[COORDS])
        return out.reshape(batch.own[TARGET].shape)

    def _gradient(self, iteration: int, params: Params) -> tuple[Tensor, Params]:
        batch = self._whole
        if self._options.points_per_step:
            batch = at_points(batch, self._options.points_per_step, self._ctx.stream(f"points {iteration}"))
        leaves = {name: value.requires_grad_() for name, value in params.items()}
        loss = (self._outputs(leaves, batch) - batch.own[TARGET]).square().mean()
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def _try_at_once(self) -> None:
        """Fall back to one decoder after the other where a model cannot be vectorised."""
        with torch.no_grad():
            try:
                self._outputs(self._start, self._whole)
            except RuntimeError as error:
                self._at_once = False
                cause = " ".join(str(error).split())[:200]
                warnings.warn(
                    f"{ID}: every signal is computed apart, at {self._tasks.count} times the cost: the decoders cannot "
                    f"be vectorised ({cause})",
                    stacklevel=2,
                )
