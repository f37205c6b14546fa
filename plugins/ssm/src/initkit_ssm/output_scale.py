"""Output sizes on real data: C is scaled until each layer's output has unit size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt
from torch import Tensor, nn

from initkit import CommitError, Fill, Item, Job, JobContext
from initkit_ssm.autocorr_timescale import rounded
from initkit_ssm.autocorrelation import checked, second_moments
from initkit_ssm.base import LayerRecipe
from initkit_ssm.capture import layer_input
from initkit_ssm.layers import Layer
from initkit_ssm.responses import Response


@dataclass(frozen=True)
class OutputScale(LayerRecipe):
    """Unit outputs on real data: C and D of each layer are scaled by what the layer makes of its own input.

    With k the kernel of a channel (D at lag 0 included) and R the Toeplitz matrix of its input's second moments, the
    output at the last step has E y² = kᵀ R k; C and D are divided by the root of its mean over channels. Layers come
    one after the other, each on what the ones before it make of ``inputs``. Apply it after another recipe.

    Args:
        mode: ``exact``: kᵀ R k; ``bound``: the mean over channels of (Σ |k_l| s_l + |Σ k_l μ_l|)², with the standard
            deviation s and the mean μ of the input l steps before the end; never below the former on stationary data.
        target: the root mean square that outputs are to have.
        strict: whether a module with the names of such layers in other shapes is an error; if not, it is left and
            reported.

    Source: after Liu, Li, From Generalization Analysis to Optimization Designs for State Space Models, ICML 2024
    (arXiv 2405.02670); ``exact`` is ours.
    """

    bibtex: ClassVar[str] = """@inproceedings{liu2024generalization,
  title = {From Generalization Analysis to Optimization Designs for State Space Models},
  author = {Liu, Fusheng and Li, Qianxiao},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  eprint = {2405.02670},
  archivePrefix = {arXiv}
}"""

    kinds: ClassVar[Sequence[str]] = ("s4d", "s5", "lru")
    sets: ClassVar[Sequence[str]] = ("C", "C1", "C2", "D")
    reads_values: ClassVar[bool] = True

    mode: Literal["exact", "bound"] = "exact"
    target: Annotated[float, Gt(0)] = 1.0

    def plan(self, model: nn.Module, *, inputs: Any) -> Iterator[Item]:  # type: ignore[override]
        """Yield fills of C and D for each layer, in the order of registration.

        Args:
            model: with layers of the recipe's kinds.
            inputs: what the model is called with, a tensor, a tuple or a dict; or a function that returns it.
        """
        data = inputs() if callable(inputs) and not isinstance(inputs, nn.Module) else inputs
        yield from self.items_by(model, self.layers(model), lambda layer: self._of_layer(layer, data))

    def _of_layer(self, layer: Layer, inputs: Any) -> Iterator[Item]:
        held = [(role, name) for role in self.sets if role in layer.roles for name in layer.roles[role].tensors]

        def scale(ctx: JobContext) -> dict[str, Tensor]:
            x = checked(layer_input(ctx, layer, inputs), f"recipe {self.id}, what enters {layer.title}")
            size = self._size(Response(layer, ctx.read, x.shape[1], x.device), x)
            if not math.isfinite(size) or size <= 0:
                raise CommitError(
                    f"recipe {self.id}, {layer.title}: its output has a mean square of {size:g} on inputs, so there is "
                    "nothing to scale; apply a recipe that sets the layer first"
                )
            factor = rounded(self.target / math.sqrt(size))
            ctx.note(f"{self.id}: {layer.name or 'the model'}", {"mean_square": rounded(size), "factor": factor})
            return {name: ctx.read(name) * factor for _, name in held}

        job = Job(f"output of {layer.name or 'the model'}", scale, "measures what the layer makes of inputs")
        yield job
        for role, name in held:
            yield Fill(name, job[name], f"{role} times {self.target:g} over the root mean square of the output")

    def _size(self, response: Response, x: Tensor) -> float:
        """Mean over channels of the output's second moment at the last step."""
        if self.mode == "bound":
            return response.bound(x)
        return response.mean_square(second_moments(x), x)
