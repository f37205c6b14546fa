"""A small Mamba-2 of transformers, initialised as GPT-style training scripts do it, which takes its memory away.

initkit inspect --plugin ssm example.py
initkit apply --plugin ssm --recipe repair example.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Mamba2Config, Mamba2ForCausalLM

SYMBOLS, BLANKS, COPIED = 8, 56, 4
length = 2 * COPIED + BLANKS  # steps of a sequence: four symbols, 56 blanks, then the same symbols are asked for


def sequences(count: int, numbers: torch.Generator) -> Tensor:
    """Token ids of the copy task, (count, 64)."""
    symbols = torch.randint(0, SYMBOLS, (count, COPIED), generator=numbers)
    return torch.cat([symbols, torch.full((count, BLANKS), SYMBOLS), torch.full((count, COPIED), SYMBOLS + 1)], 1)


inputs = sequences(8, torch.Generator().manual_seed(0))


def model(layers: int = 2, heads: int = 8) -> Mamba2ForCausalLM:
    """Build the network from a small configuration; ``--set-model layers=4`` makes it deeper."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
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
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
