"""The door of the inr plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from initkit import Card, Need, hookimpl

COORDS = Need("coords", help="the points at which the signal is known, (..., d): an array or a tensor", optional=True)
SIGNAL = Need(
    "signal",
    loader="initkit_inr.signals:load_signal",
    help="the signal to be fitted, channels last: an array, an image or a wav file",
)
INPUTS = Need("inputs", help="what the model is called with: a tensor, or a tuple or dict of arguments", optional=True)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return []
