"""The empirical neural tangent kernel of the summed logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from initkit.probes import Table, Verdict
from initkit.probing.inputs import real
from initkit.probing.samples import sample_count, sample_gradients, trained
from initkit.probing.scene import NotMeasured, Scene
from initkit.probing.spectra import entropy

SAMPLES = 32
_BUDGET = 1 << 28  # numbers held at once: samples times parameters


def kernel(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield trace, extremes and condition of K_ij = <∇Σ_c f_c(x_i)/√C, ∇Σ_c f_c(x_j)/√C>, in evaluation mode.

    2N/λ_max is a ceiling for the step size of full-batch gradient descent on the squared loss.
    """
    matrix = tangent_kernel(scene, SAMPLES)
    values = torch.linalg.eigvalsh(matrix).clamp(min=0).flip(0)
    largest, smallest = float(values[0]), float(values[-1])
    if not (math.isfinite(largest) and largest > 0):
        yield Verdict("FAIL", f"the tangent kernel is {largest:.3g}: no parameter moves the output")
        return
    seen = smallest > values.numel() * torch.finfo(torch.float32).eps * largest
    p = values / values.sum()
    rank = float(entropy(p).exp())
    rows: list[dict[str, Any]] = [
        {"measure": f"tangent kernel ({len(matrix)} samples): trace", "value": float(values.sum())},
        {"measure": "tangent kernel: condition number", "value": largest / smallest if seen else None},
        {"measure": "tangent kernel: effective rank", "value": rank},
        {"measure": "tangent kernel: step size ceiling 2N/λ_max", "value": 2 * len(matrix) / largest},
    ]
    yield Table("model", rows, compare=("value",))


def tangent_kernel(scene: Scene, most: int) -> Tensor:
    """K of the first ``most`` samples, (N, N) in float64.

    Raises:
        NotMeasured: the gradients would not fit into memory.
    """
    weights = trained(scene.module)
    size = sum(p.numel() for p in weights)
    count = sample_count(scene, most)
    if size == 0 or count < 2:
        raise NotMeasured("needs at least two samples and a parameter that takes a gradient")
    count = min(count, _BUDGET // size)
    if count < 4 and sample_count(scene, most) >= 4:
        raise NotMeasured(f"the gradients of four samples by {size:,} parameters take too much memory")

    def logits(row: Tensor, _: int) -> Tensor:
        values = real(row)
        return values.sum() / math.sqrt(values.numel())

    held = []
    for gradients in scene.progress(sample_gradients(scene, count, logits, weights), "tangent kernel", count):
        flat = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, weights, strict=True)]
        held.append(torch.cat([real(g).reshape(-1) for g in flat]))
    rows = torch.stack(held)
    return (rows.double() @ rows.double().T) if size * count < _BUDGET // 8 else (rows @ rows.T).double()
