"""Memory and time of rows borrowed from a large table in a file: 128,256 rows of 4,096 numbers in bfloat16 (1.05 GB).

WECHSEL's rows of 4,096 new tokens: the 10 nearest of 128,256 vectors of 300 numbers, softmax, weighted sums of rows.
``from the file`` reads the rows that are asked for, block by block, and writes the new ones to a file as they are made;
``in memory`` loads the table as it is; the last is the package ``wechsel``, where it is installed, which wants the
table in float32. All get the same numbers, and vectors are float64 for the package, as it makes them. Each runs in a
process of its own on one thread; memory is the peak beyond what imports take, the vectors included, as Linux says it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.tokenizer.checkpoint_memory import peak_bytes

ROUNDS, SEED = 3, 0
ROWS, WIDTH, NEW, DIM, K = 128_256, 4_096, 4_096, 300, 10
WAYS = {"initkit, from the file": "file", "initkit, in memory": "memory", "wechsel": "wechsel"}
BLOCK = 512


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _write(place)
        found: dict[str, list[dict[str, float]]] = {}
        missing = []
        for way, kind in WAYS.items():
            for _ in range(ROUNDS):
                try:
                    found.setdefault(way, []).append(_alone(place, kind))
                except ModuleNotFoundError as error:
                    missing.append(f"{way}: {error}")
                    del found[way]
                    break
                print(way, found[way][-1], flush=True)
        differences = {kind: _difference(place, kind) for way, kind in WAYS.items() if way in found}
    rows = [
        {
            "way": way,
            "peak_mb": round(statistics.median(one["peak_mb"] for one in runs)),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in runs), 1),
            "difference": differences[WAYS[way]],
            "all": runs,
        }
        for way, runs in found.items()
    ]
    table_mb = round(ROWS * WIDTH * 2 / 1e6)
    sizes = {"rows": ROWS, "width": WIDTH, "new": NEW, "dim": DIM, "k": K, "table_mb": table_mb}
    return {"seeds": [SEED], "threads": 1, "sizes": sizes, "vectors_mb": round((ROWS + NEW) * DIM * 4 / 1e6),
            "rows": rows, "missing": missing}  # fmt: skip


def _write(place: Path) -> None:
    numbers = torch.Generator().manual_seed(SEED)
    table = torch.empty(ROWS, WIDTH, dtype=torch.bfloat16)
    for part in table.split(4096):
        part.copy_(torch.randn(len(part), WIDTH, generator=numbers))
    save_file({"table": table}, place / "table.safetensors")
    # A few common directions, so that cosines spread as those of word vectors do.
    mix = torch.randn(40, DIM, generator=numbers)
    vectors = {"old": ROWS, "new": NEW}
    save_file(
        {name: torch.randn(count, 40, generator=numbers) @ mix for name, count in vectors.items()},
        place / "vectors.safetensors",
    )


def _alone(place: Path, kind: str) -> dict[str, float]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tokenizer.borrowed_memory", str(place), kind]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        raise ModuleNotFoundError(done.stderr.strip().splitlines()[-1].partition(": ")[2])
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _difference(place: Path, kind: str) -> float:
    """Largest difference to the rows made from the file, in float32."""
    return float((_made(place, kind) - _made(place, "file")).abs().max())


def _made(place: Path, kind: str) -> Tensor:
    return torch.from_file(str(place / f"{kind}.rows"), size=NEW * WIDTH, dtype=torch.float32).view(NEW, WIDTH)


def work(place: Path, kind: str) -> dict[str, float]:
    """One way, in this process."""
    torch.set_num_threads(1)
    if kind == "wechsel":
        import wechsel  # noqa: F401 - imports are not counted
    else:
        import initkit_tokenizer.neighbours  # noqa: F401
    before = peak_bytes()
    start = time.process_time()
    vectors = load_file(place / "vectors.safetensors")
    with (place / f"{kind}.rows").open("wb") as out:
        for rows in _package(place, vectors) if kind == "wechsel" else _ours(place, vectors, kind):
            out.write(memoryview(rows.contiguous().numpy()).cast("B"))
    return {
        "peak_mb": round((peak_bytes() - before) / 1e6, 1),
        "cpu_seconds": round(time.process_time() - start, 2),
    }


def _ours(place: Path, vectors: dict[str, Tensor], kind: str) -> Any:
    from initkit_tokenizer.neighbours import softmax_weights, weighted_rows

    weights, places = softmax_weights(vectors["new"], vectors.pop("old"), K, 0.1)
    if kind == "memory":
        table = load_file(place / "table.safetensors")["table"]
        yield weighted_rows(table, places, weights)
        return
    with (place / "table.safetensors").open("rb") as stream:
        rows = cast(Tensor, StoredRows(stream))
        for first in range(0, NEW, BLOCK):
            part = slice(first, first + BLOCK)
            yield weighted_rows(rows, places[part], weights[part])


class StoredRows:
    """The rows of the table, read from its file when they are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._file = stream.fileno()
        self._start = 8 + int.from_bytes(os.pread(self._file, 8, 0), "little")
        self.dtype, self.device, self.shape = torch.bfloat16, torch.device("cpu"), torch.Size((ROWS, WIDTH))

    def __getitem__(self, ids: Tensor) -> Tensor:
        size = WIDTH * self.dtype.itemsize
        wanted, back = torch.unique(ids, return_inverse=True)
        read = b"".join(os.pread(self._file, size, self._start + i * size) for i in wanted.tolist())
        return torch.frombuffer(bytearray(read), dtype=self.dtype).view(-1, WIDTH)[back]


def _package(place: Path, vectors: dict[str, Tensor]) -> Any:
    from wechsel import create_target_embeddings

    from benchmarks.tokenizer.neighbour_speed import Names

    table = load_file(place / "table.safetensors")["table"].float().numpy()
    arrays = [vectors.pop(name).double().numpy() for name in ("old", "new")]
    with contextlib.redirect_stderr(io.StringIO()):
        made, _, _ = create_target_embeddings(
            *arrays, Names(ROWS), Names(NEW), table, neighbors=K, temperature=0.1, verbose=False
        )
    yield torch.from_numpy(made).float()


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), sys.argv[2])))
