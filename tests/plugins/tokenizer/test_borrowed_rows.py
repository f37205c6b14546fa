"""Recipes that lean on word vectors or on a donor: golden values, properties, bad input, and the battery."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

import initkit
import initkit_tokenizer.example
from initkit import CommitError, InitError, NeedError, OptionError
from initkit.testing import Case, parametrize_with_checks
from initkit_tokenizer import Donor, StaticVectors, Vocabulary, make_plan
from initkit_tokenizer.auto import _winner
from initkit_tokenizer.example import TEXT, byte_level, sentencepiece
from initkit_tokenizer.hiding import hidden
from initkit_tokenizer.map import Map, procrustes, similarity
from initkit_tokenizer.neighbours import nearest, softmax_weights, sparsemax, sparsemax_weights, unit, weighted_rows
from initkit_tokenizer.pursuit import pursue
from initkit_tokenizer.ridge import Ridge
from initkit_tokenizer.token_vectors import aligned, token_vectors

KNOWN = [
    f"{a}{b}{c}{d}{a}"
    for a, b, c, d in zip("bcdfghklmnprst" * 9, "aeiou" * 26, "lmnrst" * 21, "aeiou" * 26, strict=False)
]
KNOWN = list(dict.fromkeys(KNOWN))[:90]
FRESH = [word[:3] + word[:2] for word in KNOWN[:12]]
DIM = 6


def table(f: Callable[..., Tensor], *shape: int) -> Tensor:
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in shape])
    return f(*index.T).reshape(shape)


def wordpiece(words: list[str]) -> Tokenizer:
    letters = sorted(set("".join([*KNOWN, *FRESH])))
    tokens = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), *words]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]"])
    return made


OLD = wordpiece(KNOWN)
NEW = wordpiece([*KNOWN[5:], *FRESH])
NEW.add_special_tokens(["<tool>"])
HIDDEN_WIDTH = 8


class Pair(nn.Module):
    """An embedding and a head of its own with a bias, whose rows follow from the letters of words."""

    def __init__(self) -> None:
        super().__init__()
        rows = OLD.get_vocab_size()
        self.embedding = nn.Embedding(rows, HIDDEN_WIDTH)
        self.head = nn.Linear(HIDDEN_WIDTH, rows)
        with torch.no_grad():
            for seed, weight in enumerate((self.embedding.weight, self.head.weight)):
                weight.copy_(true_rows(OLD, seed))

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def meaning(word: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector that the letters of a word give."""
    return np.array([sum(np.sin((j + 1) * ord(letter)) for letter in word) for j in range(DIM)], dtype=np.float32)


def true_rows(tokenizer: Tokenizer, seed: int) -> Tensor:
    """What a model that knows all meanings would hold."""
    mix = torch.randn(DIM, HIDDEN_WIDTH, generator=torch.Generator().manual_seed(seed))
    tokens = {i: token for token, i in tokenizer.get_vocab().items()}
    rows = np.stack([meaning(tokens[i].removeprefix("##")) for i in range(len(tokens))])
    return torch.from_numpy(rows) @ mix + 0.3


VECTORS = {word: meaning(word) for word in [*KNOWN, *FRESH]}
DONOR = {"input": true_rows(NEW, 7), "head": true_rows(NEW, 8)}
WITH_VECTORS = ["wechsel", "focus", "hybrid", "fit"]
WITH_DONOR = ["omp", "map", "clp"]


def apply(name: str, model: nn.Module | None = None, **given: Any) -> tuple[Any, initkit.Report]:
    needs: dict[str, Any] = {"tokenizer": NEW, "old_tokenizer": OLD}
    for key in ("static_vectors", "donor", "old_static_vectors", "dictionary", "tokenizer", "old_tokenizer"):
        if key in given:
            needs[key] = given.pop(key)
    if name in WITH_VECTORS:
        needs.setdefault("static_vectors", VECTORS)
    if name in WITH_DONOR:
        needs.setdefault("donor", DONOR)
    model = model or Pair()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        report = initkit.apply(model, initkit.recipe(f"tokenizer/{name}", **given), **needs)
    return model, report


