"""WECHSEL and FOCUS as their packages do them, and which old tokens new ones lean on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

import initkit
from initkit import CommitError
from initkit_tokenizer import StaticVectors


def words(*tokens: str, special: tuple[str, ...] = ()) -> Tokenizer:
    made = Tokenizer(models.WordLevel({token: i for i, token in enumerate((*tokens, *special))}, unk_token=tokens[0]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(list(special))
    return made


def table(f: Any, *shape: int) -> Tensor:
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in shape])
    made: Tensor = f(*index.T).reshape(shape)
    return made.float()


def embedding(rows: Tensor) -> nn.Embedding:
    made = nn.Embedding(*rows.shape)
    with torch.no_grad():
        made.weight.copy_(rows)
    return made


def apply(name: str, model: nn.Module, old: Tokenizer, new: Tokenizer, **given: Any) -> tuple[Tensor, initkit.Report]:
    needs = {key: given.pop(key) for key in ("static_vectors", "old_static_vectors") if key in given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = initkit.apply(
            model, initkit.recipe(f"tokenizer/{name}", **given), tokenizer=new, old_tokenizer=old, **needs
        )
    return model.get_parameter("weight").detach(), report


def vectors(tokenizer: Tokenizer, rows: Tensor) -> dict[str, Any]:
    return {tokenizer.id_to_token(i): row.numpy() for i, row in enumerate(rows)}


OLD = words(*(f"s{i}" for i in range(11)), special=("<x>",))
NEW = words(*(f"t{i}" for i in range(6)), special=("<x>",))
SOURCE = table(lambda i, j: torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j), 12, 5)
TARGET = table(lambda i, j: torch.cos(0.4 * i + 0.9 * j + 0.05 * i * j), 7, 5)
ROWS = table(lambda i, j: torch.sin(0.3 * i * (j + 1) + 0.5 * j), 12, 4)


def wechsel(**given: Any) -> Tensor:
    target = TARGET.clone()
    target[2] = 0
    weight, _ = apply(
        "wechsel",
        embedding(ROWS),
        OLD,
        NEW,
        static_vectors=vectors(NEW, target),
        old_static_vectors=vectors(OLD, SOURCE),
        k=3,
        **given,
    )
    return weight


def test_wechsel_is_its_package() -> None:
    made = wechsel(compat="authors")
    golden = {
        0: [0.2289359, 0.7972227, 0.9195781, 0.5532175],
        1: [0.3094580, 0.8927520, 0.9052234, 0.3616863],
        4: [0.7758481, 0.7451433, -0.4969728, -0.8884535],
    }
    for row, values in golden.items():
        torch.testing.assert_close(made[row], torch.tensor(values), atol=1e-5, rtol=0)
    assert torch.equal(made[6], ROWS[11])  # the special token that both have
    assert float((made[2] - ROWS.mean(0)).abs().max()) > 0  # drawn: it has no vector


def test_special_tokens_lean_and_are_leant_on_as_in_the_package_alone() -> None:
    far = {"t0": np.array([1.0, 0.0]), "<y>": np.array([0.0, 1.0])}
    near = {**{f"s{i}": np.array([1.0, 0.1 * i + 0.1]) for i in range(11)}, "<x>": np.array([0.0, 2.0])}
    new = words("t0", special=("<y>",))
    given = {"static_vectors": far, "old_static_vectors": near, "k": 1, "without_vector": "mean"}
    weight, _ = apply("wechsel", embedding(ROWS), OLD, new, compat="authors", **given)
    assert torch.equal(weight[1], ROWS[11])
    weight, _ = apply("wechsel", embedding(ROWS), OLD, new, **given)
    torch.testing.assert_close(weight[1], ROWS.mean(0))
    torch.testing.assert_close(weight[0], ROWS[0])


def test_tokens_of_both_are_copied_or_made_anew() -> None:
    new = words("s3", "t0", special=("<x>",))
    near = {f"s{i}": np.array([np.cos(i), np.sin(i)]) for i in range(11)}
    given = {"static_vectors": {**near, "t0": np.array([1.0, 0.0])}, "k": 2, "temperature": 1.0}
    kept, report = apply("wechsel", embedding(ROWS), OLD, new, **given)
    assert torch.equal(kept[0], ROWS[3])
    made, anew = apply("wechsel", embedding(ROWS), OLD, new, copy_overlap=False, **given)
    assert not torch.allclose(made[0], ROWS[3])
    assert torch.equal(made[1:], kept[1:])
    fills = [one["weight"].why for one in (report, anew)]
    assert fills == ["2 rows copied, 1 by wechsel, 9 padded", "1 rows copied, 2 by wechsel, 9 padded"]


def spelling(known: dict[str, list[float]], spelt: dict[str, list[float]]) -> StaticVectors:
    """A table with n-grams: words of ``spelt`` have a vector that was never learned."""
    held = {word: np.array(vector, dtype=np.float32) for word, vector in spelt.items()}
    return StaticVectors(
        list(known),
        np.array(list(known.values()), dtype=np.float32),
        spell=lambda text: held.get(text, np.zeros(2, dtype=np.float32)),
    )


@pytest.mark.parametrize("name", ["wechsel", "focus"])
def test_what_was_never_learned_is_not_leant_on(name: str) -> None:
    known = {"s1": [1.0, 0.5], "t0": [1.0, 0.0]}
    found = spelling(known, {"s0": [1.0, 0.0]})
    new = words("s0", "s1", "t0")
    given: dict[str, Any] = {"static_vectors": found, **({"k": 1} if name == "wechsel" else {})}
    learned, _ = apply(name, embedding(ROWS), OLD, new, **given)
    torch.testing.assert_close(learned[2], ROWS[1])
    whole, _ = apply(name, embedding(ROWS), OLD, new, anchors="all", **given)
    assert float((whole[2] - ROWS[0]).norm()) < float((learned[2] - ROWS[0]).norm())
    alone = spelling({"t0": [1.0, 0.0]}, {"s0": [1.0, 0.0]})
    with pytest.raises(CommitError, match=r"has a vector that was learned \(1 by n-grams alone: anchors=all"):
        apply(name, embedding(ROWS), OLD, new, **{**given, "static_vectors": alone})


def test_focus_takes_tables_of_tokens() -> None:
    new = words("s0", "s1", "t0", "t1", special=("<x>",))
    held = {"s0": np.array([1.0, 0.0]), "<x>": np.array([0.9, 0.1]), "t0": np.array([1.0, 0.05])}
    given: dict[str, Any] = {"static_vectors": held, "without_vector": "mean"}
    ours, _ = apply("focus", embedding(ROWS), OLD, new, vectors_of="tokens", **given)
    torch.testing.assert_close(ours[2], ROWS[0])
    theirs, _ = apply("focus", embedding(ROWS), OLD, new, compat="authors", **given)
    assert float((theirs[2] - ROWS[0]).norm()) > 0.01  # the special token takes part
    weight = torch.linalg.lstsq((ROWS[11] - ROWS[0])[:, None], (theirs[2] - ROWS[0])[:, None]).solution
    torch.testing.assert_close(theirs[2], ROWS[0] + float(weight) * (ROWS[11] - ROWS[0]))
    torch.testing.assert_close(theirs[3], ours[3])  # no vector


def test_texts_are_what_the_package_asks_for() -> None:
    """``##ing`` keeps its mark, spelling is exact; ours looks for the bytes, and then in lower case."""
    old = Tokenizer(models.WordPiece({"[UNK]": 0, "go": 1, "##ing": 2, "Up": 3}, unk_token="[UNK]"))
    new = Tokenizer(models.WordPiece({"[UNK]": 0, "gone": 1}, unk_token="[UNK]"))
    for one in (old, new):
        one.add_special_tokens(["[UNK]"])
    rows = torch.eye(4)
    held = {"gone": [1.0, 0.0], "##ing": [1.0, 0.0], "ing": [-1.0, 0.0], "go": [-1.0, 0.1], "up": [1.0, 0.2]}
    given = {"static_vectors": {word: np.array(vector) for word, vector in held.items()}, "k": 1}
    theirs, _ = apply("wechsel", embedding(rows), old, new, compat="authors", **given)
    assert torch.equal(theirs[1], rows[2])
    ours, _ = apply("wechsel", embedding(rows), old, new, **given)
    assert torch.equal(ours[1], rows[3])
