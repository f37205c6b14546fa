"""Models with unusual places for their vocabulary: each is filled, saved, loaded and run; PEFT's own wrappers too."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

import initkit
from initkit import PlanError
from initkit_tokenizer import save_model
from initkit_tokenizer.example import byte_level, sentencepiece
from initkit_tokenizer.model_tensors import VocabTensors

TEXT = ["the cat sat on the mat and the dog sat on the log " * 20, "größer als die Straße " * 20]
V = 300
WIDE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
LONG: dict[str, Any] = {
    "d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2,
}  # fmt: skip
IDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SEEN: dict[str, Any] = {**WIDE, "image_size": 28, "patch_size": 14}
T: Any = transformers


def marian(*, shared: bool) -> nn.Module:
    config = T.MarianConfig(
        vocab_size=V, decoder_vocab_size=V, share_encoder_decoder_embeddings=shared, decoder_start_token_id=0,
        forced_eos_token_id=0, **LONG, **IDS,
    )  # fmt: skip
    made: nn.Module = T.MarianMTModel(config)
    return made


def encoder_decoder() -> nn.Module:
    one = T.BertConfig(vocab_size=V, **WIDE, **IDS)
    two = T.BertConfig(vocab_size=V, **WIDE, **IDS, is_decoder=True, add_cross_attention=True)
    config = T.EncoderDecoderConfig.from_encoder_decoder_configs(one, two)
    config.decoder_start_token_id, config.pad_token_id = 0, 0
    made: nn.Module = T.EncoderDecoderModel(config)
    return made


def gemma3() -> nn.Module:
    text = T.Gemma3TextConfig(vocab_size=V, **WIDE, **IDS, head_dim=8, num_key_value_heads=1)
    config = T.Gemma3Config(
        text_config=text, vision_config=T.SiglipVisionConfig(**SEEN), mm_tokens_per_image=4, image_token_id=299
    )
    made: nn.Module = T.Gemma3ForConditionalGeneration(config)
    return made


def gemma3n() -> nn.Module:
    config = T.Gemma3nTextConfig(
        vocab_size=V, vocab_size_per_layer_input=V, **{**WIDE, "num_hidden_layers": 2}, **IDS, num_key_value_heads=1,
        head_dim=8, hidden_size_per_layer_input=4, laurel_rank=4, num_kv_shared_layers=0,
        layer_types=["full_attention"] * 2, activation_sparsity_pattern=[0.0] * 2,
    )  # fmt: skip
    made: nn.Module = T.Gemma3nForCausalLM(config)
    return made


CLIP = {"text_config": {"vocab_size": V, **WIDE, **IDS}, "vision_config": SEEN}
BIASED = {"vocab_size": V, "n_embd": 16, "n_layer": 1, "n_head": 2, "rotary_dim": 4, **IDS}
MODELS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "qwen, padded": (
        lambda: T.Qwen2ForCausalLM(T.Qwen2Config(vocab_size=384, **WIDE, num_key_value_heads=2, **IDS)),
        {},
        ["input", "head"],
    ),
    "gpt-j, a bias beside its head": (lambda: T.GPTJForCausalLM(T.GPTJConfig(**BIASED)), {}, ["input", "head", "bias"]),
    "marian": (lambda: marian(shared=True), {}, ["input", "bias"]),
    "marian, two vocabularies": (lambda: marian(shared=False), {}, ["input", "input", "bias"]),
    "encoder and decoder": (encoder_decoder, {}, ["input", "input", "bias"]),
    "gemma 3 with images": (gemma3, {}, ["input"]),
    "gemma 3n, rows a layer": (
        gemma3n, {"extra_vocab_params": ("model.embed_tokens_per_layer.weight",)}, ["input", "input"],
    ),
    "mamba": (
        lambda: T.MambaForCausalLM(
            T.MambaConfig(vocab_size=V, hidden_size=16, num_hidden_layers=1, state_size=4, **IDS)
        ),
        {},
        ["input"],
    ),
    "clip": (lambda: T.CLIPModel(T.CLIPConfig(**CLIP)), {}, ["input"]),
    "electra, narrow rows": (
        lambda: T.ElectraForMaskedLM(T.ElectraConfig(vocab_size=V, embedding_size=8, **WIDE, **IDS)),
        {},
        ["input", "bias"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    return byte_level(TEXT, V), sentencepiece(TEXT, 350)


def apply(model: nn.Module, pair: Any, **options: Any) -> initkit.Report:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        recipe = initkit.recipe("tokenizer/subword", **options)
        return initkit.apply(model, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=1)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_filled_saved_and_loaded(name: str, pair: Any, tmp_path: Path) -> None:
    make, options, roles = MODELS[name]
    torch.manual_seed(0)
    model: Any = make()
    extra = options.get("extra_vocab_params", ())
    found = VocabTensors.of(model, extra=extra)
    assert [tensor.role for tensor in found.tensors] == roles
    before = {key: value.clone() for key, value in model.state_dict().items()}
    apply(model, pair, **options)
    rows = max(len(pair[1]), found.rows)
    plan = {i: ids[0] for i, ids in initkit_plan(pair).items()}
    for tensor in found.tensors:
        table = model.state_dict()[tensor.name].movedim(tensor.axis, 0) if tensor.name in before else None
        if table is not None and tensor.name != "final_logits_bias":
            old = before[tensor.name].movedim(tensor.axis, 0)
            assert len(table) == rows
            assert torch.equal(table[list(plan)], old[list(plan.values())])
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.weight.shape[0] == rows:
            assert module.num_embeddings == rows
    save_model(model, pair[1], tmp_path / "new")
    loaded = type(model).from_pretrained(tmp_path / "new")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    if callable(getattr(loaded, "can_generate", None)) and loaded.can_generate():
        ids = torch.tensor([[pair[1].eos_token_id, rows - 1]])
        given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 2, "do_sample": False}
        assert torch.equal(loaded.generate(ids, **given), model.eval().generate(ids, **given))


def initkit_plan(pair: Any) -> dict[int, tuple[int, ...]]:
    from initkit_tokenizer import make_plan

    return dict(make_plan(*pair).copied)


def test_ids_beside_the_roles_follow_their_tokens(pair: Any) -> None:
    model: Any = gemma3()
    old, new = pair
    model.config.image_token_id = old.convert_tokens_to_ids("a")
    apply(model, pair)
    assert model.config.image_token_id == new.convert_tokens_to_ids("a")
    two: Any = encoder_decoder()
    apply(two, pair)
    end = new.eos_token_id
    assert two.config.decoder_start_token_id == two.config.decoder.eos_token_id == end
    assert two.config.encoder.vocab_size == two.config.decoder.vocab_size == len(new)
    separate: Any = marian(shared=False)
    apply(separate, pair)
    assert separate.config.decoder_vocab_size == separate.config.vocab_size == len(new)
    assert separate.generation_config.forced_eos_token_id == end


class Plain(nn.Module):
    """An embedding and a head of another library's kind, (d, V)."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(V, 8), Conv1D(V, 8)

    def forward(self, ids: Tensor) -> Tensor:
        made: Tensor = self.out(self.table(ids))
        return made