@parametrize_with_checks(
    [
        Case(
            f"tokenizer/{name}",
            Pair,
            {"tokenizer": NEW, "old_tokenizer": OLD}
            | ({"static_vectors": VECTORS} if name in WITH_VECTORS else {"donor": DONOR} if name in WITH_DONOR else {}),
        )
        for name in [*WITH_VECTORS, *WITH_DONOR, "auto"]
    ]
)
def test_battery(check: Any, case: Case) -> None:
    check(case)


# Golden values


def test_wechsel_weights_are_those_of_its_package() -> None:
    source = table(lambda i, j: torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j), 12, 5)
    target = table(lambda i, j: torch.cos(0.4 * i + 0.9 * j + 0.05 * i * j), 7, 5)
    rows = table(lambda i, j: torch.sin(0.3 * i * (j + 1) + 0.5 * j), 12, 4)
    weights, places = softmax_weights(target, source, 3, 0.1)
    made = weighted_rows(rows, places, weights)
    golden = {
        0: [0.2289359, 0.7972227, 0.9195781, 0.5532175],
        1: [0.3094580, 0.8927520, 0.9052234, 0.3616863],
        4: [0.7758481, 0.7451433, -0.4969728, -0.8884535],
    }
    for row, values in golden.items():
        torch.testing.assert_close(made[row], torch.tensor(values), atol=1e-5, rtol=0)


def test_focus_weights_are_those_of_its_package() -> None:
    wanted = table(lambda i, j: torch.sin(0.9 * i + 0.7 * j + 0.2 * i * j), 3, 5)
    anchors = table(lambda i, j: torch.cos(0.5 * i + 1.1 * j + 0.13 * i * j), 8, 5)
    rows = table(lambda i, j: torch.sin(0.37 * i * (1 + j) + 0.2), 8, 3)
    for first in (1, 2, 128):  # the support may outgrow what is sorted at first
        weights, places = sparsemax_weights(wanted, anchors, first)
        assert (weights > 0).sum(1).tolist() == [5, 4, 2]
        torch.testing.assert_close(weights[2, :2], torch.tensor([0.58379751, 0.41620243]), atol=1e-6, rtol=0)
        golden = [
            [0.81539451, -0.38383930, -0.24149150],
            [0.38183243, -0.19056442, 0.21563522],
            [0.34057882, 0.45209031, 0.51811119],
        ]
        torch.testing.assert_close(weighted_rows(rows, places, weights), torch.tensor(golden), atol=1e-5, rtol=0)


def omp_tables() -> tuple[Tensor, Tensor, Tensor]:
    atoms = table(lambda i, j: torch.sin(1.7 * i + 0.9 * j + 0.31 * i * j) * (1 + 0.5 * torch.cos(2.1 * i)), 10, 6)
    targets = table(lambda b, j: torch.cos(0.8 * b + 1.9 * j + 0.23 * b * j), 3, 6)
    return atoms, targets, table(lambda i, j: torch.cos(0.6 * i * (j + 1) + 0.4), 10, 4)


def test_pursuit_picks_what_mergekit_picks() -> None:
    atoms, targets, rows = omp_tables()
    found = pursue(atoms, targets, 3)
    assert found.picks.tolist() == [[3, 5, 1], [6, 3, 1], [3, 8, 6]]
    golden = torch.tensor([-0.66062624, -0.20460290, 0.19670941], dtype=torch.float64)
    torch.testing.assert_close(found.coefficients[0], golden, atol=1e-7, rtol=0)
    left = torch.tensor([0.12232828, 0.47541368, 0.48235069], dtype=torch.float64)
    torch.testing.assert_close(found.residuals, left, atol=1e-7, rtol=0)
    row = torch.tensor([0.69287154, 0.22286179, -0.49622104, -0.55311065], dtype=torch.float64)
    torch.testing.assert_close(found.coefficients[0] @ rows[found.picks[0]], row, atol=1e-7, rtol=0)


