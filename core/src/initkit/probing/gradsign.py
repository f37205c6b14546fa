"""GradSign: do the samples' gradients agree in sign?"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from initkit._names import walk
from initkit.probes import Table, Verdict
from initkit.probing.samples import sample_count, sample_gradients
from initkit.probing.scene import NotMeasured, Scene

SAMPLES = 128


def gradsign(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield Σ_w |Σ_i sign(∂L_i/∂w)| over the weights of linear and convolution layers, L_i the loss of sample i.

    Higher is better, and only networks with equally many weights compare. Zhang & Jia, GradSign, ICLR 2022.
    """
    total, weights, samples = gradsign_sum(scene, SAMPLES)
    rows = [
        {"measure": f"GradSign ({samples} samples): sum", "value": total},
        {"measure": "GradSign: mean agreement of signs, 0..1", "value": total / weights / samples},
    ]
    yield Table("model", rows, compare=("value",))


def gradsign_sum(scene: Scene, most: int) -> tuple[float, int, int]:
    """The sum, the count of weights and of samples.

    Raises:
        NotMeasured: there are no targets, or no such layers.
    """
    if scene.targets is None:
        raise NotMeasured("needs targets: give targets=..., or define the name 'targets' in model.py")
    weights = [
        module.weight
        for _, _, module in walk(scene.module)
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)) and module.weight.requires_grad
    ]
    if not weights:
        raise NotMeasured("the model has no linear or convolution layer that takes a gradient")
    count = sample_count(scene, most)
    targets = scene.targets
    agreed = [torch.zeros_like(w, dtype=torch.int32) for w in weights]

    def loss(row: Tensor, i: int) -> Tensor:
        scene.targets = targets[i : i + 1]
        return scene.losses(row).sum()

    try:
        for gradients in scene.progress(sample_gradients(scene, count, loss, weights), "GradSign", count):
            for votes, gradient in zip(agreed, gradients, strict=True):
                if gradient is not None:
                    votes += gradient.sign().to(torch.int32)
    finally:
        scene.targets = targets
    return float(sum(int(votes.abs().sum()) for votes in agreed)), sum(w.numel() for w in weights), count
