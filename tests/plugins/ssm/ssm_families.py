"""Tiny models of transformers' classes with recurrent layers, by family; imported where transformers is installed."""

from __future__ import annotations

import logging
import unittest.mock
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

logging.getLogger("transformers").setLevel(logging.ERROR)

BASE = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2}
MIXED: dict[str, Any] = {**BASE, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
SSD: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 4,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba": ("Mamba", {**BASE, "state_size": 8}),
    "falcon_mamba": ("FalconMamba", {**BASE, "state_size": 8}),
    "mamba2": (
        "Mamba2",
        {**BASE, "state_size": 8, "num_heads": 8, "head_dim": 4, "expand": 2, "n_groups": 1, "chunk_size": 8},
    ),
    "bamba": ("Bamba", {**MIXED, **SSD, "mamba_expand": 2, "attn_layer_indices": [1]}),
    "jamba": (
        "Jamba",
        {
            **MIXED,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 2,
            "mamba_d_state": 8,
            "mamba_dt_rank": 2,
        },
    ),
    "zamba": (
        "Zamba",
        {
            **MIXED,
            "num_key_value_heads": 2,
            "num_hidden_layers": 3,
            "n_mamba_heads": 2,
            "mamba_d_state": 8,
            "mamba_dt_rank": 2,
            "layers_block_type": ["mamba", "hybrid", "hybrid"],
            "attention_head_dim": 16,
        },
    ),
    "zamba2": (
        "Zamba2",
        {
            **MIXED,
            "n_mamba_heads": 8,
            "mamba_headdim": 4,
            "mamba_d_state": 8,
            "mamba_ngroups": 1,
            "layers_block_type": ["mamba", "hybrid"],
            "chunk_size": 8,
            "num_mem_blocks": 1,
        },
    ),
    "nemotron_h": (
        "NemotronH",
        {
            "vocab_size": 32,
            "hidden_size": 16,
            "intermediate_size": 16,
            "layers_block_type": ["mamba", "attention"],
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "mamba_num_heads": 8,
            "mamba_head_dim": 4,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    "granite": (
        "GraniteMoeHybrid",
        {
            **MIXED,
            **SSD,
            "mamba_expand": 2,
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 16,
        },
    ),
    "falcon_h1": ("FalconH1", {**MIXED, **SSD, "mamba_d_ssm": 32, "head_dim": 8}),
    "qwen3_next": (
        "Qwen3Next",
        {
            **MIXED,
            "head_dim": 8,
            "linear_key_head_dim": 4,
            "linear_value_head_dim": 4,
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 8,
            "layer_types": ["linear_attention", "full_attention"],
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 8,
            "shared_expert_intermediate_size": 8,
            "partial_rotary_factor": 0.5,
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemma",
        {
            **MIXED,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "head_dim": 8,
            "lru_width": 16,
            "attention_window_size": 8,
        },
    ),
    "xlstm": (
        "xLSTM",
        {
            **BASE,
            "num_heads": 2,
            "qk_dim_factor": 1.0,
            "mlstm_round_up_to_multiple_of": 1,
            "ffn_round_up_to_multiple_of": 1,
            "chunk_size": 8,
        },
    ),
    "rwkv": ("Rwkv", {**BASE, "attention_hidden_size": 16, "context_length": 32}),
}
# Families, their kind, and how many of their layers the tiny models have.
LAYERS = {
    "mamba": ("mamba", 2),
    "falcon_mamba": ("mamba", 2),
    "jamba": ("mamba", 1),
    "zamba": ("mamba", 3),
    "mamba2": ("mamba2", 2),
    "bamba": ("mamba2", 1),
    "zamba2": ("mamba2", 2),
    "nemotron_h": ("mamba2", 1),
    "granite": ("mamba2", 1),
    "falcon_h1": ("mamba2", 2),
    "qwen3_next": ("gated_delta", 1),
    "recurrent_gemma": ("rg_lru", 2),
    "xlstm": ("gate", 2),
    "rwkv": ("rwkv", 2),
}
RECIPES = {
    "mamba": "ssm/mamba",
    "mamba2": "ssm/mamba",
    "gated_delta": "ssm/mamba",
    "rg_lru": "ssm/rg_lru",
    "gate": "ssm/gate_decay",
    "rwkv": "ssm/gate_decay",
}


def build(family: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A model of the family as transformers starts it; its own classes, whatever else is installed."""
    name, options = CONFIGS[family]
    import transformers.utils as utils

    # transformers takes xlstm's layers in place of its own where that package is installed.
    own = [unittest.mock.patch.object(place, "is_xlstm_available", return_value=False) for place in (utils, _imports())]
    with own[0], own[1], torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{name}Config")(**{**options, **changes})
        model: nn.Module = getattr(transformers, f"{name}ForCausalLM")(config)
        return model.eval()


def _imports() -> Any:
    import transformers.utils.import_utils as imports

    return imports


def run(model: nn.Module) -> torch.Tensor:
    """Logits of eight tokens."""
    with torch.no_grad():
        out: torch.Tensor = model(torch.arange(8)[None], use_cache=False).logits
    return out


def builder(family: str, **changes: Any) -> Callable[[], nn.Module]:
    """A function that builds the model."""
    return lambda: build(family, **changes)
