"""Real models of transformers: every tensor with a vocabulary axis, sizes, ids, files, and generation."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

import initkit
import initkit_tokenizer.example
from initkit import FileError, NeedError, PlanError
from initkit_tokenizer import save_model
from initkit_tokenizer.example import byte_level, sentencepiece
from initkit_tokenizer.files import load_descriptions, load_tokenizer
from initkit_tokenizer.model_tensors import VocabTensors

TEXT = ["the cat sat on the mat and the dog sat on the log " * 20, "größer als die Straße " * 20]
V = 300
WIDE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
LONG = {
    "d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2,
}  # fmt: skip
IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}

MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS, tie_word_embeddings=True)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=V, n_embd=16, n_layer=1, n_head=2, **IDS)),
    "bert": lambda: BertForMaskedLM(BertConfig(vocab_size=V, **WIDE)),
    "bert, untied": lambda: BertForMaskedLM(BertConfig(vocab_size=V, **WIDE, tie_word_embeddings=False)),
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(vocab_size=V, **WIDE)),
    "bart": lambda: BartForConditionalGeneration(BartConfig(vocab_size=V, **LONG)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(vocab_size=V, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2)
    ),
}


@pytest.fixture(scope="module")
def pair() -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    return byte_level(TEXT, V), sentencepiece(TEXT, 350)


def apply(model: nn.Module, pair: Any, name: str = "subword", **options: Any) -> initkit.Report:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        recipe = initkit.recipe(f"tokenizer/{name}", **options)
        return initkit.apply(model, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=1)


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_with_a_vocabulary_axis_follows(name: str, pair: Any) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    before = copy.deepcopy(model)
    found = VocabTensors.of(model)
    apply(model, pair)
    rows = max(max(pair[1].get_vocab().values()) + 1, V)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == rows
    for tensor in found.tensors:
        values = dict([*model.named_parameters(), *model.named_buffers()])[tensor.name]
        assert values.shape[tensor.axis] == rows
    old, new = pair[0].get_vocab(), pair[1].get_vocab()
    for text in ("s", "at", "ö"):
        marked = text if text != "ö" else "Ã¶"
        if text in new and marked in old:
            assert torch.equal(
                model.get_input_embeddings().weight[new[text]], before.get_input_embeddings().weight[old[marked]]
            )
    output = model.get_output_embeddings()
    if found.input.tied:
        assert output.weight is model.get_input_embeddings().weight
    assert output.weight.shape[0] == rows
    ids = torch.tensor([[new["<s>"], new["</s>"], rows - 1]])
    extra = {"decoder_input_ids": ids} if name in ("bart", "t5") else {}
    assert model(input_ids=ids, **extra).logits.shape == (1, 3, rows)


def test_a_bias_beside_a_head_is_not_a_layer_s(pair: Any) -> None:
    wide = LlamaForCausalLM(LlamaConfig(vocab_size=V, **{**WIDE, "intermediate_size": V}, **IDS))
    with pytest.raises(PlanError, match=r"gate_proj\.weight \(300, 16\).*other_params"):
        apply(wide, pair)
    before = wide.model.layers[0].mlp.up_proj.weight.clone()
    apply(wide, pair, other_params=["model.layers.*"])
    assert torch.equal(wide.model.layers[0].mlp.up_proj.weight, before)


def test_ids_of_special_tokens_follow(pair: Any) -> None:
    model = MODELS["llama"]()
    model.model.embed_tokens.padding_idx = 0
    model.model.padding_idx = 0
    apply(model, pair)
    end = pair[1].convert_tokens_to_ids("</s>")
    assert model.config.eos_token_id == model.generation_config.eos_token_id == end
    assert model.model.embed_tokens.padding_idx == end  # the same token was the old one's padding


def test_rows_beyond_the_tokenizer_are_kept(pair: Any) -> None:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=640, **WIDE, **IDS))
    tail = model.lm_head.weight[500:].clone()
    report = apply(model, pair)
    assert model.config.vocab_size == 640
    assert torch.equal(model.lm_head.weight[500:], tail)
    assert report.notes["tokenizer/subword rows"][0]["padded"] == 0
    apply(LlamaForCausalLM(LlamaConfig(vocab_size=640, **WIDE, **IDS)), pair, shrink=True)
    small = LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS))
    apply(small, pair, pad_to_multiple_of=64)
    assert small.config.vocab_size % 64 == 0


def test_padding_gains_no_probability(pair: Any) -> None:
    model = MODELS["bert, untied"]()
    with torch.no_grad():
        model.cls.predictions.decoder.bias.copy_(torch.linspace(-3, 1, V))
    apply(model, pair, pad_to_multiple_of=128)
    last = max(pair[1].get_vocab().values()) + 1
    assert model.cls.predictions.decoder.bias[last:].unique().tolist() == pytest.approx([-3.0], abs=0.1)


def test_the_wrong_tokenizer_is_said(pair: Any) -> None:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=200, **WIDE, **IDS))
    with pytest.raises(PlanError, match=r"needs \d+ rows, the model's embedding has 200"):
        apply(model, pair)


def test_parameters_that_only_share_memory_are_refused(pair: Any) -> None:
    model = nn.Sequential(nn.Embedding(V, 8), nn.Linear(8, V))
    model[1].weight = nn.Parameter(model[0].weight.detach())
    with pytest.raises(PlanError, match="share their memory but are two parameters"):
        apply(model, pair)


def test_partitioned_and_quantised_tables_are_refused(pair: Any) -> None:
    empty = nn.Embedding(V, 8)
    empty.weight = nn.Parameter(torch.empty(0))
    with pytest.raises(PlanError, match=r"ZeRO-3.*before deepspeed\.initialize"):
        apply(nn.Sequential(empty), pair)
    packed = nn.Embedding(V, 8)
    packed.weight = nn.Parameter(torch.zeros(V, 8, dtype=torch.int8), requires_grad=False)
    with pytest.raises(PlanError, match=r"int8 is a quantised type"):
        apply(nn.Sequential(packed), pair)


def test_half_precision_keeps_its_type(pair: Any) -> None:
    model = MODELS["llama"]().to(torch.bfloat16)
    apply(model, pair, "multivariate")
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_a_failure_leaves_the_model_as_it_was(pair: Any) -> None:
    model = MODELS["llama"]()
    with torch.no_grad():
        model.lm_head.weight[7] = torch.nan
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(initkit.CommitError, match=r"lm_head\.weight: row 7"):
        apply(model, pair)
    assert all(torch.equal(value.nan_to_num(), before[key].nan_to_num()) for key, value in model.state_dict().items())
    assert model.config.vocab_size == V


@pytest.mark.parametrize("name", ["llama", "llama, tied"])
def test_what_is_saved_loads_and_generates(name: str, pair: Any, tmp_path: Path) -> None:
    model = MODELS[name]()
    report = apply(model, pair)
    save_model(model, pair[1], tmp_path / "new", report=report)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "new")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    ids = tokenizer("the cat", return_tensors="pt").input_ids
    made = loaded.generate(ids, max_new_tokens=4, do_sample=False)
    assert made.shape[1] > ids.shape[1]
    assert torch.equal(made, model.generate(ids, max_new_tokens=4, do_sample=False))
    assert isinstance(tokenizer.decode(made[0]), str)
    assert (tmp_path / "new" / "initkit.report.json").read_text() == report.to_json()
    with pytest.raises(FileError, match="exists; give force=True"):
        save_model(model, pair[1], tmp_path / "new")
    save_model(model, pair[1], tmp_path / "new", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(FileError, match="apply a recipe first"):
        save_model(MODELS[name](), pair[1], tmp_path / "other")


def test_the_command_writes_a_folder_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from initkit_cli.__main__ import main

    monkeypatch.chdir(tmp_path)
    example = str(Path(initkit_tokenizer.example.__file__))
    words = ["apply", "--plugin", "tokenizer", "--recipe", "subword", example, "-o", "out/new/"]
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new", "new.report.json"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "new")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "new")
    assert loaded.config.vocab_size == len(tokenizer) == 1600
    ids = tokenizer("The import statement", return_tensors="pt").input_ids
    assert isinstance(tokenizer.decode(loaded.generate(ids, max_new_tokens=3, do_sample=False)[0]), str)
    kept = (tmp_path / "out" / "new.report.json").read_bytes()
    assert main(words) == 2  # it exists
    assert main([*words, "--force", "--seed", "1"]) == 0
    assert (tmp_path / "out" / "new.report.json").read_bytes() != kept
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new", "new.report.json"]


class TrainedWhole(nn.Module):
    """As PEFT keeps a module that is trained whole: the original, and a copy for each adapter."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original_module = original
        self.modules_to_save = nn.ModuleDict({"default": copy.deepcopy(original)})

    def forward(self, x: Any) -> Any:
        return self.modules_to_save["default"](x)


