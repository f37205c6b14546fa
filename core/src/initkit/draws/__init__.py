"""Draws: value sources that sample themselves for a shape, a dtype and a stream."""

from initkit.draws.base import Draw
from initkit.draws.composite import Blocks, Rows
from initkit.draws.fixed import Constant, Values
from initkit.draws.orthogonal import Orthogonal
from initkit.draws.scaled import LogUniform, Normal, TruncatedNormal, Uniform

__all__ = [
    "Blocks",
    "Constant",
    "Draw",
    "LogUniform",
    "Normal",
    "Orthogonal",
    "Rows",
    "TruncatedNormal",
    "Uniform",
    "Values",
]
