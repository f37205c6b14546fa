"""Rows that are learned from a teacher: snippets, losses, optima that are known, and runs that are broken off."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

import initkit
from initkit import CommitError, FileError, InitError, NeedError, OptionError
from initkit.streams import Stream
from initkit_tokenizer import Vocabulary
from initkit_tokenizer.distilling import Batches
from initkit_tokenizer.example import byte_level, sentencepiece
from initkit_tokenizer.row_training import RowTraining, State
from initkit_tokenizer.snippets import Wanted, aligned_snippets, ends, matched, merged, windows

TEXT = [topics[name] for name in sorted(topics)][:20]
NAME = "tokenizer/token_distillation"


def words(*tokens: str) -> Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [
        (token[:cut], token[cut:])
        for token in tokens
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges))


OLD, NEW = words("a", "b", "c", "d", "ab"), words("a", "b", "c", "d", "ab", "abc", "dd")
CORPUS = ["abcddab", "ddabcabc", "aabcbddd", "cabcdd", "abcd", "ddcba", "abcabcdda"] * 3


class Pair(nn.Module):
    """Its states are the rows themselves: the best row of a token is that of its last piece."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.head(self.embedding(ids))
        return out


def llama(**changes: Any) -> LlamaForCausalLM:
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=5, bos_token_id=0, eos_token_id=1, **{**sizes, **changes}))


def apply(model: nn.Module, *, needs: dict[str, Any] | None = None, progress: Any = None, **options: Any) -> Any:
    given = {"tokenizer": NEW, "old_tokenizer": OLD, "corpus": CORPUS, **(needs or {})}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        return initkit.apply(model, initkit.recipe(NAME, **options), seed=3, progress=progress, **given)


def rows_note(report: Any, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = report.notes[f"{NAME} rows"][place]
    return found


def test_phrases_are_merged_as_the_authors_do() -> None:
    phrases = {(5, 6): 20, (5, 6, 7): 21, (9, 2): 22}
    assert merged([1, 5, 6, 7, 5, 6, 9, 2, 3], phrases) == ((1, 21, 20, 22, 3), (1, 0, 0, 1, 0, 1, 0, 1, 1))
    assert merged([5, 6, 7, 8, 2, 5], phrases) == ((21, 8, 2, 5), (0, 0, 1, 1, 1, 1))
    assert merged([], phrases) == ((), ())
    assert merged([9], {}) == ((9,), (1,))


@given(
    st.lists(st.integers(0, 3), max_size=30), st.sets(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple))
)
def test_a_merged_text_spells_the_same(ids: list[int], phrases: set[tuple[int, ...]]) -> None:
    names = {phrase: 10 + i for i, phrase in enumerate(sorted(phrases))}
    spelt = {name: phrase for phrase, name in names.items()}
    made, mask = merged(ids, names)
    assert [i for one in made for i in spelt.get(one, (one,))] == ids
    lengths = [len(spelt.get(one, (one,))) for one in made]
    last = [sum(lengths[: k + 1]) - 1 for k in range(len(made))]
    assert [place for place, kept in enumerate(mask) if kept] == last


@pytest.fixture(scope="module")
def families() -> dict[str, Vocabulary]:
    text = [*TEXT, "größer Straße Müller über naïve café 東京 日本語 Привет мир 😀 " * 20]
    return {"byte_level": Vocabulary.of(byte_level(text, 600)), "metaspace": Vocabulary.of(sentencepiece(text, 900))}


@pytest.mark.parametrize(("one", "two"), [("byte_level", "metaspace"), ("metaspace", "byte_level")])
@settings(max_examples=40, deadline=None)
@given(text=st.text(st.sampled_from("abc Größe東京é😀 \n,."), min_size=1, max_size=30))
def test_paired_positions_have_read_the_same_text(
    families: dict[str, Vocabulary], one: str, two: str, text: str
) -> None:
    cuts = [families[name].reader().encode(text, add_special_tokens=False) for name in (one, two)]
    spelt = [[families[name].keys[i].payload for i in cut.ids] for name, cut in zip((one, two), cuts, strict=True)]
    for i, j in matched(*(ends(cut.offsets) for cut in cuts)):
        left, right = (b"".join(part[: k + 1]) for part, k in zip(spelt, (i, j), strict=True))
        assert left.lstrip() == right.lstrip()  # one of them puts a space before the text


