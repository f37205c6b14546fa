"""OFA: golden values of the authors' code, factors and the model that keeps them, bad input, and the battery."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

import initkit
from initkit import CommitError, InitError, OptionError, PlanError
from initkit.testing import Case, parametrize_with_checks
from initkit_tokenizer import use_factors
from initkit_tokenizer.factors import Factors
from initkit_tokenizer.neighbours import softmax_weights, weighted_rows
from initkit_tokenizer.ofa import evenly
from initkit_tokenizer.static_vectors import StaticVectors

KNOWN = [f"{a}{b}{c}" for a, b, c in zip("bcdfghkl" * 5, "aeiou" * 8, "mnrst" * 8, strict=True)]
FRESH = ["zoom", "zeal", "zinc"]
WIDTH, DIM = 8, 5


def wordpiece(words: list[str]) -> Tokenizer:
    letters = sorted(set("".join([*KNOWN, *FRESH])))
    tokens = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), *words]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]"])
    return made


OLD = wordpiece(KNOWN)
NEW = wordpiece([*KNOWN[3:], *FRESH])
ROWS = OLD.get_vocab_size()


def meaning(word: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([sum(np.sin((j + 1) * ord(letter)) for letter in word) for j in range(DIM)], dtype=np.float32)


VECTORS = {word: meaning(word) for word in [*KNOWN, *FRESH[:2]]}  # "zinc" has none
NEEDS: dict[str, Any] = {"tokenizer": NEW, "old_tokenizer": OLD, "static_vectors": VECTORS}


class Tied(nn.Module):
    """An embedding tied to its head, which has a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ROWS, WIDTH)
        self.head = nn.Linear(WIDTH, ROWS)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(
                torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(3)) + 0.5 * torch.arange(WIDTH)
            )

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


