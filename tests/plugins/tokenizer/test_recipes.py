"""Values that recipes give: golden ones, properties, and transformers' own resizing on the same numbers."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

import initkit
from initkit import CommitError, InitError, NeedError, OptionError
from initkit_tokenizer import prior_penalty, statistics
from initkit_tokenizer.eigennoise import log_components, raw_component
from initkit_tokenizer.subword import piece_weights, weighted_rows
from initkit_tokenizer.tool_token import name_direction

SIMPLE = ["mean", "subword", "multivariate", "noisy_mean", "normal_per_dim", "normal", "zeros"]


def words(*tokens: str) -> Tokenizer:
    """A tokenizer that cuts by merges of letters: every token is spelt by shorter ones."""
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [
        (token[:cut], token[cut:])
        for token in tokens
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges[: len(merges)]))


OLD = words("a", "b", "c", "d", "ab")
NEW = words("a", "b", "c", "d", "ab", "abc", "dd")


class Pair(nn.Module):
    """An embedding and a head with a bias."""

    def __init__(self, rows: int = 5, width: int = 3, *, tied: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(rows, width)
        self.head = nn.Linear(width, rows, bias=bias)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def apply(model: nn.Module, name: str, *, needs: dict[str, Any] | None = None, **options: Any) -> initkit.Report:
    recipe = initkit.recipe(f"tokenizer/{name}", **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        return initkit.apply(model, recipe, seed=3, **{"tokenizer": NEW, "old_tokenizer": OLD, **(needs or {})})


def table(rows: int = 7, width: int = 3) -> Tensor:
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(width), indexing="ij")
    return torch.sin(0.9 * i * (1 + j) + 0.1) + 0.25


def test_mean_and_covariance() -> None:
    every = torch.arange(7)
    mu, c = statistics.mean(table(), every), statistics.covariance(table(), every)
    assert torch.allclose(mu, torch.tensor([0.24907501, 0.24783650, 0.24652646]), atol=1e-7)
    assert torch.allclose(c.diagonal(), torch.tensor([0.49881008, 0.49998444, 0.50647646]), atol=1e-6)
    assert torch.allclose(
        torch.stack([c[0, 1], c[0, 2], c[1, 2]]), torch.tensor([0.00044975, 0.000959, 0.00287399]), atol=1e-6
    )
    assert torch.allclose(statistics.deviation(table(), every), c.diagonal().sqrt(), atol=1e-6)
    assert torch.allclose(statistics.deviation(table(), every, ddof=1), table().std(0), atol=1e-6)


def test_samples_by_the_factor_have_the_golden_values() -> None:
    every = torch.arange(7)
    mu, c = statistics.mean(table(), every), statistics.covariance(table(), every)
    factor = statistics.cholesky(c)
    assert factor is not None
    numbers = torch.randn(4, 3, generator=torch.Generator().manual_seed(123))
    assert torch.allclose(numbers[0], torch.tensor([-0.11146712, 0.12036294, -0.36963450]), atol=1e-7)
    small = (statistics.from_factor(numbers, mu, factor, 1e-9) - mu) / math.sqrt(1e-9)
    assert torch.allclose(small[0], torch.tensor([-0.0786931, 0.0848189, -0.2629386]), atol=2e-3)
    assert torch.allclose(small[3], torch.tensor([-0.0768082, 0.1484331, -0.2775463]), atol=2e-3)
    rows = statistics.from_factor(numbers, mu, factor, 1e-5)
    assert torch.allclose(rows[0], torch.tensor([0.24882606, 0.24810540, 0.24569568]), atol=1e-7)
    assert torch.allclose(rows[2], torch.tensor([0.24690334, 0.24614623, 0.24724151]), atol=1e-7)


@pytest.mark.parametrize("rank", [2, 6])
def test_samples_from_the_data_have_mean_and_covariance(rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(50, rank, generator=generator) @ torch.randn(rank, 6, generator=generator) + 1
    every = torch.arange(50)
    rows = statistics.from_data(
        lambda start, stop: torch.randn(40_000, stop - start, generator=generator), data, every, 40_000, 0.25
    )
    c = statistics.covariance(data, every)
    assert torch.allclose(rows.mean(0), data.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(rows.T), 0.25 * c, atol=0.03 * float(c.abs().max()))
    assert int(torch.linalg.matrix_rank(rows - data.mean(0), rtol=1e-4)) == rank


def test_distinct_rows() -> None:
    data = torch.tensor([[1.0, -3], [0, 0], [math.nan, 1], [1, -3]])
    assert statistics.distinct(data) == 3
    near = torch.tensor([[1.0, -3], [1.0 + 1e-6, -3]])
    assert (statistics.distinct(near), statistics.distinct(near.to(torch.bfloat16))) == (2, 1)


def test_blocks_do_not_change_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    data = torch.randn(500, 8, generator=torch.Generator().manual_seed(1)) + 100
    whole = statistics.covariance(data, torch.arange(500))
    monkeypatch.setattr(statistics, "BLOCK", 7)
    assert torch.allclose(statistics.covariance(data, torch.arange(500)), whole, atol=1e-6)
    assert torch.allclose(whole, torch.cov(data.double().T, correction=0).float(), atol=1e-5)
    half = data.to(torch.bfloat16)
    assert torch.equal(statistics.mean(half, torch.arange(500)), half.double().mean(0).float())


def test_transformers_resizing_gives_the_same_numbers() -> None:
    config = LlamaConfig(vocab_size=40, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    old, new = nn.Embedding(40, 8), nn.Embedding(46, 8)
    old.weight.data = torch.randn(40, 8, generator=generator)
    torch.manual_seed(5)
    model._init_added_embeddings_weights_with_mean(old, new, 40, 6)
    theirs = new.weight.detach()[40:]
    torch.manual_seed(5)
    every = torch.arange(40)
    factor = statistics.cholesky(1e-9 * statistics.covariance(old.weight.detach(), every))
    assert factor is not None
    centre = statistics.mean(old.weight.detach(), every)
    ours = statistics.from_factor(torch.randn(6, 8), centre, factor, 1.0)
    assert float((theirs - centre).std()) > 1e-5  # they did draw
    assert torch.allclose(ours, theirs, rtol=0, atol=3e-7)  # a bit or two of float32


def test_compat_hf_takes_all_rows_and_the_mean_where_there_is_no_factor() -> None:
    model = Pair(width=8)
    before = model.embedding.weight.detach().clone()
    report = apply(model, "multivariate", compat="hf")
    assert torch.allclose(model.embedding.weight[5:], before.mean(0).expand(2, 8), atol=1e-7)
    assert report.notes["tokenizer/multivariate rows"][0]["rows from"] == "mean"
    tied = Pair(width=2, tied=True)
    apply(tied, "multivariate", compat="hf")
    assert tied.head.bias[5:].tolist() == [0, 0]


def test_multivariate_chooses_its_way_by_shapes() -> None:
    model = Pair(rows=5, width=2)
    rows = apply(model, "multivariate").notes["tokenizer/multivariate rows"]
    assert [row.get("rows from") for row in rows] == ["Cholesky factor"] * 3
    model = Pair(rows=5, width=4)
    rows = apply(model, "multivariate").notes["tokenizer/multivariate rows"]
    assert [row["rows from"] for row in rows][:2] == ["data", "data"]
    assert rows[0]["distinct"] == 2


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", SIMPLE)
def test_kept_rows_are_copied_bit_for_bit(name: str, tied: bool) -> None:
    model = Pair(tied=tied)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = apply(model, name)
    for key, value in model.state_dict().items():
        assert value.shape[0] == 7
        assert torch.equal(value[:5], before[key])
    assert (model.head.weight is model.embedding.weight) is tied
    assert model.embedding.num_embeddings == model.head.out_features == 7
    assert model(torch.tensor([6])).shape == (1, 7)
    counts = report.notes[f"tokenizer/{name} rows"][0]
    assert (counts["copied"], counts["computed"], counts["padded"]) == (5, 2, 0)


def test_simple_rows() -> None:
    for name, expected in (("zeros", 0.0), ("mean", None)):
        model = Pair()
        mean = model.embedding.weight.detach().mean(0)
        bias = model.head.bias.detach().mean()
        apply(model, name)
        row = torch.zeros(3) if expected == 0.0 else mean
        assert torch.allclose(model.embedding.weight[5:], row.expand(2, 3), atol=1e-6)
        assert torch.allclose(model.head.bias[5:], torch.zeros(2) if expected == 0.0 else bias.expand(2), atol=1e-6)
    model = Pair(width=1000)
    mean = model.embedding.weight.detach().mean(0)
    apply(model, "noisy_mean")
    assert (model.embedding.weight[5:] - mean).norm(dim=1).tolist() == pytest.approx([1, 1], rel=0.1)
    model = Pair(width=1000)
    apply(model, "normal", std=0.5)
    assert float(model.embedding.weight[5:].detach().std()) == pytest.approx(0.5, rel=0.1)
    model = Pair(width=20_000)
    spread, mean = model.embedding.weight.detach().std(0, correction=0), model.embedding.weight.detach().mean(0)
    apply(model, "normal_per_dim")
    z = ((model.embedding.weight[5:] - mean) / spread).detach()
    assert float(z.std()) == pytest.approx(1, rel=0.02)
    assert float(z.mean()) == pytest.approx(0, abs=0.02)


def test_new_mean_rows_keep_hewitts_bound() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        weight, bias = torch.randn(30, 6, generator=generator) * 3, torch.randn(30, generator=generator)
        hidden = torch.randn(6, generator=generator)
        logits = weight @ hidden + bias
        more = (weight.mean(0) @ hidden + bias.mean()).expand(7)
        grown = torch.logsumexp(torch.cat([logits, more]), 0) - torch.logsumexp(logits, 0)
        assert 0 <= float(grown) <= math.log(1 + 7 / 30) + 1e-6


def test_weights_of_pieces() -> None:
    starts, lengths = torch.tensor([0, 3, 5]), torch.tensor([3, 2, 60])
    exp = piece_weights("exp", starts, lengths)
    assert torch.allclose(exp[:3], torch.tensor([0.01587624, 0.11731042, 0.86681330]), atol=1e-7)
    assert torch.allclose(exp[3:5], torch.tensor([0.11920292, 0.88079708]), atol=1e-7)
    assert bool(torch.isfinite(exp).all())
    out = piece_weights("exp", starts, lengths, output=True)
    assert torch.allclose(out[:3], exp[:3].flip(0))
    assert torch.allclose(piece_weights("linear", starts, lengths)[:3], torch.tensor([1.0, 2, 3]) / 6)
    assert torch.allclose(piece_weights("linear", starts, lengths, output=True)[:3], torch.tensor([3.0, 2, 1]) / 6)
    assert piece_weights("first_last", starts, lengths)[:5].tolist() == [0, 0, 1, 0, 1]
    assert piece_weights("first_last", starts, lengths, output=True)[:5].tolist() == [1, 0, 0, 1, 0]
    assert piece_weights("sum", starts, lengths).tolist() == [1.0] * 65
    sizes = torch.tensor([1.0, 2, 1, 0, 0, *[1] * 60])
    assert piece_weights("length", starts, lengths, sizes=sizes)[:5].tolist() == [0.25, 0.5, 0.25, 0.5, 0.5]
    for kind in ("mean", "exp", "linear", "first_last"):
        share = piece_weights(kind, starts, lengths)  # type: ignore[arg-type]
        assert torch.allclose(torch.segment_reduce(share, "sum", lengths=lengths), torch.ones(3), atol=1e-6)


def test_weighted_rows_are_a_loop_s() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(20, 4, generator=generator).to(torch.bfloat16)
    lengths = torch.tensor([2, 0, 3, 1])
    starts, flat = lengths.cumsum(0) - lengths, torch.tensor([3, 3, 7, 0, 19, 5])
    share = piece_weights("exp", starts, lengths)
    loop = [
        sum((share[j] * data[flat[j]].float() for j in range(int(s), int(s + k))), torch.zeros(4))
        for s, k in zip(starts, lengths, strict=True)
    ]
    assert torch.allclose(weighted_rows(data, flat, starts, share), torch.stack(loop), atol=1e-6)


def test_subword_takes_the_pieces_of_each_matrix() -> None:
    model = Pair()
    before = copy.deepcopy(model)
    apply(model, "subword")
    abc = before.embedding.weight[[4, 2]].mean(0)  # ab, c
    assert torch.allclose(model.embedding.weight[5], abc, atol=1e-6)
    assert torch.allclose(model.head.weight[5], before.head.weight[[4, 2]].mean(0), atol=1e-6)
    assert torch.allclose(model.head.bias[6], before.head.bias[3], atol=1e-6)  # d d
    model = copy.deepcopy(before)
    apply(model, "subword", weights="first_last")
    assert torch.equal(model.embedding.weight[5], before.embedding.weight[2])
    assert torch.equal(model.head.weight[5], before.head.weight[4])
    model = copy.deepcopy(before)
    apply(model, "subword", head="mean")
    assert torch.allclose(model.embedding.weight[5], abc, atol=1e-6)
    assert torch.allclose(model.head.weight[5], before.head.weight.mean(0), atol=1e-6)
    model = copy.deepcopy(before)
    apply(model, "subword", weights="length")
    assert torch.allclose(model.embedding.weight[5], before.embedding.weight[[4, 4, 2]].mean(0), atol=1e-6)


def test_tokens_without_pieces_fall_back_and_say_so() -> None:
    model = Pair()
    mean = model.embedding.weight.detach().mean(0)
    new = words("a", "b", "c", "d", "ab", "xyz")
    new.add_special_tokens(["<tool>"])
    report = apply(model, "subword", needs={"tokenizer": new})
    assert torch.allclose(model.embedding.weight[5:], mean.expand(2, 3), atol=1e-6)
    assert report.notes["tokenizer/subword rows"][0]["fallback"] == 2
    why = {row["why"]: row["such as"] for row in report.notes["tokenizer/subword fallback rows"]}
    assert why == {"the old tokenizer knows no part of it": "xyz", "a special token without a counterpart": "<tool>"}


def test_descriptions() -> None:
    model = Pair()
    before = copy.deepcopy(model)
    new = words("a", "b", "c", "d", "ab", "abc", "dd")
    new.add_special_tokens(["<tool>", "<more>"])
    needs = {"tokenizer": new, "descriptions": {"<tool>": "cad", "abc": "d"}}
    report = apply(model, "description", needs=needs)
    assert torch.allclose(model.embedding.weight[7], before.embedding.weight[[2, 0, 3]].mean(0), atol=1e-6)
    assert torch.allclose(model.head.weight[7], before.head.weight[[2, 0, 3]].mean(0), atol=1e-6)
    assert torch.allclose(model.embedding.weight[5], before.embedding.weight[3], atol=1e-6)
    assert torch.allclose(model.embedding.weight[6], before.embedding.weight[3], atol=1e-6)  # its pieces: d, d
    assert torch.allclose(model.embedding.weight[8], before.embedding.weight.mean(0), atol=1e-6)
    row = report.notes["tokenizer/description rows"][0]
    assert (row["described"], row["fallback"]) == (2, 1)
    for wrong, words_ in (
        ({"<toll>": "a"}, "'<toll>' is no new token; did you mean '<tool>'"),
        ({"<tool>": " "}, "the description of '<tool>' is empty"),
        ({}, "a mapping of tokens to texts is needed"),
    ):
        with pytest.raises(NeedError, match=words_):
            apply(copy.deepcopy(before), "description", needs={"tokenizer": new, "descriptions": wrong})


def test_tool_directions_and_penalty() -> None:
    unit = name_direction(torch.tensor([[1.0, 2, 2], [3, 0, 4]]))
    assert torch.allclose(unit, torch.tensor([0.53452248, 0.26726124, 0.80178373]), atol=1e-7)
    prior = unit / math.sqrt(3)
    assert torch.allclose(prior, torch.tensor([0.3086067, 0.15430335, 0.46291005]), atol=1e-7)
    rows = torch.tensor([[0.1, 0.2, 0.3]], requires_grad=True)
    loss = prior_penalty(prior[None])(rows)
    assert float(loss.detach()) == pytest.approx(0.002685975, abs=1e-8)
    loss.backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    assert float(prior_penalty(prior[None], squared=True)(rows.detach())) == pytest.approx(
        100 * 0.002685975**2, rel=1e-5
    )


def llama(**changes: Any) -> LlamaForCausalLM:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=5, bos_token_id=0, eos_token_id=1, **{**sizes, **changes}))


def test_tool_tokens_of_a_model() -> None:
    model = llama()
    before = copy.deepcopy(model)
    new = words("a", "b", "c", "d", "ab")
    new.add_special_tokens(["<ba>"])
    apply(model, "tool_token", needs={"tokenizer": new})
    with torch.no_grad():
        states = before(input_ids=torch.tensor([[1, 0]]), output_hidden_states=True).hidden_states[-1][0]
    row = model.lm_head.weight[5]
    assert float(row.detach().norm()) == pytest.approx(
        float(before.lm_head.weight.detach().norm(dim=1).mean()), rel=1e-5
    )
    assert torch.allclose(row / row.norm(), states.mean(0) / states.mean(0).norm(), atol=1e-5)
    model = copy.deepcopy(before)
    apply(model, "tool_token", needs={"tokenizer": new}, compat="authors")
    assert float(model.lm_head.weight[5].detach().norm()) == pytest.approx(5120**-0.5, rel=1e-5)
    strange = Pair()
    strange.forward = lambda ids: strange.embedding(ids)  # type: ignore[method-assign]
    with pytest.raises(CommitError, match=r"Linear of head\.weight was given nothing"):
        apply(strange, "tool_token", needs={"tokenizer": new})
    assert strange.embedding.weight.shape[0] == 5
    tied = Pair(tied=True)
    report = apply(tied, "tool_token", needs={"tokenizer": new})
    assert report.notes["tokenizer/tool_token rows"][0]["head"] == "tied: rows of the input"


def test_eigennoise_components() -> None:
    ranks = torch.arange(1, 7)
    first = raw_component(ranks, 2)
    expected = [3.12984319, 1.56492159, 1.04328106, 0.78246080, 0.62596864, 0.52164053]
    assert first.flatten().tolist() == pytest.approx(expected, abs=1e-8)
    x = first @ first.T
    values = torch.linalg.eigvalsh(x)
    assert float(values[-1]) == pytest.approx(14.60952381, abs=1e-8)
    assert float(values[:-1].abs().max()) < 2e-14
    pair, eigenvalues = log_components(ranks, 2)
    assert eigenvalues.tolist() == pytest.approx([3.90587582, -3.37258341], abs=1e-8)
    signs = torch.diag(eigenvalues.sign())
    assert torch.allclose(pair @ signs @ pair.T, x.log(), atol=1e-10)


def test_eigennoise_fills_a_model() -> None:
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6))
    initkit.apply(model, initkit.recipe("tokenizer/eigennoise", variant="raw"), seed=0)
    assert model[0].weight[:, 0].tolist() == pytest.approx(raw_component(torch.arange(1, 7), 2).flatten().tolist())
    assert not bool(model[0].weight[:, 1:].any())
    initkit.apply(model, initkit.recipe("tokenizer/eigennoise", tail_scale=0.5), seed=0)
    gram = model[0].weight.detach().double()
    gram = gram.T @ gram
    assert torch.allclose(gram - torch.diag(gram.diagonal()), torch.zeros(4, 4).double(), atol=1e-5)
    assert gram.diagonal()[2:].tolist() == pytest.approx([0.25, 0.25], rel=1e-5)
    counted = nn.Sequential(nn.Embedding(6, 4))
    recipe = initkit.recipe("tokenizer/eigennoise", variant="raw")
    initkit.apply(counted, recipe, counts=[1, 2, 3, 4, 5, 6], seed=0)
    assert int(counted[0].weight[:, 0].argmax()) == 5
    with pytest.raises(NeedError, match="2 numbers; one for each of 6 rows"):
        initkit.apply(counted, recipe, counts=[1, 2], seed=0)


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of"),
        ({"head": "subwrd"}, "did you mean"),
        ({"head": "description"}, "makes no rows from two tokenizers alone"),
        ({"exclude": [77]}, "the model has 5 rows"),
        ({"embedding": "embeding"}, "no such module; did you mean 'embedding'"),
    ],
)
def test_wrong_options(options: dict[str, Any], words_: str) -> None:
    with pytest.raises(InitError, match=words_):
        apply(Pair(), "mean", **options)


def test_broken_rows_are_named_and_nothing_is_written() -> None:
    model = Pair()
    with torch.no_grad():
        model.head.weight[3, 1] = math.nan
    with pytest.raises(CommitError, match=r"head\.weight: row 3 of an old token holds NaN"):
        apply(model, "mean")
    assert model.embedding.weight.shape == (5, 3)
    assert model.embedding.num_embeddings == 5


def test_untrained_rows_do_not_count() -> None:
    model = Pair(rows=8)
    with torch.no_grad():
        model.embedding.weight[1] = 0
    before = model.embedding.weight.detach().clone()
    apply(model, "mean", exclude=[0])
    assert torch.allclose(model.embedding.weight[5], before[[2, 3, 4]].mean(0), atol=1e-6)
    assert torch.equal(model.embedding.weight[7], before[7])
    model.embedding.weight.data = before.clone()
    apply(model, "mean", stat_rows="all")
    assert torch.allclose(model.embedding.weight[5], before.mean(0), atol=1e-6)
    with torch.no_grad():
        model.embedding.weight.zero_()
    with pytest.raises(CommitError, match="0 trained rows"):
        apply(model, "mean")


def test_options_of_the_wrong_type() -> None:
    with pytest.raises(OptionError):
        initkit.recipe("tokenizer/subword", weights="harmonic")