def test_windows_go_from_pair_to_pair() -> None:
    teacher, student = list(range(10)), list(range(100, 107))
    pairs = [(0, 0), (3, 1), (4, 2), (6, 3), (9, 6)]
    made = list(windows(teacher, student, pairs, 5))
    assert [one.teacher for one in made] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]
    assert [one.student for one in made] == [(100, 101, 102), (103, 104, 105, 106)]
    assert [one.pairs for one in made] == [((0, 0), (3, 1), (4, 2)), ((1, 0), (4, 3))]
    (rest,) = windows(teacher, student, [(7, 3), (9, 6)], 5)  # too long a stretch is left out
    assert rest.teacher == (8, 9)
    assert list(windows(teacher, student, [], 5)) == []


def test_snippets_are_found_until_there_are_enough() -> None:
    old, new = Vocabulary.of(OLD), Vocabulary.of(NEW)
    rows = {**{i: i for i in range(5)}, 5: -1, 6: -2}
    wanted = Wanted([0, 1], 4)
    read: list[str] = []

    def corpus() -> Iterable[str]:
        for line in ["abba", *CORPUS * 100]:
            read.append(line)
            yield line

    found = list(aligned_snippets(corpus(), old, new, rows, wanted, 50))
    assert len(read) < 300  # it stops
    assert not wanted
    assert min(wanted.counts.values()) >= 4
    assert all(-1 in one.student or -2 in one.student for one in found)
    first = found[0]  # abc dd ab: ab c d d ab
    assert first.teacher == (4, 2, 3, 3, 4)
    assert first.student == (-1, -2, 4)
    assert first.pairs == ((1, 0), (3, 1), (4, 2))
    framed = first.framed((9,), (8,))
    assert framed.teacher == (9, 4, 2, 3, 3, 4, 8)
    assert framed.pairs == ((0, 0), (2, 1), (4, 2), (5, 3), (6, 4))


def test_each_snippet_is_read_once_an_epoch() -> None:
    old, new = Vocabulary.of(OLD), Vocabulary.of(NEW)
    rows = {**{i: i for i in range(5)}, 5: -1, 6: -2}
    found = list(aligned_snippets(CORPUS, old, new, rows, Wanted([0, 1], 99), 50))
    batches = Batches(found, 4, torch.device("cpu"), [Stream(0, "one"), Stream(0, "two")])
    assert batches.each == -(-len(found) // 4)
    for epoch in range(2):
        read = [
            tuple(ids[mask.bool()].tolist())
            for step in range(batches.each)
            for batch in [batches(epoch * batches.each + step)]
            for ids, mask in zip(batch.teacher, batch.teacher_mask, strict=True)
        ]
        assert sorted(read) == sorted(one.teacher for one in found)
    batch = batches(0)
    assert batch.teacher.flatten()[batch.teacher_at].shape == batch.student.flatten()[batch.student_at].shape
    assert set((-1 - batch.student[batch.student < 0]).tolist()) == set(range(len(batch.places)))


@pytest.mark.parametrize("compat", [None, "authors"])
def test_rows_reach_a_known_optimum(compat: str | None) -> None:
    torch.manual_seed(0)
    model = Pair(tied=True)
    before = copy.deepcopy(model)
    options: dict[str, Any] = {"epochs": 150, "lr": 0.05, "length": 5, "compat": compat, "min_snippets": 1}
    report = apply(model, **options)
    rows = model.embedding.weight.detach()
    assert torch.allclose(rows[5], before.embedding.weight[2], atol=1e-3)  # abc: ab, c
    assert torch.allclose(rows[6], before.embedding.weight[3], atol=1e-3)  # dd: d, d
    assert torch.equal(rows[:5], before.embedding.weight)
    assert rows_note(report)["learned"] == 2
    assert rows_note(report)["loss, last"] < 1e-3 < rows_note(report)["loss, first"]


def test_the_rest_of_the_model_is_left_alone() -> None:
    model = llama().train()
    model.model.norm.weight.requires_grad_(False)
    before = copy.deepcopy(model)
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    state = torch.get_rng_state()
    report = apply(model, epochs=8)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name][: len(value)], value), name
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == asked
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert rows_note(report)["loss, last"] < rows_note(report)["loss, first"]
    again = copy.deepcopy(before)
    assert apply(again, epochs=8).to_json() == report.to_json()


def test_output_rows_learn_the_next_token() -> None:
    model = llama()
    start = copy.deepcopy(model)
    apply(start, cross_entropy="none", epochs=20, lr=0.05)
    report = apply(model, epochs=20, lr=0.05)
    note = rows_note(report, 1)
    assert (note["role"], note["learned"]) == ("head", 2)
    ids = [torch.tensor([NEW.encode(line).ids]) for line in CORPUS]

    def entropy(one: LlamaForCausalLM) -> float:
        one.eval()
        with torch.no_grad():
            return float(sum(one(input_ids=line, labels=line).loss * (line.shape[1] - 1) for line in ids))

    assert entropy(model) < 0.97 * entropy(start)


