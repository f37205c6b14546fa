"""Calls with other tensors leave the model as it was, whatever names its modules bear."""

from __future__ import annotations

import torch
from torch import nn

from initkit._functional import call_with


class Shared(nn.Module):
    """One module under two names, one parameter in two modules, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.again = self.a
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.b(self.again(self.a(x))))


def test_a_module_with_two_names_is_restored() -> None:
    model = Shared()
    before = {name: (t, t.clone()) for name, t in model.state_dict(keep_vars=True).items()}
    x, weight, bias = torch.randn(5, 3), torch.eye(3) * 2, torch.ones(3)
    buffers = {"norm.running_mean": torch.zeros(3), "norm.running_var": torch.ones(3)}
    for name in ("a.weight", "again.weight", "b.weight"):
        model.eval()
        found = call_with(model, {name: weight, "a.bias": bias, **buffers}, x)
        expected = model.norm(2 * (2 * (2 * x + 1) + 1))
        assert torch.allclose(found, expected)
        for key, tensor in model.state_dict(keep_vars=True).items():
            assert tensor is before[key][0]
            assert torch.equal(tensor, before[key][1])
    model.train()
    call_with(model, {"a.weight": weight, **buffers}, x)
    assert buffers["norm.running_mean"].abs().sum() > 0
    assert model.norm.running_mean.abs().sum() == 0


def test_gradients_reach_the_given_tensors() -> None:
    model = Shared()
    weight = torch.randn(3, 3, requires_grad=True)
    call_with(model, {"a.weight": weight}, torch.randn(5, 3)).square().sum().backward()
    assert weight.grad is not None
    assert model.a.weight.grad is None
