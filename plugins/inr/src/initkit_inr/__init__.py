"""initkit's recipes for implicit neural representations."""

from __future__ import annotations

__version__ = "0.1.0"
