"""A twelve-layer Transformer without layer normalisation that learns to say a sequence backwards.

initkit apply --plugin normfree example.py
initkit compare example.py --plugin normfree --steps 300
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS, LENGTH, WIDTH = 8, 10, 32

sequences = torch.randint(WORDS, (64, LENGTH), generator=torch.Generator().manual_seed(0))
inputs = sequences  # what the model is called with, for inspect


class NoNorm(nn.Identity):
    """What stands where nn.TransformerEncoderLayer has its layer normalisation."""

    eps = 0.0  # the layer compares these


class Backwards(nn.Module):
    """Tokens in, logits of the reversed sequence out."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True)
        layer.norm1, layer.norm2 = NoNorm(), NoNorm()  # type: ignore[assignment]
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, length, words) of tokens (batch, length)."""
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for layer in self.encoder.layers:
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits


def model(layers: int = 12) -> Backwards:
    """Build the network; ``--set-model layers=24`` makes it deeper."""
    torch.backends.mha.set_fastpath_enabled(False)  # it knows layers with their own normalisation alone
    return Backwards(layers)


def loss(network: nn.Module) -> Tensor:
    """Cross-entropy of new random sequences, for compare."""
    tokens = torch.randint(WORDS, (32, LENGTH))
    return functional.cross_entropy(network(tokens).flatten(0, 1), tokens.flip(1).flatten())
