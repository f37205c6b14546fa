"""The command under ``torchrun``: several processes carry out one request, and the first of them talks and writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from initkit.ranks.group import Ranks


def launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def is_first() -> bool:
    """Whether this process is the one that talks."""
    return not launched() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Context in which torch's process group is there, on gloo, and on nccl too where there are GPUs.

    Args:
        device: of ``--device``.

    Raises:
        RankError: not all processes have come in time.
    """
    from initkit.ranks.group import Group, Ranks, close_channels, timeout

    if not launched():
        yield Ranks()
        return
    import torch
    import torch.distributed as dist

    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timeout())
    try:
        ranks = Group(range(dist.get_world_size()))
        yield ranks
        ranks.meet("the end")  # nobody leaves while others still need it
    finally:
        close_channels()
        dist.destroy_process_group()