def test_pursuit_with_atoms_of_length_one() -> None:
    atoms, targets, _ = omp_tables()
    found = pursue(atoms, targets, 3, normalized=True)
    assert found.picks.tolist() == [[3, 5, 1], [6, 2, 8], [4, 8, 1]]
    left = torch.tensor([0.12232828, 0.36580056, 0.12903381], dtype=torch.float64)
    torch.testing.assert_close(found.residuals, left, atol=1e-7, rtol=0)


# Properties


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_sparsemax_is_the_projection_on_the_simplex(scores: list[float]) -> None:
    z = torch.tensor(sorted(scores, reverse=True), dtype=torch.float64)
    w = sparsemax(z.unsqueeze(0))[0]
    assert float(w.min()) >= 0
    assert float(w.sum()) == pytest.approx(1)
    threshold = float((z - w)[w > 0].mean())  # the projection's optimality: one threshold for the support and the rest
    torch.testing.assert_close(w, (z - threshold).clamp_min(0), atol=1e-9, rtol=0)


def test_nearest_goes_on_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, anchors = torch.randn(23, 5), torch.randn(40, 5)
    whole = nearest(queries, anchors, 4)
    monkeypatch.setattr("initkit_tokenizer.neighbours.BLOCK", 7)
    parts = nearest(queries, anchors, 4)
    assert torch.equal(whole[1], parts[1])
    torch.testing.assert_close(whole[0], (unit(queries) @ unit(anchors).T).topk(4, dim=1).values)


def test_softmax_is_finite_at_small_temperatures_and_k_is_checked() -> None:
    weights, _ = softmax_weights(torch.randn(3, 4), torch.randn(6, 4), 2, 1e-4)
    assert bool(torch.isfinite(weights).all())
    with pytest.raises(CommitError, match="only 6 old tokens have a vector; take k=6 or less"):
        softmax_weights(torch.randn(3, 4), torch.randn(6, 4), 7, 0.1)


def plain_pursuit(atoms: Tensor, target: Tensor, k: int) -> tuple[list[int], Tensor]:
    picks: list[int] = []
    left = target
    for _ in range(k):
        scores = (atoms @ left).abs()
        scores[picks] = -1
        picks.append(int(scores.argmax()))
        fit = torch.linalg.lstsq(atoms[picks].T, target.unsqueeze(1)).solution
        left = target - (fit.T @ atoms[picks])[0]
    return picks, left


def test_pursuit_agrees_with_refitting_from_scratch() -> None:
    numbers = torch.Generator().manual_seed(3)
    atoms = torch.randn(60, 24, dtype=torch.float64, generator=numbers)
    targets = torch.randn(9, 24, dtype=torch.float64, generator=numbers)
    found = pursue(atoms, targets, 8)
    for row, target in enumerate(targets):
        picks, left = plain_pursuit(atoms, target, 8)
        assert found.picks[row].tolist() == picks
        assert float(found.residuals[row]) == pytest.approx(float(left.norm()))


def test_pursuit_passes_over_dependent_atoms_and_stops_when_done() -> None:
    numbers = torch.Generator().manual_seed(4)
    base = torch.randn(4, 6, dtype=torch.float64, generator=numbers)
    atoms = torch.cat([base, base, base.sum(0, keepdim=True), torch.zeros(1, 6, dtype=torch.float64)])
    inside = base[1:2] * 3
    found = pursue(atoms, torch.cat([inside, torch.randn(2, 6, dtype=torch.float64), inside * 0]), 8)
    assert float(found.residuals[0]) < 1e-6 * float(inside.norm())
    assert bool((found.picks[1:3] >= 0).sum(1).le(4).all())  # four atoms span all there is
    assert found.picks[3].tolist() == [-1] * 8
    assert float(found.coefficients.abs().max()) < 1e3


