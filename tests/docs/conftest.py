"""The tools that make the docs are scripts, not a package: their folder goes on the path."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKE = str(ROOT / "docs" / "_make")
if MAKE not in sys.path:
    sys.path.insert(0, MAKE)
