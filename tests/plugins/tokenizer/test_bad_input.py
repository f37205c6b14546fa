"""Bad input: one clear line, or the documented way out, and nothing written; in Python and on the command line."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn

import initkit
from initkit import InitError


def words(*tokens: str) -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [
        (token[:cut], token[cut:])
        for token in tokens
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges))


def level(**vocabulary: int) -> Tokenizer:
    return Tokenizer(models.WordLevel({**vocabulary, "[UNK]": max(vocabulary.values()) + 1}, unk_token="[UNK]"))


OLD, NEW = words("a", "b", "c", "d", "ab"), words("a", "b", "c", "d", "ab", "abc", "dd")
STRANGE = words("x", "y", "z", "xy", "yz")
VECTORS = {text: np.eye(6)[i] for i, text in enumerate(("a", "b", "c", "d", "ab", "abc"))}


class Pair(nn.Module):
    """An embedding and a head."""

    def __init__(self, rows: int = 5, width: int = 3) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(rows, width), nn.Linear(width, rows)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def spoiled(row: int, value: float, rows: int = 5) -> Pair:
    model = Pair(rows)
    with torch.no_grad():
        model.embedding.weight[row, 1] = value
    return model


def stored(weight: Tensor) -> nn.Module:
    model = Pair()
    model.embedding.weight = nn.Parameter(weight, requires_grad=False)
    return model


CASES: dict[str, tuple[Any, str, dict[str, Any], dict[str, Any], str]] = {
    "fewer rows than tokens": (lambda: Pair(4), "mean", {}, {}, "needs 5 rows, the model's embedding has 4"),
    "no embedding": (lambda: nn.Linear(3, 4), "mean", {}, {}, "Linear has no embedding"),
    "a NaN": (lambda: spoiled(2, math.nan), "mean", {}, {}, r"embedding\.weight: row 2 of an old token holds NaN"),
    "an infinity": (lambda: spoiled(3, math.inf), "subword", {}, {}, "row 3 of an old token holds NaN or infinity"),
    "a NaN of no token, counted": (
        lambda: spoiled(6, math.nan, 8), "mean", {"stat_rows": "all"}, {}, "row 6 of an old token holds NaN",
    ),
    "no trained rows": (lambda: stored(torch.zeros(5, 3)), "mean", {}, {}, "0 trained rows.*stat_rows=all"),
    "int8": (lambda: stored(torch.zeros(5, 3, dtype=torch.int8)), "mean", {}, {}, "int8 is a quantised type"),
    "float8": (
        lambda: stored(torch.zeros(5, 3).to(torch.float8_e4m3fn)), "mean", {}, {}, "float8_e4m3fn is a quantised type",
    ),
    "four bits, packed": (
        lambda: stored(torch.zeros(8, 1, dtype=torch.uint8)), "mean", {}, {}, "uint8 is a quantised type",
    ),
    "a partitioned table": (lambda: stored(torch.zeros(0)), "mean", {}, {}, r"ZeRO-3.*deepspeed\.initialize"),
    "no tokenizer": (Pair, "mean", {}, {"tokenizer": 3}, "tokenizer: int is no tokenizer; it must be"),
    "a missing file": (Pair, "mean", {}, {"tokenizer": "/no/where"}, "tokenizer: there is no file /no/where"),
    "no token": (Pair, "mean", {}, {"old_tokenizer": Tokenizer(models.BPE())}, "old_tokenizer: it holds no token"),
    "a gap": (Pair, "mean", {}, {"tokenizer": level(a=0, b=1500)}, r"between 0 and 1500.*allow it with max_gap=1499"),
    "an id too large": (Pair, "mean", {}, {"tokenizer": level(a=0, b=2**31)}, r"id 2147483649 of .* is 2\*\*31"),
    "zero multiple": (Pair, "mean", {"pad_to_multiple_of": 0}, {}, "pad_to_multiple_of=0"),
    "no description": (Pair, "description", {}, {"descriptions": {}}, "a mapping of tokens to texts is needed"),
    "an empty corpus": (Pair, "token_distillation", {}, {"corpus": []}, "corpus: it holds no text"),
    "a corpus without new tokens": (Pair, "token_distillation", {}, {"corpus": ["aa"]}, "none of 2 new tokens has 5"),
    "no vector fits": (Pair, "wechsel", {}, {"static_vectors": {"q": np.ones(4)}}, "tokens to lean on has a vector"),
    "ragged vectors": (
        Pair, "wechsel", {}, {"static_vectors": {"a": np.ones(4), "b": np.ones(3)}}, "'b' has 3 numbers",
    ),
    "vectors of two lengths": (
        Pair, "wechsel", {},
        {"static_vectors": VECTORS, "old_static_vectors": {"a": np.ones(3)}, "dictionary": [("a", "a")]},
        "old_static_vectors have 3 numbers, static_vectors 6",
    ),
    "vectors with a NaN": (Pair, "focus", {}, {"static_vectors": {"a": np.full(4, np.nan)}}, "'a' holds NaN"),
    "more neighbours than tokens": (
        Pair, "wechsel", {"k": 9}, {"static_vectors": VECTORS}, "old tokens have a vector; take k=",
    ),
    "nothing shared": (
        Pair, "focus", {}, {"static_vectors": {**VECTORS, "x": np.ones(6)}, "tokenizer": STRANGE}, "share no token",
    ),
    "a donor of another tokenizer": (Pair, "map", {}, {"donor": nn.Embedding(3, 4)}, "donor: .*3 rows"),
    "more atoms than anchors": (Pair, "omp", {"k": 64}, {"donor": nn.Embedding(7, 4)}, "k=64, but only"),
    "a donor that shares nothing": (
        Pair, "map", {}, {"donor": nn.Embedding(5, 4), "tokenizer": STRANGE}, "share 0 trained tokens",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_in_a_line_and_nothing_is_written(name: str) -> None:
    make, recipe, options, needs, expected = CASES[name]
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InitError, match=expected) as caught:
        apply(model, recipe, needs=needs, **options)
    assert "\n" not in str(caught.value)
    for key, value in before.items():
        assert torch.equal(value.float().nan_to_num(), model.state_dict()[key].float().nan_to_num())


def apply(model: nn.Module, name: str, *, needs: dict[str, Any] | None = None, **options: Any) -> initkit.Report:
    recipe = initkit.recipe(f"tokenizer/{name}", **options)
    return initkit.apply(model, recipe, seed=0, **{"tokenizer": NEW, "old_tokenizer": OLD, **(needs or {})})


def test_the_same_tokenizer_twice_changes_nothing_and_says_so() -> None:
    model = Pair()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="no row changes"):
        report = apply(model, "subword", needs={"tokenizer": OLD})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert report.notes["tokenizer/subword remarks"] == [
        {"remark": "both tokenizers have the same tokens in the same places: no row changes"}
    ]
    assert report.notes["tokenizer/subword rows"][0]["computed"] == 0


def test_rows_of_no_token_may_be_broken() -> None:
    model = spoiled(6, math.nan, 8)
    apply(model, "mean")
    assert bool(model.embedding.weight[5].isfinite().all())


def test_a_covariance_without_a_factor_takes_the_way_from_the_data() -> None:
    model = Pair(5, 3)
    with torch.no_grad():
        model.embedding.weight[:, 2] = 7.0  # it never varies: of rank 2
    new = words("a", "b", "c", "d", "ab", "abc", "dd", "cc", "bb")
    report = apply(model, "multivariate", needs={"tokenizer": new})
    row = report.notes["tokenizer/multivariate rows"][0]
    assert (row["rows from"], row["distinct"]) == ("data", 4)
    made = model.embedding.weight.detach()[5:]
    assert made[:, 2].tolist() == pytest.approx([7] * 4)


def test_recipes_of_a_head_say_where_there_is_none() -> None:
    for name, options in (("subword", {"head": "mean"}), ("tool_token", {})):
        model = nn.Sequential(nn.Embedding(5, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = apply(model, name, **options)
        assert model[0].weight.shape == (7, 3)
        if options:
            assert "no output matrix" in report.notes["tokenizer/subword remarks"][0]["remark"]
        else:
            assert report.notes["tokenizer/tool_token rows"][0]["head"].startswith("there is none")


def test_a_gap_may_be_allowed() -> None:
    model = Pair()
    apply(model, "mean", needs={"tokenizer": level(a=0, b=1500)}, max_gap=1500)
    assert model.embedding.num_embeddings == 1502


MODEL = """
import torch
from tokenizers import Tokenizer, models

