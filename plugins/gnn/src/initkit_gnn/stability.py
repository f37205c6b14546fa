"""How much predictions with random features depend on the draw: one draw against a vote of several."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from initkit import NeedError, OptionError
from initkit_gnn.wrapping import WithRandomFeatures


@dataclass(frozen=True)
class DrawVariance:
    """Predictions of single draws and of votes of several, on the same items.

    Attributes:
        items: graphs or nodes that were predicted.
        draws: how many draws were made.
        vote: how many draws a vote averages over.
        single: accuracy of each draw; empty without labels.
        voted: accuracy of each vote, of draws 0..m-1, m..2m-1, ...; empty without labels.
        single_std: standard deviation, over draws, of the probability of an item's likeliest class; mean over items.
        voted_std: the same over votes; None with a single vote.
        unsettled: the share of items whose class is not the same in all draws.
    """

    items: int
    draws: int
    vote: int
    single: tuple[float, ...]
    voted: tuple[float, ...]
    single_std: float
    voted_std: float | None
    unsettled: float

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        lines = [f"{self.items} items, {self.draws} draws, votes of {self.vote}"]
        for name, found, std in (
            ("one draw", self.single, self.single_std),
            ("a vote", self.voted, self.voted_std),
        ):
            words = [] if std is None else [f"std of the probability {std:.4f}"]
            if found:
                words.insert(0, f"accuracy {statistics.fmean(found):.3f} ({min(found):.3f} to {max(found):.3f})")
            if words:
                lines.append(f"  {name}: {', '.join(words)}")
        return "\n".join([*lines, f"  items whose class depends on the draw: {self.unsettled:.1%}"])


@torch.no_grad()
def draw_variance(
    model: WithRandomFeatures, batches: Iterable[Any], *, labels: Tensor | None = None, draws: int = 32, vote: int = 8
) -> DrawVariance:
    """Measure how much the predictions of a classifier with random features depend on the draw.

    The model runs in evaluation mode, with evaluation's numbered draws; its mode is restored.

    Args:
        model: wrapped; returns logits of two classes or more, or one logit with ``average="sigmoid"``.
        batches: of ``Data``, or tuples of the model's arguments.
        labels: one for each item, in order; None takes ``y`` of the batches where they have it.
        draws: how many to make.
        vote: how many draws a vote averages over; divides ``draws``.

    Raises:
        OptionError: ``draws`` is no multiple of ``vote``.
        NeedError: there is no batch, or labels do not fit.
    """
    if vote < 1 or draws < vote or draws % vote:
        raise OptionError(f"draws={draws} must be a multiple of vote={vote}")
    outputs: list[list[Tensor]] = [[] for _ in range(draws)]
    own: list[Tensor] = []
    training = model.training
    model.eval()
    try:
        for batch in batches:
            arguments = batch if isinstance(batch, tuple) else (batch,)
            for number, found in enumerate(outputs):
                found.append(model.draw(number, *arguments).float().cpu())
            y = getattr(batch, "y", None)
            if isinstance(y, Tensor):
                own.append(y.cpu())
    finally:
        model.train(training)
    if not outputs[0]:
        raise NeedError("batches: there is none; give at least one batch")
    logits = torch.stack([torch.cat(found) for found in outputs])  # (draws, items, classes)
    if labels is None and len(own) == len(outputs[0]):
        labels = torch.cat(own)
    if labels is not None:
        labels = labels.reshape(-1).cpu()
        if len(labels) != logits.shape[1]:
            raise NeedError(f"labels: there are {len(labels)} for {logits.shape[1]} predictions")
    votes = torch.stack([model.vote(list(some)) for some in logits.split(vote)])  # type: ignore[no-untyped-call]
    single, voted = (_probabilities(one, model.average) for one in (logits, votes))
    likeliest = single.mean(dim=0).argmax(dim=-1)
    classes = single.argmax(dim=-1)
    return DrawVariance(
        items=logits.shape[1],
        draws=draws,
        vote=vote,
        single=_accuracies(classes, labels),
        voted=_accuracies(voted.argmax(dim=-1), labels),
        single_std=_spread(single, likeliest) if draws > 1 else 0.0,
        voted_std=_spread(voted, likeliest) if len(votes) > 1 else None,
        unsettled=float((classes != classes[0]).any(dim=0).double().mean()),
    )


def _probabilities(logits: Tensor, average: str) -> Tensor:
    if logits.shape[-1] == 1 and average == "sigmoid":
        yes = logits.double().sigmoid()
        return torch.cat([1 - yes, yes], dim=-1)
    return logits.double().softmax(dim=-1)


def _spread(probabilities: Tensor, of: Tensor) -> float:
    chosen = probabilities.gather(-1, of.expand(len(probabilities), -1)[..., None])[..., 0]
    return float(chosen.std(dim=0).mean())


def _accuracies(classes: Tensor, labels: Tensor | None) -> tuple[float, ...]:
    if labels is None:
        return ()
    return tuple((classes == labels).double().mean(dim=1).tolist())
