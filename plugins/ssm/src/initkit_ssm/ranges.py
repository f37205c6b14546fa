"""Draws over a range, and the check that the range is one."""

from __future__ import annotations

from initkit import Constant, Draw, LogUniform, OptionError


def check_range(recipe: str, **bounds: float) -> None:
    """Raise OptionError unless the first named bound is at most the second.

    Args:
        recipe: id, for the message.
        bounds: two options by name, the lower one first.
    """
    (low_name, low), (high_name, high) = bounds.items()
    if high < low:
        raise OptionError(f"recipe {recipe}, option {high_name}={high:g}: it must be at least {low_name}={low:g}")


def log_uniform(low: float, high: float) -> Draw:
    """``LogUniform``, or a constant where the range is a point."""
    return LogUniform(low, high) if high > low else Constant(low)
