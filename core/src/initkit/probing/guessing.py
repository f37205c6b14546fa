"""Initial guessing bias: does the untrained network answer mostly one class?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from initkit.probes import Table, Verdict
from initkit.probing.inputs import output_of
from initkit.probing.samples import noise_like
from initkit.probing.scene import NotMeasured, Scene

ENOUGH = 1000
_MOST_CLASSES = 4096


def guessing(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the fractions of arg-max classes over the inputs, or over normal noise where they are fewer than 1000.

    The flag is max f_c > 2/C + 0.3 (C classes). Francazi, Lucchi & Baity-Jesi, Initial Guessing Bias, ICML 2024.
    """
    inputs = scene.given_inputs()
    if scene.targets is not None and scene.targets.is_floating_point():
        raise NotMeasured("the targets are no classes")
    if (inputs.samples or 0) < ENOUGH:
        inputs = noise_like(scene, ENOUGH) or inputs
    with scene.undisturbed() as model:
        out = output_of(scene.call(model, inputs))
    # Without targets only (samples, classes) tells which axis holds classes.
    axes = out.ndim == 2 if scene.targets is None else out.ndim >= 2
    if out.is_complex() or not axes or not 2 <= out.shape[-1] <= _MOST_CLASSES:
        raise NotMeasured(f"an output of shape {tuple(out.shape)} is no classes by samples")
    guesses = out.reshape(-1, out.shape[-1]).argmax(-1)
    classes = out.shape[-1]
    share = torch.bincount(guesses, minlength=classes).double() / len(guesses)
    entropy = abs(float((share * torch.where(share > 0, share, 1).log2()).sum()))
    largest = float(share.max())
    rows = [
        {"measure": f"guessing bias: share of the most frequent of {classes} answers", "value": largest},
        {"measure": "guessing bias: entropy of the answers in bits", "value": entropy},
    ]
    yield Table("model", rows, compare=("value",))
    if largest > 2 / classes + 0.3:
        what = "inputs" if inputs is scene.inputs else "noise inputs"
        yield Verdict("WARN", f"the untrained model gives one of {classes} answers for {largest:.0%} of {what}")