class Pair(Tied):
    """An embedding and a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head.weight = nn.Parameter(self.embedding.weight.detach().flip(1).clone())


def apply(model: nn.Module | None = None, needs: dict[str, Any] = NEEDS, **options: Any) -> tuple[Any, initkit.Report]:
    model = Tied() if model is None else model
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones|.* no row changes")
        report = initkit.apply(model, initkit.recipe("tokenizer/ofa", **options), **needs)
    return model, report


@parametrize_with_checks(
    [
        Case("tokenizer/ofa", Tied, NEEDS),
        Case(initkit.recipe("tokenizer/ofa", dim=3), Pair, NEEDS),
    ]
)
def test_battery(check: Any, case: Case) -> None:
    check(case)


# Golden values: the authors' perform_factorize and create_target_embeddings, run on these arrays


def table(f: Callable[..., Tensor], *shape: int) -> Tensor:
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in shape])
    return f(*index.T).reshape(shape)


def arrays() -> tuple[Tensor, Tensor, Tensor]:
    source = table(lambda i, j: torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j), 12, 5)
    target = table(lambda i, j: torch.cos(0.4 * i + 0.9 * j + 0.05 * i * j), 7, 5)
    return source, target, table(lambda i, j: torch.sin(0.3 * i * (j + 1) + 0.5 * j), 12, 4)


GOLDEN = {
    0: [-0.26657922, 0.23523093, 0.08031356, -0.10289162],
    1: [-0.2930345, 0.23577331, 0.14820451, -0.17021928],
    3: [-0.16355452, 0.08875788, 0.19528905, -0.20230877],
    4: [-0.03262739, 0.01850996, 0.03684606, -0.03834525],
    5: [0.16137916, -0.07659861, -0.22154241, 0.22711871],
}


def test_rows_in_two_coordinates_are_those_of_the_authors_code() -> None:
    source, target, rows = arrays()
    factors = Factors.of(rows, torch.arange(12), 2)
    weights, places = softmax_weights(target, source, 3, 0.1)
    made = factors.projected(weighted_rows(rows, places, weights))
    for row, values in GOLDEN.items():
        torch.testing.assert_close(made[row], torch.tensor(values), atol=2e-5, rtol=0)
    copied = factors.coordinates(rows[11:]) @ factors.primitives
    golden = torch.tensor([[-0.26076799, 0.63149308, -0.97624194, 0.90479737]], dtype=torch.float64)
    torch.testing.assert_close(copied, golden, atol=1e-6, rtol=0)


def test_factors_are_those_of_the_authors_code_up_to_signs() -> None:
    rows = arrays()[2]
    factors = Factors.of(rows, torch.arange(12), 2)
    golden = [[0.73670329, 1.45856755, 1.90268196, 1.74086614], [1.62095278, 1.31368736, 0.79489432, 0.91783732]]
    # Computed from float32 rows, whose products are exact in float64
    torch.testing.assert_close(factors.primitives.abs(), torch.tensor(golden, dtype=torch.float64), atol=1e-6, rtol=0)
    mean, spread = factors.spread()
    torch.testing.assert_close(mean.abs(), torch.tensor([0.01950562, 0.14465752]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(spread, torch.tensor([0.28801539, 0.249815]).double(), atol=1e-6, rtol=0)


# Properties


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**20))
def test_factors_are_the_best_approximation_of_their_size(count: int, width: int, seed: int) -> None:
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    dim = min(count, width)
    values = torch.linalg.svdvals(rows.double())
    for size in range(1, dim + 1):
        factors = Factors.of(rows, torch.arange(count), size)
        made = factors.coordinates(rows) @ factors.primitives
        lost = (made - rows).norm()
        torch.testing.assert_close(lost, values[size:].norm(), atol=1e-5, rtol=1e-4)  # Eckart, Young
        torch.testing.assert_close(factors.projected(rows).double(), made, atol=1e-4, rtol=1e-4)


def test_kept_rows_are_copied_and_new_ones_lie_in_the_primitives_span() -> None:
    model, report = apply(dim=3)
    old = Tied().embedding.weight.detach()
    new = model.embedding.weight.detach()
    for word in KNOWN[3:]:
        assert torch.equal(new[NEW.token_to_id(word)], old[OLD.token_to_id(word)])
    primitives = report.outputs["primitives"]
    assert primitives.shape == (3, WIDTH)
    assert report.outputs["coordinates"].shape == (len(new), 3)
    fresh = new[[NEW.token_to_id(word) for word in FRESH]]
    inside = torch.linalg.lstsq(primitives.T, fresh.T).solution.T @ primitives
    torch.testing.assert_close(inside, fresh, atol=1e-4, rtol=1e-4)
    assert model.head.weight is model.embedding.weight


def test_without_factors_rows_are_weighted_means() -> None:
    model, report = apply(k=1)
    assert not report.outputs
    row = model.embedding.weight[NEW.token_to_id("zoom")]
    old = Tied().embedding.weight.detach()
    assert any(torch.allclose(row, one, atol=1e-6) for one in old)


def test_words_count_once_whatever_their_counts() -> None:
    vectors = StaticVectors(["aa", "ab"], np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), counts=[9, 1])
    assert evenly(vectors).counts.tolist() == [1, 1]
    assert vectors.counts.tolist() == [9, 1]
    uneven = {"tokenizer": NEW, "old_tokenizer": OLD}
    made = []
    for counts in ([1] * len(VECTORS), list(range(1, len(VECTORS) + 1))):
        words = StaticVectors(list(VECTORS), np.stack(list(VECTORS.values())), counts=counts)
        made.append(apply(needs={**uneven, "static_vectors": words})[0].embedding.weight)
    assert torch.equal(made[0], made[1])


def test_tokens_that_differ_in_case_alone_are_copied() -> None:
    shouted = wordpiece([*KNOWN, KNOWN[0].upper()])
    model, _ = apply(needs={**NEEDS, "tokenizer": shouted})
    old = Tied().embedding.weight.detach()
    assert torch.equal(model.embedding.weight[shouted.token_to_id(KNOWN[0].upper())], old[OLD.token_to_id(KNOWN[0])])


def test_tokens_without_a_vector_are_drawn_in_the_coordinates() -> None:
    lonely = wordpiece([*KNOWN, *(f"zi{a}{b}" for a in "zxq" for b in "zxq")])
    rows = []
    for seed in range(30):
        model = Tied()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = initkit.apply(
                model,
                initkit.recipe("tokenizer/ofa", dim=3),
                tokenizer=lonely,
                old_tokenizer=OLD,
                static_vectors=VECTORS,
                seed=seed,
            )
        rows.append(report.outputs["coordinates"][-9:])
    old = Tied().embedding.weight.detach()
    factors = Factors.of(old, torch.arange(ROWS), 3)
    mean, spread = factors.spread()
    drawn = torch.cat(rows).double()
    # 270 draws: standard errors of a mean are s/16, of a deviation s/23; five of them
    assert bool(((drawn.mean(0) - mean).abs() < 5 * spread / 16).all())
    assert bool(((drawn.std(0) / spread - 1).abs() < 5 / 23).all())


# A model that keeps the factors


def test_a_model_with_factors_computes_what_their_product_does() -> None:
    model, report = apply(Pair(), dim=3)
    ids = torch.arange(5).unsqueeze(0)
    with torch.no_grad():
        for prefix, tensor in (("", model.embedding.weight), ("head_", model.head.weight)):
            tensor.copy_(report.outputs[f"{prefix}coordinates"] @ report.outputs[f"{prefix}primitives"])
    wanted = model(ids)
    bias = model.head.bias
    assert use_factors(model, report.outputs) is model
    torch.testing.assert_close(model(ids), wanted, atol=1e-4, rtol=1e-4)
    assert model.head.bias is bias
    rows = len(bias)
    assert sum(p.numel() for p in model.parameters()) == 2 * (rows * 3 + 3 * WIDTH) + rows


def sizes(kind: str) -> nn.Module:
    torch.manual_seed(0)
    small = {"vocab_size": ROWS, "hidden_size": WIDTH, "intermediate_size": 12, "num_hidden_layers": 1}
    if kind == "bert":
        return BertForMaskedLM(BertConfig(**small, num_attention_heads=2)).eval()
    return LlamaForCausalLM(LlamaConfig(**small, num_attention_heads=2, tie_word_embeddings=kind == "tied llama"))


@pytest.mark.parametrize("kind", ["tied llama", "llama", "bert"])
def test_models_of_transformers_keep_factors_and_train(kind: str) -> None:
    model, report = apply(sizes(kind), dim=4)
    before = sum(p.numel() for p in model.parameters())
    use_factors(model, report.outputs)
    assert sum(p.numel() for p in model.parameters()) < before
    loss = model(input_ids=torch.arange(6).unsqueeze(0), labels=torch.arange(6).unsqueeze(0)).loss
    loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "coordinates" in name)
    names = {name for name, _ in model.named_parameters() if name.endswith("primitives")}
    assert len(names) == (2 if kind == "llama" else 1)


def test_factors_come_back_from_a_file(tmp_path: Path) -> None:
    model, report = apply(dim=3)
    initkit.save(model, tmp_path / "m.safetensors", report=report)
    loaded = initkit.load(Tied(), tmp_path / "m.safetensors")
    assert torch.equal(loaded.outputs["coordinates"], report.outputs["coordinates"])


# Bad input


def test_bad_options_and_outputs_say_what_is_wrong() -> None:
    with pytest.raises(OptionError, match="a row has 8 numbers, and fewer coordinates"):
        apply(dim=8)
    with pytest.raises(InitError, match="dim"):
        apply(dim=0)
    flat = Tied()
    with torch.no_grad():
        flat.embedding.weight.copy_(torch.arange(ROWS).unsqueeze(1) * torch.ones(WIDTH))
    with pytest.raises(CommitError, match="span 1 dimensions, so 2 coordinates are too many"):
        apply(flat, dim=2)
    with pytest.raises(PlanError, match="hold no coordinates and primitives: apply tokenizer/ofa with dim"):
        use_factors(Tied(), {})
    with pytest.raises(PlanError, match="do not fit a model"):
        use_factors(Tied(), {"coordinates": torch.zeros(3, 2), "primitives": torch.zeros(2, WIDTH)})
    with pytest.raises(CommitError, match="take k="):
        apply(k=1000)


def test_a_table_is_factorised_where_no_token_is_new() -> None:
    model, report = apply(needs={**NEEDS, "tokenizer": OLD}, dim=3)
    assert torch.equal(model.embedding.weight, Tied().embedding.weight)
    assert report.outputs["coordinates"].shape == (ROWS, 3)
