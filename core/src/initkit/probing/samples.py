"""Running a model sample by sample, for measurements that need a gradient each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from initkit.probing.inputs import Inputs, output_of
from initkit.probing.scene import NotMeasured, Scene
from initkit.slots import trained_tensors


def sample_gradients(
    scene: Scene,
    count: int,
    value: Callable[[Tensor, int], Tensor],
    weights: Sequence[Tensor],
) -> Iterator[list[Tensor | None]]:
    """Yield the gradient of ``value(row of the output, sample)`` for the first ``count`` samples, one at a time.

    Samples that do not interact are run alone; the others share one forward pass.

    Args:
        scene: of the model.
        count: how many samples.
        value: a scalar of one sample's output, a batch of one.
        weights: what is differentiated by.
    """
    inputs = scene.given_inputs()
    with scene.undisturbed(grad=True) as model:
        if scene.samples_interact:
            out = output_of(scene.call(model, inputs))
            for i in range(count):
                yield list(torch.autograd.grad(value(out[i : i + 1], i), weights, retain_graph=True, allow_unused=True))
            return
        for i in range(count):
            out = output_of(scene.call(model, inputs.rows(i, i + 1)))
            yield list(torch.autograd.grad(value(out, i), weights, allow_unused=True))


def sample_count(scene: Scene, most: int) -> int:
    """How many samples there are, at most ``most``.

    Raises:
        NotMeasured: the inputs count no samples.
    """
    found = scene.given_inputs().samples
    if not found:
        raise NotMeasured("the inputs hold no tensor that counts samples")
    return min(found, most)


def trained(model: nn.Module) -> list[Tensor]:
    """The parameters that take a gradient."""
    return trained_tensors(model)


def noise_like(scene: Scene, count: int) -> Inputs | None:
    """Inputs of ``count`` normal samples with the mean and standard deviation of the given ones, entry by entry.

    None where the inputs are more than one tensor, or whole numbers.
    """
    inputs = scene.given_inputs()
    signal = inputs.signal
    if signal is None or len(inputs.tensors) != 1 or signal.ndim < 2 or signal.is_complex():
        return None
    values = scene.stream("noise").normals(0, count * signal[0].numel())
    shaped = torch.from_numpy(values).reshape(count, *signal.shape[1:]).to(signal.device, signal.dtype)
    mean, std = signal.mean(), signal.std()
    return inputs.replaced(signal, shaped * std + mean)