def test_ridge_finds_a_linear_map_and_knows_noise() -> None:
    numbers = torch.Generator().manual_seed(5)
    x = torch.randn(200, 6, generator=numbers)
    matrix = torch.randn(6, 3, generator=numbers)
    fitted = Ridge.fit(x, x @ matrix + 2, range(200), penalties=(1e-6, 1.0))
    torch.testing.assert_close(fitted(x[:5]), x[:5] @ matrix + 2, atol=1e-3, rtol=0)
    assert fitted.penalty == 1e-6
    assert fitted.error < 1e-6
    noise = Ridge.fit(x, torch.randn(200, 3, generator=numbers), range(200))
    assert noise.error > 0.95
    assert noise.penalty == 3.0


@given(st.integers(3, 8), st.integers(3, 8), st.floats(0.1, 10))
def test_similarity_undoes_a_rotation_and_its_scale(width: int, wider: int, size: float) -> None:
    numbers = torch.Generator().manual_seed(width)
    x = torch.randn(40, min(width, wider), generator=numbers, dtype=torch.float64)
    into = torch.linalg.qr(torch.randn(wider, wider, generator=numbers, dtype=torch.float64)).Q[: x.shape[1]]
    y = size * x @ into + 1
    made, scale, shared = similarity(x[:30], y[:30], x[30:])
    torch.testing.assert_close(made, y[30:].float(), atol=1e-4, rtol=1e-4)
    assert (scale, shared) == (pytest.approx(size), pytest.approx(1))


def test_similarity_keeps_the_spread_that_least_squares_would_shrink() -> None:
    numbers = torch.Generator().manual_seed(8)
    x = torch.randn(400, 6, generator=numbers)
    y = x @ torch.linalg.qr(torch.randn(6, 6, generator=numbers)).Q + 2 * torch.randn(400, 6, generator=numbers)
    made, _, shared = similarity(x, y, x)
    assert float((made - y.mean(0)).norm()) == pytest.approx(float((y - y.mean(0)).norm()), rel=1e-4)
    least = procrustes(x, y, x)
    ratio = float((least - y.mean(0)).norm() / (made - y.mean(0)).norm())
    assert ratio == pytest.approx(shared, rel=0.02)
    assert shared < 0.6


