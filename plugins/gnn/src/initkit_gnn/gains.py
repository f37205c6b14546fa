"""The gain of an activation."""

from __future__ import annotations

from typing import Literal

from torch.nn.init import calculate_gain

Activation = Literal["relu", "leaky_relu", "tanh", "selu", "sigmoid", "linear"]


def gain_of(activation: Activation) -> float:
    """``torch.nn.init.calculate_gain``: sqrt(2) for ReLU, 5/3 for tanh, 1 for linear and sigmoid."""
    return float(calculate_gain(activation))
