"""Constrained Word2Vec: golden values, pairs, training that falls and can be broken off, bad input, and the battery."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

import initkit
from initkit import CommitError, FileError, InitError, NeedError, OptionError
from initkit.streams import Stream
from initkit.testing import Case, parametrize_with_checks
from initkit_tokenizer import Vocabulary
from initkit_tokenizer.constrained import Side, Training, combined, final_rows, skip_gram_loss
from initkit_tokenizer.skip_grams import Batches, SkipGrams, Text

WORDS = ["red", "blue", "green", "dog", "cat", "cow", "runs", "sleeps"]
FRESH = ["teal", "goat", "yak"]  # "yak" is in no text
WIDTH = 6


def wordlevel(words: list[str]) -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]"])
    return made


OLD = wordlevel(WORDS)
NEW = wordlevel([*WORDS[1:], *FRESH])  # ids move, "red" goes
CORPUS = [
    f"{colour} {beast} {act}"
    for colour in ("blue", "green", "teal")
    for beast in ("dog", "cat", "cow", "goat")
    for act in ("runs", "sleeps")
] * 3


class Tied(nn.Module):
    """An embedding tied to its head, which has a bias."""

    def __init__(self) -> None:
        super().__init__()
        rows = OLD.get_vocab_size()
        self.embedding = nn.Embedding(rows, WIDTH)
        self.head = nn.Linear(WIDTH, rows)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1)))

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


class Pair(Tied):
    """An embedding and a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head.weight = nn.Parameter(self.embedding.weight.detach().flip(1).clone())


NEEDS: dict[str, Any] = {"tokenizer": NEW, "old_tokenizer": OLD, "corpus": CORPUS}
QUICK: dict[str, Any] = {"rank": 4, "batch": 32, "threshold": 100.0}


def apply(
    model: nn.Module | None = None,
    *,
    progress: Any = None,
    seed: int = 0,
    needs: dict[str, Any] = NEEDS,
    **options: Any,
) -> tuple[Any, initkit.Report]:
    model = Tied() if model is None else model
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        made = initkit.recipe("tokenizer/cw2v", **{**QUICK, **options})
        report = initkit.apply(model, made, **needs, seed=seed, progress=progress)
    return model, report


@parametrize_with_checks(
    [
        Case(initkit.recipe("tokenizer/cw2v", **QUICK), Tied, NEEDS),
        Case(initkit.recipe("tokenizer/cw2v", **QUICK, compat="authors"), Pair, NEEDS),
    ]
)
def test_battery(check: Any, case: Case) -> None:
    check(case)


# Golden values


def table(f: Callable[..., Tensor], *shape: int) -> Tensor:
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in shape])
    return f(*index.T).reshape(shape)


def golden_arrays() -> tuple[Tensor, Tensor, Tensor]:
    old = table(lambda i, j: torch.sin(0.7 * i * (1 + j) + 0.3), 6, 4)
    mix = table(lambda i, k: torch.cos(0.5 * i + 1.1 * k), 3, 2)
    return old, mix, table(lambda k, i: torch.sin(0.9 * k + 0.8 * i), 2, 6)


BATCH = (
    torch.tensor([0, 6, 8, 3]),
    torch.tensor([7, 1, 6, 8]),
    torch.tensor([[2, 3], [4, 8], [5, 0], [1, 7]]),
)


@pytest.mark.parametrize(("summed", "loss"), [(True, 1.2843974991063443), (False, 1.9847493172599417)])
def test_losses_are_those_of_the_authors_and_of_textbooks(summed: bool, loss: float) -> None:
    old, mix, basis = golden_arrays()
    rows = torch.cat([old, combined(mix, basis, old)])
    found = skip_gram_loss(*(rows[ids] for ids in BATCH), summed=summed)
    assert float(found) == pytest.approx(loss, rel=1e-12)
    first = torch.tensor([0.70451478, 0.18024983, -0.01693703, 0.01474482], dtype=torch.float64)
    torch.testing.assert_close(rows[6], first, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("summed", "loss"), [(True, 1.2843974991063443), (False, 1.9847493172599417)])
def test_training_takes_the_same_loss_from_the_ids_of_a_batch(summed: bool, loss: float) -> None:
    old, mix, basis = (part.float() for part in golden_arrays())
    rows = torch.tensor([0, 1, 2, 3, 4, 5, -1, -2, -3])
    training = Training("tokenizer/cw2v", None, (Side("t", old, old),), rows, 1e-3, summed, None)  # type: ignore[arg-type]
    parts = {"t/mix": mix.requires_grad_(), "t/basis": basis.requires_grad_()}
    found = training.loss(parts, *BATCH)
    assert float(found.detach()) == pytest.approx(loss, rel=1e-6)
    (slope,) = torch.autograd.grad(found, [mix])
    if summed:
        torch.testing.assert_close(slope[2], torch.tensor([-0.07879484, -0.00454506]), atol=1e-7, rtol=1e-5)