def test_procrustes_undoes_a_rotation() -> None:
    numbers = torch.Generator().manual_seed(6)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=numbers)).Q
    x = torch.randn(50, 5, generator=numbers) * torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    y = 2 * x @ rotation + 1
    torch.testing.assert_close(procrustes(x[:40], y[:40], x[40:]), y[40:], atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", ["byte_level", "metaspace", "wordpiece", "unigram"])
def test_hidden_tokens_are_spelt_by_the_rest(family: str) -> None:
    if family == "wordpiece":
        vocabulary = Vocabulary.of(OLD)
    elif family == "unigram":
        pieces = [("a", -3.0), ("b", -3.0), ("c", -3.0), ("ab", -2.0), ("abc", -1.0)]
        vocabulary = Vocabulary.of(Tokenizer(models.Unigram(pieces)))
    else:
        made = {"byte_level": byte_level, "metaspace": sentencepiece}[family](TEXT[:20], 700)
        vocabulary = Vocabulary.of(made)
    long = [i for i, key in vocabulary.keys.items() if key.kind == "text" and len(key.payload) > 2][::3]
    plan = make_plan(hidden(vocabulary, long), vocabulary)
    assert [token.id for token in plan.new] == long
    assert not set(long) & {i for token in plan.new for i in token.pieces}
    for token in plan.new:
        assert token.kind == "pieces"
        spelt = b"".join(vocabulary.keys[i].payload for i in token.pieces)
        assert spelt.replace(b" ", b"") == token.payload.replace(b" ", b"")


# What recipes do with a model


@pytest.mark.parametrize("name", [*WITH_VECTORS, *WITH_DONOR])
def test_kept_rows_are_copied_and_new_ones_fit_better_than_the_mean(name: str) -> None:
    before = Pair()
    model, _ = apply(name)
    old, new = OLD.get_vocab(), NEW.get_vocab()
    for key in ("embedding", "head"):
        weight, was = getattr(model, key).weight, getattr(before, key).weight
        for token in [*KNOWN[5:], "a"]:
            assert torch.equal(weight[new[token]], was[old[token]])
    ids = [new[word] for word in FRESH]
    for seed, key in enumerate(("embedding", "head")):
        weight, mean = getattr(model, key).weight.detach(), getattr(before, key).weight.detach().mean(0)
        truth = true_rows(NEW, seed)[ids]
        if name != "clp":  # all rows of it are near the mean
            assert float((weight[ids] - truth).norm()) < float((mean - truth).norm())
        assert bool(torch.isfinite(weight).all())


def test_ridge_finds_the_rows_that_a_donor_knows() -> None:
    model, report = apply("map", kind="ridge")
    ids = [NEW.get_vocab()[word] for word in FRESH]
    truth = true_rows(NEW, 0)[ids]
    share = (model.embedding.weight.detach()[ids] - truth).norm() / (truth - truth.mean(0)).norm()
    assert float(share) < 0.2
    rows = next(rows for key, rows in report.notes.items() if key.endswith("map rows"))
    assert rows[0]["squared error on held-out tokens, as a share of the mean's"] < 0.05
    assert rows[0]["anchors"] == OLD.get_vocab_size() - 6  # all but five words and the special token


def test_auto_prefers_the_first_of_those_that_no_other_beats() -> None:
    numbers = torch.Generator().manual_seed(9)
    noise = torch.randn(200, generator=numbers)
    good, equal, poor = noise + 1, noise.flip(0) + 1.05, noise
    zero, failed = torch.zeros(200), torch.full((200,), float("-inf"))
    names = ["a", "b", "c", "mean"]
    assert _winner([good, equal, poor, zero], names) == 0
    assert _winner([equal, good, poor, zero], names) == 0
    assert _winner([poor, equal, good, zero], names) == 1
    assert _winner([failed, poor, good, zero], names) == 2
    assert _winner([noise, noise.flip(0), failed, zero], names) == 3
    assert _winner([noise, noise.flip(0)], ["a", "b"]) == 0


def test_auto_goes_on_where_the_chosen_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Map.transfer

    def transfer(self: Map, task: Any, pairs: Any) -> Tensor:
        if any(token.text == " " + FRESH[0] for token in task.plan.new):
            raise CommitError("not these")
        return whole(self, task, pairs)

    monkeypatch.setattr(Map, "transfer", transfer)
    _, report = apply("auto", donor={"input": true_rows(NEW, 0), "head": true_rows(NEW, 1)}, candidates=("map", "mean"))
    rows = next(rows for key, rows in report.notes.items() if key.endswith("auto rows"))
    assert [row.get("recipe") for row in rows] == ["mean", "mean", None]
    assert "map restored hidden tokens, but fails on the new ones: not these" in str(
        report.notes["tokenizer/auto remarks"]
    )


def test_auto_picks_what_is_exact_and_the_mean_where_nothing_holds() -> None:
    numbers = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(HIDDEN_WIDTH, HIDDEN_WIDTH, generator=numbers)).Q
    noisy = {
        role: rows @ turn + 0.5 * torch.randn(rows.shape, generator=numbers)
        for role, rows in (("input", true_rows(NEW, 0)), ("head", true_rows(NEW, 1)))
    }
    _, report = apply("auto", donor=noisy)
    rows = next(rows for key, rows in report.notes.items() if key.endswith("auto rows"))
    assert [row.get("recipe") for row in rows] == ["map", "map", None]
    _, report = apply("auto", donor=noisy, static_vectors=VECTORS)  # true rows are linear in these vectors
    rows = next(rows for key, rows in report.notes.items() if key.endswith("auto rows"))
    assert [row.get("recipe") for row in rows] == ["fit", "fit", None]
    tables = [rows for key, rows in report.notes.items() if "hidden tokens" in key]
    assert [row["recipe"] for row in tables[0]] == [
        "map", "omp", "clp", "fit", "hybrid", "wechsel", "focus", "subword", "mean",
    ]  # fmt: skip
    assert sum(row.get("chosen", False) for row in tables[0]) == 1
    model = Pair()
    with torch.no_grad():
        for weight in (model.embedding.weight, model.head.weight):
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    _, report = apply("auto", model, donor=DONOR)
    rows = next(rows for key, rows in report.notes.items() if key.endswith("auto rows"))
    assert [row.get("recipe") for row in rows] == ["mean", "mean", None]


