"""The audit as a probe of ``initkit inspect``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from initkit import NeedError, Plot, Scene, Table, Verdict
from initkit_ssm.auditing import Audit, audit, histogram

REPAIR = "ssm/repair sets it as its authors do"


def time_constants(scene: Scene, *, length: Any = None) -> Iterator[Table | Verdict]:
    """Yield the figures and verdict of each recurrent layer; nothing where the model has none.

    Args:
        scene: with an ``nn.Module``; nothing is run, parameters alone are read.
        length: number of steps of the sequences to be read, or None.
    """
    found = audit(scene.module, _whole(length))
    if not found.layers and not found.unknown:
        return
    if found.layers:
        yield Table(
            "time constants",
            found.rows,
            words="steps until a state has decayed by 1/e, and the share of a layer's modes that reach so many steps",
            compare=("verdict", "tau min", "tau median", "tau max", "≥ 4"),
        )
        tau = torch.cat([layer.tau for layer in found.layers])
        if tau.numel():
            yield _histogram(tau)
    yield from _verdicts(found)


def _histogram(tau: torch.Tensor) -> Table:
    return Table(
        "memory",
        [{"steps": edge, "modes": count} for edge, count in histogram(tau)],
        words="modes by time constant, a bin a factor of two",
        plot=Plot("bars", "steps", ("modes",), labels={"steps": "time constant, steps", "modes": "modes"}),
    )


def _verdicts(found: Audit) -> Iterator[Verdict]:
    passed = [one for one in found.layers if one.level == "PASS"]
    if len(passed) == 1 or (passed and len(passed) < len(found.layers)):
        for one in passed:
            yield Verdict("PASS", one.words, one.layer.title)
    elif passed:
        tau = torch.cat([one.tau for one in passed])
        span = f"{float(tau.min()):.3g} to {float(tau.max()):.3g} steps, median {float(tau.median()):.3g}"
        yield Verdict("PASS", f"all {len(passed)} recurrent layers remember: time constants of {span}")
    for one in found.layers:
        if one.level == "FAIL":
            yield Verdict("FAIL", f"{one.words}; {REPAIR}", one.layer.title)
        elif one.level != "PASS":
            yield Verdict("WARN" if one.level else "NOTE", one.words, one.layer.title)
    for words in found.unknown:
        yield Verdict("WARN", words)


def _whole(length: Any) -> int | None:
    if length is None:
        return None
    if isinstance(length, torch.Tensor) and length.numel() == 1:
        length = length.item()
    if isinstance(length, float) and length.is_integer():
        length = int(length)
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise NeedError(f"length: give the number of steps of a sequence, a whole number above 0, not {length!r}")
    return length
