"""initkit's recipes for the embedding rows of a changed or extended tokenizer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_tokenizer.corpus import Corpus
    from initkit_tokenizer.cross_init import row_penalty
    from initkit_tokenizer.donors import Donor
    from initkit_tokenizer.expanding import expand_checkpoint
    from initkit_tokenizer.factors import use_factors
    from initkit_tokenizer.layout import RowLayout
    from initkit_tokenizer.saving import save_model
    from initkit_tokenizer.static_vectors import StaticVectors
    from initkit_tokenizer.tool_token import prior_penalty
    from initkit_tokenizer.vocab_plan import NewToken, VocabPlan, make_plan
    from initkit_tokenizer.vocabulary import TokenKey, Vocabulary

__version__ = "0.1.0"
__all__ = [
    "Corpus",
    "Donor",
    "NewToken",
    "RowLayout",
    "StaticVectors",
    "TokenKey",
    "VocabPlan",
    "Vocabulary",
    "expand_checkpoint",
    "make_plan",
    "prior_penalty",
    "row_penalty",
    "save_model",
    "use_factors",
]

_HOMES = {
    "Corpus": "initkit_tokenizer.corpus",
    "Donor": "initkit_tokenizer.donors",
    "StaticVectors": "initkit_tokenizer.static_vectors",
    "NewToken": "initkit_tokenizer.vocab_plan",
    "RowLayout": "initkit_tokenizer.layout",
    "TokenKey": "initkit_tokenizer.vocabulary",
    "VocabPlan": "initkit_tokenizer.vocab_plan",
    "Vocabulary": "initkit_tokenizer.vocabulary",
    "expand_checkpoint": "initkit_tokenizer.expanding",
    "make_plan": "initkit_tokenizer.vocab_plan",
    "prior_penalty": "initkit_tokenizer.tool_token",
    "row_penalty": "initkit_tokenizer.cross_init",
    "save_model": "initkit_tokenizer.saving",
    "use_factors": "initkit_tokenizer.factors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_tokenizer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
