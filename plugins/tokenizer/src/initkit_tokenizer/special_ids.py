"""Ids of special tokens that a model keeps outside its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from initkit import Set
from initkit_tokenizer.model_tensors import VocabTensors
from initkit_tokenizer.roles import ROLES
from initkit_tokenizer.vocab_plan import VocabPlan

_ENDS = ("_token_id", "_token_index")


def special_sets(model: nn.Module, plan: VocabPlan, tensors: VocabTensors) -> Iterator[Set]:
    """Follow the tokens to their new ids in the configurations and in the embedding's padding index.

    A special token that is kept goes to its new id; any other id becomes the one that bears the role in the new
    tokenizer, where it has one.

    Args:
        model: the subject.
        plan: of the tokens.
        tensors: of the model.
    """
    everything: dict[int, int] = {}
    for new, olds in plan.copied.items():
        for old in olds:
            # A token that keeps its id stays itself, whatever else takes a copy of its row.
            if new == old or old not in everything:
                everything[old] = new
    # An ordinary token in a role is a default that nobody set, unless it stays where it is.
    special = set(plan.old_special_ids)
    moved = {old: new for old, new in everything.items() if old == new or old in special}
    for holder in ("config", "config.text_config", "config.encoder", "config.decoder", "generation_config"):
        owner: Any = model
        for part in holder.split("."):
            owner = getattr(owner, part, None)
        if owner is None:
            continue
        # Roles, and what else points to a token: decoder_start_token_id, image_token_id.
        for attribute in sorted(key for key in vars(owner) if key.endswith(_ENDS)):
            before = getattr(owner, attribute, None)
            role = attribute.removesuffix("_token_id")
            after = _followed(before, moved if role in ROLES else everything, plan.special_ids.get(role))
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
