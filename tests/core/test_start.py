"""Initialise inside a training script, look before and after, go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import initkit
from initkit import Constant, Fill, InitError, NeedError, Normal, OptionError, Recipe, UnhealthyError


@dataclass(frozen=True)
class Scaled(Recipe):
    """Normal weights.

    Args:
        gain: times 1/√fan_in.
    """

    gain: float = 1.0

    def plan(self, model: nn.Module, *, inputs: torch.Tensor | None = None) -> Iterator[Fill]:
        why = "seen inputs" if inputs is not None else "blind"
        for name, tensor in model.named_parameters():
            draw = Normal(self.gain / tensor.shape[1] ** 0.5) if tensor.ndim > 1 else Constant(0.0)
            yield Fill(name, draw, why=why)


@dataclass(frozen=True)
class Blind(Scaled):
    """Normal weights, without a look at data.

    Args:
        gain: times 1/√fan_in.
    """

    def plan(self, model: nn.Module) -> Iterator[Fill]:  # type: ignore[override]
        return super().plan(model)


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(16, 16), nn.Tanh())), nn.Linear(16, 3))


X = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))


def test_it_does_what_apply_and_inspect_do(model: nn.Sequential) -> None:
    said: list[str] = []
    twin = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(16, 16), nn.Tanh())), nn.Linear(16, 3))
    twin.load_state_dict(model.state_dict())
    found = initkit.start(model, Blind(), inputs=X, seed=3, log=said.append)
    before = initkit.inspect(twin, X, seed=3)
    report = initkit.apply(twin, Blind(), seed=3)
    assert found.report.to_json() == report.to_json()
    assert found.before is not None
    assert found.after is not None
    assert found.before.to_dict() == before.to_dict()
    assert found.after.tables == initkit.inspect(twin, X, seed=3).tables
    assert found.after.before is found.before
    (text,) = said
    assert text.startswith("initkit: tests.core.test_start:Blind filled 100.0% of the parameters of Sequential, seed 3")
    assert "→" in text
    assert all(str(verdict) in text for verdict in found.after.verdicts)
    numbers = found.numbers()
    assert numbers["covered"] == 1.0
    assert numbers["signal_factor_a_layer"] == found.after.number("signal: factor a layer")
    assert numbers["before/signal_factor_a_layer"] == found.before.number("signal: factor a layer")


def test_a_recipe_that_asks_for_inputs_gets_them_and_another_does_not(model: nn.Sequential) -> None:
    assert initkit.start(model, Scaled(), inputs=X, log=None).report["0.weight"].why == "seen inputs"
    assert initkit.start(model, Blind(), inputs=X, log=None).report["0.weight"].why == "blind"


def test_without_inputs_nothing_is_inspected(model: nn.Sequential, capsys: pytest.CaptureFixture[str]) -> None:
    found = initkit.start(model, Blind())
    assert (found.before, found.after) == (None, None)
    out = capsys.readouterr().out
    assert out == ("initkit: tests.core.test_start:Blind filled 100.0% of the parameters of Sequential, seed 0\n")
    with pytest.raises(OptionError, match="healthy=True needs something to inspect"):
        initkit.start(model, Blind(), healthy=True)
    with pytest.raises(NeedError, match="unknown keyword 'graf'"):
        initkit.start(model, Blind(), graf=1)


def test_a_loss_is_enough(model: nn.Sequential) -> None:
    found = initkit.start(model, Blind(), loss=lambda net: net(X).square().mean(), log=None)
    assert "loss_at_the_start" in found.numbers()


def test_a_model_that_fails_on_its_inputs_is_as_it_was(model: nn.Sequential) -> None:
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InitError, match="fails in forward"):
        initkit.start(model, Blind(), inputs=X[:, :5], log=None)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_an_unhealthy_start_is_an_error_after_it_was_said_and_written(model: nn.Sequential, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    said: list[str] = []
    page = tmp_path / "start.html"
    with pytest.raises(UnhealthyError, match="signal dies before the head"):
        initkit.start(model, Blind(gain=1e-3), inputs=X, log=said.append, healthy=True, page=page)
    assert len(said) == 1
    assert "signal dies before the head" in page.read_text()
    initkit.start(model, Blind(), inputs=X, log=None, healthy=True)


def test_a_model_without_values_is_looked_at_afterwards(model: nn.Sequential) -> None:
    with torch.device("meta"):
        hollow = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    found = initkit.start(hollow, Blind(), inputs=X, device="cpu", log=None)
    assert found.before is None
    assert found.after is not None
    assert found.after.before is None


def test_a_page_that_cannot_be_made_is_said_before_anything_is_written(
    model: nn.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InitError, match="pages need Jinja"):
        initkit.start(model, Blind(), page=tmp_path / "start.html")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
