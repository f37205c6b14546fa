"""Watch on small layers: what it sees, what it lets pass, and what it costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
import ssm_gated_layouts as gated
import torch
from torch import nn

import initkit
from initkit_ssm import watch


class Mixed(nn.Module):
    """A layer with tensors of every kind: scalars, complex numbers, columns, integers."""

    def __init__(self) -> None:
        super().__init__()
        self.mixer = gated.Mamba2()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.turn = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
        self.columns = nn.Parameter(torch.zeros(4, 6).t())
        self.register_buffer("count", torch.tensor(0))


def zero_everything(model: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()


def test_the_function_that_zeroes_biases_is_named() -> None:
    model = nn.Sequential(gated.Mamba2())
    initkit.apply(model, "ssm/mamba")
    with watch(model) as seen:
        zero_everything(model)
    (change,) = seen.changes
    assert change.call == "test_watch.zero_everything"
    assert change.tensors == ("0.dt_bias",)
    assert change.line.startswith("test_watch.py:")
    assert change.line.endswith(": zero_everything(model)")
    assert seen.names == ("0.A_log", "0.dt_bias")


def test_every_kind_of_tensor_is_watched_on_request() -> None:
    model: Any = Mixed()
    with watch(model, tensors="all") as seen:
        model.columns.data[2, 3] = 1.0
        model.scale.data.mul_(2)
        model.turn.data[1] = 1j
        model.count += 1
    assert seen.changed == ("columns", "scale", "turn", "count")


def test_writing_the_same_values_is_no_change() -> None:
    model: Any = gated.Mamba2()
    with watch(model) as seen, torch.no_grad():
        model.A_log.copy_(model.A_log.clone())
        model.dt_bias += 0
    assert seen.changes == []
    assert str(seen) == "nothing changed the 2 watched tensors"


def test_what_an_error_leaves_is_seen() -> None:
    model: Any = gated.Mamba2()
    with pytest.raises(RuntimeError, match="on purpose"), watch(model) as seen:  # noqa: PT012
        model.dt_bias.data = torch.ones(6)
        raise RuntimeError("on purpose")
    assert seen.changed == ("dt_bias",)


def test_a_layer_that_is_replaced_is_seen() -> None:
    model = nn.Sequential(gated.Mamba2())
    with watch(model) as seen:
        model[0] = gated.Mamba2()
        torch.zeros(1)
        zero_everything(model)
    assert [change.tensors for change in seen.changes] == [("0.A_log", "0.dt_bias"), ("0.dt_bias",)]
    assert seen.changes[1].call == "test_watch.zero_everything"


def test_a_layer_that_is_taken_away_is_seen() -> None:
    model = nn.Sequential(gated.Mamba2())
    with watch(model) as seen:
        model[0] = nn.Identity()
        torch.zeros(2).add_(1)
        nn.init.zeros_(nn.Linear(2, 2).weight)
    assert set(seen.changed) == {"0.A_log", "0.dt_bias"}
    assert len(seen.changes) == 1


def test_training_goes_on_and_is_seen() -> None:
    model: Any = gated.Mamba2()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        loss = (model.A_log.exp() * nn.functional.softplus(model.dt_bias)).sum()
        loss.backward()
        assert not seen.changes
        optimizer.step()
    assert set(seen.changed) == {"A_log", "dt_bias"}
    assert "optimizer.step()" in seen.changes[0].line


def test_recipes_themselves_are_seen() -> None:
    model = nn.Sequential(gated.Mamba2())
    with watch(model) as seen:
        initkit.apply(model, "ssm/mamba")
    assert set(seen.changed) == {"0.A_log", "0.dt_bias"}
    assert 'initkit.apply(model, "ssm/mamba")' in seen.changes[0].line
