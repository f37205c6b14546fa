"""Folders of safetensors shards: their layout, what is read of them, and what is written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import initkit
from initkit import FileError, OptionError
from initkit.shards import (
    INDEX,
    SINGLE,
    FileRows,
    FileWriter,
    Shard,
    StoredTensors,
    TensorSpec,
    arranged,
    pieces_of,
    staged,
    staging,
    write_shards,
    writing,
)
from initkit.shards.layout import TYPES, bytes_in


class Tied(nn.Module):
    """Two tied tensors, a buffer, a scalar and an empty tensor."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4, device=device)
        self.norm = nn.BatchNorm1d(4, device=device)
        self.half = nn.Linear(4, 6, dtype=torch.bfloat16, device=device)
        self.empty = nn.Parameter(torch.zeros(0, 3, device=device))
        self.head = nn.Linear(4, 11, bias=False, device=device)
        self.head.weight = self.embed.weight


@pytest.fixture
def model() -> Tied:
    torch.manual_seed(0)
    return Tied()


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


def same(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("size", [50, "300B", "0.2 KiB", "5GB"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_folder_comes_back(model: Tied, tmp_path: Path, size: int | str, device: str) -> None:
    initkit.save(model, tmp_path / "m", max_shard_size=size)
    other = Tied(device=device)
    initkit.load(other, tmp_path / "m")
    assert same(model, other)
    assert other.head.weight is other.embed.weight
    files = sorted(file.name for file in (tmp_path / "m").iterdir())
    if size == "5GB":
        assert files == [SINGLE]
    else:
        index = json.loads((tmp_path / "m" / INDEX).read_text())
        assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors_of(tmp_path / "m").values())
        count = len(files) - 1
        assert files[:-1] == [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
        for name, file in index["weight_map"].items():
            with safe_open(tmp_path / "m" / file, "pt") as opened:
                assert opened.metadata()["format"] == "pt"
                assert torch.equal(opened.get_tensor(name), model.state_dict()[name])


def test_a_slash_or_an_existing_folder_is_a_folder(model: Tied, tmp_path: Path) -> None:
    initkit.save(model, f"{tmp_path}/one/")
    (tmp_path / "two").mkdir()
    initkit.save(model, tmp_path / "two")
    assert (tmp_path / "one" / SINGLE).read_bytes() == (tmp_path / "two" / SINGLE).read_bytes()
    initkit.save(model, tmp_path / "file.safetensors")
    assert (tmp_path / "one" / SINGLE).read_bytes() == (tmp_path / "file.safetensors").read_bytes()


def test_other_files_of_a_folder_stay_and_stale_shards_go(model: Tied, tmp_path: Path) -> None:
    place = tmp_path / "m"
    initkit.save(model, place, max_shard_size=50)
    (place / "config.json").write_text("{}")
    (place / "more").mkdir()
    (place / "more" / "words.txt").write_text("kept")
    initkit.save(model, place)
    assert sorted(file.name for file in place.iterdir()) == ["config.json", SINGLE, "more"]
    assert (place / "more" / "words.txt").read_text() == "kept"
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_report_outputs_attributes_and_resized_tensors_come_back(tmp_path: Path) -> None:
    class Omega(nn.Linear):
        omega = 1.0

    class Grown(initkit.Recipe):
        """Grow."""

        def plan(self, model: nn.Module) -> Any:
            yield initkit.Fill("weight", initkit.Normal(1.0), why="grown", resize=(5, 3))
            yield initkit.Set("omega", 30.0, why="set")
            yield initkit.Output("features", initkit.Normal(1.0), (4,), why="more")

    model, other = Omega(3, 2), Omega(3, 2)
    report = initkit.apply(model, Grown(), seed=5)
    initkit.save(model, tmp_path / "m", report=report, max_shard_size=40)
    loaded = initkit.load(other, tmp_path / "m")
    assert same(model, other)
    assert other.omega == 30.0
    assert torch.equal(loaded.outputs["features"], report.outputs["features"])
    assert loaded.provenance["seed"] == 5


def test_a_folder_of_transformers_with_and_without_its_head(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
    )
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(config)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="2kB")
    model.save_pretrained(tmp_path / "single")
    assert (tmp_path / "sharded" / INDEX).is_file()
    for name in ("sharded", "single"):
        torch.manual_seed(1)
        other = transformers.BertForMaskedLM(config)
        initkit.load(other, tmp_path / name)
        assert same(model, other)
    model.bert.save_pretrained(tmp_path / "base")
    with pytest.raises(FileError, match=r"it has no values for cls\.predictions"):
        initkit.load(transformers.BertForMaskedLM(config), tmp_path / "base")
    base = transformers.BertModel(config, add_pooling_layer=False)
    initkit.load(base, tmp_path / "base")
    assert same(base, model.bert)
    initkit.save(model, tmp_path / "ours", max_shard_size="2kB")
    config.save_pretrained(tmp_path / "ours")
    again, info = transformers.BertForMaskedLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert same(again, model)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_a_model_that_does_not_fit_is_unchanged(model: Tied, tmp_path: Path) -> None:
    initkit.save(model, tmp_path / "m", max_shard_size=50)
    other = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(FileError, match=r"cannot load .*m: the model has no "):
        initkit.load(other, tmp_path / "m")
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    torch.manual_seed(1)
    third = Tied()
    before = {name: value.clone() for name, value in third.state_dict().items()}
    shard = Shard.of(sorted((tmp_path / "m").glob("*.safetensors"))[-1])
    os.truncate(shard.file, shard.file.stat().st_size - 2)
    with pytest.raises(FileError, match="its header speaks of"):
        initkit.load(third, tmp_path / "m")
    assert all(torch.equal(value, before[name]) for name, value in third.state_dict().items())


def test_values_missing_for_a_hollow_model_are_named(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(FileError, match="it has no values for bias"):
        initkit.load(nn.Linear(2, 2, device="meta"), tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", TYPES.values())
def test_every_type_is_written_as_the_library_writes_it(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    spec = TensorSpec.of("x", dtype, tensor.shape)
    (file,) = arranged([spec], None)
    with FileWriter(tmp_path / "ours", file, {"format": "pt"}) as out:
        out.write("x", pieces_of(tensor.T.contiguous().T))
    save_file({"x": tensor}, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    stored = StoredTensors.of(tmp_path / "theirs")["x"]
    assert (stored.dtype, stored.shape) == (dtype, (2, 3))
    raw, read = (one.contiguous().view(torch.uint8) for one in (tensor, stored.read()))
    assert torch.equal(raw, read)


def test_a_type_that_safetensors_lacks() -> None:
    with pytest.raises(FileError, match=r"w is torch\.complex128, a type that safetensors does not hold"):
        TensorSpec.of("w", torch.complex128, (2,))


sizes = st.lists(st.integers(0, 40), min_size=1, max_size=12)


@given(sizes=sizes, most=st.integers(1, 60))
def test_files_are_filled_in_order_and_no_fuller_than_allowed(sizes: list[int], most: int) -> None:
    specs = [TensorSpec.of(f"t{i:02d}", torch.uint8, (size,)) for i, size in enumerate(sizes)]
    files = arranged(specs, most)
    assert [spec for file in files for spec in file.specs] == specs
    for file in files:
        assert file.size <= most or sum(spec.size > 0 for spec in file.specs) == 1 or len(file.specs) == 1
    for one, two in itertools.pairwise(files):
        assert one.size + two.specs[0].size > most


def test_files_are_laid_out_as_transformers_does() -> None:
    hub = pytest.importorskip("huggingface_hub")
    torch.manual_seed(0)
    tensors = {f"t{i}": torch.zeros(int(n)) for i, n in enumerate(torch.randint(1, 60, (40,)))}
    theirs = hub.split_torch_state_dict_into_shards(tensors, max_shard_size=400)
    ours = arranged([TensorSpec.of(name, t.dtype, t.shape) for name, t in tensors.items()], 400)
    assert {file.name: sorted(spec.name for spec in file.specs) for file in ours} == {
        name: sorted(names) for name, names in theirs.filename_to_tensors.items()
    }


def test_wide_types_come_first_so_that_all_begin_aligned() -> None:
    specs = [
        TensorSpec.of("a", torch.uint8, (3,)),
        TensorSpec.of("b", torch.float32, (3,)),
        TensorSpec.of("c", torch.int64, (1,)),
        TensorSpec.of("d", torch.bfloat16, (5,)),
    ]
    (file,) = arranged(specs)
    assert [spec.name for spec in file.specs] == ["c", "b", "d", "a"]
    assert len(file.header({"initkit": "ä"})) % 8 == 0


@pytest.mark.parametrize(("text", "count"), [("5GB", 5 * 10**9), ("1.5 kb", 1500), ("2MiB", 2 << 20), (7, 7)])
def test_sizes(text: int | str, count: int) -> None:
    assert bytes_in(text) == count


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "0MB", 0, -3, True, "5 apples"])
def test_sizes_that_cannot_be_read(text: Any) -> None:
    with pytest.raises(OptionError, match="give a number of bytes, or a text such as '5GB'"):
        bytes_in(text)


@pytest.mark.parametrize("rows", [[], [3], [9, 1, 1, 30, 2], list(range(40)), [39, 0, 20, 5, 5]])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_in_a_file_are_indexed_as_a_tensor(tmp_path: Path, rows: list[int], dtype: torch.dtype) -> None:
    table = torch.randn(40, 5).to(dtype)
    save_file({"other": torch.zeros(3), "table": table}, tmp_path / "x.safetensors")
    stored = StoredTensors.of(tmp_path / "x.safetensors")["table"]
    read = FileRows(stored)
    assert torch.equal(read[torch.tensor(rows, dtype=torch.long)], table[rows])
    assert torch.equal(read[3:17], table[3:17])
    assert torch.equal(read[38:99], table[38:])
    assert (len(read), read.shape, read.dtype) == (40, table.shape, dtype)


def _header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def harm(file: Path) -> None:
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        text = json.dumps(change(header) or header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])

    return harm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: f.write_bytes(b""), "is no sound safetensors file"),
        (lambda f: f.write_bytes(b"\xff" * 40), r"a header of \d+ bytes"),
        (lambda f: f.write_bytes(b"\x10" + b"\0" * 7 + b"not JSON at all!"), "is no sound safetensors file"),
        (lambda f: os.truncate(f, f.stat().st_size - 1), r"it has \d+ bytes, its header speaks of \d+"),
        (lambda f: f.write_bytes(f.read_bytes() + b"x"), r"it has \d+ bytes, its header speaks of \d+"),
        (_header(lambda h: [1]), "is no sound safetensors file"),
        (_header(lambda h: h["a"].update(shape=[-2, -3])), "a has no sound shape or place"),
        (_header(lambda h: h["a"].update(shape=[2, 2])), r"a has 24 bytes, not those of F32 \(2, 2\)"),
        (_header(lambda h: h["a"].update(dtype=7)), "a has no type"),
        (_header(lambda h: h["a"].update(data_offsets=[8, 32])), "does not begin where the tensor before it ends"),
        (_header(lambda h: h["a"].pop("shape")), "is no sound safetensors file"),
        (_header(lambda h: h.update(__metadata__={"x": 1})), "its metadata are no texts by name"),
    ],
)
def test_files_that_are_not_sound(tmp_path: Path, harm: Any, words: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.int64)}, file)
    harm(file)
    with pytest.raises(FileError, match=words):
        StoredTensors.of(file)