def test_heads_with_their_tokens_in_columns(pair: Any) -> None:
    torch.manual_seed(0)
    model = Plain()
    before = copy.deepcopy(model)
    apply(model, pair)
    rows = len(pair[1])
    assert model.out.weight.shape == (8, rows)
    assert model.out.nf == rows
    assert model(torch.tensor([[rows - 1]])).shape == (1, 1, rows)
    for i, (old,) in initkit_plan(pair).items():
        assert torch.equal(model.out.weight[:, i], before.out.weight[:, old])


def wrapped(*, tied: bool = False, **options: Any) -> Any:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS, tie_word_embeddings=tied))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, at what PEFT asks for
        return peft.get_peft_model(base, peft.LoraConfig(r=2, task_type="CAUSAL_LM", **options))


@pytest.mark.parametrize(
    ("tied", "options", "tensors"),
    [
        (False, {"target_modules": ["q_proj"]}, 2),
        (True, {"target_modules": ["q_proj"]}, 1),
        (False, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}, 4),
    ],
    ids=["untied", "tied", "trained whole"],
)
def test_models_in_peft(tied: bool, options: dict[str, Any], tensors: int, pair: Any) -> None:
    model = wrapped(tied=tied, **options)
    adapters = {key: value.clone() for key, value in model.state_dict().items() if "lora_" in key}
    report = apply(model, pair)
    rows = len(pair[1])
    assert len(report) == tensors
    assert model.get_base_model().config.vocab_size == rows
    assert all(torch.equal(model.state_dict()[key], value) for key, value in adapters.items())
    ids = torch.tensor([[0, rows - 1]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 2, "do_sample": False}
    made = model.eval().generate(**given)
    merged = model.merge_and_unload()
    assert torch.equal(merged.generate(**given), made)
    assert merged.lm_head.weight.shape[0] == merged.model.embed_tokens.num_embeddings == rows


@pytest.mark.parametrize(
    "options",
    [{"target_modules": ["embed_tokens"]}, {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]}],
    ids=["low rank", "some tokens"],
)
def test_adapters_of_the_embedding_itself_are_refused(options: dict[str, Any], pair: Any) -> None:
    model = wrapped(**options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PlanError, match=r"embed_tokens carries an adapter.*merge_and_unload.*modules_to_save"):
        apply(model, pair)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["cross_init", "token_distillation"])
def test_states_are_read_through_the_copy_that_peft_trains(name: str, pair: Any) -> None:
    model = wrapped(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    needs: dict[str, Any] = {"corpus": ["böse grobe öde"] * 5} if name == "token_distillation" else {}
    options: dict[str, Any] = {"min_snippets": 1, "snippets": 2} if needs else {"renorm": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recipe = initkit.recipe(f"tokenizer/{name}", **options)
        report = initkit.apply(model, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=0, **needs)
    rows = {row["tensor"].rpartition("embed_tokens.")[2]: row for row in report.notes[f"tokenizer/{name} rows"]}
    why = {"cross_init": "mean of pieces", "token_distillation": "not learned"}[name]
    assert "does not look its tokens up in" in rows["original_module.weight"][why]
    assert why not in rows["modules_to_save.default.weight"]
    if needs:
        heads = [row for row in report.notes[f"tokenizer/{name} rows"] if row["role"] == "head"]
        assert [row.get("not learned", "") for row in heads] == ["the model does not take its logits from it", ""]


def test_later_initialisation_of_transformers_leaves_the_rows(pair: Any) -> None:
    model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS))
    apply(model, pair)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.post_init()
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_masks_of_tokens_are_named_and_not_forgotten(pair: Any) -> None:
    model = Plain()
    model.register_buffer("allowed", torch.ones(V, dtype=torch.bool))
    model.register_buffer("places", torch.arange(V), persistent=False)  # made anew when it is loaded
    with pytest.raises(PlanError, match=r"allowed \(300,\): a dimension of 300.*other_params"):
        apply(model, pair)
    apply(model, pair, other_params=["allowed"])
    assert model.table.num_embeddings == len(pair[1])
