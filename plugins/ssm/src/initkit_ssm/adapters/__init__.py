"""The built-in adapters, in the order in which they are asked."""

from __future__ import annotations

from initkit_ssm.adapters.diagonal import DIAGONAL
from initkit_ssm.adapters.gates import GATES
from initkit_ssm.adapters.recurrent import RECURRENT
from initkit_ssm.adapters.rwkv import RWKV
from initkit_ssm.adapters.selective import SELECTIVE
from initkit_ssm.layers import Adapter

BUILT_IN: list[Adapter] = [*RECURRENT, *DIAGONAL, *SELECTIVE, *GATES, *RWKV]
