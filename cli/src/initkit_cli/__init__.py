"""The initkit command: look at, apply and cite weight initialisation recipes."""

from __future__ import annotations

__version__ = "0.1.0"
