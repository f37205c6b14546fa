"""A short trial fit of a few scales on the user's own signal, to choose one of them.

It is a heuristic: what leads after a hundred steps need not lead in the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from initkit import CommitError, Draw, Job, JobContext, NeedError, PlanError
from initkit_inr.calling import Network
from initkit_inr.recipe import significant
from initkit_inr.signals import as_floats

STEPS, POINTS, RATE = 100, 2048, 1e-3


@dataclass(frozen=True)
class Candidate:
    """A scale to be tried.

    Attributes:
        value: of the scale.
        draws: of the tensors that a start writes, by name.
    """

    value: Any
    draws: Mapping[str, Draw]


@dataclass(frozen=True)
class Target:
    """A signal at its points.

    Attributes:
        coords: (points, d).
        values: (points, channels).
    """

    coords: Tensor
    values: Tensor

    @classmethod
    def of(cls, coords: Any, signal: Any, recipe: str) -> Target:
        """Read coordinates (..., d) and a signal with as many points, channels last or left out.

        Raises:
            NeedError: one is missing, or they do not fit.
        """
        for name, value in (("coords", coords), ("signal", signal)):
            if value is None:
                raise NeedError(f"recipe {recipe}: the probe fits the signal for some steps, so it needs {name!r}")
        points = torch.as_tensor(coords).detach().cpu().float()
        if points.ndim < 2 or not bool(torch.isfinite(points).all()):
            raise NeedError(f"coords: the probe needs finite points (..., d), not shape {tuple(points.shape)}")
        points = points.reshape(-1, points.shape[-1])
        values = as_floats(signal).float()
        if values.numel() % len(points):
            raise NeedError(
                f"signal: shape {tuple(values.shape)} has {values.numel()} values, no multiple of the {len(points)} "
                "points of coords"
            )
        return cls(points, values.reshape(len(points), -1))


def probe(name: str, candidates: Sequence[Candidate], target: Target, recipe: str) -> Job:
    """A job that yields the tensors of the candidate whose trial fit ends with the least loss.

    Each is fitted with Adam (learning rate 1e-3) for 100 steps on the same 2048 random points a step; the start then
    written is the candidate's untrained one.

    Args:
        name: of the job; its note is a table of all candidates.
        candidates: with draws for the same tensors.
        target: the signal.
        recipe: for messages and the note.
    """

    def run(ctx: JobContext) -> dict[str, Tensor]:
        names = list(candidates[0].draws)
        network = Network(ctx, recipe, names)
        coords, values = network.own(target.coords), network.own(target.values)
        batches = _batches(ctx, len(coords))
        constant = float((values - values.mean(dim=0)).square().mean())
        rows: list[dict[str, Any]] = []
        best: tuple[float, dict[str, Tensor]] | None = None
        with ctx.undisturbed(grad=True):
            for candidate in ctx.progress(candidates, f"{recipe}: trial fits", len(candidates)):
                start = {one: ctx.sample(draw, one) for one, draw in candidate.draws.items()}
                loss = _fit(network, start, coords, values, batches)
                rows.append(
                    {
                        "candidate": candidate.value,
                        "loss": None if math.isinf(loss) else significant(loss, 5),
                        "over_constant": None if math.isinf(loss) else significant(loss / max(constant, 1e-30), 5),
                    }
                )
                if math.isfinite(loss) and (best is None or loss < best[0]):
                    best = loss, start
                    chosen = candidate.value
        if best is None:
            raise CommitError(f"{recipe}: every trial fit ends in NaN; look at the signal's range and the coordinates")
        for row in rows:
            row["chosen"] = row["candidate"] == chosen
        ctx.note(f"{recipe} {name}", rows)
        if best[0] > 0.99 * constant:
            ctx.note(
                f"{recipe} {name} remark",
                "no candidate is better than a constant output after the trial: this start may be dead",
            )
        return best[1]

    return Job(name, run, f"{len(candidates)} trial fits of {STEPS} steps choose the scale")


def _batches(ctx: JobContext, points: int) -> list[Tensor]:
    count = min(POINTS, points)
    numbers = torch.from_numpy(ctx.stream("points").integers(0, points, STEPS * count)).to(ctx.device)
    return list(numbers.reshape(STEPS, count))


def _fit(network: Network, start: Mapping[str, Tensor], coords: Tensor, values: Tensor, batches: list[Tensor]) -> float:
    """The loss on up to 16384 points after the trial; infinite where it is no number."""
    params = {name: network.own(value).requires_grad_(True) for name, value in start.items()}
    optimizer = torch.optim.Adam(params.values(), lr=RATE)
    for batch in batches:
        optimizer.zero_grad()
        _loss(network, params, coords[batch], values[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    stride = -(-len(coords) // 16384)
    with torch.no_grad():
        loss = float(_loss(network, params, coords[::stride], values[::stride]))
    return loss if math.isfinite(loss) else math.inf


def _loss(network: Network, params: Mapping[str, Tensor], coords: Tensor, values: Tensor) -> Tensor:
    out = network(params, coords)
    out = out.real if out.is_complex() else out
    if out.numel() != values.numel():
        raise PlanError(
            f"signal: it has {values.shape[-1]} channels at each point, the model gives {tuple(out.shape)} at "
            f"{len(coords)} points"
        )
    return functional.mse_loss(out.reshape(values.shape), values)
