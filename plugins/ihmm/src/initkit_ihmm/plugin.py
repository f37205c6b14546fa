"""The door of the ihmm plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from initkit import Card, hookimpl


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return []