# Pairs


def test_pairs_are_those_of_a_loop_over_lines() -> None:
    lines = ["red dog runs cat", "cow", "blue blue dog"]
    vocabulary = Vocabulary.of(OLD)
    text = Text.read(lines, vocabulary, OLD.get_vocab_size())
    grams = SkipGrams.of(text, 2, 1e9, Stream(0, "x"))
    wanted = []
    for line in lines:
        ids = OLD.encode(line).ids
        for i, centre in enumerate(ids):
            wanted += [(centre, ids[j]) for j in range(max(0, i - 2), min(len(ids), i + 3)) if j != i]
    assert [tuple(pair) for pair in grams.pairs.tolist()] == wanted
    counts = np.bincount(text.ids, minlength=OLD.get_vocab_size()) ** 0.75
    np.testing.assert_allclose(np.diff(grams.sums, prepend=0), counts / counts.sum(), atol=1e-12)


def test_frequent_tokens_are_centres_less_often() -> None:
    text = Text.read(["dog cat"] * 4000, Vocabulary.of(OLD), OLD.get_vocab_size())
    grams = SkipGrams.of(text, 1, 10.0, Stream(0, "x"))
    kept = math.sqrt(10 / 4000)
    assert abs(len(grams) / 8000 - kept) < 5 * math.sqrt(kept / 8000)


def test_batches_are_the_same_wherever_training_begins() -> None:
    text = Text.read(CORPUS, Vocabulary.of(NEW), NEW.get_vocab_size())
    grams = SkipGrams.of(text, 2, 1e9, Stream(0, "x"))
    for shuffled in (True, False):
        batches = Batches(grams, 17, 3, 2, shuffled, Stream(4, "y"))
        whole = list(batches.after(0))
        assert len(whole) == len(batches)
        for begin in (1, batches.each - 1, batches.each, batches.each + 2, len(batches)):
            rest = list(batches.after(begin))
            assert len(rest) == len(batches) - begin
            for one, two in zip(whole[begin:], rest, strict=True):
                assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        seen = np.concatenate([np.stack(one[:2], 1) for one in whole[: batches.each]])
        assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, grams.pairs.tolist()))
        negatives = np.concatenate([one[2].ravel() for one in whole])
        assert set(negatives.tolist()) <= set(text.ids.tolist())  # a token that never occurs is never drawn


# Training


def test_rows_lie_in_the_hull_and_the_loss_falls() -> None:
    model, report = apply(epochs=40, lr=0.05)
    rows = report.notes["tokenizer/cw2v training of embedding.weight"]
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.05
    old = Tied().embedding.weight.detach()
    for word in FRESH[:2]:
        row = model.embedding.weight[NEW.token_to_id(word)].detach()
        assert inside(row, old)
    yak = model.embedding.weight[NEW.token_to_id("yak")].detach()
    torch.testing.assert_close(yak, old.mean(0))
    assert "the corpus does not hold it" in report.to_json()


def inside(row: Tensor, old: Tensor) -> bool:
    """Whether a row is a convex combination of others, by a linear programme."""
    from scipy.optimize import linprog

    conditions = np.vstack([old.numpy().T.astype(np.float64), np.ones(len(old))])
    wanted = np.append(row.numpy().astype(np.float64), 1.0)
    slack = np.hstack([conditions, np.eye(len(conditions)), -np.eye(len(conditions))])
    cost = np.append(np.zeros(len(old)), np.ones(2 * len(conditions)))
    found = linprog(cost, A_eq=slack, b_eq=wanted, bounds=(0, None))
    return bool(found.fun < 1e-4)


def test_learned_combinations_find_the_like() -> None:
    """A new colour among colours, a new animal among animals: their rows lean to those that stand where they stand."""
    torch.manual_seed(0)
    model = Pair()
    ids = {word: OLD.token_to_id(word) for word in WORDS}
    kinds = {"blue": 0, "green": 0, "red": 0, "dog": 1, "cat": 1, "cow": 1, "runs": 2, "sleeps": 2}
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.head.weight.zero_()
        for word, kind in kinds.items():
            model.embedding.weight[ids[word], kind] = 2.0
            model.embedding.weight[ids[word], 3 + kind] = 0.1 * (1 + ids[word])
            model.head.weight[ids[word]] = torch.tensor([2.0 * (kind != j) - 1 for j in range(3)] + [0.0] * 3)
    apply(model, epochs=60, lr=0.05, negatives=1)  # more of them prefer what scores low
    teal, goat = (model.embedding.weight[NEW.token_to_id(word)].detach() for word in ("teal", "goat"))
    assert int(teal[:3].argmax()) == 0
    assert int(goat[:3].argmax()) == 1