def test_auto_with_chosen_candidates() -> None:
    _, report = apply("auto", candidates=("subword",))
    rows = next(rows for key, rows in report.notes.items() if key.endswith("auto rows"))
    assert rows[0]["recipe"] == "subword"
    with pytest.raises(OptionError, match="candidate 'fit': it needs static_vectors"):
        apply("auto", candidates=("fit",))
    with pytest.raises(OptionError, match="candidate 'map': it needs a donor"):
        apply("auto", candidates=("map",))
    with pytest.raises(OptionError, match="did you mean"):
        apply("auto", candidates=("subwords",))


def test_omp_says_which_k_it_took() -> None:
    _, report = apply("omp")
    tables = [rows for key, rows in report.notes.items() if "choice of k" in key]
    assert [row["k"] for row in tables[0]] == [2, 4, 8]  # no more than the donor has dimensions
    _, report = apply("omp", k=2)
    rows = next(rows for key, rows in report.notes.items() if key.endswith("omp rows"))
    assert rows[0]["k"] == 2
    with pytest.raises(CommitError, match="k=1000, but only"):
        apply("omp", k=1000)


def test_tokens_without_a_vector_follow_the_old_rows() -> None:
    some = {word: vector for word, vector in VECTORS.items() if word != FRESH[0]}
    model, report = apply("wechsel", static_vectors=some, vectors_of="text", without_vector="mean")
    row = next(rows for key, rows in report.notes.items() if key.endswith("wechsel rows"))[0]
    assert row["without a vector"] == 2  # the word, and the special token
    before = Pair().embedding.weight.detach()
    special = OLD.get_vocab()["[UNK]"]
    mean = before[[i for i in range(len(before)) if i != special]].mean(0)
    made = model.embedding.weight.detach()[NEW.get_vocab()[FRESH[0]]]
    torch.testing.assert_close(made, mean, atol=0.05, rtol=0.05)
    drawn, _ = apply("wechsel", static_vectors=some, vectors_of="text")
    assert not torch.allclose(drawn.embedding.weight.detach()[NEW.get_vocab()[FRESH[0]]], made)


def test_hybrid_is_the_mean_of_its_parts() -> None:
    ids = [NEW.get_vocab()[word] for word in FRESH]
    rows = {name: apply(name)[0].embedding.weight.detach()[ids] for name in ("hybrid", "subword", "wechsel")}
    torch.testing.assert_close(rows["hybrid"], (rows["subword"] + rows["wechsel"]) / 2)


# Word vectors


