"""The probes of the plugin, and the examples through the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import initkit
from initkit_cli.__main__ import main
from initkit_inr import example
from initkit_inr.prediction import predicted

from .field_networks import Field, FoldedLayer, GaussLayer, InputLayer, SineLayer

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
AXIS = torch.linspace(-1, 1, 24)
COORDS = torch.stack(torch.meshgrid(AXIS, AXIS, indexing="ij"), -1).reshape(-1, 2)


def plain(layer: Any, hidden: int = 3, width: int = 128) -> nn.Module:
    return Field(layer, width=width, hidden=hidden).net


def verdicts(model: nn.Module, probe: str = "inr/preactivations", **needs: Any) -> list[tuple[str, str, str]]:
    found = initkit.inspect(model, COORDS, probes=[probe], **needs)
    return [(one.level, one.where, one.words) for one in found.verdicts]


def misplaced(model: nn.Module) -> list[str]:
    return [where for level, where, words in verdicts(model) if level == "FAIL" and "√(n_in Var[w])" in words]


@pytest.mark.parametrize("layer", [SineLayer, FoldedLayer, InputLayer])
@pytest.mark.parametrize("recipe", ["inr/siren", "inr/sine_gradient", "inr/weight_scaling", "inr/vi3nr"])
def test_weights_for_their_own_placement_are_not_complained_of(layer: Any, recipe: str) -> None:
    model = plain(layer)
    initkit.apply(model, recipe, coords=COORDS)
    assert misplaced(model) == []
    assert any(level == "PASS" and "within 1.5x" in words for level, _, words in verdicts(model))


def test_noise_of_winner_is_no_mistake() -> None:
    model = plain(SineLayer, width=256)
    initkit.apply(model, initkit.recipe("inr/winner", s0=1000.0, s1=1.2))
    assert misplaced(model) == []


def test_weights_that_hold_the_frequency_under_a_sine_that_multiplies() -> None:
    model = plain(SineLayer)
    initkit.apply(model, initkit.recipe("inr/siren", activation="sine:30:folded"))
    assert misplaced(model) == ["2.linear"]
    words = [words for _, where, words in verdicts(model) if where == "2.linear"]
    assert "which hold the frequency already, but the model multiplies by 30 once more" in words[0]


def test_weights_for_a_sine_that_multiplies_under_one_that_does_not() -> None:
    model = plain(FoldedLayer)
    initkit.apply(model, initkit.recipe("inr/siren", activation="sine:30"))
    assert misplaced(model) == ["2.linear"]
    assert any(
        "but the model computes sin(Wx + b): multiply the weights by 30" in words for _, _, words in verdicts(model)
    )


def test_weights_that_are_divided_twice() -> None:
    model = plain(SineLayer)
    initkit.apply(model, initkit.recipe("inr/siren", omega_hidden=900.0))
    assert any("30 times below what sines of this frequency want" in words for _, _, words in verdicts(model))


def test_torchs_default_is_named() -> None:
    model = plain(SineLayer)
    assert any("torch's default" in words for level, _, words in verdicts(model) if level == "FAIL")


def test_gaussians_whose_gradients_explode() -> None:
    model = plain(GaussLayer, hidden=8)
    initkit.apply(model, "inr/gauss")
    assert any(
        level == "FAIL" and "hidden layers change a gradient's size" in words for level, _, words in verdicts(model)
    )
    initkit.apply(model, initkit.recipe("inr/vi3nr", bias="keep"), coords=COORDS)
    model = plain(GaussLayer, hidden=8)
    initkit.apply(model, initkit.recipe("inr/vi3nr", bias=0.5), coords=COORDS)
    assert all(level != "FAIL" for level, _, _ in verdicts(model))


def test_the_table_holds_measured_and_predicted_sizes() -> None:
    model = plain(SineLayer, width=512)
    initkit.apply(model, "inr/siren", coords=COORDS)
    found = initkit.inspect(model, COORDS, probes=["inr/preactivations"])
    table = found.tables["inr/preactivations"]
    for row in table.rows[:-1]:
        assert row["measured"] == pytest.approx(row["predicted"], rel=0.3)
        if row["condition"]:
            t = (30 * row["measured"]) ** 2
            assert row["condition"] == pytest.approx(t / math.tanh(t), rel=1e-2)


def test_predictions_need_draws_with_a_scale() -> None:
    from initkit_inr.layers import find_layers

    layers = find_layers(plain(SineLayer))
    assert predicted(layers, {}) == [None] * 4
    known = {layer.weight: initkit.Normal(0.01) for layer in layers}
    known |= {layer.bias: initkit.Constant(0.0) for layer in layers if layer.bias}
    assert predicted(layers, known)[0] == pytest.approx(0.01 * math.sqrt(2 / 3))


def test_spectra_side_by_side() -> None:
    model = plain(SineLayer)
    initkit.apply(model, "inr/siren")
    slow = torch.sin(3 * COORDS[:, 1]).reshape(24, 24)
    fast = torch.sin(math.pi * 11 * COORDS[:, 1]).reshape(24, 24)
    with torch.no_grad():
        own = model(COORDS).reshape(24, 24)
    ((level, _, words),) = verdicts(model, "inr/spectrum", coords=COORDS, signal=own)
    assert level == "PASS", words
    model[0].linear.weight.data *= 0.01
    ((level, _, words),) = verdicts(model, "inr/spectrum", coords=COORDS, signal=fast)
    assert level == "NOTE"
    assert "high frequencies will come late" in words
    model[0].linear.weight.data *= 3000
    ((level, _, words),) = verdicts(model, "inr/spectrum", coords=COORDS, signal=slow)
    assert level == "WARN"
    assert "far above the signal's spectrum" in words
    for parameter in model.parameters():
        parameter.data.zero_()
    assert verdicts(model, "inr/spectrum", coords=COORDS, signal=slow) == [
        ("WARN", "", "the untrained output is constant")
    ]


def test_other_models_are_passed_by() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    found = initkit.inspect(model, torch.rand(16, 8), probes=["core/signal", "inr/preactivations"])
    assert "inr/preactivations" not in found.tables


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_example_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    report = run("apply", "--plugin", "inr", "--recipe", "vi3nr", str(EXAMPLES / "inr.py"), capsys=capsys)
    assert report["covered"] == 1
    assert report["tensors"]["2.weight"]["draw"] == "U(-0.02613, 0.02613)"
    assert (tmp_path / "inr.safetensors").exists()
    default = run("apply", "--plugin", "inr", "--dry-run", str(EXAMPLES / "inr.py"), capsys=capsys)
    assert "inr/vi3nr" in json.dumps(default)


def test_the_example_of_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    report = run("apply", "--plugin", "inr", "--recipe", "winner", str(EXAMPLES / "inr_audio.py"), capsys=capsys)
    assert "+ N(0, " in report["tensors"]["0.linear.weight"]["draw"]


def test_the_example_can_be_compared(capsys: Any) -> None:
    starts = ["--recipe", "default", "--recipe", "inr/vi3nr"]
    found = run("compare", *starts, "--steps", "6", "--seeds", "2", str(EXAMPLES / "inr.py"), capsys=capsys)
    assert "inr/vi3nr" in json.dumps(found)


def test_the_example_says_what_compare_asks_for() -> None:
    one, other = example.model(), example.model()
    initkit.apply(one, "inr/vi3nr", coords=example.coords)
    torch.manual_seed(0)
    scores = []
    for network in (one, other):
        optimizer = example.optimizer(network)
        for _ in range(30):
            optimizer.zero_grad()
            loss = example.loss(network)
            loss.backward()
            optimizer.step()
        scores.append(example.score(network))
    assert scores[0] > scores[1] + 2


def test_the_example_does_without_scikit_image(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "skimage.data", None)
    drawn = example.photograph()
    assert drawn.shape == (128, 128)
    assert float(drawn.abs().max()) <= 1
    assert "pip install scikit-image" in capsys.readouterr().err
