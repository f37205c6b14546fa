"""A flashkan network that predicts how diabetes progresses, on the 442 patients that ship with scikit-learn.

initkit apply --plugin kan examples/kan.py
initkit inspect --plugin kan examples/kan.py
initkit compare examples/kan.py      the library's start against the recipe, by training
python examples/kan.py               trains from kan/power and prints how much is explained

It needs flashkan and scikit-learn: pip install flashkan scikit-learn
"""

from __future__ import annotations

import functools

import torch
from flashkan import KANNetwork
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

import initkit

KNOWN = 354  # four of five patients are trained on


class Regression(nn.Module):
    """A flashkan network; its splines run as they are, so that no compiler is needed."""

    def __init__(self, widths: list[int], grid_size: int) -> None:
        super().__init__()
        self.network = KANNetwork(widths, grid_size=grid_size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features) to (batch,)."""
        with torch.compiler.set_stance("force_eager"):
            out: Tensor = self.network(x)
        return out.squeeze(-1)


def model(hidden: int = 8, layers: int = 2, grid_size: int = 5) -> Regression:
    """Build the network; ``--set-model grid_size=20`` refines its splines."""
    return Regression([10, *[hidden] * layers, 1], grid_size)


@functools.cache
def diabetes() -> tuple[Tensor, Tensor]:
    """Ten features in [-1, 1], (442, 10), and the standardised target, (442,); shuffled once."""
    x, y = (torch.from_numpy(part).float() for part in load_diabetes(return_X_y=True))
    low, high = x.amin(0), x.amax(0)
    order = torch.from_numpy(initkit.Stream(0, "patients").permutation(len(x)))
    return (2 * (x - low) / (high - low) - 1)[order], ((y - y.mean()) / y.std())[order]


def inputs() -> Tensor:
    """The known patients, for probes and recipes that look at data."""
    return diabetes()[0][:KNOWN]


def loss(model: nn.Module) -> Tensor:
    """Mean squared error on the known patients."""
    x, y = diabetes()
    return nn.functional.mse_loss(model(x[:KNOWN]), y[:KNOWN])


def score(model: nn.Module) -> float:
    """R² on the others: the share of their variance that is explained."""
    x, y = diabetes()
    with torch.no_grad():
        error = nn.functional.mse_loss(model(x[KNOWN:]), y[KNOWN:])
    return 1 - float(error / y[KNOWN:].var(unbiased=False))


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Adam."""
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def main() -> None:
    """Train for 100 steps from the recipe's start."""
    torch.manual_seed(0)
    net = model()
    print(initkit.apply(net, "kan/power", seed=0))
    steps = optimizer(net)
    for _ in range(100):
        steps.zero_grad()
        loss(net).backward()  # type: ignore[no-untyped-call]
        steps.step()
    print(f"R² on patients not seen: {score(net):.3f}")


if __name__ == "__main__":
    main()