def _cut_index(folder: Path) -> None:
    (folder / INDEX).write_text((folder / INDEX).read_text()[:-20])


def _index(change: Callable[[dict[str, str]], Any]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index))

    return harm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: [file.unlink() for file in f.iterdir()], "neither .* nor .* in it"),
        (lambda f: min(f.glob("*.safetensors")).unlink(), "speaks of it, but there is no such file"),
        (_cut_index, "cannot read .*index"),
        (_index(lambda w: w.pop("norm.bias")), r"disagree on where norm\.bias is"),
        (_index(lambda w: w.update(none=min(w.values()))), "disagree on where none is"),
        (_index(lambda w: w.update({"norm.bias": "../x.safetensors"})), "a shard lies outside of the folder"),
        (_index(lambda w: w.update({"norm.bias": max(w.values())})), r"disagree on where norm\.bias is"),
        (lambda f: (f / INDEX).write_text("[]"), "cannot read .*index"),
    ],
)
def test_folders_that_are_not_sound(model: Tied, tmp_path: Path, harm: Any, words: str) -> None:
    initkit.save(model, tmp_path / "m", max_shard_size=50)
    harm(tmp_path / "m")
    with pytest.raises(FileError, match=words):
        StoredTensors.of(tmp_path / "m")


def test_a_tensor_in_two_shards(model: Tied, tmp_path: Path) -> None:
    initkit.save(model, tmp_path / "m", max_shard_size=50)
    one, two = sorted((tmp_path / "m").glob("*.safetensors"))[:2]
    save_file(load_file(one) | load_file(two), two)
    with pytest.raises(FileError, match="disagree on where"):
        StoredTensors.of(tmp_path / "m")