def test_the_first_loss_of_output_rows_is_the_model_s_own() -> None:
    model = llama()
    report = apply(model, epochs=1, batch=99, lr=1e-30)  # one step that moves nothing
    total = sum(len(NEW.encode(line).ids) - 1 for line in CORPUS)
    model.eval()
    with torch.no_grad():
        lines = [torch.tensor([NEW.encode(line).ids]) for line in CORPUS]
        expected = sum(float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1) for ids in lines) / total
    assert rows_note(report, 1)["loss, first"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_cross_entropy_may_teach_input_rows_too(tied: bool) -> None:
    one, two = llama(tie_word_embeddings=tied), llama(tie_word_embeddings=tied)
    apply(one)
    report = apply(two, cross_entropy="both")
    assert not torch.allclose(one.model.embed_tokens.weight[5:], two.model.embed_tokens.weight[5:], atol=1e-4)
    assert (two.lm_head.weight is two.model.embed_tokens.weight) is tied
    assert rows_note(report)["loss, first"] > 0


def test_models_that_see_what_follows_have_no_next_token() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForMaskedLM(BertConfig(vocab_size=5, tie_word_embeddings=False, **sizes))
    before = copy.deepcopy(model)
    report = apply(model)
    notes = {row["tensor"]: row for row in report.notes[f"{NAME} rows"]}
    assert notes["bert.embeddings.word_embeddings.weight"]["learned"] == 2
    head = notes["cls.predictions.decoder.weight"]
    assert head["not learned"] == "states see the tokens that follow"
    assert torch.allclose(
        model.cls.predictions.decoder.weight[5], before.cls.predictions.decoder.weight[[4, 2]].mean(0), atol=1e-6
    )


def test_tokens_with_too_few_snippets_keep_their_start_and_are_named() -> None:
    model, start = Pair(), Pair()
    start.load_state_dict(model.state_dict())
    new = words("a", "b", "c", "d", "ab", "abc", "dd", "ddd", "cdc")
    needs = {"tokenizer": new, "corpus": ["abc"] * 9 + ["ddda"] * 3}
    report = apply(model, needs=needs)
    initkit.apply(start, "tokenizer/subword", tokenizer=new, old_tokenizer=OLD, seed=0)
    assert torch.equal(model.embedding.weight[6:], start.embedding.weight[6:])
    assert not torch.equal(model.embedding.weight[5], start.embedding.weight[5])
    found = {row["token"]: (row["snippets"], row["why"]) for row in report.notes[f"{NAME} tokens not learned"]}
    assert found["cdc"] == (0, "the corpus does not hold it")
    few = {token: why for token, (count, why) in found.items() if count}
    assert few
    assert set(few.values()) == {"fewer than 5 snippets"}
    (row,) = report.notes[f"{NAME} snippets"]
    assert (row["new tokens learned"], row["in no snippet"] + row["in fewer than 5"]) == (1, len(found))
    assert row["old tokens a learned row"] == row["old tokens read"]


def test_whole_vocabularies_of_other_families(families: dict[str, Vocabulary]) -> None:
    for one, two in (("byte_level", "metaspace"), ("metaspace", "byte_level")):
        sizes = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=families[one].size, **sizes))
        needs = {"old_tokenizer": families[one], "tokenizer": families[two], "corpus": TEXT}
        report = apply(model, needs=needs, snippets=3, min_snippets=2)
        row = rows_note(report)
        assert row["learned"] > 0.4 * row["computed"]
        assert row["loss, last"] < row["loss, first"]


def breaks(after: int) -> Any:
    """Progress that is interrupted after some steps of learning."""

    def progress(iterable: Iterable[Any], text: str, total: int | None) -> Iterable[Any]:
        for step, one in enumerate(iterable):
            if text.startswith("learning") and step == after:
                raise KeyboardInterrupt
            yield one

    return progress