class Adapted(nn.Module):
    """As PEFT puts a low-rank adapter around an embedding."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_embedding_A = nn.Parameter(torch.zeros(2, V))


def test_modules_that_peft_trains_whole_follow(pair: Any) -> None:
    model = MODELS["llama"]()
    model.model.embed_tokens = TrainedWhole(model.model.embed_tokens)
    model.lm_head = TrainedWhole(model.lm_head)
    with torch.no_grad():
        model.lm_head.modules_to_save["default"].weight.mul_(2)
    report = apply(model, pair, pad_to_multiple_of=512)
    assert len(report) == 4
    one, two = model.lm_head.original_module, model.lm_head.modules_to_save["default"]
    assert one.out_features == two.out_features == 512
    assert torch.allclose(2 * one.weight, two.weight)
    assert model.model.embed_tokens.original_module.num_embeddings == 512
    assert model(input_ids=torch.tensor([[511]])).logits.shape == (1, 1, 512)


def test_low_rank_adapters_of_embeddings_must_be_merged(pair: Any) -> None:
    model = MODELS["llama"]()
    model.model.embed_tokens = Adapted(model.model.embed_tokens)
    with pytest.raises(PlanError, match=r"model\.embed_tokens carries an adapter.*merge_and_unload"):
        apply(model, pair)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["mean", "multivariate", "subword", "tool_token", "cross_init"])
def test_a_gpu_gives_the_same_rows(name: str, pair: Any) -> None:
    model = MODELS["llama"]()
    there = copy.deepcopy(model).cuda()
    apply(model, pair, name)
    apply(there, pair, name)
    assert there.lm_head.weight.is_cuda
    assert torch.allclose(there.lm_head.weight.cpu(), model.lm_head.weight, rtol=1e-4, atol=1e-6)


def test_descriptions_from_files(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('{"<s>": "begin"}')
    assert load_descriptions(tmp_path / "good.json") == {"<s>": "begin"}
    (tmp_path / "bad.json").write_text('["<s>"]')
    for name, words in (("bad.json", "one JSON object of texts"), ("none.json", "cannot read")):
        with pytest.raises(NeedError, match=words):
            load_descriptions(tmp_path / name)


def test_tokenizers_given_as_folders_are_copied(pair: Any, tmp_path: Path) -> None:
    for name, tokenizer in zip(("old", "new"), pair, strict=True):
        tokenizer.save_pretrained(tmp_path / name)
    paths = [load_tokenizer(tmp_path / name) for name in ("old", "new")]
    model = MODELS["llama"]()
    apply(model, paths)
    save_model(model, paths[1], tmp_path / "saved")
    made = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert made.get_vocab() == pair[1].get_vocab()
    assert made.eos_token == "</s>"
    with pytest.raises(FileError, match="int cannot save itself"):
        save_model(model, 3, tmp_path / "other")
    assert not (tmp_path / "other").exists()
