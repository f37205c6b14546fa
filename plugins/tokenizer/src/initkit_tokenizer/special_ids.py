"""Ids of special tokens that a model keeps outside its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from initkit import Set
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.vocab_plan import VocabPlan

_ROLES = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "pad", "sep_token_id": "sep"}
_OTHERS = ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")


def special_sets(model: nn.Module, plan: VocabPlan, tensors: VocabTensors) -> Iterator[Set]:
    """Follow the tokens to their new ids in the configurations and in the embedding's padding index.

    A special token that is kept goes to its new id; any other id becomes the one that bears the role in the new
    tokenizer, where it has one.

    Args:
        model: the subject.
        plan: of the tokens.
        tensors: of the model.
    """
    moved: dict[int, int] = {}
    special = set(plan.old_special_ids)
    for new, olds in plan.copied.items():
        for old in olds:
            # A token that keeps its id stays itself, whatever else takes a copy of its row.
            if new == old or (old in special and old not in moved):
                moved[old] = new
    for holder in ("config", "config.text_config", "generation_config"):
        owner: Any = model
        for part in holder.split("."):
            owner = getattr(owner, part, None)
        if owner is None:
            continue
        for attribute in (*_ROLES, *_OTHERS):
            before = getattr(owner, attribute, None)
            after = _followed(before, moved, plan.special_ids.get(_ROLES.get(attribute, "")))
            if before is not None and after is not None and after != before:
                yield Set(f"{holder}.{attribute}", after, why=f"the token moves from {before} to {after}")
    for name, module in model.named_modules():
        before = vars(module).get("padding_idx")
        if not isinstance(before, int) or not _of_vocabulary(module, name, tensors):
            continue
        after = _followed(before, moved, plan.special_ids.get("pad"))
        if after != before:
            path = f"{name}.padding_idx" if name else "padding_idx"
            yield Set(path, after, why=f"the padding token moves from {before} to {after}")


def _followed(before: Any, moved: dict[int, int], role: int | None) -> Any:
    if isinstance(before, (list, tuple)):
        found = [moved[i] for i in before if i in moved]
        return found or (None if role is None else [role])
    return moved.get(before, role)


def _of_vocabulary(module: nn.Module, name: str, tensors: VocabTensors) -> bool:
    """Whether a module's padding index is a token: an embedding of tokens, or a model that repeats it."""
    if isinstance(module, nn.Embedding):
        return any(tensor.name == f"{name}.weight".lstrip(".") for tensor in tensors.tensors)
    return hasattr(module, "vocab_size")
