"""Which processes hold a model together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist
from torch import nn

from initkit.errors import PlanError, RankError
from initkit.ranks.group import Group, Ranks

_FSDP = "torch.distributed.fsdp"


def is_sharded(tensor: object) -> bool:
    """Whether it is a DTensor."""
    # Whoever made one has imported its module; nobody else need wait for that.
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)


def is_spread(model: Any) -> bool:
    """Whether processes hold parts of the model."""
    return isinstance(model, nn.Module) and next(_spread_over(model), None) is not None


def ranks_of(model: Any, *, copies: bool = True) -> Ranks:
    """The processes that hold a model together: those of its DTensors' meshes and of data-parallel wrappers.

    All of them must call this together. A plain model belongs to this process alone.

    Args:
        model: the model.
        copies: whether processes that hold whole copies count.

    Raises:
        RankError: this process is not among them, or others have not come in time.
    """
    if not isinstance(model, nn.Module) or not dist.is_available() or not dist.is_initialized():
        return Ranks()
    found = sorted({*_spread_over(model), *(_copied_to(model) if copies else ())})
    if not found:
        return Ranks()
    if dist.get_rank() not in found:
        raise RankError(f"rank {dist.get_rank()} holds no part of the model: its tensors are on ranks {found}")
    return Group(found)


def reshard(model: Any) -> None:
    """Let FSDP register its shards again, where a forward pass has left whole parameters."""
    for module in fsdp_modules(model):
        module.reshard()  # type: ignore[operator]


def kind_name(module: Any) -> str:
    """Name of a module's class, as it was before FSDP put its own before it."""
    return plain_kind(type(module)).__name__


def plain_kind(kind: type) -> type:
    """The class that FSDP has put its own before."""
    fsdp = _fsdp_class()
    if fsdp is None or not issubclass(kind, fsdp):
        return kind
    return next((base for base in kind.__bases__ if not issubclass(base, fsdp)), kind)


def fsdp_modules(model: Any) -> list[nn.Module]:
    """The modules that are units of FSDP2."""
    fsdp = _fsdp_class()
    if fsdp is None or not isinstance(model, nn.Module):
        return []
    return [module for module in model.modules() if isinstance(module, fsdp)]


def refuse_flattened(model: Any) -> None:
    """Refuse the older FSDP, which cuts flattened parameters: their names and shapes are gone.

    Raises:
        PlanError: a module is wrapped by it.
    """
    old = getattr(sys.modules.get(_FSDP), "FullyShardedDataParallel", None)
    if old is None or not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        if isinstance(module, old) and (not module._use_orig_params or module.sharding_strategy.name != "NO_SHARD"):
            raise PlanError(
                f"{name or 'the model'} is wrapped by FullyShardedDataParallel, which flattens its parameters: apply "
                "before wrapping, or shard with torch.distributed.fsdp.fully_shard"
            )


def _spread_over(model: nn.Module) -> Iterator[int]:
    for tensor in (*model.parameters(), *model.buffers()):
        if is_sharded(tensor):
            yield from tensor.device_mesh.mesh.flatten().tolist()  # type: ignore[attr-defined]


def _copied_to(model: nn.Module) -> Iterator[int]:
    for module in model.modules():
        if isinstance(module, nn.parallel.DistributedDataParallel):
            yield from dist.get_process_group_ranks(module.process_group)


def _fsdp_class() -> type | None:
    return getattr(sys.modules.get(_FSDP), "FSDPModule", None)