def words(*tokens):
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [(t[:c], t[c:]) for t in tokens for c in range(1, len(t)) if t[:c] in vocabulary and t[c:] in vocabulary]
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges))

old_tokenizer, tokenizer = words("a", "b", "c", "d", "ab"), words("a", "b", "c", "d", "ab", "abc", "dd")

def model(rows: int = 5, nan: bool = False):
    made = torch.nn.Sequential(torch.nn.Embedding(rows, 3), torch.nn.Linear(3, rows))
    if nan:
        made[0].weight.data[2] = float("nan")
    return made
"""


@pytest.mark.parametrize(
    ("more", "code", "expected"),
    [
        (["--set-model", "rows=4"], 1, "needs 5 rows, the model's embedding has 4"),
        (["--set-model", "nan=true"], 1, "0.weight: row 2 of an old token holds NaN"),
        (["--data", "tokenizer=missing"], 2, "there is no missing"),
        (["--data", "tokenizer=broken.json"], 1, "cannot read broken.json"),
        (["--set", "pad_to_multiple_of=0"], 2, "pad_to_multiple_of=0"),
        (["--set", "head=subwrd"], 1, "did you mean"),
    ],
)
def test_on_the_command_line(
    more: list[str], code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from initkit_cli.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "broken.json").write_text("{")
    before = sorted(path.name for path in tmp_path.iterdir())
    found = main(["apply", "--plugin", "tokenizer", "--recipe", "subword", "model.py", *more])
    told = capsys.readouterr()
    assert found == code
    assert expected in " ".join(told.err.split())
    assert "Traceback" not in told.err
    assert not told.out
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before
