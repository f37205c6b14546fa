"""Tensors in safetensors files, one file or a folder of shards, read and written piece by piece.

Nothing here holds more than one tensor at a time, and nothing appears half written::

    from initkit.shards import StoredTensors, TensorSpec, pieces_of, staged, write_shards

    stored = StoredTensors.of("model/")           # headers alone; a file, or a folder as transformers writes it
    weight = stored.read("lm_head.weight")        # one tensor
    with staged("out") as new:                    # moved to its place at the end, or gone
        new.mkdir()
        specs = [TensorSpec.of(name, one.dtype, one.shape) for name, one in stored.items()]
        write_shards(new, specs, lambda spec: pieces_of(stored.read(spec.name)), max_shard_size="5GB")
"""

from __future__ import annotations

from initkit.shards.buffers import bytes_of, pieces_of
from initkit.shards.layout import INDEX, SINGLE, FileLayout, TensorSpec, arranged, index_of
from initkit.shards.reading import Shard, Stored, StoredTensors, shards_of
from initkit.shards.rows import FileRows, passed_on
from initkit.shards.staging import staged
from initkit.shards.writing import FileWriter, check_room, write_shards

__all__ = [
    "INDEX",
    "SINGLE",
    "FileLayout",
    "FileRows",
    "FileWriter",
    "Shard",
    "Stored",
    "StoredTensors",
    "TensorSpec",
    "arranged",
    "bytes_of",
    "check_room",
    "index_of",
    "passed_on",
    "pieces_of",
    "shards_of",
    "staged",
    "write_shards",
]