@pytest.mark.parametrize("name", ["embed_tokens", "lm_head"])
def test_an_interrupted_run_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch": 4}
    whole, model = llama(), llama()
    report = apply(whole, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    file = str(tmp_path / "state.safetensors")

    def progress(iterable: Iterable[Any], text: str, total: int | None) -> Iterable[Any]:
        return breaks(4)(iterable, text, total) if name in text or not text.startswith("learning") else iterable

    with pytest.raises(KeyboardInterrupt, match=r"after 4 of \d+ steps.*go on with the same call and checkpoint="):
        apply(model, progress=progress, checkpoint=file, **options)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.config.vocab_size == 5
    resumed = apply(model, checkpoint=file, **options)
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in model.state_dict().items())
    assert rows_note(resumed) == rows_note(report)
    with pytest.raises(FileError, match=r"it is of another run \(options differs\)"):
        apply(llama(), checkpoint=file, **{**options, "lr": 0.5})
    with pytest.raises(FileError, match=r"it is of another run \(start and snippets differs\)"):
        apply(llama(), checkpoint=file, needs={"corpus": CORPUS[:-1]}, **options)


def test_without_a_checkpoint_an_interrupt_says_how_to_get_one() -> None:
    model = llama()
    with pytest.raises(KeyboardInterrupt, match="give checkpoint=FILE"):
        apply(model, progress=breaks(1))
    assert model.model.embed_tokens.weight.shape == (5, 8)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_loss_that_is_no_number_leaves_the_model(tmp_path: Path) -> None:
    model = Pair()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    file = tmp_path / "state.safetensors"
    with pytest.raises(CommitError, match=r"no finite number in step \d.*lower lr \(now 1e\+38\); with checkpoint="):
        apply(model, lr=1e38, epochs=9, batch=2, checkpoint=str(file))
    assert file.is_file()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def training(ctx: Any, *, dense: bool) -> RowTraining:
    return RowTraining(NAME, ctx, "learning", 1, "constant", dense, None, {})


class Plain:
    """A job's context that shows nothing."""

    def progress(self, iterable: Iterable[Any], words: str, total: int | None = None) -> Iterable[Any]:
        return iterable


def test_dense_steps_are_torch_s_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    start, target = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)
    used = [torch.randperm(6, generator=generator)[:2].sort().values for _ in range(12)]
    state = training(Plain(), dense=True).run(
        "x", start, lambda step, rows: (rows - target[used[step]]).square().sum(), lambda step: used[step], 12, 0.1
    )
    rows = nn.Parameter(start.clone())
    adam = torch.optim.AdamW([rows], lr=0.1, weight_decay=0.0)
    for places in used:
        adam.zero_grad()
        (rows[places] - target[places]).square().sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    assert torch.allclose(state.rows, rows.detach(), atol=1e-6)


def test_lazy_steps_of_a_row_do_not_depend_on_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    start, target = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)

    def learned(used: list[list[int]], table: Tensor) -> State:
        places = [torch.tensor(one) for one in used]
        return training(Plain(), dense=False).run(
            "x", table, lambda step, rows: (rows - target[places[step]]).square().sum(), lambda step: places[step],
            len(used), 0.1,
        )  # fmt: skip

    mixed = learned([[0, 2], [1], [0], [3, 4], [0, 1]], start)
    alone = learned([[0], [0], [0]], start)
    assert torch.equal(mixed.rows[0], alone.rows[0])
    assert torch.equal(mixed.rows[2], learned([[2]], start).rows[2])
    assert mixed.steps.flatten().tolist() == [3, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "needs", "error", "words_"),
    [
        ({"start": "subwrd"}, {}, OptionError, "start='subwrd'.*did you mean"),
        ({"start": "fit"}, {}, OptionError, "makes no rows from two tokenizers alone"),
        ({"checkpoint": "/no/such/folder/x"}, {}, OptionError, "there is no such folder"),
        ({"snippets": 0}, {}, OptionError, "snippets"),
        ({}, {"corpus": []}, NeedError, "corpus: it holds no text"),
        ({}, {"corpus": ["aaa", 3]}, NeedError, "text 1 is of type int"),
        ({}, {"corpus": ["aaa"]}, CommitError, r"none of 2 new tokens has 5 snippets in the corpus \(0 have any\)"),
    ],
)
def test_bad_input_is_refused(
    options: dict[str, Any], needs: dict[str, Any], error: type[Exception], words_: str
) -> None:
    model = Pair()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(error, match=words_):
        apply(model, needs=needs, **options)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_no_new_token_is_nothing_to_learn() -> None:
    model = Pair()
    with pytest.warns(UserWarning, match="no row changes"):
        report = apply(model, needs={"tokenizer": OLD})
    assert rows_note(report)["computed"] == 0
    assert model.embedding.weight.shape == (5, 4)


def test_a_model_that_wants_more_than_ids_is_refused() -> None:
    model = Pair()
    model.forward = lambda ids, more: None  # type: ignore[method-assign, assignment]
    with pytest.raises(InitError, match="cannot be called with ids alone"):
        apply(model)
    assert model.embedding.weight.shape == (5, 4)