def test_two_languages_are_brought_into_one_space() -> None:
    numbers = np.random.default_rng(0)
    new = StaticVectors(KNOWN, numbers.normal(size=(len(KNOWN), DIM)).astype(np.float32))
    rotation = np.linalg.qr(numbers.normal(size=(DIM, DIM)))[0].astype(np.float32)
    old = StaticVectors([word.title() for word in KNOWN], new.lookup(KNOWN) @ rotation)
    turned, counts = aligned(old, new, [(word, word) for word in KNOWN[:20]])
    assert counts == {"pairs given": 20, "pairs used": 20}
    np.testing.assert_allclose(turned.lookup([KNOWN[50].title()]), new.lookup([KNOWN[50]]), atol=1e-5)
    theirs = orthogonal_procrustes(old.lookup([w.title() for w in KNOWN[:20]]), new.lookup(KNOWN[:20]))[0]
    np.testing.assert_allclose(theirs, rotation.T, atol=1e-5)
    with pytest.raises(NeedError, match="3 pairs are in both tables of 4 given; a rotation of 6 dimensions"):
        aligned(old, new, [*((word, word) for word in KNOWN[:3]), ("no", "nein")])
    _, report = apply("wechsel", static_vectors=VECTORS, old_static_vectors=VECTORS, dictionary=[(w, w) for w in KNOWN])
    assert report.covered > 0


def test_a_token_without_a_text_of_its_own_is_the_mean_of_its_words() -> None:
    vectors = StaticVectors(["aab", "ba"], np.array([[1.0, 0.0], [0.0, 4.0]], dtype=np.float32), counts=[3, 1])
    letters = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, " ": 2, "zz": 3, "z": 4}, merges=[("z", "z")]))
    found = token_vectors(Vocabulary.of(letters), [0, 1, 3], vectors, "words")
    np.testing.assert_allclose(found, [[0.75, 1.0], [0.75, 1.0], [0, 0]])
    assert not token_vectors(Vocabulary.of(letters), [0], vectors, "text").any()


def test_all_forms_of_files_give_the_same_vectors(tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim.models")
    words = list(VECTORS)
    wanted = np.stack([VECTORS[word] for word in words])
    keyed = gensim.KeyedVectors(DIM)
    keyed.add_vectors(words, wanted)
    keyed.save_word2vec_format(str(tmp_path / "a.vec"))
    keyed.save_word2vec_format(str(tmp_path / "a.bin"), binary=True)
    np.savez(tmp_path / "a.npz", keys=np.array(words), vectors=wanted)
    for source in (keyed, tmp_path / "a.vec", tmp_path / "a.bin", str(tmp_path / "a.npz"), VECTORS):
        np.testing.assert_allclose(StaticVectors.of(source).lookup(words), wanted, rtol=1e-5)


def test_fasttext_spells_unknown_words(tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim.models")
    from gensim.models.fasttext import save_facebook_model

    made = gensim.FastText([KNOWN] * 3, vector_size=8, min_count=1, min_n=3, max_n=4, bucket=500, epochs=1, workers=1)
    vectors = StaticVectors.of(made)
    assert vectors.lookup(["ballad"]).any()
    save_facebook_model(made, str(tmp_path / "a.bin"))
    read = StaticVectors.of(tmp_path / "a.bin")
    np.testing.assert_allclose(read.lookup(["ballad", KNOWN[0]]), vectors.lookup(["ballad", KNOWN[0]]), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a 1 2\nb 1\n", "the vector of 'b' has 1 numbers"),
        ("a 1 2\nb x y\n", "line 2 of .* is no word followed by numbers"),
        ("", "holds no word"),
        ("a 1 nan\nb 1 2\n", "the vector of 'a' holds NaN"),
    ],
)
def test_broken_vectors_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "a.vec").write_text(content)
    with pytest.raises(NeedError, match=words):
        StaticVectors.of(tmp_path / "a.vec")


def test_vectors_of_no_known_form(tmp_path: Path) -> None:
    with pytest.raises(NeedError, match="there is no file"):
        StaticVectors.of(tmp_path / "no.vec")
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(NeedError, match="of an unknown kind"):
        StaticVectors.of(tmp_path / "a.xyz")
    np.savez(tmp_path / "a.npz", keys=np.array(["a"]))
    with pytest.raises(NeedError, match="it lacks vectors"):
        StaticVectors.of(tmp_path / "a.npz")
    with pytest.raises(NeedError, match="list is no table of word vectors"):
        StaticVectors.of([1, 2])
    with pytest.raises(NeedError, match="it holds no word"):
        StaticVectors.of({})


