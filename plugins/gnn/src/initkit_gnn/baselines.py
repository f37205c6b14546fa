"""The comparison set: Xavier and Kaiming weights in message-passing layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from initkit import Draw, Normal, Uniform
from initkit_gnn.gains import Activation, gain_of
from initkit_gnn.layers import Matrix
from initkit_gnn.matrices import MatrixRecipe
from initkit_gnn.variance import round_scale


@dataclass(frozen=True)
class _Scaled(MatrixRecipe):
    """Weights whose variance depends on the fans alone."""

    distribution: Literal["uniform", "normal"] = "uniform"

    def draw(self, matrix: Matrix) -> tuple[Draw, str]:
        """A draw of the variance that the fans ask for."""
        v, words = self.variance(matrix)
        std = math.sqrt(v)
        return Uniform.with_std(std) if self.distribution == "uniform" else Normal(std), f"Var[w] = {v:.4g}: {words}"

    def variance(self, matrix: Matrix) -> tuple[float, str]:
        """The variance of a matrix, and its formula in words."""
        raise NotImplementedError


@dataclass(frozen=True)
class Xavier(_Scaled):
    """Xavier (Glorot) weights in message-passing layers: variance 2/(fan_in + fan_out).

    Knows the widths, not the graph. Fans are read from the layer, whatever way its weight is stored.

    Args:
        distribution: of the weights.
        bias: ``zero`` or ``keep``.

    Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
    """

    bibtex: ClassVar[str] = """@inproceedings{glorot2010understanding,
  title = {Understanding the difficulty of training deep feedforward neural networks},
  author = {Glorot, Xavier and Bengio, Yoshua},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year = {2010}
}"""

    def variance(self, matrix: Matrix) -> tuple[float, str]:
        """2/(fan_in + fan_out)."""
        return 2 / (matrix.fan_in + matrix.fan_out), f"2/(fan_in + fan_out), fans {matrix.fan_in}, {matrix.fan_out}"


@dataclass(frozen=True)
class Kaiming(_Scaled):
    """Kaiming (He) weights in message-passing layers: variance gain²/fan.

    Knows the widths, not the graph; on a GCN with self-loops it is within a few percent of Virgo's forward variant.

    Args:
        distribution: of the weights.
        bias: ``zero`` or ``keep``.
        mode: ``fan_in`` keeps the signal's size in a plain network, ``fan_out`` the gradient's.
        activation: gives the gain of ``torch.nn.init.calculate_gain``.

    Source: He, Zhang, Ren, Sun, Delving Deep into Rectifiers, ICCV 2015.
    """

    bibtex: ClassVar[str] = """@inproceedings{he2015delving,
  title = {Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification},
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2015}
}"""

    mode: Literal["fan_in", "fan_out"] = "fan_in"
    activation: Activation = "relu"

    def variance(self, matrix: Matrix) -> tuple[float, str]:
        """gain²/fan."""
        fan = matrix.fan_in if self.mode == "fan_in" else matrix.fan_out
        return round_scale(gain_of(self.activation) ** 2 / fan), f"gain²/{self.mode}, {self.mode} {fan}"