def test_start_is_near_the_mean_and_that_of_the_authors_is_not() -> None:
    old = Pair().embedding.weight.detach()
    mean = old.mean(0)
    ours = apply(Pair(), lr=1e-9, rank=1024)[0].embedding.weight[NEW.token_to_id("teal")].detach()
    theirs = apply(Pair(), lr=1e-9, rank=1024, compat="authors")[0].embedding.weight[NEW.token_to_id("teal")].detach()
    assert float((ours - mean).norm()) < 0.05
    assert float((theirs - mean).norm()) > 0.2


def test_few_old_rows_can_make_a_new_one() -> None:
    mix, basis, old = torch.randn(5, 3), torch.randn(3, 7), torch.randn(7, 4)
    weights = torch.softmax(mix @ basis, dim=1)
    made = final_rows(mix, basis, old, 1)
    assert torch.equal(made, old[weights.argmax(1)])
    torch.testing.assert_close(final_rows(mix, basis, old, 7), weights @ old)
    two = final_rows(mix, basis, old, 2)
    top = torch.topk(weights, 2, dim=1)
    torch.testing.assert_close(two[0], (top.values[0] / top.values[0].sum()) @ old[top.indices[0]])


def test_a_head_of_its_own_gets_other_combinations() -> None:
    model, report = apply(Pair(), epochs=20, lr=0.05)
    teal = NEW.token_to_id("teal")
    assert not torch.allclose(model.embedding.weight[teal].flip(0), model.head.weight[teal], atol=1e-3)
    assert "tokenizer/cw2v training of embedding.weight and head.weight" in report.notes
    assert inside(model.head.weight[teal].detach(), Pair().head.weight.detach())


class Stop:
    """A progress that interrupts or counts."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, iterable: Iterable[Any], words: str, total: int | None) -> Iterator[Any]:
        for place, one in enumerate(iterable):
            if words.startswith("learning") and place == self.after:
                raise KeyboardInterrupt
            yield one


def test_an_interrupt_keeps_the_state_and_the_same_call_goes_on(tmp_path: Path) -> None:
    file = str(tmp_path / "state.safetensors")
    model = Pair()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted after 7 of 140 steps; the model is unchanged; go on with"
    ):
        apply(model, checkpoint=file, progress=Stop(7), epochs=10)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(FileError, match=r"it is of another run \(options differs\)"):
        apply(Pair(), checkpoint=file, epochs=10, lr=0.1)
    went_on, _ = apply(model, checkpoint=file, epochs=10)
    whole, _ = apply(Pair(), epochs=10)
    assert torch.equal(went_on.embedding.weight, whole.embedding.weight)
    assert torch.equal(went_on.head.weight, whole.head.weight)
    with pytest.raises(KeyboardInterrupt, match="give checkpoint=FILE"):
        apply(Pair(), progress=Stop(3), epochs=10)


def test_a_loss_that_explodes_says_what_to_do(tmp_path: Path) -> None:
    file = str(tmp_path / "state.safetensors")
    model = Tied()
    with torch.no_grad():
        model.embedding.weight.mul_(1e19)  # products overflow
    before = model.embedding.weight.clone()
    with pytest.raises(CommitError, match=r"the loss is no finite number in step 1; the model is unchanged; lower lr"):
        apply(model, checkpoint=file)
    assert torch.equal(model.embedding.weight, before)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeedError, match="corpus: it holds no text"):
        apply(needs={**NEEDS, "corpus": []})
    with pytest.raises(CommitError, match="gives no pair to learn from"):
        apply(needs={**NEEDS, "corpus": ["teal"]})
    with pytest.raises(OptionError, match="there is no such folder"):
        apply(checkpoint=str(tmp_path / "none" / "x.safetensors"))
    with pytest.raises(InitError, match="threshold"):
        apply(threshold=0.0)
    model = Pair()
    with torch.no_grad():
        model.head.weight[3, 0] = math.nan
    with pytest.raises(CommitError, match=r"head.weight: row 3 of an old token holds NaN"):
        apply(model)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_comes_to_the_same_rows() -> None:
    here, there = apply(Pair(), epochs=10)[0], apply(Pair().cuda(), epochs=10)[0]
    torch.testing.assert_close(there.embedding.weight.cpu(), here.embedding.weight, atol=1e-3, rtol=1e-3)