def test_packed_types_are_read_as_headers_only(tmp_path: Path) -> None:
    header = b'{"q":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}'
    (tmp_path / "q.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1\2")
    stored = StoredTensors.of(tmp_path / "q.safetensors")
    assert stored["q"].size == 2
    with pytest.raises(FileError, match="q has the type F4, whose numbers torch cannot read"):
        stored.read("q")


@pytest.mark.parametrize("count", [3, 5])
def test_too_few_or_too_many_bytes(tmp_path: Path, count: int) -> None:
    (file,) = arranged([TensorSpec.of("x", torch.uint8, (4,))])
    with pytest.raises(FileError, match=rf"x has 4 bytes, not {count}"), FileWriter(tmp_path / "f", file, {}) as out:
        out.write("x", [b"x" * count])


def test_a_tensor_that_is_never_written(tmp_path: Path) -> None:
    (file,) = arranged([TensorSpec.of("x", torch.uint8, (4,))])
    with pytest.raises(FileError, match="x was never written"), FileWriter(tmp_path / "f", file, {}):
        pass


def test_no_room_is_said_before_anything_is_written(
    model: Tied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FileError, match=r"the disk has 0\.00 GB free, the new folder needs 0\.02 GB"):
        initkit.save(model, f"{tmp_path}/m/")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_folder(model: Tied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initkit.save(model, tmp_path / "m", max_shard_size=50)
    before = tensors_of(tmp_path / "m")

    def full(spec: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileWriter, "write", lambda self, name, buffers: full(name))
    with pytest.raises(FileError, match="No space left on device; nothing was written"):
        initkit.save(model, tmp_path / "m", max_shard_size=50)
    assert all(torch.equal(value, before[name]) for name, value in tensors_of(tmp_path / "m").items())
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_cannot_be_written(model: Tied, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="Not a directory|exists"):
        initkit.save(model, f"{tmp_path}/file/m/")
    with pytest.raises(FileError, match="file exists"), staged(tmp_path / "file"):
        pass


@pytest.mark.parametrize("moved", ["old", "new"])
def test_an_interrupt_while_moving_brings_back_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").write_text("old")
    real = os.replace

    def replace(one: Any, two: Any) -> None:
        if moved == "new" and Path(one).name == "new":
            raise KeyboardInterrupt
        real(one, two)
        if moved == "old" and Path(two).name == "old":
            raise KeyboardInterrupt

    monkeypatch.setattr(staging.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "out", force=True) as new:
        new.mkdir()
    assert (tmp_path / "out" / "weights").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_brought_back_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").write_text("old")
    real = os.replace

    def replace(one: Any, two: Any) -> None:
        if Path(two).name != "old":
            raise OSError(errno.EIO, "Input/output error")
        real(one, two)

    monkeypatch.setattr(staging.os, "replace", replace)
    with (
        pytest.raises(FileError, match="what was there lies in .*old, move it back"),
        staged(tmp_path / "out", force=True) as new,
    ):
        new.mkdir()
    assert next(tmp_path.rglob("weights")).read_text() == "old"


@pytest.mark.parametrize("in_the_system", [True, False])
def test_bytes_are_passed_on_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_the_system: bool) -> None:
    save_file({"a": torch.randn(7), "b": torch.arange(2_000_000)}, tmp_path / "old")
    stored = StoredTensors.of(tmp_path / "old")
    if not in_the_system:
        monkeypatch.delattr(writing.os, "copy_file_range", raising=False)
    (file,) = arranged([TensorSpec.of("new", torch.int64, (2_000_000,)), TensorSpec.of("a", torch.float32, (7,))])
    with FileWriter(tmp_path / "new", file, {}) as out:
        out.write("a", pieces_of(torch.ones(7)))
        out.copy("new", stored["b"])
    assert torch.equal(load_file(tmp_path / "new")["new"], torch.arange(2_000_000))
    assert torch.equal(load_file(tmp_path / "new")["a"], torch.ones(7))
    os.truncate(tmp_path / "old", 5000)
    with pytest.raises(FileError, match="became shorter"), FileWriter(tmp_path / "new", file, {}) as out:
        out.copy("new", stored["b"])


def test_pieces_are_asked_for_one_tensor_after_the_other(tmp_path: Path) -> None:
    specs = [TensorSpec.of(f"t{i}", torch.float32, (4,)) for i in range(6)]
    asked: list[str] = []

    def pieces(spec: TensorSpec) -> Any:
        asked.append(spec.name)
        return pieces_of(torch.full((4,), float(spec.name[1])))

    files = write_shards(tmp_path, specs, pieces, max_shard_size=32, metadata={"initkit": "{}"})
    assert asked == [spec.name for file in files for spec in file.specs] == [spec.name for spec in specs]
    stored = StoredTensors.of(tmp_path)
    assert stored.metadata("initkit") == "{}"
    assert [shard.metadata for shard in stored.shards] == [{"format": "pt", "initkit": "{}"}, *[{"format": "pt"}] * 2]
    assert stored.size == 96
    assert stored.read("t3").tolist() == [3.0] * 4
