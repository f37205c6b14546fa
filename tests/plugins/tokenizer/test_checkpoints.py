"""Model folders that get a new vocabulary without the model in memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
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
)

import initkit
from initkit import FileError, InitError
from initkit.shards import INDEX, staging, writing
from initkit_tokenizer import expand_checkpoint, make_plan, row_blocks
from initkit_tokenizer.example import byte_level, sentencepiece
from initkit_tokenizer.row_blocks import RowBlocks

TEXT = ["the cat sat on the mat and the dog sat on the log " * 20, "größer als die Straße " * 20]
V = 300
WIDE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
LONG = {
    "d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2,
}  # fmt: skip
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=V, **WIDE, **IDS, tie_word_embeddings=True)),
    "llama, rows to spare": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=333, **WIDE, **IDS)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=V, n_embd=16, n_layer=1, n_head=2, **IDS)),
    "bert": lambda: BertForMaskedLM(BertConfig(vocab_size=V, **WIDE)),
    "bert, untied": lambda: BertForMaskedLM(BertConfig(vocab_size=V, **WIDE, tie_word_embeddings=False)),
    "bart": lambda: BartForConditionalGeneration(BartConfig(vocab_size=V, **LONG)),
}
RECIPES = ("mean", "normal", "normal_per_dim", "zeros", "subword", "noisy_mean", "multivariate")

Pair = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return byte_level(TEXT, V), sentencepiece(TEXT, 350)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks of 16 rows, so that small models have many."""
    monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".* times as long as old ones")
        yield


def saved(folder: Path, pair: Pair, name: str = "llama", *, dtype: Any = torch.float32, size: str = "10kB") -> Path:
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)
    model.save_pretrained(folder, max_shard_size=size)
    pair[0].save_pretrained(folder)
    return folder


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


