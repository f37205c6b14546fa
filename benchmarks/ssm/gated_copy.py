"""Gated recurrences on the copy task: RG-LRU, xLSTM and RWKV-4 of transformers, from several starts.

Task and training are those of the Mamba-2 benchmark (four symbols, 56 blanks, learning rate 3e-3) with 200 steps,
hidden size 32, two layers and no attention. A seed gives every start of a model the same weights and data.
``biases 0`` sets the biases of xLSTM's gates to 0, as initialisation passes over everything called bias do.
``transformers`` is the class's own start; RWKV's has 1 for the bonus of the present token in every channel.
"""

from __future__ import annotations

import unittest.mock
from typing import Any

import torch
import transformers

import initkit
from benchmarks.ssm import _copying

SEEDS = [0, 1, 2]
STEPS = 200
BASE: dict[str, Any] = {"vocab_size": _copying.SYMBOLS + 2, "hidden_size": 32, "num_hidden_layers": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "RG-LRU": (
        "RecurrentGemma",
        {
            **BASE,
            "intermediate_size": 96,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "lru_width": 32,
            "attention_window_size": 8,
            "block_types": ["recurrent", "recurrent", "recurrent"],
        },
    ),
    "xLSTM": (
        "xLSTM",
        {
            **BASE,
            "num_heads": 4,
            "qk_dim_factor": 1.0,
            "mlstm_round_up_to_multiple_of": 1,
            "ffn_round_up_to_multiple_of": 1,
            "chunk_size": 32,
        },
    ),
    "RWKV-4": ("Rwkv", {**BASE, "attention_hidden_size": 32, "context_length": _copying.LENGTH}),
}
STARTS: dict[str, dict[str, Any]] = {
    "RG-LRU": {
        "rg_lru": initkit.recipe("ssm/rg_lru"),
        "rg_lru, target=a^c": initkit.recipe("ssm/rg_lru", target="a^c"),
        "rg_lru, r from 0.1 to 0.5": initkit.recipe("ssm/rg_lru", r_min=0.1, r_max=0.5),
    },
    "xLSTM": {
        "biases 0": "zeros",
        "gate_decay": initkit.recipe("ssm/gate_decay"),
        "gate_decay, log_uniform": initkit.recipe("ssm/gate_decay", variant="log_uniform"),
    },
    "RWKV-4": {
        "transformers": None,
        "gate_decay": initkit.recipe("ssm/gate_decay"),
        "gate_decay, log_uniform": initkit.recipe("ssm/gate_decay", variant="log_uniform"),
    },
}


def run() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [
            {"model": name, **_copying.row(start, lambda seed, at=(name, start): build(seed, *at), SEEDS, STEPS)}
            for name, starts in STARTS.items()
            for start in starts
        ]
    finally:
        torch.set_num_threads(threads)
    return {
        "seeds": SEEDS,
        "chance": 1 / _copying.SYMBOLS,
        "protocol": {**_copying.PROTOCOL, "steps": STEPS},
        "rows": rows,
    }


def build(seed: int, name: str, start: str) -> Any:
    """A model with one of its starts."""
    family, options = MODELS[name]
    import transformers.utils as utils
    import transformers.utils.import_utils as imports

    # transformers takes xlstm's layers in place of its own where that package is installed.
    own = [unittest.mock.patch.object(place, "is_xlstm_available", return_value=False) for place in (utils, imports)]
    with own[0], own[1], torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{family}Config")(**options)
        model = getattr(transformers, f"{family}ForCausalLM")(config)
    chosen = STARTS[name][start]
    if chosen == "zeros":
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith("gate_preact.bias"):
                    parameter.zero_()
    elif chosen is not None:
        initkit.apply(model, chosen, seed=seed)
    return model
