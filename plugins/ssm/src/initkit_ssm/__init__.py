"""initkit's recipes for state space models and linear recurrences."""

from __future__ import annotations

__version__ = "0.1.0"
__all__: list[str] = []