def state(folder: Path) -> dict[str, str]:
    """Every file's digest."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def both(source: Path, target: Path, pair: Pair, kind: Any, recipe: Any, dtype: Any = torch.float32) -> Any:
    """The folder in blocks, and the model in memory with the same recipe."""
    report = expand_checkpoint(source, target, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=3)
    model = kind.from_pretrained(source, dtype=dtype)
    other = initkit.apply(model, recipe, old_tokenizer=pair[0], tokenizer=pair[1], seed=3)
    return model, report, other


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["llama", "llama, tied"])
def test_the_rows_are_those_of_the_loaded_model(tmp_path: Path, pair: Pair, name: str, recipe: str) -> None:
    source = saved(tmp_path / "old", pair, name)
    assert len(list(source.glob("*.safetensors"))) > 2
    model, report, other = both(source, tmp_path / "new", pair, LlamaForCausalLM, f"tokenizer/{recipe}")
    written = tensors_of(tmp_path / "new")
    for key, value in model.state_dict().items():
        if key in written:
            assert torch.equal(written[key], value), key
    assert set(written) == set(tensors_of(source))
    assert {key: entry.hash for key, entry in report.items()} == {key: entry.hash for key, entry in other.items()}
    for key in (f"tokenizer/{recipe} tokens", f"tokenizer/{recipe} rows"):
        ours, theirs = report.notes[key], other.notes[key]
        for one, two in zip(ours, theirs, strict=True):
            assert {k: v for k, v in one.items() if k != "norm, new/old"} == {
                k: v for k, v in two.items() if k != "norm, new/old"
            }
            if one.get("norm, new/old"):
                assert one["norm, new/old"] == pytest.approx(two["norm, new/old"], rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_loads(tmp_path: Path, pair: Pair, name: str) -> None:
    source = saved(tmp_path / "old", pair, name)
    kind = type(MODELS[name]())
    recipe = initkit.recipe("tokenizer/subword", pad_to_multiple_of=64, weights="exp")
    model, _, _ = both(source, tmp_path / "new", pair, kind, recipe)
    loaded, info = kind.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.config.vocab_size == model.config.vocab_size
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    for held in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(loaded.config, held, None) == getattr(model.config, held, None), held
        ours, theirs = (getattr(one, "generation_config", None) for one in (loaded, model))
        assert getattr(ours, held, None) == getattr(theirs, held, None)


def test_half_precision_a_head_of_its_own_recipe_and_averages(tmp_path: Path, pair: Pair) -> None:
    source = saved(tmp_path / "old", pair, "llama", dtype=torch.bfloat16)
    recipe = initkit.recipe("tokenizer/normal_per_dim", head="noisy_mean", duplicates="mean", ddof=1)
    model, _, _ = both(source, tmp_path / "new", pair, LlamaForCausalLM, recipe, torch.bfloat16)
    written = tensors_of(tmp_path / "new")
    for key, value in model.state_dict().items():
        assert written[key].dtype == torch.bfloat16
        assert torch.equal(written[key], value), key


def test_one_file_and_its_tokenizer(tmp_path: Path, pair: Pair) -> None:
    source = saved(tmp_path / "old", pair, size="5GB")
    (source / "notes.txt").write_text("kept")
    (source / "pytorch_model.bin").write_bytes(b"old rows")
    new_tokenizer = tmp_path / "tokenizer"
    pair[1].save_pretrained(new_tokenizer)
    before = state(source)
    report = expand_checkpoint(
        source, tmp_path / "new", "tokenizer/subword", old_tokenizer=source, tokenizer=new_tokenizer
    )
    assert state(source) == before
    assert [row["file"] for row in report.notes["files left out"]] == ["pytorch_model.bin"]
    assert (tmp_path / "new" / "notes.txt").read_text() == "kept"
    assert json.loads((tmp_path / "new" / "initkit.report.json").read_text())["seed"] == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "new")
    ids = tokenizer("the cat sat", return_tensors="pt").input_ids
    assert ids.max() < model.config.vocab_size
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] == ids.shape[1] + 3


def test_other_tensors_are_the_same_bytes_and_the_index_is_right(tmp_path: Path, pair: Pair) -> None:
    source, target = saved(tmp_path / "old", pair), tmp_path / "new"
    expand_checkpoint(source, target, "tokenizer/mean", old_tokenizer=pair[0], tokenizer=pair[1])
    index = json.loads((target / INDEX).read_text())
    old = json.loads((source / INDEX).read_text())
    assert index["weight_map"] == old["weight_map"]
    written, before = tensors_of(target), tensors_of(source)
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in written.values())
    if "total_parameters" in old["metadata"]:
        assert index["metadata"]["total_parameters"] == sum(value.numel() for value in written.values())
    for key, value in before.items():
        if "embed" not in key and "lm_head" not in key:
            assert torch.equal(written[key], value)
    for file in target.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            assert opened.metadata()["format"] == "pt"


class Full:
    """A disk that is full after some writes."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.left, self.error = after, error

    def __call__(self, blocks: Any) -> Iterator[Any]:
        for piece in self.pieces(blocks):
            self.left -= 1
            if self.left < 0:
                raise self.error
            yield piece

    pieces = staticmethod(RowBlocks.blocks)


