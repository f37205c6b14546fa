"""``--device``: checked before any work."""

from __future__ import annotations

import re

from initkit.errors import did_you_mean
from initkit_cli.failures import UsageError


def check_device(text: str) -> str:
    """Return the device's name as it is.

    Raises:
        UsageError: it is no such device, or this machine has none.
    """
    if text in ("auto", "cpu"):
        return text
    number = re.fullmatch(r"cuda(?::(\d+))?", text)
    if number is None:
        raise UsageError(
            f"--device {text!r}{did_you_mean(text, ('auto', 'cpu', 'cuda'))}; give auto, cpu, cuda or cuda:N"
        )
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise UsageError(f"--device {text}: torch sees no CUDA device here; give cpu or auto")
    if int(number[1] or 0) >= count:
        raise UsageError(f"--device {text}: there {'is' if count == 1 else 'are'} {count}, cuda:0 to cuda:{count - 1}")
    return text