# Donors


def test_donors_in_all_forms(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    np.savez(tmp_path / "d.npz", input=DONOR["input"].numpy(), head=DONOR["head"].numpy())
    save_file(
        {"model.embed_tokens.weight": DONOR["input"], "lm_head.weight": DONOR["head"]}, tmp_path / "model.safetensors"
    )
    for source in (DONOR, tmp_path / "d.npz", str(tmp_path), tmp_path / "model.safetensors"):
        donor = Donor.of(source)
        assert torch.equal(donor.input, DONOR["input"])
        assert torch.equal(donor.head, DONOR["head"])
    assert torch.equal(Donor.of(nn.Embedding.from_pretrained(DONOR["input"])).head, DONOR["input"])


@pytest.mark.parametrize(
    ("donor", "words"),
    [
        (torch.zeros(3), "no table with a row a token"),
        ({"output": torch.zeros(3, 2)}, "holds no embeddings"),
        ("nowhere.npz", "there is no file nowhere.npz"),
        (torch.ones(7, 4), "7 rows, the new tokenizer needs"),
        ({"input": torch.ones(7, 4), "head": torch.ones(8, 4)}, "7 rows of input, 8 of the head"),
        (torch.full((400, 4), float("nan")), "donor: row .* holds NaN"),
    ],
)
def test_broken_donors_are_refused_and_nothing_is_written(donor: Any, words: str) -> None:
    model = Pair()
    before = model.embedding.weight.clone()
    with pytest.raises(InitError, match=words):
        apply("map", model, donor=donor)
    assert torch.equal(model.embedding.weight, before)


def test_nothing_to_lean_on_is_an_error() -> None:
    with pytest.raises(CommitError, match="none of .* old tokens to lean on has a vector"):
        apply("wechsel", static_vectors={"zzz": np.ones(3)})
    with pytest.raises(CommitError, match="whole words of 5 letters"):
        apply("fit", old_tokenizer=wordpiece(KNOWN[:20]))
    few = Tokenizer(models.BPE(vocab={"q": 0, "w": 1}, merges=[]))
    with pytest.raises(CommitError, match="share no token; take tokenizer/wechsel"):
        apply("focus", nn.Sequential(nn.Embedding(2, 4)), old_tokenizer=few)
    with pytest.raises(CommitError, match="share 0 trained tokens"):
        apply("map", nn.Sequential(nn.Embedding(2, 4)), old_tokenizer=few)
    with pytest.raises(NeedError, match="have 6 numbers, static_vectors 3"):
        apply("wechsel", static_vectors={"a": np.ones(3)}, old_static_vectors=VECTORS)
    with pytest.raises(InitError, match="temperature"):
        apply("wechsel", temperature=0)


def test_the_command_reads_vectors_and_donors_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from initkit_cli.__main__ import main

    monkeypatch.chdir(tmp_path)
    example = str(Path(initkit_tokenizer.example.__file__))
    np.savez("words.npz", keys=np.array(["the", "import", "statement"]), vectors=np.eye(3, dtype=np.float32))
    np.savez("donor.npz", input=np.random.default_rng(0).normal(size=(1600, 12)).astype(np.float32))
    words = ["apply", "--plugin", "tokenizer", example]
    near = ["--recipe", "wechsel", "--set", "k=2"]
    assert main([*words, *near, "--data", "static_vectors=words.npz", "-o", "a.safetensors"]) == 0
    assert main([*words, "--recipe", "map", "--data", "donor=donor.npz", "-o", "b.safetensors"]) == 0
    capsys.readouterr()
    Path("bad.vec").write_text("a 1 2\nb 1\n")
    assert main([*words, "--recipe", "wechsel", "--data", "static_vectors=bad.vec", "-o", "c.safetensors"]) != 0
    said = capsys.readouterr().err
    assert "the vector of 'b' has 1 numbers" in said
    assert "Traceback" not in said
    assert not Path("c.safetensors").exists()
