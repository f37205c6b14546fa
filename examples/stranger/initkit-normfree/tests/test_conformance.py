"""The recipe keeps the promises that every recipe of initkit makes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

import initkit
from initkit.testing import Case, parametrize_with_checks


class Translator(nn.Module):
    """Encoder and decoder with norms, tables, and a head that is tied to one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(9, 8), nn.Embedding(7, 8)
        self.transformer = nn.Transformer(8, 2, num_encoder_layers=2, num_decoder_layers=1, dim_feedforward=12)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.target.weight


def unpacked() -> nn.Module:
    """Attention whose keys and values have other widths than its queries."""
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12)
    layer.self_attn = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, add_bias_kv=True)
    return nn.ModuleDict({"layer": layer, "table": nn.Embedding(5, 8)})


CASES = [
    Case("normfree/tfixup", Translator),
    Case(initkit.recipe("normfree/tfixup", embeddings=False), unpacked),
]


@parametrize_with_checks(CASES)
def test_conformance(check: Callable[[Case], None], case: Case) -> None:
    check(case)
