"""Puts this folder's helper modules, whose names begin with ``ssm_``, in reach of its tests."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)
