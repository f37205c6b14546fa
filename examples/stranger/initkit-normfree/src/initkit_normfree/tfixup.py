"""T-Fixup: Transformers that need neither layer normalisation nor warm-up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from initkit import Blocks, Constant, Draw, Fill, Item, Keep, Normal, PlanError, Recipe, Uniform

LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


@dataclass(frozen=True)
class TFixup(Recipe):
    """Transformers without layer normalisation and warm-up: Xavier, scaled down with depth.

    Every matrix is Xavier uniform, bounds ±√(6/(fan_in + fan_out)), and biases are 0. In each encoder layer the
    value and output projections of attention and both matrices of the MLP are scaled by 0.67·N^(-1/4), in each decoder
    layer by (9N)^(-1/4), N layers of its kind. Embeddings are N(0, 1/d) scaled by (9N)^(-1/4), N decoder layers, or
    encoder layers where there is no decoder. Normalisation layers that the model still has are kept as they are.

    Args:
        embeddings: whether embeddings are filled too.

    Source: Huang, Pérez, Ba and Volkovs, Improving Transformer Optimization Through Better Initialization, ICML 2020,
    section 3.3.
    """

    embeddings: bool = True

    bibtex: ClassVar[str] = """
        @inproceedings{huang2020improving,
          author = {Huang, Xiao Shi and P{\\'e}rez, Felipe and Ba, Jimmy and Volkovs, Maksims},
          title = {Improving Transformer Optimization Through Better Initialization},
          booktitle = {International Conference on Machine Learning},
          year = {2020}
        }
    """

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each tensor; types and shapes alone decide."""
        layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
        if not layers:
            raise PlanError(f"{type(model).__name__} has no nn.TransformerEncoderLayer or nn.TransformerDecoderLayer")
        encoders = sum(isinstance(layer, nn.TransformerEncoderLayer) for layer in layers.values())
        decoders = len(layers) - encoders
        encoder, decoder = 0.67 * max(encoders, 1) ** -0.25, (9 * (decoders or encoders)) ** -0.25
        tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        for name, module in model.named_modules():
            around = next((layer for path, layer in layers.items() if name.startswith(_inside(path))), None)
            scale, words = 1.0, "outside the layers"
            if isinstance(around, nn.TransformerEncoderLayer):
                scale, words = encoder, f"0.67·{encoders}^(-1/4) in encoder layers"
            elif around is not None:
                scale, words = decoder, f"(9·{decoders})^(-1/4) in decoder layers"
            if isinstance(module, nn.MultiheadAttention):
                yield from _attention(_inside(name), module, scale, words)
            elif isinstance(module, nn.Linear) and id(module.weight) not in tables:
                yield from _matrix(_inside(name), module, scale, words)
            elif isinstance(module, nn.Embedding) and self.embeddings:
                std = decoder / math.sqrt(module.embedding_dim)
                yield Fill(f"{_inside(name)}weight", Normal(std), why=f"N(0, 1/{module.embedding_dim}) · {decoder:.3g}")
            elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
                for parameter, _ in module.named_parameters():
                    yield Keep(f"{_inside(name)}{parameter}", "a norm; T-Fixup is made to do without")


def _inside(path: str) -> str:
    return f"{path}." if path else ""


def _xavier(path: str, shape: tuple[int, ...], scale: float) -> Draw:
    if len(shape) != 2 or 0 in shape:
        raise PlanError(f"{path} has shape {shape}; T-Fixup fills matrices (out, in) that are not empty")
    bound = scale * math.sqrt(6 / sum(shape))
    return Uniform(-bound, bound)


def _matrix(place: str, layer: nn.Linear, scale: float, words: str) -> Iterator[Item]:
    draw = _xavier(f"{place}weight", tuple(layer.weight.shape), scale)
    yield Fill(f"{place}weight", draw, why=f"Xavier times {scale:.3g}: {words}")
    if layer.bias is not None:
        yield Fill(f"{place}bias", Constant(0.0), why="no offset")


def _attention(place: str, layer: nn.MultiheadAttention, scale: float, words: str) -> Iterator[Item]:
    """Queries, keys and values; the output projection is a Linear of its own."""
    width = layer.embed_dim
    scales = {"q": 1.0, "k": 1.0, "v": scale}
    packed: Tensor | None = layer.in_proj_weight
    if packed is not None:
        shape = tuple(packed.shape)
        if shape != (3 * width, width):
            raise PlanError(f"{place}in_proj_weight has shape {shape}, expected {(3 * width, width)}")
        blocks = [
            (slice(i * width, (i + 1) * width), _xavier(place, (width, width), each))
            for i, each in enumerate(scales.values())
        ]
        yield Fill(f"{place}in_proj_weight", Blocks(blocks), why=f"Xavier; values times {scale:.3g}: {words}")
    else:
        for kind, each in scales.items():
            full = f"{place}{kind}_proj_weight"
            draw = _xavier(full, tuple(layer.get_parameter(f"{kind}_proj_weight").shape), each)
            yield Fill(full, draw, why=f"Xavier times {each:.3g}" + (f": {words}" if kind == "v" else ""))
    for bias in ("in_proj_bias", "bias_k", "bias_v"):
        if getattr(layer, bias) is not None:
            yield Fill(f"{place}{bias}", Constant(0.0), why="no offset")
