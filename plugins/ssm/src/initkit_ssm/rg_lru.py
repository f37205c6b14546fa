"""The start of Griffin's real-gated linear recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Lt
from torch import Tensor

from initkit import Constant, Draw, Item, Normal, OptionError, Uniform
from initkit_ssm.base import LayerRecipe
from initkit_ssm.codes import log
from initkit_ssm.layers import Layer


@dataclass(frozen=True)
class RgLru(LayerRecipe):
    """RG-LRU as in Griffin: decays on a ring, gates that start half open.

    With u uniform on (0, 1) for every channel and c = 8:

        r² = r_min² + u (r_max² - r_min²) + 1e-8
        softplus(a_param) = -log r,   so that a_t = r^(c · gate)

    At a gate of 1/2 a channel forgets by 1/e in -1/(4 log r) steps: 2.4 to 250 for the default ring. ``target="a^c"``
    takes the ring as that of a^c instead, softplus(a_param) = -log(r)/c, which makes memories eight times longer.
    Gates' weights are N(0, 1/block width), their biases 0, the convolution before is N(0, 0.01/its width).

    Args:
        r_min: smallest radius.
        r_max: largest radius.
        target: ``a``: what the authors' code does; ``a^c``: the ring is that of a to the power of 8.
        gates: ``draw`` sets gates and convolution too, ``keep`` leaves them.
        strict: whether a module with a state space layer's names that no adapter can describe is an error; if not, it
            is left and reported.

    Source: De et al., Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models, 2024
    (arXiv 2402.19427); values as in the authors' code, google-deepmind/recurrentgemma.
    """

    kinds: ClassVar[Sequence[str]] = ("rg_lru",)
    bibtex: ClassVar[str] = """@article{de2024griffin,
  title = {Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models},
  author = {De, Soham and Smith, Samuel L. and Fernando, Anushan and Botev, Aleksandar and others},
  journal = {arXiv preprint arXiv:2402.19427},
  year = {2024}
}"""

    r_min: Annotated[float, Gt(0), Lt(1)] = 0.9
    r_max: Annotated[float, Gt(0), Lt(1)] = 0.999
    target: Literal["a", "a^c"] = "a"
    gates: Literal["draw", "keep"] = "draw"

    def check(self) -> None:
        """Relate the radii."""
        super().check()
        if self.r_max < self.r_min:
            raise OptionError(f"recipe {self.id}: r_max={self.r_max} is below r_min={self.r_min}")

    def layer_items(self, layer: Layer) -> Iterator[Item]:
        """The layer's fills."""
        power = "" if self.target == "a" else "^c"
        why = f"a{power} between {self.r_min:.4g} and {self.r_max:.4g}, uniform on the ring"
        values: dict[str, tuple[Draw, str]] = {"decay": (self._decay(layer.facts.get("power", 8.0)), why)}
        if self.gates == "draw":
            width = layer.facts["block_width"]
            gate = (Normal(1 / math.sqrt(width)), f"N(0, 1/block width), width {width}")
            closed = (Constant(0.0), "gates start half open")
            values |= {"input_weight": gate, "recurrent_weight": gate, "input_bias": closed, "recurrent_bias": closed}
            if "conv" in layer.roles:
                shape = layer.roles["conv"].shape
                taps = shape[-1] if len(shape) == 3 else shape[0]
                values["conv"] = (Normal(math.sqrt(0.01 / taps)), f"N(0, 0.01/{taps}), {taps} taps")
                values["conv_bias"] = (Constant(0.0), "no offset")
        yield from layer.fills({role: value for role, value in values.items() if role in layer.roles})

    def _decay(self, c: float) -> Draw:
        share = 1.0 if self.target == "a" else 1 / c

        def decay(square: Tensor) -> Tensor:
            return -0.5 * share * log(square + 1e-8)

        low, high = self.r_min**2, self.r_max**2
        if low == high:
            return Constant(-0.5 * share * math.log(low + 1e-8))
        return Uniform(low, high).map(decay, "-log √" if share == 1 else f"-1/{c:g} log √")
