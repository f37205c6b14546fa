"""The built-in adapters, in the order in which they are asked."""

from __future__ import annotations

from initkit_ssm.layers import Adapter

BUILT_IN: list[Adapter] = []
