"""How long the recurrent layers of transformers' and xlstm's classes remember as they are built, and after a recipe.

Every class is built narrow, but with the number of heads (or states) of its own default configuration, since time
constants follow from that number. A recipe is applied to every layer: ssm/repair's matching one. Five seeds; time
constants do not depend on a layer's width.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
import transformers
from torch import Tensor

import initkit
import initkit_ssm
from initkit_ssm.auditing import histogram

SEEDS = [0, 1, 2, 3, 4]
REACHES = (1, 4, 16, 64, 256)
MIXED: dict[str, Any] = {
    "vocab_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
RECIPE = {
    "mamba": "ssm/mamba",
    "mamba2": "ssm/mamba",
    "gated_delta": "ssm/mamba",
    "rg_lru": "ssm/rg_lru",
    "gate": "ssm/gate_decay",
    "rwkv": "ssm/gate_decay",
}


def run() -> dict[str, Any]:
    rows = [_row(name) for name in _classes()]
    return {"seeds": SEEDS, "reaches": list(REACHES), "rows": rows}


def _classes() -> dict[str, dict[str, Any]]:
    """Options of each class's configuration; ``heads`` and states are the class's own defaults."""

    def default(name: str, field: str) -> int:
        return int(getattr(getattr(transformers, f"{name}Config")(), field))

    def ssd(name: str, **more: Any) -> dict[str, Any]:
        heads = default(name, "mamba_n_heads")
        sizes = {"hidden_size": 2 * heads, "mamba_n_heads": heads, "mamba_d_head": 4, "mamba_expand": 2}
        return {**MIXED, **sizes, "mamba_d_state": 8, "mamba_n_groups": 1, **more}

    plain = {"vocab_size": 32, "hidden_size": 64, "num_hidden_layers": 2}
    heads2, headsn = default("Mamba2", "num_heads"), default("NemotronH", "mamba_num_heads")
    return {
        "Mamba": {**plain, "state_size": default("Mamba", "state_size")},
        "FalconMamba": {**plain, "state_size": default("FalconMamba", "state_size")},
        "Jamba": {
            **MIXED,
            "hidden_size": 64,
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": default("Jamba", "mamba_d_state"),
            "mamba_dt_rank": 4,
        },
        "Zamba": {
            **MIXED,
            "num_key_value_heads": 2,
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "n_mamba_heads": 2,
            "mamba_d_state": default("Zamba", "mamba_d_state"),
            "mamba_dt_rank": 4,
            "layers_block_type": ["mamba", "hybrid", "hybrid"],
            "attention_head_dim": 64,
        },
        "Mamba2": {
            **plain,
            "hidden_size": 2 * heads2,
            "num_heads": heads2,
            "head_dim": 4,
            "expand": 2,
            "state_size": 8,
            "n_groups": 1,
        },
        "Bamba": ssd("Bamba", attn_layer_indices=[1]),
        "GraniteMoeHybrid": ssd(
            "GraniteMoeHybrid",
            layer_types=["mamba", "attention"],
            num_local_experts=2,
            num_experts_per_tok=1,
            shared_intermediate_size=16,
        ),
        "FalconH1": {**ssd("FalconH1"), "mamba_d_ssm": 4 * default("FalconH1", "mamba_n_heads"), "head_dim": 8},
        "Zamba2": {
            **MIXED,
            "hidden_size": 128,
            "n_mamba_heads": 64,
            "mamba_headdim": 4,
            "mamba_d_state": 8,
            "mamba_ngroups": 1,
            "layers_block_type": ["mamba", "hybrid"],
            "num_mem_blocks": 1,
        },
        "NemotronH": {
            "vocab_size": 32,
            "hidden_size": 64,
            "intermediate_size": 32,
            "layers_block_type": ["mamba", "attention"],
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "mamba_num_heads": headsn,
            "mamba_head_dim": 4,
            "ssm_state_size": 8,
            "n_groups": 1,
        },
        "Qwen3Next": {
            **MIXED,
            "hidden_size": 64,
            "head_dim": 8,
            "linear_key_head_dim": 4,
            "linear_value_head_dim": 4,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": default("Qwen3Next", "linear_num_value_heads"),
            "layer_types": ["linear_attention", "full_attention"],
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 8,
            "shared_expert_intermediate_size": 8,
        },
        "RecurrentGemma": {
            **MIXED,
            "hidden_size": 64,
            "intermediate_size": 192,
            "num_hidden_layers": 3,
            "head_dim": 32,
            "lru_width": 512,
        },
        "xLSTM": {
            **plain,
            "num_heads": default("xLSTM", "num_heads"),
            "mlstm_round_up_to_multiple_of": 1,
            "ffn_round_up_to_multiple_of": 1,
        },
        "Rwkv": {**plain, "hidden_size": 256, "attention_hidden_size": 256, "num_hidden_layers": 4},
    }


def _build(name: str, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{name}Config")(**_classes()[name])
        model: torch.nn.Module = getattr(transformers, f"{name}ForCausalLM")(config)
        return model


def _row(name: str) -> dict[str, Any]:
    before: list[Tensor] = []
    after: list[Tensor] = []
    levels: list[str] = []
    remade: list[str] = []
    kind = ""
    for seed in SEEDS:
        model = _build(name, seed)
        found = initkit_ssm.audit(model)
        kind = found.layers[0].layer.kind
        levels += [one.level for one in found.layers]
        before.append(torch.cat([one.tau for one in found.layers]))
        initkit.apply(model, RECIPE[kind], seed=seed)
        now = initkit_ssm.audit(model)
        remade += [one.level for one in now.layers]
        after.append(torch.cat([one.tau for one in now.layers]))
    print(f"{name}: {set(levels)} -> {set(remade)}", flush=True)
    return {
        "class": name,
        "kind": kind,
        "layers": len(levels) // len(SEEDS),
        "modes": before[0].numel(),
        "recipe": RECIPE[kind],
        "verdicts_before": {level: levels.count(level) for level in sorted(set(levels))},
        "verdicts_after": {level: remade.count(level) for level in sorted(set(remade))},
        **_figures("before", before),
        **_figures("after", after),
    }


def _figures(when: str, tau: list[Tensor]) -> dict[str, Any]:
    shares = {str(reach): [round(float((one >= reach).double().mean()), 4) for one in tau] for reach in REACHES}
    pooled = torch.cat(tau)
    counts = histogram(pooled, low=-6, high=12)
    return {
        f"tau_{when}": [float(f"{x:.4g}") for x in (pooled.min(), pooled.median(), pooled.max())],
        f"reach_{when}": {reach: round(statistics.fmean(values), 4) for reach, values in shares.items()},
        f"reach_std_{when}": {reach: round(statistics.stdev(values), 4) for reach, values in shares.items()},
        f"histogram_{when}": [round(count / pooled.numel(), 5) for _, count in counts],
        "edges": [edge for edge, _ in counts],
    }