@pytest.mark.parametrize("after", [0, 5, 30])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("midway"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
)
def test_an_interruption_leaves_the_input_and_nothing_else(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int
) -> None:
    source = saved(tmp_path / "old", pair)
    before = state(tmp_path)
    full = Full(after, error)
    monkeypatch.setattr(RowBlocks, "blocks", lambda self: full(self))
    with pytest.raises(FileError if isinstance(error, OSError) else type(error)) as caught:
        expand_checkpoint(source, tmp_path / "new", "tokenizer/mean", old_tokenizer=pair[0], tokenizer=pair[1])
    if isinstance(error, OSError):
        assert "No space left on device; nothing was written" in str(caught.value)
    assert state(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("place", ["out", "old"])
def test_a_failure_to_move_leaves_what_was_there(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    source = saved(tmp_path / "old", pair)
    shutil.copytree(source, tmp_path / "out")
    before = state(tmp_path)
    real = os.replace

    def replace(one: Any, two: Any) -> None:
        if Path(one).name == "new":
            raise OSError(errno.EIO, "Input/output error")
        real(one, two)

    monkeypatch.setattr(staging.os, "replace", replace)
    with pytest.raises(FileError, match="Input/output error; nothing was written"):
        expand_checkpoint(
            source, tmp_path / place, "tokenizer/mean", old_tokenizer=pair[0], tokenizer=pair[1], force=True
        )
    assert state(tmp_path) == before


def test_a_folder_in_its_own_place(tmp_path: Path, pair: Pair) -> None:
    source = saved(tmp_path / "old", pair)
    call = {"old_tokenizer": pair[0], "tokenizer": pair[1]}
    before = state(tmp_path)
    with pytest.raises(FileError, match=r"old is the checkpoint itself; replace it with force"):
        expand_checkpoint(source, source, "tokenizer/mean", **call)
    assert state(tmp_path) == before
    expand_checkpoint(source, tmp_path / "new", "tokenizer/mean", **call)
    expand_checkpoint(source, source, "tokenizer/mean", **call, force=True)
    assert state(source) == state(tmp_path / "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "old"]


def test_no_room_is_said_before_anything_is_written(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path / "old", pair)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FileError, match=r"0\.00 GB free, the new folder needs 0\.02 GB"):
        expand_checkpoint(source, tmp_path / "new", "tokenizer/mean", old_tokenizer=pair[0], tokenizer=pair[1])
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


def test_a_recipe_that_runs_the_model_says_so(tmp_path: Path, pair: Pair) -> None:
    source = saved(tmp_path / "old", pair)
    new = pair[0].__class__.from_pretrained(source)
    new.add_tokens(["[search]"])
    recipe = initkit.recipe("tokenizer/tool_token")
    with pytest.raises(InitError, match=r"runs the model, and a checkpoint is not in memory; load the model and apply"):
        expand_checkpoint(source, tmp_path / "new", recipe, tokenizer=new, descriptions={"[search]": "search the web"})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["auto", "description"])
@pytest.mark.parametrize("kind", ["llama", "bart"])
def test_recipes_that_take_tables_whole_give_the_same_rows(tmp_path: Path, pair: Pair, name: str, kind: str) -> None:
    source = saved(tmp_path / "old", pair, kind)
    needs: dict[str, Any] = {"old_tokenizer": pair[0], "tokenizer": pair[1]}
    if name == "description":
        new = [token.token for token in make_plan(*pair).new if token.kind == "pieces"]
        needs["descriptions"] = dict.fromkeys(new[:5], "the cat sat")
    report = expand_checkpoint(source, tmp_path / "new", f"tokenizer/{name}", seed=3, **needs)
    model = type(MODELS[kind]()).from_pretrained(source)
    other = initkit.apply(model, f"tokenizer/{name}", seed=3, **needs)
    written = tensors_of(tmp_path / "new")
    assert all(torch.equal(written[key], value) for key, value in model.state_dict().items() if key in written)
    assert report.to_dict()["tensors"] == other.to_dict()["tensors"]


def test_the_tokenizer_in_the_folder_is_the_old_one(tmp_path: Path, pair: Pair) -> None:
    source = saved(tmp_path / "old", pair)
    for number, old in enumerate((None, pair[0])):
        expand_checkpoint(source, tmp_path / str(number), "tokenizer/mean", old_tokenizer=old, tokenizer=pair[1])
    assert state(tmp_path / "0") == state(tmp_path / "1")


def _no_index(folder: Path) -> None:
    for file in folder.glob("*.safetensors*"):
        file.unlink()


def _cut(folder: Path) -> None:
    file = sorted(folder.glob("*.safetensors"))[0]
    os.truncate(file, file.stat().st_size - 1)


def _noise(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[0].write_bytes(b"\x10" + b"\0" * 7 + b"not JSON at all!")


def _missing_shard(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[0].unlink()


def _wrong_index(folder: Path) -> None:
    file = folder / INDEX
    file.write_text(file.read_text().replace("lm_head.weight", "lm_tail.weight"))


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _nan(folder: Path) -> None:
    file = next(f for f in folder.glob("*.safetensors") if "lm_head.weight" in load_file(f))
    values = load_file(file)
    values["lm_head.weight"][7, 3] = float("nan")
    save_file(values, file, {"format": "pt"})


def _int8(folder: Path) -> None:
    file = next(f for f in folder.glob("*.safetensors") if "lm_head.weight" in load_file(f))
    values = load_file(file)
    values["lm_head.weight"] = values["lm_head.weight"].to(torch.int8)
    save_file(values, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_no_index, r"neither model\.safetensors\.index\.json nor model\.safetensors"),
        (_cut, r"is no sound safetensors file: it has \d+ bytes, its header speaks of \d+"),
        (_noise, r"is no sound safetensors file"),
        (_missing_shard, r"speaks of it, but there is no such file"),
        (_wrong_index, r"disagree on where lm_.*\.weight is"),
        (_no_config, r"no installed plugin knows which model it holds; give a model\.py that builds it"),
        (lambda f: _config(f, quantization_config={"load_in_8bit": True}), r"the model is quantised"),
        (lambda f: _config(f, architectures=["LamaForCausalLM"]), r"no class LamaForCausalLM; did you mean"),
        (lambda f: _config(f, architectures=None), r"names no architectures; give model="),
        (lambda f: _config(f, vocab_size=310), r"has the shape \(300, 16\) in .*, the model's is \(310, 16\)"),
        (_nan, r"lm_head\.weight: row 7 of an old token holds NaN"),
        (_int8, r"lm_head\.weight .*the file holds it as I8, it is quantised"),
    ],
)
def test_broken_folders(tmp_path: Path, pair: Pair, harm: Any, words: str) -> None:
    source = saved(tmp_path / "old", pair)
    harm(source)
    with pytest.raises(InitError, match=words):
        expand_checkpoint(source, tmp_path / "new", "tokenizer/mean", old_tokenizer=pair[0], tokenizer=pair[1])
    assert [file.name for file in tmp_path.iterdir()] == ["old"]


def test_a_class_that_transformers_lacks_is_given(tmp_path: Path, pair: Pair) -> None:
    class Mine(LlamaForCausalLM):
        pass

    source = saved(tmp_path / "old", pair)
    _config(source, architectures=["Mine"])
    with torch.device("meta"):
        hollow = Mine(LlamaConfig.from_pretrained(source))
    call = {"old_tokenizer": pair[0], "tokenizer": pair[1]}
    expand_checkpoint(source, tmp_path / "new", "tokenizer/mean", **call, model=hollow)
    assert hollow.config.vocab_size == V
    assert json.loads((tmp_path / "new" / "config.json").read_text())["architectures"] == ["Mine"]


LIMITED = """
import resource, sys
from pathlib import Path
from initkit_tokenizer import expand_checkpoint

folder = Path(sys.argv[1])

def work(name):
    expand_checkpoint(folder / name, folder / f"{name}, new", "tokenizer/subword", old_tokenizer=folder / "a",
                      tokenizer=folder / "b")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

print(work("tiny"))
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 200_000_000,) * 2)
print(work("large"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_folder_larger_than_the_memory_that_it_may_have(tmp_path: Path, pair: Pair) -> None:
    for tokenizer, name in zip(pair, "ab", strict=True):
        tokenizer.save_pretrained(tmp_path / name)
    small = {"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    for name, rows, width in (("tiny", V, 8), ("large", 38_000, 1024)):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=rows, hidden_size=width, **small))
        model.save_pretrained(tmp_path / name, max_shard_size="100MB")
    size = sum(file.stat().st_size for file in (tmp_path / "large").glob("*.safetensors"))
    assert size > 300e6
    command = [sys.executable, "-W", "ignore", "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = map(int, done.stdout.split())
    assert after - before < size / 4
    written = tensors_of(tmp_path / "large, new")
    assert torch.equal(written["lm_head.weight"][500:], model.lm_head.weight[500:])


def test_the_command_line_rewrites_a_folder(tmp_path: Path, pair: Pair) -> None:
    source, place = saved(tmp_path / "old", pair, "llama, tied"), tmp_path / "tokenizer"
    pair[1].save_pretrained(place)
    before = state(source)
    words = ["--plugin", "tokenizer", "--checkpoint", str(source), "--data", f"tokenizer={place}", "--seed", "3"]
    command = [sys.executable, "-m", "initkit_cli", "apply", *words, "-o", str(tmp_path / "new")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipes"][0]["id"] == "tokenizer/auto"
    assert state(source) == before
    model = LlamaForCausalLM.from_pretrained(source)
    initkit.apply(model, "tokenizer/auto", old_tokenizer=pair[0], tokenizer=pair[1], seed=3)
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    ids = tokenizer("the cat sat", return_tensors="pt").input_ids
    assert loaded.generate(ids, max_new_tokens=3, do_sample=False).shape[1] == ids.shape[1] + 3
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith(f"error: {tmp_path / 'new'} exists; add --force")
