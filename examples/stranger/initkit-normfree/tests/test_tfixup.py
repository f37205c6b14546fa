"""The numbers of T-Fixup, and that it does what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import initkit
from initkit_cli.__main__ import main
from initkit_normfree import example


def bound(draw: object) -> float:
    """The upper bound of a uniform draw, by its standard deviation."""
    return draw.std * 3**0.5  # type: ignore[attr-defined, no-any-return]


def test_scales_are_those_of_the_paper() -> None:
    model = nn.Transformer(8, 2, num_encoder_layers=4, num_decoder_layers=2, dim_feedforward=24)
    plan = initkit.plan(model, "normfree/tfixup")
    encoder, decoder = 0.67 * 4**-0.25, (9 * 2) ** -0.25
    assert bound(plan["encoder.layers.3.linear1.weight"].draw) == pytest.approx(encoder * (6 / 32) ** 0.5)
    assert bound(plan["decoder.layers.1.linear2.weight"].draw) == pytest.approx(decoder * (6 / 32) ** 0.5)
    for stack, scale in (("encoder", encoder), ("decoder", decoder)):
        assert bound(plan[f"{stack}.layers.0.self_attn.out_proj.weight"].draw) == pytest.approx(scale * (6 / 16) ** 0.5)
        (_, query), (_, key), (place, value) = plan[f"{stack}.layers.0.self_attn.in_proj_weight"].draw.blocks
        assert bound(query) == bound(key) == pytest.approx((6 / 16) ** 0.5)
        assert bound(value) == pytest.approx(scale * (6 / 16) ** 0.5)
        assert place == slice(16, 24)
    assert plan["decoder.layers.0.multihead_attn.in_proj_bias"].draw.describe() == "0"


def test_embeddings_are_scaled_and_norms_are_kept() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(5, 16), "layer": nn.TransformerDecoderLayer(16, 2)})
    plan = initkit.plan(model, "normfree/tfixup")
    assert plan["table.weight"].draw.std == pytest.approx(16**-0.5 * 9**-0.25)
    assert [keep.name for keep in plan.keeps][:2] == ["layer.norm1.weight", "layer.norm1.bias"]
    assert "table.weight" not in initkit.plan(model, initkit.recipe("normfree/tfixup", embeddings=False))


def test_a_model_without_transformer_layers_is_refused() -> None:
    with pytest.raises(initkit.PlanError, match="Linear has no nn.TransformerEncoderLayer"):
        initkit.plan(nn.Linear(2, 2), "normfree/tfixup")


def test_each_layer_adds_little_from_here() -> None:
    """By the plugin's own probe: from torch's start a layer adds a third to a half of its input, from here a tenth."""
    torch.manual_seed(0)
    model = example.model(layers=12)
    before = added(model)
    initkit.apply(model, "normfree/tfixup", seed=0)
    after = added(model)
    assert list(before) == [f"encoder.layers.{i}" for i in range(12)]
    assert max(after.values()) < 0.2 < 0.3 < min(before.values())


def added(model: nn.Module) -> dict[str, float]:
    found = initkit.inspect(model, example.inputs, probes=["normfree/residuals"])
    return {str(row["layer"]): float(row["added"]) for row in found.tables["normfree/residuals"].rows}


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["apply", "--plugin", "normfree", example.__file__]) == 0
    assert (tmp_path / "example.safetensors").exists()
