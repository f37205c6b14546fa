"""Probes of new rows."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn

import initkit

OLD = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "d": 3}, unk_token="a"))
NEW = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}, unk_token="a"))
PROBES = ["tokenizer/new_rows", "tokenizer/stolen_mass"]


class Small(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 8)
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.head.weight.mul_(scale)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def inspected(model: nn.Module, **needs: Any) -> initkit.Inspection:
    given = {"tokenizer": NEW, "old_tokenizer": OLD, **needs}
    return initkit.inspect(model, torch.tensor([[0, 1, 2, 3]]), probes=PROBES, **given)


def applied(name: str, scale: float = 1.0) -> Small:
    torch.manual_seed(0)
    model = Small(scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initkit.apply(model, f"tokenizer/{name}", tokenizer=NEW, old_tokenizer=OLD, seed=0)
    return model


def tables(found: initkit.Inspection) -> dict[str, list[dict[str, Any]]]:
    return {name: [dict(row) for row in table.rows] for name, table in found.tables.items()}


def test_mean_rows_keep_the_bound_and_are_equal() -> None:
    found = inspected(applied("mean", scale=20))
    mass = next(rows for name, rows in tables(found).items() if name.endswith("stolen_mass"))[0]
    assert mass["bound of mean rows"] == pytest.approx(math.log(1 + 2 / 4))
    assert 0 < mass["log Z'/Z, largest"] <= mass["bound of mean rows"]
    rows = next(rows for name, rows in tables(found).items() if name.endswith("new_rows"))
    assert [row["equal to another"] for row in rows] == [1, 1]
    assert "PASS" in {verdict.level for verdict in found.verdicts}


def test_long_rows_and_stolen_probability_are_warned_of() -> None:
    model = applied("mean")
    with torch.no_grad():
        model.head.weight[4:] = 0
        model.head.bias[4:] = 50
        model.embedding.weight[4] = 100 * model.embedding.weight[1]
    found = inspected(model)
    mass = next(rows for name, rows in tables(found).items() if name.endswith("stolen_mass"))[0]
    assert mass["mean probability"] == pytest.approx(1, abs=1e-6)
    warned = [verdict.words for verdict in found.verdicts if verdict.level == "WARN"]
    assert any("times as long" in words for words in warned)
    assert any("of the probability" in words for words in warned)
    near = next(rows for name, rows in tables(found).items() if "neighbours in embedding" in name)
    assert (near[0]["token"], near[0]["nearest old"]) == ("e", "b")
    assert near[0]["cosine"] == pytest.approx(1, abs=1e-5)


def test_a_model_without_the_new_rows_is_not_measured() -> None:
    torch.manual_seed(0)
    with pytest.raises(initkit.NeedError, match="the model has 4 rows, the new tokenizer needs 6: apply a recipe"):
        inspected(Small())
