"""What moved between two saved models."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import initkit
from initkit.errors import FileError


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight


def saved(model: nn.Module, path: Path) -> Path:
    initkit.save(model, path)
    return path


def test_same_moved_resized_added_removed(tmp_path: Path) -> None:
    one = {"same": torch.ones(3), "moved": torch.tensor([3.0, 4.0]), "sized": torch.ones(2), "gone": torch.ones(1)}
    two = {"same": torch.ones(3), "moved": torch.tensor([3.0, 5.0]), "sized": torch.ones(4), "new": torch.ones(1)}
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(one, a)
    save_file(two, b)
    found = initkit.diff(a, b)
    changes = {moved.name: moved.change for moved in found.tensors}
    assert changes == {"same": "same", "moved": "moved", "sized": "resized", "gone": "removed", "new": "added"}
    moved = next(m for m in found.tensors if m.name == "moved")
    assert moved.rms == pytest.approx(0.5**0.5)
    assert moved.relative == pytest.approx(1 / 5)
    assert moved.largest == 1.0
    assert moved.cosine == pytest.approx(29 / (5 * 34**0.5))
    assert not found.same
    assert "1 of 5 tensors have the same bits" in str(found)
    held = json.loads(found.to_json())
    assert held["tensors"]["sized"]["was"] == "shape (2,)"


def test_bits_count_not_values(tmp_path: Path) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"x": torch.tensor([0.0, float("nan")])}, a)
    save_file({"x": torch.tensor([-0.0, float("nan")])}, b)
    assert initkit.diff(a, a).same
    assert not initkit.diff(a, b).same
    json.loads(initkit.diff(a, b).to_json())


def test_tied_names_are_compared_under_each_name(tmp_path: Path) -> None:
    model = Tied()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.embed.weight.add_(1)
    found = initkit.diff(saved(model, tmp_path / "a.safetensors"), saved(other, tmp_path / "b.safetensors"))
    assert {m.name for m in found.tensors if m.change == "moved"} == {"embed.weight", "head.weight"}


def test_half_and_complex_tensors_and_other_dtypes(tmp_path: Path) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"h": torch.ones(3, dtype=torch.bfloat16), "c": torch.ones(2, dtype=torch.complex64)}, a)
    save_file({"h": torch.ones(3), "c": torch.tensor([1 + 1j, 1], dtype=torch.complex64)}, b)
    rows = {m.name: m for m in initkit.diff(a, b).tensors}
    assert (rows["h"].change, rows["h"].was, rows["h"].rms) == ("moved", "dtype bfloat16", 0.0)
    assert rows["c"].largest == 1.0


def test_origins(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    from torch_geometric.nn.models import GCN

    model = GCN(5, 8, num_layers=2, out_channels=2)
    report = initkit.apply(model, "gnn/kaiming", seed=3)
    initkit.save(model, tmp_path / "a.safetensors", report=report)
    save_file({"x": torch.ones(1)}, tmp_path / "b.safetensors")
    lines = initkit.diff(tmp_path / "a.safetensors", tmp_path / "b.safetensors").lines()
    assert "gnn/kaiming" in lines[0]
    assert "seed 3" in lines[0]
    assert "initkit-gnn" in lines[0]
    assert lines[1].endswith("says nothing of recipes")


@pytest.mark.parametrize("name", ["missing.safetensors", "broken.safetensors"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    save_file({"x": torch.ones(1)}, tmp_path / "good.safetensors")
    with pytest.raises(FileError, match=f"cannot compare .*{name}"):
        initkit.diff(tmp_path / name, tmp_path / "good.safetensors")


def test_folders_of_shards(tmp_path: Path) -> None:
    save_file({"x": torch.ones(3), "y": torch.zeros(2)}, tmp_path / "one.safetensors")
    model = torch.nn.ParameterDict({"x": torch.ones(3), "y": torch.ones(2)})
    initkit.save(model, tmp_path / "two", max_shard_size=12)
    found = initkit.diff(tmp_path / "one.safetensors", tmp_path / "two")
    assert {one.name: one.change for one in found.tensors} == {"x": "same", "y": "moved"}
