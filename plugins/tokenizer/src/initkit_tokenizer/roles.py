"""Roles of special tokens, by the tokenizer's own word and by names that everybody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROLES = ("bos", "eos", "pad", "unk", "mask", "cls", "sep")

_ALIASES = {
    "<s>": ("bos", "cls"),
    "</s>": ("eos", "sep"),
    "<bos>": ("bos",),
    "<eos>": ("eos",),
    "<|begin_of_text|>": ("bos",),
    "<|end_of_text|>": ("eos",),
    "<|endoftext|>": ("eos",),
    "<|startoftext|>": ("bos",),
    "[BOS]": ("bos",),
    "[EOS]": ("eos",),
    "[CLS]": ("cls", "bos"),
    "[SEP]": ("sep", "eos"),
    "<cls>": ("cls", "bos"),
    "<sep>": ("sep", "eos"),
    "[PAD]": ("pad",),
    "<pad>": ("pad",),
    "<|pad|>": ("pad",),
    "[UNK]": ("unk",),
    "<unk>": ("unk",),
    "[MASK]": ("mask",),
    "<mask>": ("mask",),
}


def roles_of_strings(specials: set[str], said: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Roles by role: the strings that bear it, the one that the tokenizer itself names first.

    Args:
        specials: strings of all special tokens.
        said: what the tokenizer says: role to string.
    """
    found: dict[str, tuple[str, ...]] = {}
    for role in ROLES:
        if said.get(role) in specials:
            found[role] = (said[role],)
            continue
        named = [text for text in _ALIASES if text in specials and role in _ALIASES[text]]
        # A name whose first meaning is the role comes before one that may also stand for it.
        first = [text for text in named if _ALIASES[text][0] == role]
        if named:
            found[role] = tuple(first or named)
    return found


def said_by(tokenizer: Any) -> dict[str, str]:
    """Roles that a tokenizer of transformers names: ``{"eos": "</s>"}``."""
    found: dict[str, str] = {}
    for role in ROLES:
        text = getattr(tokenizer, f"{role}_token", None)
        if text is not None:
            found[role] = str(text)
    return found
