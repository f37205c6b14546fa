"""A small Mamba-2 of transformers, initialised as GPT-style training scripts do it, which takes its memory away.

initkit inspect --plugin ssm example.py
initkit apply --plugin ssm --recipe repair example.py
initkit compare --recipe default --recipe ssm/repair example.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Mamba2Config, Mamba2ForCausalLM

SYMBOLS, BLANKS, COPIED = 8, 56, 4
length = 2 * COPIED + BLANKS  # steps of a sequence: four symbols, 56 blanks, then the same symbols are asked for


def sequences(count: int, numbers: torch.Generator | None = None) -> Tensor:
    """Token ids of the copy task, (count, 64)."""
    symbols = torch.randint(0, SYMBOLS, (count, COPIED), generator=numbers)
    return torch.cat([symbols, torch.full((count, BLANKS), SYMBOLS), torch.full((count, COPIED), SYMBOLS + 1)], 1)


inputs = sequences(8, torch.Generator().manual_seed(0))


def model(layers: int = 2, heads: int = 8) -> Mamba2ForCausalLM:
    """Build the network from a small configuration; ``--set-model layers=4`` makes it deeper."""
    network = Mamba2ForCausalLM(
        Mamba2Config(
            vocab_size=SYMBOLS + 2,
            hidden_size=4 * heads,
            num_hidden_layers=layers,
            num_heads=heads,
            head_dim=8,
            expand=2,
            state_size=16,
            n_groups=1,
            chunk_size=32,
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    initialise(network)
    return network


def initialise(network: nn.Module) -> None:
    """Small normal matrices, biases of 0. But ``dt_bias`` is no bias: 0 means a step of log 2, and nothing is kept."""
    for name, parameter in network.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.1)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def loss(model: nn.Module) -> Tensor:
    """Cross-entropy of the copied symbols on 32 new sequences."""
    tokens = sequences(32)
    logits = model(tokens, use_cache=False).logits[:, -COPIED:]
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, :COPIED].flatten())


def score(model: nn.Module) -> float:
    """Share of symbols that are copied right, on 512 sequences of their own."""
    tokens = sequences(512, torch.Generator().manual_seed(1))
    with torch.no_grad():
        answers = model(tokens, use_cache=False).logits[:, -COPIED:].argmax(-1)
    return float((answers == tokens[:, :COPIED]).float().mean())


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW without weight decay."""
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
